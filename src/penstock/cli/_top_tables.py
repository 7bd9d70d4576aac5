"""What tables of `penstock top` have in common."""

from __future__ import annotations

import time
from typing import Any, Final

from rich.table import Table

BAD: Final = "bold red"
CHOSEN: Final = "reverse"


def table_of(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """An empty one: columns of names, then of numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in left:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def window(chosen: int, count: int, rows: int) -> range:
    """The rows in sight: the chosen one is among them."""
    first = min(max(0, chosen - rows // 2), max(0, count - rows))
    return range(first, min(count, first + rows))


def number(value: float | None) -> str:
    """With as many digits as are told."""
    return "–" if value is None else f"{value:g}" if value < 10_000 else f"{value:,.0f}"


def share(value: float | None) -> str:
    """In percent."""
    return "–" if value is None else f"{value:.0%}"


def clock(at: Any) -> str:
    """The time of day, here."""
    return time.strftime("%H:%M:%S", time.localtime(at))
