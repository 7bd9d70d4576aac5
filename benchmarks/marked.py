"""A part of a document that a benchmark writes; what people wrote around it stays."""

from collections.abc import Sequence
from pathlib import Path


def replace(file: Path, name: str, text: str, opening: str, after: Sequence[str] = ()) -> None:
    """Put ``text`` where the part called ``name`` stands, behind the last of the parts ``after``
    that stands there, or at the end; ``opening`` begins a document that is not there yet."""
    begin, end = _marks(name)
    whole = file.read_text() if file.exists() else opening
    if begin not in whole:
        whole = _with_room(whole, f"{begin}\n{end}", after)
    before, _, rest = whole.partition(begin)
    _, _, behind = rest.partition(end)
    file.write_text(f"{before}{begin}\n{text.strip()}\n{end}{behind}")


def _with_room(whole: str, empty: str, after: Sequence[str]) -> str:
    for name in reversed(after):
        _, end = _marks(name)
        if end in whole:
            return whole.replace(end, f"{end}\n\n{empty}", 1)
    return f"{whole.rstrip()}\n\n{empty}\n"


def _marks(name: str) -> tuple[str, str]:
    return (
        f"<!-- Begin: written by benchmarks.{name} -->",
        f"<!-- End: written by benchmarks.{name} -->",
    )
