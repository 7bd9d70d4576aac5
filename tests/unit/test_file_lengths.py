"""A file is read from top to bottom: none is longer than can be kept in the head, but for those
that are named here, each of which is to come back under the bound."""

from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parents[2] / "src"
MOST_LINES: Final = 400
LONGER: Final = frozenset(
    (
        "penstock/dataplane/client/http1.py",
        "penstock/dataplane/exchange/exchange.py",
    )
)


def test_no_file_is_longer_but_those_that_are_named() -> None:
    longer = {
        path.relative_to(SOURCES).as_posix(): lines
        for path in SOURCES.rglob("*.py")
        if (lines := path.read_bytes().count(b"\n")) > MOST_LINES
    }
    new = {path: lines for path, lines in longer.items() if path not in LONGER}
    assert not new, f"over {MOST_LINES} lines; what has a reason of its own to change goes: {new}"
    assert not LONGER - longer.keys(), "these are short again: strike them out of LONGER"
