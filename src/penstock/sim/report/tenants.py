"""The table of tenants: what each was given, beside what its weight says."""

from collections.abc import Iterator

from rich.table import Table

from penstock.sim.experiment import Comparison, Result
from penstock.sim.report.wording import duration
from penstock.sim.tenants import jain


def tenant_tables(comparison: Comparison) -> Iterator[Table]:
    """One for each policy; none where the scenario has no tenants."""
    for result in comparison.results:
        if comparison.scenario.sharers:
            yield _table(comparison, result)


def _table(comparison: Comparison, result: Result) -> Table:
    scenario = comparison.scenario
    weights = {tenant.name: tenant.weight for tenant in scenario.sharers}
    all_weights = sum(weights.values())
    default = scenario.admission.default_priority
    given = {name: _mean(result, name, "given") for name in weights}
    caption = f"Jain's index of what each was given for its weight: {jain(given, weights):.3f}"
    table = Table(title=f"Tenants: {result.label}", title_justify="left", caption=caption)
    table.add_column("", no_wrap=True)
    for head in ("priority", "weight", "given", "p50", "p99", "errors"):
        table.add_column(head, justify="right")
    for tenant in scenario.sharers:
        name = tenant.name
        table.add_row(
            name,
            str(default if tenant.priority is None else tenant.priority),
            f"{weights[name] / all_weights:.2%}",
            f"{given[name]:.2%}",
            duration(_mean(result, name, "p50_s")),
            duration(_mean(result, name, "p99_s")),
            f"{_mean(result, name, 'errors'):.2%}",
        )
    return table


def _mean(result: Result, tenant: str, figure: str) -> float:
    values = [float(getattr(each.tenants[tenant], figure)) for each in result.outcomes]
    return sum(values) / len(values)
