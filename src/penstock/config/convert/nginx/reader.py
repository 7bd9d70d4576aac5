"""A file of nginx with what it includes, as directives with their places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from penstock.config.convert.outcome import LeftOut

_MISSING: Final = "nginx.conf is read by crossplane: `pip install 'penstock-lb[convert]'`"


class UnreadableFileError(ValueError):
    """It is no configuration, or cannot be read. The text is for people."""


@dataclass(frozen=True)
class Directive:
    """One directive, with what is in its block."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple["Directive", ...] = field(default=())

    @property
    def text(self) -> str:
        """As it stood there, without its block."""
        return " ".join((self.name, *self.args))

    def of(self, *names: str) -> list["Directive"]:
        """Those of that name, directly in its block."""
        return [each for each in self.block if each.name in names]

    def last(self, name: str) -> "Directive | None":
        """The last of that name, directly in its block."""
        found = self.of(name)
        return found[-1] if found else None


def read(file: Path) -> tuple[Directive, list[LeftOut]]:
    """The whole configuration as one block, and includes that could not be read.

    Raises UnreadableFileError.
    """
    try:
        import crossplane
    except ImportError as error:
        raise UnreadableFileError(_MISSING) from error
    payload: dict[str, Any] = crossplane.parse(
        str(file), strict=False, check_ctx=False, check_args=False
    )
    files: list[dict[str, Any]] = payload["config"]
    left_out: list[LeftOut] = []
    for each in files:
        for problem in each["errors"]:
            line, told = problem.get("line") or 0, str(problem["error"])
            if "No such file" not in told or not files[0]["parsed"]:
                raise UnreadableFileError(f"{each['file']}:{line}: {told}")
            missing = LeftOut(each["file"], line, "include", f"cannot be read: {told}", "access")
            left_out.append(missing)
    whole = tuple(_directives(files[0]["parsed"], files[0]["file"], files))
    return Directive("main", (), str(file), 0, whole), left_out


def _directives(
    parsed: Sequence[dict[str, Any]], file: str, files: Sequence[dict[str, Any]]
) -> Iterator[Directive]:
    for each in parsed:
        if each["directive"] == "include":
            for number in each.get("includes", ()):
                yield from _directives(files[number]["parsed"], files[number]["file"], files)
            continue
        block = tuple(_directives(each.get("block", ()), file, files))
        name, args = str(each["directive"]), tuple(each["args"])
        yield Directive(name, args, file, int(each["line"]), block)
