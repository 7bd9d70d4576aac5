"""A comparison as one HTML page that needs nothing else."""

from collections.abc import Iterable, Iterator
from html import escape

from penstock.sim.expectation import expectation
from penstock.sim.experiment import Comparison, Result
from penstock.sim.outcome import METRICS
from penstock.sim.report.chart import Axis, Curve, chart
from penstock.sim.report.columns import Column, policy_columns, row_names
from penstock.sim.report.forecast_chart import forecast_chart
from penstock.sim.report.whole_page import whole_page
from penstock.sim.report.wording import duration, measure

_MOST_SHOWN = 0.99
_MEANINGS = {metric.name: metric.meaning for metric in METRICS}


def comparison_page(comparison: Comparison, *, with_theory: bool = False) -> str:
    """The table with intervals, closed forms beside it or in it, and plots of what happened."""
    scenario = comparison.scenario
    return page_of(
        title=scenario.name or "penstock simulate",
        about=scenario.about,
        setup=_setup(comparison),
        tables=[_table(comparison, with_theory)],
        notes=_theory(comparison),
        plots=_plots(comparison),
        meanings=comparison.metrics(),
    )


def page_of(
    *,
    title: str,
    about: str,
    setup: str,
    tables: Iterable[Iterable[str]],
    plots: Iterable[str],
    meanings: Iterable[str],
    notes: Iterable[str] = (),
) -> str:
    """A page of tables (their rows), notes (list items) and plots; ``meanings`` are of metrics."""
    drawn_tables = "".join(
        f'<div class="scroll"><table>{"".join(rows)}</table></div>' for rows in tables
    )
    explained = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_MEANINGS[name])}</dd>" for name in meanings
    )
    return whole_page(
        title,
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p><p>{escape(setup)}</p>\n"
        f"{drawn_tables}\n<ul>{''.join(notes)}</ul>\n"
        f'<div class="plots">{"".join(plots)}</div>\n<dl>{explained}</dl>\n',
    )


def _setup(comparison: Comparison) -> str:
    scenario = comparison.scenario
    run = scenario.run
    length = (
        f"{scenario.customers:,} requests" if scenario.customers else duration(run.duration or 0)
    )
    return (
        f"{_counted(scenario.server_count, 'server')}, "
        f"{_counted(scenario.balancers, 'balancer')}, {length}, "
        f"{run.replications} replications from seed {run.seed}, the first {run.warm_up:.0%} of "
        "each left out. ± is half of a 95% interval (Student's t over replications)."
    )


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _table(comparison: Comparison, with_theory: bool) -> Iterator[str]:
    policies = policy_columns(comparison, with_theory=with_theory)
    columns = [column for of_policy in policies for column in of_policy]
    heads = "".join(f"<th{_class(column)}>{escape(column.head)}</th>" for column in columns)
    yield f"<tr><th></th>{heads}</tr>"
    for row, metric in enumerate(row_names(comparison)):
        cells = "".join(
            f"<td{_class(column, metric)}>{escape(column.cells[row])}</td>" for column in columns
        )
        yield f"<tr><th>{escape(metric)}</th>{cells}</tr>"


def _class(column: Column, metric: str = "") -> str:
    if column.theory:
        return ' class="theory"'
    return ' class="best"' if metric in column.best else ""


def _theory(comparison: Comparison) -> Iterator[str]:
    for result in comparison.results:
        expected = expectation(comparison.scenario, result.policy)
        if expected is None:
            continue
        said = ", ".join(f"{name} {measure(name, v)}" for name, v in expected.metrics.items())
        exact = "" if expected.exact else " (not exact)"
        yield f"<li>{escape(f'{result.label}: {expected.model}{exact}. {said}')}</li>"


def _plots(comparison: Comparison) -> Iterator[str]:
    results = comparison.results
    time, share = Axis("response time", "duration", True), Axis("", "nines", True)
    yield chart(
        "Share of responses longer than",
        time,
        share,
        [Curve(result.label, _tail(result)) for result in results],
    )
    yield _foreseen(comparison)
    at = Axis("time", "duration")
    ticks = [(result, result.outcomes[0].ticks) for result in results]
    yield chart(
        "p99 over time (first replication)",
        at,
        Axis("", "duration", logarithmic=True),
        [Curve(result.label, [(t[0], t[5]) for t in rows]) for result, rows in ticks],
    )
    yield chart(
        "Requests at the fullest server (first replication)",
        at,
        Axis(""),
        [Curve(result.label, [(t[0], float(max(t[1]))) for t in rows]) for result, rows in ticks],
    )
    for title, of in (("Utilisation", _utilisation), ("Share of the requests", _shares)):
        yield chart(
            f"{title} of each server",
            Axis("server", whole=True),
            Axis("", "percent"),
            [Curve(result.label, of(result), marks=True) for result in results],
        )


def _foreseen(comparison: Comparison) -> str:
    """The load, which is the same for all policies, and what was expected of it."""
    spec, steps = comparison.scenario.forecast, comparison.results[0].outcomes[0].foreseen
    if spec is None or not steps:
        return ""
    return forecast_chart(
        f"Requests per second, and {spec.method} {duration(spec.lead)} before (first replication)",
        Axis("time", "duration"),
        steps,
    )


def _tail(result: Result) -> list[tuple[float, float]]:
    """From where it begins to fall: on a logarithmic axis the fastest answers, a percent of all,
    would take up most of the width."""
    histogram = result.responses()
    floor = 10 / max(1, histogram.total())  # fewer than ten responses say nothing of a tail
    return [
        (s, 1.0 - below) for s, below in histogram.points() if _MOST_SHOWN > 1.0 - below > floor
    ]


def _utilisation(result: Result) -> list[tuple[float, float]]:
    return _by_server([outcome.utilisation for outcome in result.outcomes])


def _shares(result: Result) -> list[tuple[float, float]]:
    return _by_server([outcome.share for outcome in result.outcomes])


def _by_server(outcomes: list[dict[str, float]]) -> list[tuple[float, float]]:
    """Each server's number, and its mean over replications."""
    return [
        (float(number), sum(each[name] for each in outcomes) / len(outcomes))
        for number, name in enumerate(outcomes[0])
    ]
