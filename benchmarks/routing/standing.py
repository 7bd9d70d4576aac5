"""How one policy stands beside the best of the others, on the same traffic seed by seed."""

from collections.abc import Sequence
from math import expm1, log
from typing import Final, NamedTuple

from benchmarks.data import Record
from benchmarks.routing.simulated import OWN
from penstock.sim.experiment import Comparison, Result
from penstock.sim.statistics import interval

METRIC: Final = "metric"
TTFT: Final = "TTFT mean"


class _Metric(NamedTuple):
    name: str
    about: str
    most: bool  # is best, not the least


_METRICS: Final = (
    _Metric("ttft", TTFT, False),
    _Metric("ttft p99", "TTFT p99", False),
    _Metric("goodput", "goodput", True),
)


def records(comparison: Comparison, kind: str, fleet: str) -> list[Record]:
    """For each metric how much ``OWN`` has more or less than the best of the others, as a share.

    With options it is no other policy, and left out.

    The best is the one of the best mean over the seeds. Every seed sends all policies the same
    traffic, so the interval is that of the ratio in a seed, which is narrower than the difference
    of two policies' intervals.
    """
    [own] = [result for result in comparison.results if result.label == OWN]
    others = [result for result in comparison.results if result.policy.name != OWN]
    return [
        {"workload": kind, "engines": fleet, METRIC: metric.about, **_beside(own, others, metric)}
        for metric in _METRICS
    ]


def told(record: Record) -> str:
    """A record in a few words."""
    verdict = {"equal": "equal, ", "worse": "**worse**, "}.get(record["verdict"], "")
    share, spread = float(record["difference"]), float(record["difference ±"])
    return f"{verdict}{share:+.1%} ± {spread:.1%} ({record['best other']})"


def _beside(own: Result, others: Sequence[Result], metric: _Metric) -> Record:
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
        verdict = "better" if sign * found.mean < 0.0 else "worse"
    return {
        "best other": best.label,
        "verdict": verdict,
        "difference": f"{middle:.3f}",
        "difference ±": f"{beside:.3f}",
    }
