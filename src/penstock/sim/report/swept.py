"""A sweep as a table, as a page with a plot for each measure, and as JSON."""

from collections.abc import Iterator
from html import escape
from math import isnan
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.sim.outcome import METRICS
from penstock.sim.report.chart import Axis, Curve, Unit, chart
from penstock.sim.report.page import page_of
from penstock.sim.report.table import theory_notes
from penstock.sim.report.wording import measure, with_interval
from penstock.sim.sweep import Sweep, swept_metrics

_MEANINGS = {metric.name: metric.meaning for metric in METRICS}
_WRITTEN: Final[dict[str, Unit]] = {"s": "duration", "share": "percent", "/s": "rate", "": "number"}
_UNITS: Final = {metric.name: _WRITTEN[metric.unit] for metric in METRICS}


def sweep_table(sweep: Sweep, *, with_theory: bool = False) -> RenderableType:
    """A table for each measure: a row for each value, a column for each policy."""
    tables = [_table(sweep, metric, with_theory) for metric in swept_metrics(sweep.comparisons)]
    notes = map(Text, theory_notes(sweep.comparisons[0])) if with_theory else ()
    return Group(*tables, *notes)


def _table(sweep: Sweep, metric: str, with_theory: bool) -> Table:
    table = Table(title=f"{metric}: {_MEANINGS[metric]}", title_justify="left")
    table.add_column(sweep.range.key, justify="right", no_wrap=True)
    for head, theory in _heads(sweep, metric, with_theory):
        table.add_column(head, justify="right", overflow="fold", style="cyan" if theory else "")
    for number in range(len(sweep.range.values)):
        table.add_row(*_row(sweep, metric, number, with_theory))
    return table


def _heads(sweep: Sweep, metric: str, with_theory: bool) -> Iterator[tuple[str, bool]]:
    for place, label in enumerate(sweep.policies):
        yield label, False
        if with_theory and sweep.theory(place, metric):
            yield "theory", True


def _row(sweep: Sweep, metric: str, number: int, with_theory: bool) -> Iterator[str]:
    value = sweep.range.values[number]
    yield f"{value:g}"
    for place, result in enumerate(sweep.comparisons[number].results):
        yield with_interval(metric, result.interval(metric))
        if with_theory and sweep.theory(place, metric):
            expected = sweep.theory_at(place, metric, value)
            yield "–" if expected is None else measure(metric, expected)


def sweep_page(sweep: Sweep, *, with_theory: bool = False) -> str:
    """A plot for each measure, closed forms drawn in as dashed lines where they are known."""
    scenario = sweep.comparisons[0].scenario
    metrics = swept_metrics(sweep.comparisons)
    run = scenario.run
    values = sweep.range.values
    return page_of(
        title=scenario.name or "penstock simulate",
        about=scenario.about,
        setup=(
            f"{scenario.server_count} servers, {sweep.range.key} from {values[0]:g} to "
            f"{values[-1]:g}, {run.replications} replications from seed {run.seed}. ± is half of a "
            "95% interval (Student's t over replications). Dots: means over replications. Dashed "
            "lines: closed forms, where they are known."
        ),
        tables=[_html_table(sweep, metric, with_theory) for metric in metrics],
        plots=[_plot(sweep, metric) for metric in metrics],
        meanings=metrics,
        notes=[f"<li>{escape(note)}</li>" for note in theory_notes(sweep.comparisons[0])]
        if with_theory
        else (),
    )


def _html_table(sweep: Sweep, metric: str, with_theory: bool) -> Iterator[str]:
    columns = list(_heads(sweep, metric, with_theory))
    marks = ["", *(' class="theory"' if theory else "" for _, theory in columns)]
    heads = "".join(
        f"<th{mark}>{escape(head)}</th>" for mark, (head, _) in zip(marks[1:], columns, strict=True)
    )
    yield f"<tr><th>{escape(f'{metric} by {sweep.range.key}')}</th>{heads}</tr>"
    for number in range(len(sweep.range.values)):
        value, *cells = _row(sweep, metric, number, with_theory)
        told = "".join(
            f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks[1:], cells, strict=True)
        )
        yield f"<tr><th>{escape(value)}</th>{told}</tr>"


def _plot(sweep: Sweep, metric: str) -> str:
    curves = []
    for place, label in enumerate(sweep.policies):
        points = [
            (value, comparison.results[place].interval(metric).mean)
            for value, comparison in zip(sweep.range.values, sweep.comparisons, strict=True)
        ]
        curves.append(Curve(label, points, dots=True, colour=place))
        theory = sweep.theory(place, metric)
        if theory:
            curves.append(Curve(f"{label}, theory", theory, dashed=True, colour=place))
    across = Axis(sweep.range.key, from_zero=False)
    up = Axis("", _UNITS[metric])
    return chart(f"{metric} by {sweep.range.key}", across, up, curves)


def sweep_json(sweep: Sweep) -> bytes:
    """For each value and policy the measures with their intervals, and the closed form."""
    points = [
        {
            sweep.range.key: value,
            "policies": [
                {
                    "policy": result.label,
                    "metrics": {
                        name: _known(result.interval(name).mean) for name in comparison.metrics()
                    },
                    "half_widths": {
                        name: _known(result.interval(name).half_width)
                        for name in comparison.metrics()
                    },
                    "theory": sweep.all_theory_at(place, value),
                }
                for place, result in enumerate(comparison.results)
            ],
        }
        for value, comparison in zip(sweep.range.values, sweep.comparisons, strict=True)
    ]
    scenario: dict[str, Any] = sweep.comparisons[0].scenario.model_dump(mode="json")
    document = {"scenario": scenario, "sweep": sweep.range.key, "points": points}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _known(value: float) -> float | None:
    return None if isnan(value) else value
