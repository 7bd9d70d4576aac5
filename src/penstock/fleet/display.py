"""How a demonstration is shown: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.fleet.demo import SPECS, DemoView

_BAR_CELLS = 8
_LINE_EVERY_S = 1.0
_STATE_STYLES = {"up": "green", "down": "bold red", "starting": "yellow", "ejected": "red"}


class LiveTable:
    """Redraws one table in place; a context manager that gives the terminal back."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __call__(self, view: DemoView) -> None:
        self._live.update(Group(*_headlines(view), table(view)), refresh=True)


class PlainLines:
    """Prints a line when the story moves on, and one every second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._headline = ""
        self._next_s = 0.0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __call__(self, view: DemoView) -> None:
        if view.headline != self._headline:
            self._headline = view.headline
            self._print(f"{view.elapsed_s:6.1f} s  {view.headline}")
        elif view.elapsed_s >= self._next_s:
            self._print(f"{view.elapsed_s:6.1f} s  {line(view)}")
            self._next_s = view.elapsed_s + _LINE_EVERY_S

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def table(view: DemoView) -> Table:
    """Who got what, one row for each endpoint."""
    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("endpoint", no_wrap=True)
    for heading in ("speed", "state", "in flight", "requests"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("share", no_wrap=True, min_width=5 + _BAR_CELLS)
    for heading in ("p50", "p99"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    means = {spec.name: spec.mean_service_s for spec in SPECS}
    for row in view.scoreboard.rows():
        seen = view.endpoints.get(row.name)
        state = seen.state if seen is not None else ""
        drawn.add_row(
            row.name,
            _milliseconds(means.get(row.name, 0.0)),
            Text(state or "–", style=_STATE_STYLES.get(state, "")),
            str(seen.in_flight) if seen is not None else "–",
            str(row.requests),
            Text.assemble(f"{row.share:4.0%} ", ("█" * round(row.share * _BAR_CELLS), "cyan")),
            _milliseconds(row.p50_s),
            _milliseconds(row.p99_s),
        )
    return drawn


def line(view: DemoView) -> str:
    """The same in one line."""
    parts = [f"sent {view.scoreboard.sent}, failed {view.scoreboard.failed}"]
    for row in view.scoreboard.rows():
        seen = view.endpoints.get(row.name)
        state = seen.state if seen is not None and seen.state else "–"
        parts.append(f"{row.name} {row.requests} ({row.share:.0%}, {state})")
    return " | ".join(parts)


def summary(view: DemoView) -> str:
    """What is left to say at the end."""
    board = view.scoreboard
    lines = [f"requests sent {board.sent}, failed {board.failed}"]
    lines += [f"  failed: {count} × {reason}" for reason, count in board.failures.items()]
    for row in board.rows():
        lines.append(
            f"  {row.name:8} {row.requests:6} requests {row.share:6.1%}"
            f"   p50 {_milliseconds(row.p50_s)}, p99 {_milliseconds(row.p99_s)}"
        )
    return "\n".join(lines)


def _headlines(view: DemoView) -> list[Text]:
    board = view.scoreboard
    failed = Text(f"{board.failed} failed", style="bold red" if board.failed else "green")
    return [
        Text(f"requests to {view.url or '…'}, status at {view.admin_url or '…'}"),
        Text(f"{view.elapsed_s:6.1f} s  {view.headline}", style="bold"),
        Text.assemble(f"{board.sent} requests sent, ", failed, "; Ctrl-C ends it"),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds else "–"
