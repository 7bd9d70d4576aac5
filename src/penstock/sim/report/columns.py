"""What a comparison shows, column by column, however it is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.sim.expectation import expectation, weight_of
from penstock.sim.experiment import Comparison, Result
from penstock.sim.outcome import METRICS
from penstock.sim.report.wording import measure, share, with_interval

_BETTER = {metric.name: metric.more_is_better for metric in METRICS}
_NEUTRAL = {"attempts"}


# Beyond these, the servers' shares are in the page's plot only.
_MOST_SERVERS = 16
# Policies that never look at load: each server gets its share by weight.
_BY_WEIGHT = ("random", "round-robin")


@dataclass(frozen=True)
class Column:
    """A policy's measures or their closed forms: a cell for each of ``row_names``. ``best``: of
    those rows it lies clear of all other policies."""

    head: str
    cells: list[str]
    best: frozenset[str] = frozenset()
    theory: bool = False


def row_names(comparison: Comparison) -> list[str]:
    """The metrics, then each server's share of the requests."""
    return comparison.metrics() + [f"share of {name}" for name in _shown_servers(comparison)]


def _shown_servers(comparison: Comparison) -> list[str]:
    servers = comparison.servers()
    return servers if 1 < len(servers) <= _MOST_SERVERS else []


def policy_columns(comparison: Comparison, *, with_theory: bool) -> Iterator[list[Column]]:
    """For each policy what was measured and, where asked for and known, what theory says."""
    metrics = comparison.metrics()
    best = {metric: _best(comparison.results, metric) for metric in metrics}
    for result in comparison.results:
        cells = [with_interval(metric, result.interval(metric)) for metric in metrics]
        cells += [share(result.share(server)) for server in _shown_servers(comparison)]
        own = frozenset(metric for metric in metrics if best[metric] is result)
        columns = [Column(result.label, cells, own)]
        expected = expectation(comparison.scenario, result.policy) if with_theory else None
        if expected is not None and expected.metrics:
            values = [expected.metrics.get(metric) for metric in metrics]
            told = [
                "" if value is None else measure(metric, value)
                for metric, value in zip(metrics, values, strict=True)
            ]
            told += _expected_shares(comparison, result)
            columns.append(Column("theory", told, theory=True))
        yield columns


def _expected_shares(comparison: Comparison, result: Result) -> list[str]:
    """P(i) = w(i) / Σw, which is 1/N among equals, for those that go by it."""
    servers = _shown_servers(comparison)
    if result.policy.name not in _BY_WEIGHT:
        return [""] * len(servers)
    weights = [
        weight_of(group) for group in comparison.scenario.servers for _ in range(group.count)
    ]
    return [f"{weight / sum(weights):.2%}" for weight in weights] if servers else []


def _best(results: list[Result], metric: str) -> Result | None:
    """The policy whose interval lies clear of all others, if one does."""
    if len(results) < 2 or metric in _NEUTRAL:
        return None
    sign = -1.0 if _BETTER[metric] else 1.0
    ordered = sorted(results, key=lambda r: sign * r.interval(metric).mean)
    first, second = ordered[0].interval(metric), ordered[1].interval(metric)
    gap = abs(second.mean - first.mean)
    return ordered[0] if gap > first.half_width + second.half_width else None
