"""The table of a comparison."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.sim.expectation import expectation
from penstock.sim.experiment import Comparison, Result
from penstock.sim.outcome import METRICS
from penstock.sim.report.wording import measure, with_interval

_BETTER = {metric.name: metric.more_is_better for metric in METRICS}
_NEUTRAL = {"attempts"}


def comparison_table(comparison: Comparison, *, with_theory: bool = False) -> RenderableType:
    """A row for each metric, a column for each policy; the best of a row stands out."""
    table = Table(title=comparison.scenario.name or None, title_justify="left")
    table.add_column("")
    notes: list[Text] = []
    expectations = [expectation(comparison.scenario, r.policy) for r in comparison.results]
    for result, expected in zip(comparison.results, expectations, strict=True):
        table.add_column(result.label, justify="right")
        if not with_theory:
            continue
        if expected is None:
            notes.append(Text(f"{result.label}: no closed form is known for this scenario."))
            continue
        mark = "" if expected.exact or not expected.metrics else " (not exact)"
        notes.append(Text(f"{result.label}: {expected.model}{mark}."))
        if expected.metrics:
            table.add_column("theory", justify="right", style="cyan")
    for metric in comparison.metrics():
        best = _best(comparison.results, metric)
        cells: list[Text] = []
        for result, expected in zip(comparison.results, expectations, strict=True):
            style = "bold green" if result is best else ""
            cells.append(Text(with_interval(metric, result.interval(metric)), style))
            if with_theory and expected is not None and expected.metrics:
                value = expected.metrics.get(metric)
                cells.append(Text("" if value is None else measure(metric, value)))
        table.add_row(metric, *cells)
    return Group(table, *notes)


def _best(results: list[Result], metric: str) -> Result | None:
    """The policy whose interval lies clear of all others, if one does."""
    if len(results) < 2 or metric in _NEUTRAL:
        return None
    sign = -1.0 if _BETTER[metric] else 1.0
    ordered = sorted(results, key=lambda r: sign * r.interval(metric).mean)
    first, second = ordered[0].interval(metric), ordered[1].interval(metric)
    gap = abs(second.mean - first.mean)
    return ordered[0] if gap > first.half_width + second.half_width else None
