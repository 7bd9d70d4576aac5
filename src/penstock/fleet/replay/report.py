"""A replay's result for people: a table in the terminal, a page with curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import isnan, nan
from typing import NamedTuple

from rich.markup import escape as plain
from rich.table import Table

from penstock.fleet.replay.result import Distribution, ReplayResult
from penstock.sim.report.chart import Axis, Curve, chart
from penstock.sim.report.whole_page import whole_page

_PERCENTS = (50, 90, 95, 99)
_NOTED_CHANGE = 0.005  # what is less is neither good nor bad
_NOTHING = nan  # was measured: of a run whose requests all failed


class Line(NamedTuple):
    """One line of a comparison. ``better``: 1 where more is better, −1 where less is, 0."""

    label: str
    value: Callable[[ReplayResult], float]
    text: Callable[[float], str]
    better: int


def lines() -> list[Line]:
    """What is reported, in order."""
    reported = [
        Line("requests", lambda result: result.requests, _count, 0),
        Line("failed", lambda result: result.failed, _count, -1),
        Line("duration", lambda result: result.seconds, _duration, 0),
        Line("answers/s", lambda result: result.requests_per_s, _rate, 1),
        Line("goodput/s", lambda result: result.goodput_per_s, _rate, 1),
        Line("output tokens/s", lambda result: result.output_tokens_per_s, _rate, 1),
        Line("prefix hit rate", lambda result: result.hit_rate, _share, 1),
    ]
    for label, pick in _DISTRIBUTIONS:
        reported.append(Line(f"{label} mean", _mean(pick), _duration, -1))
        reported += [
            Line(f"{label} p{percent}", _at(pick, percent), _duration, -1) for percent in _PERCENTS
        ]
    reported.append(Line("client lag p99", lambda result: result.lag.percentile(99), _duration, -1))
    return reported


def table(results: Sequence[ReplayResult]) -> Table:
    """Results side by side; with two, also how the second differs from the first."""
    drawn = Table()
    drawn.add_column("")
    for result in results:
        drawn.add_column(plain(result.name), justify="right")
    if len(results) == 2:
        drawn.add_column("change", justify="right")
    for line in lines():
        values = [line.value(result) for result in results]
        cells = [line.text(value) for value in values]
        if len(results) == 2:
            cells.append(_change(values[0], values[1], line.better))
        drawn.add_row(line.label, *cells)
    return drawn


def notes(result: ReplayResult) -> list[str]:
    """What a reader of the numbers must know."""
    said: list[str] = []
    for reason, count in result.failures.items():
        detail = result.details.get(reason, "")
        first = f" (the first: {detail})" if count > 1 else f" ({detail})"
        said.append(f"{count} × {reason}{first if detail else ''}")
    late_s = result.lag.percentile(99)
    if late_s > max(0.010 * result.speedup, 0.1 * result.ttft.mean):
        said.append(
            f"this client itself sent late ({_duration(late_s)} at p99): the times include it; "
            "give it a free core or lower the rate"
        )
    return said


def page(results: Sequence[ReplayResult]) -> str:
    """A self-contained HTML page: the table, and a curve of each distribution."""
    head = "".join(f"<th>{escape(result.name)}</th>" for result in results)
    if len(results) == 2:
        head += "<th>change</th>"
    rows = "".join(_html_row(line, results) for line in lines())
    setup = "".join(
        f"<li><b>{escape(result.name)}</b>: {escape(result.workload)}; "
        f"{escape(result.model)} at {escape(result.url)}"
        + "".join(f"; {escape(note)}" for note in notes(result))
        + "</li>"
        for result in results
    )
    plots = "".join(_plot(label, pick, results) for label, pick in _DISTRIBUTIONS)
    return whole_page(
        "penstock replay",
        f"<h1>penstock replay</h1>\n<ul>{setup}</ul>\n"
        f'<div class="scroll"><table><tr><th></th>{head}</tr>{rows}</table></div>\n'
        f'{_EXPLAINED}\n<div class="plots">{plots}</div>\n',
    )


_Pick = Callable[[ReplayResult], Distribution]

_DISTRIBUTIONS: tuple[tuple[str, _Pick], ...] = (
    ("TTFT", lambda result: result.ttft),
    ("ITL", lambda result: result.itl),
    ("TPOT", lambda result: result.tpot),
    ("E2E", lambda result: result.e2e),
)


def _mean(pick: _Pick) -> Callable[[ReplayResult], float]:
    return lambda result: pick(result).mean if pick(result).count else _NOTHING


def _at(pick: _Pick, percent: int) -> Callable[[ReplayResult], float]:
    return lambda result: pick(result).percentile(percent) if pick(result).count else _NOTHING


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _duration(seconds: float) -> str:
    if isnan(seconds):
        return "–"
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _change(before: float, after: float, better: int) -> str:
    if not before or isnan(before) or isnan(after):
        return ""
    change = after / before - 1
    style = (
        ""
        if not better or abs(change) < _NOTED_CHANGE
        else "green"
        if change * better > 0
        else "red"
    )
    text = f"{change:+.1%}"
    return f"[{style}]{text}[/]" if style else text


def _html_row(line: Line, results: Sequence[ReplayResult]) -> str:
    values = [line.value(result) for result in results]
    cells = "".join(f"<td>{escape(line.text(value))}</td>" for value in values)
    if len(results) == 2 and values[0] and not isnan(values[0] + values[1]):
        change = values[1] / values[0] - 1
        noted = line.better and abs(change) >= _NOTED_CHANGE
        kind = "" if not noted else "good" if change * line.better > 0 else "bad"
        cells += f'<td class="{kind}">{change:+.1%}</td>'
    return f"<tr><th>{escape(line.label)}</th>{cells}</tr>"


def _plot(label: str, pick: _Pick, results: Sequence[ReplayResult]) -> str:
    """The share of requests answered within a time, up to the largest p99."""
    curves = [
        Curve(
            result.name,
            [(pick(result).percentile(percent), percent / 100) for percent in range(100)]
            if pick(result).count
            else [],
        )
        for result in results
    ]
    return chart(label, Axis("", "duration"), Axis("", "percent"), curves)


_EXPLAINED = """<p>TTFT and E2E count from when a request was due. TTFT: time to the first token.
ITL: gaps between the pieces of an answer. TPOT: a request's mean time per output token. The curves
show the share of requests (or gaps) within a time.</p>"""
