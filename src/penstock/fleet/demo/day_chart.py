"""How the scaled day is shown: a line a second, sparklines at the end, and one chart as a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from rich.console import Console

from penstock.fleet.demo.scaled_day import TTFT_S, DayView, Moment
from penstock.sim.report.chart import Axis, Curve, chart
from penstock.sim.report.whole_page import whole_page

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60


class DayLines:
    """A line for every look."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, view: DayView) -> None:
        last = view.moments[-1]
        self._console.print(
            f"{last.at_s:5.0f} s  {last.sent:5.1f} requests/s, foreseen {last.foreseen:5.1f} to "
            f"{last.foreseen_high:5.1f}  engines: {last.serving} serve, {last.starting} start, "
            f"{last.wanted} wanted  in time {last.kept:4.0%}  {last.reason}",
            highlight=False,
            soft_wrap=True,
        )


def sparklines(view: DayView) -> list[str]:
    """The whole course on a few lines."""
    shown: list[tuple[str, Callable[[Moment], float]]] = [
        ("requests/s", lambda moment: moment.sent),
        ("foreseen", lambda moment: moment.foreseen_high),
        ("engines", lambda moment: float(moment.serving)),
        ("in time", lambda moment: moment.kept),
    ]
    lines = []
    for title, value in shown:
        values = [value(moment) for moment in view.moments]
        most = max(values, default=0.0)
        lines.append(f"{title:>10}  {_spark(values, most)}  up to {most:.4g}")
    return lines


def summary(view: DayView) -> str:
    """What became of the requests."""
    moments = view.moments
    hours = sum(moment.serving + moment.starting for moment in moments) / 60.0
    return (
        f"requests sent {view.sent}, first token after {TTFT_S:g} s {view.late}, failed "
        f"{view.failed}, cut {view.cut}; {hours:.1f} engine-minutes, "
        f"{max((m.serving for m in moments), default=0)} engines at most"
    )


def page(view: DayView) -> str:
    """One chart of load, forecast with its band, engines, and objectives kept."""
    moments = view.moments
    drawn = chart(
        "Load, forecast, engines and objectives kept",
        Axis("seconds"),
        Axis(""),
        [
            Curve("requests per second", [(m.at_s, m.sent) for m in moments]),
            Curve("foreseen", [(m.at_s, m.foreseen) for m in moments], dashed=True),
            Curve("its upper quantile", [(m.at_s, m.foreseen_high) for m in moments], dashed=True),
            Curve("engines that serve", [(m.at_s, float(m.serving)) for m in moments]),
            Curve("tenths of requests in time", [(m.at_s, 10.0 * m.kept) for m in moments]),
        ],
    )
    title = "A fleet that scales itself"
    return whole_page(title, f"<h1>{title}</h1>{drawn}<p>{escape(summary(view))}</p>")


def _spark(values: Sequence[float], most: float) -> str:
    """At most ``_WIDTH`` bars, each the mean of its share."""
    if not values or most <= 0.0:
        return ""
    width = min(_WIDTH, len(values))
    bars = []
    for place in range(width):
        part = values[place * len(values) // width : (place + 1) * len(values) // width]
        level = sum(part) / len(part) / most
        bars.append(_BARS[min(round(level * (len(_BARS) - 1)), len(_BARS) - 1)])
    return "".join(bars)
