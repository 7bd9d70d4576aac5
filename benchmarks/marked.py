"""A part of a document that a benchmark writes; what people wrote around it stays."""

from pathlib import Path


def replace(file: Path, name: str, text: str, opening: str) -> None:
    """Put ``text`` where the part called ``name`` stands, or at the end; ``opening`` begins a
    document that is not there yet."""
    begin = f"<!-- Begin: written by benchmarks.{name} -->"
    end = f"<!-- End: written by benchmarks.{name} -->"
    whole = file.read_text() if file.exists() else opening
    if begin not in whole:
        whole = f"{whole.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = whole.partition(begin)
    _, _, after = rest.partition(end)
    file.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
