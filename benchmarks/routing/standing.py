"""How one policy stands beside the best of the others, on the same traffic seed by seed."""

from collections.abc import Mapping, Sequence
from math import expm1, log
from typing import Final, NamedTuple

from benchmarks.reproductions.reproduction import table
from benchmarks.routing.simulated import OWN
from penstock.sim.experiment import Comparison, Result
from penstock.sim.statistics import interval


class _Metric(NamedTuple):
    name: str
    about: str
    most: bool  # is best, not the least


_METRICS: Final = (
    _Metric("ttft", "TTFT mean", False),
    _Metric("ttft p99", "TTFT p99", False),
    _Metric("goodput", "goodput", True),
)


def cells(comparison: Comparison) -> list[str]:
    """A row's: for each metric how much ``OWN`` has more or less than the best of the others.

    With options it is no other policy, and left out.

    The best is the one of the best mean over the seeds. Every seed sends all policies the same
    traffic, so the interval is that of the ratio in a seed, which is narrower than the difference
    of two policies' intervals.
    """
    [own] = [result for result in comparison.results if result.label == OWN]
    others = [result for result in comparison.results if result.policy.name != OWN]
    return [_cell(own, others, metric) for metric in _METRICS]


def rows(kept: Mapping[str, Sequence[str]]) -> list[str]:
    """A Markdown table of such rows, by the name of workload and fleet."""
    heads = ["workload, engines", *(metric.about for metric in _METRICS)]
    return table(heads, [[name, *found] for name, found in kept.items()])


def _cell(own: Result, others: Sequence[Result], metric: _Metric) -> str:
    sign = -1.0 if metric.most else 1.0
    best = min(others, key=lambda other: sign * other.interval(metric.name).mean)
    ratios = [
        log(mine.metrics[metric.name] / theirs.metrics[metric.name])
        for mine, theirs in zip(own.outcomes, best.outcomes, strict=True)
        if mine.metrics[metric.name] > 0.0 and theirs.metrics[metric.name] > 0.0
    ]
    found = interval(ratios)
    # expm1 of the middle and of an end: the interval is symmetric in the logarithm.
    middle = expm1(found.mean)
    beside = expm1(found.high) - middle
    if found.covers(0.0):
        verdict = "equal"
    else:
        verdict = "better" if sign * found.mean < 0.0 else "**worse**"
    return f"{verdict}, {middle:+.1%} ± {beside:.1%} ({best.label})"
