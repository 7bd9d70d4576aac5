"""One workload over so many balancers in the simulator, each request sent to any of them."""

from collections.abc import Iterator
from typing import Final

from benchmarks.replicas.spread import spread
from benchmarks.routing.fleets import ALIKE
from benchmarks.routing.simulated import OWN, scenario
from benchmarks.routing.workloads import Kind
from penstock.sim.experiment import Result
from penstock.sim.outcome import run_once
from penstock.sim.scenario_file import scenario_of

_SHARED: Final = {"every": "5ms", "delay": "2ms", "prefixes": True}
_WARM_UP: Final = 0.25  # of the ticks, of which the spread is not taken
HEADS: Final = [
    "workload, balancers",
    "hit rate",
    "of one's",
    "TTFT, ms",
    "p99, ms",
    "of one's",
    "spread",
    "of one's",
]
Figures = tuple[float, float, float, float]  # hit rate, TTFT and its p99 in ms, spread


def rows(kind: Kind, balancers: list[int], requests: int, seeds: int) -> Iterator[list[str]]:
    """How many balancers, what they know of each other, and what came of it, as it is known."""
    one: Figures | None = None
    for count in balancers:
        for shared in (True, False) if count > 1 else (False,):
            figures = _simulated(kind, count, requests, seeds, shared=shared)
            one = one or figures
            alone = "" if shared or count == 1 else ", alone"
            yield row(f"{kind.name}, {count}{alone}", figures, one)


def row(name: str, figures: Figures, one: Figures) -> list[str]:
    """With what they are of one balancer's."""
    hit_rate, ttft_ms, p99_ms, lies = figures
    return [
        name,
        f"{hit_rate:.3f}",
        ratio(hit_rate, one[0]),
        f"{ttft_ms:.0f}",
        f"{p99_ms:.0f}",
        ratio(p99_ms, one[2]),
        f"{lies:.2f}",
        ratio(lies, one[3]),
    ]


def ratio(value: float, of: float) -> str:
    """Nothing where there is nothing to divide by."""
    return f"{value / of:.2f}" if of else "–"


def _simulated(kind: Kind, count: int, requests: int, seeds: int, *, shared: bool) -> Figures:
    made = scenario(kind, ALIKE, requests, seeds, [OWN])
    made["balancers"] = count
    if shared:
        made["reports"] |= _SHARED
    built = scenario_of(made)
    policy = built.policies[0]
    outcomes = [run_once(built, policy, each, timeline=True) for each in range(seeds)]
    result = Result(policy, outcomes)
    mean = {name: result.interval(name).mean for name in ("hit rate", "ttft", "ttft p99")}
    spreads = []
    for outcome in outcomes:
        ticks = [present for _, present, *_ in outcome.ticks]
        spreads.append(spread(ticks[round(len(ticks) * _WARM_UP) :]))
    return (
        mean["hit rate"],
        mean["ttft"] * 1000,
        mean["ttft p99"] * 1000,
        sum(spreads) / len(spreads),
    )
