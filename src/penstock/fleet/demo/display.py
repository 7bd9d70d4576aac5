"""How a demonstration is shown: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.fleet.demo.fleets import ENGINES, POLICIES
from penstock.fleet.demo.story import DemoView, EngineView, SideView

_BAR_CELLS = 4
_FULL_SHARE = 0.5  # twice the fair share of four engines
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LINE_EVERY_S = 1.0
_STATE_STYLES = {"up": "green", "down": "bold red", "starting": "yellow", "ejected": "red"}


class LiveTable:
    """Redraws the tables in place; a context manager that gives the terminal back."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __call__(self, view: DemoView) -> None:
        drawn = Group(*_headlines(view), engine_table(view), comparison(view))
        self._live.update(drawn, refresh=True)


class PlainLines:
    """Prints how everybody fares when the story moves on, and every second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._headline = ""
        self._next_s = 0.0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __call__(self, view: DemoView) -> None:
        moves_on = view.headline != self._headline
        if moves_on:
            self._headline = view.headline
            self._print(f"{view.elapsed_s:6.1f} s  {view.headline}")
        if view.url and (moves_on or view.elapsed_s >= self._next_s):
            for policy, side in view.sides.items():
                self._print(f"{view.elapsed_s:6.1f} s  {policy:13} {line(side)}")
            self._next_s = view.elapsed_s + _LINE_EVERY_S

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def engine_table(view: DemoView) -> Table:
    """Who got what, one row for each engine, the fleets side by side."""
    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("", no_wrap=True)
    for policy in POLICIES:
        drawn.add_column(policy, no_wrap=True)
        drawn.add_column("running", justify="right", no_wrap=True)
        drawn.add_column("share", no_wrap=True, min_width=5 + _BAR_CELLS)
    for name in ENGINES:
        cells: list[str | Text] = [name]
        for side in view.sides.values():
            cells += _cells(side.engines[name], side)
        drawn.add_row(*cells)
    return drawn


def comparison(view: DemoView) -> Table:
    """What the callers felt, one row for each policy."""
    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("policy", no_wrap=True)
    for heading in ("answered", "TTFT mean", "TTFT p99", "hit rate", "cut", "failed"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for policy, side in view.sides.items():
        tally = side.tally
        first = tally.first_token()
        drawn.add_row(
            policy,
            str(tally.answered),
            _milliseconds(first.mean),
            _milliseconds(first.percentile(99)),
            f"{tally.hit_rate:.0%}",
            str(tally.cut),
            Text(str(tally.failed), style="bold red" if tally.failed else "green"),
        )
    return drawn


def line(side: SideView) -> str:
    """One policy in one line."""
    tally = side.tally
    first = tally.first_token()
    engines = ", ".join(
        f"{name} {seen.requests} ({seen.state or '–'})" for name, seen in side.engines.items()
    )
    return (
        f"sent {tally.sent}, failed {tally.failed}, cut {tally.cut}"
        f" | TTFT mean {_milliseconds(first.mean)}, p99 {_milliseconds(first.percentile(99))}"
        f" | hit rate {tally.hit_rate:.0%} | {engines}"
    )


def summary(view: DemoView) -> list[str]:
    """What is left to say at the end, beside the comparison."""
    sent = sum(side.tally.sent for side in view.sides.values())
    said = [f"requests sent {sent}, failed {view.failed}"]
    for side in view.sides.values():
        said += [f"  failed: {count} × {reason}" for reason, count in side.tally.failures.items()]
    if any(side.tally.cut for side in view.sides.values()):
        said.append("cut: answers under way on the engine that was killed; no other was touched")
    return said


def _cells(seen: EngineView, side: SideView) -> tuple[Text, str, Text]:
    total = sum(engine.requests for engine in side.engines.values())
    share = seen.requests / total if total else 0.0
    return (
        Text(seen.state or "–", style=_STATE_STYLES.get(seen.state, "")),
        str(seen.in_flight),
        Text.assemble(f"{share:4.0%} ", (bar(share), "cyan")),
    )


def bar(share: float) -> str:
    """A share as a bar, exact to an eighth of a cell."""
    eighths = round(min(share / _FULL_SHARE, 1.0) * _BAR_CELLS * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _headlines(view: DemoView) -> list[Text]:
    return [
        Text(f"requests to {view.url or '…'}, status at {view.admin_url or '…'}"),
        Text(f"{view.elapsed_s:6.1f} s  {view.headline}", style="bold"),
        Text("every request is sent to both pools at the same moment; Ctrl-C ends it"),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds else "–"
