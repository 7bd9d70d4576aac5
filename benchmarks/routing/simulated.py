"""The same traffic in the simulator: Penstock's policies over several seeds, with intervals."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.reproductions.reproduction import table
from benchmarks.routing.workloads import OBJECTIVES, Kind
from penstock.sim.experiment import Comparison, Result, compare
from penstock.sim.scenario import scenario_of
from penstock.sim.statistics import Interval
from penstock.sim.trace import BLOCK_TOKENS

# Those that also run as live processes.
POLICIES: Final = ("marginal-cost", "cache-aware", "least-request", "round-robin")
# And the rules of other routers of language-model requests, as far as Penstock has them.
EVERY_POLICY: Final = (
    *POLICIES,
    "prefix-sticky",
    "kv-cost",
    "ttft",
    "e2",
    "lmetric",
    "scored",
    "token-load",
    "session",
    "power-of-two",
)
_ENGINE: Final = {"profile": "llama-70b-h100"}
_ALIKE: Final[dict[str, Any]] = {"name": "engine", "model": "engine", "engine": _ENGINE}

FLEETS: Final[dict[str, list[dict[str, Any]]]] = {
    "alike": [{**_ALIKE, "count": 8}],
    "two speeds": [
        {**_ALIKE, "count": 4},
        {**_ALIKE, "name": "slow", "count": 4, "speed": 0.5},
    ],
    "one antagonised": [
        {**_ALIKE, "count": 7},
        {**_ALIKE, "name": "antagonised", "count": 1, "speed": 0.4},
    ],
}


def scenario(
    kind: Kind,
    fleet: str,
    customers: int,
    seeds: int,
    policies: Sequence[Any] = POLICIES,
    warm_up: float = 0.1,
) -> dict[str, Any]:
    """A scenario as ``penstock simulate`` reads it; ``warm_up`` is the share not counted.

    A trace comes as much slower as the fleet is slower than engines alike: what they can only just
    carry would make every queue of a slower fleet grow.
    """
    run: dict[str, Any] = {"replications": seeds, "warm_up": warm_up}
    if "tenants" in kind.simulated["prompts"]:
        run["customers"] = customers
    return {
        "name": f"{kind.name}, {fleet}",
        **kind.simulated,
        "prompts": _prompts(kind, fleet),
        "servers": _servers(fleet, "trace" in kind.simulated["prompts"]),
        "policies": list(policies),
        "reports": {"scrape": "1s"},
        "objective_ttft": f"{OBJECTIVES.ttft_s:g}s",
        "objective_tpot": f"{OBJECTIVES.tpot_s * 1000:g}ms",
        "run": run,
    }


def _prompts(kind: Kind, fleet: str) -> dict[str, Any]:
    prompts: dict[str, Any] = kind.simulated["prompts"]
    if "trace" not in prompts:
        return prompts
    groups = FLEETS[fleet]
    speed = sum(group["count"] * group.get("speed", 1.0) for group in groups)
    share = speed / sum(group["count"] for group in groups)
    return {**prompts, "rate_scale": prompts["rate_scale"] * share}


def _servers(fleet: str, traced: bool) -> list[dict[str, Any]]:
    """A trace tells blocks of its own size, which the engines' caches then have."""
    if not traced:
        return FLEETS[fleet]
    engine = {**_ENGINE, "block_tokens": BLOCK_TOKENS}
    return [{**group, "engine": engine} for group in FLEETS[fleet]]


def simulate(
    kind: Kind,
    fleet: str,
    customers: int,
    seeds: int,
    policies: Sequence[Any] = POLICIES,
    warm_up: float = 0.1,
) -> Comparison:
    """All policies on one traffic and fleet."""
    made = scenario(kind, fleet, customers, seeds, policies, warm_up)
    return compare(scenario_of(made), processes=1)


def rows(comparison: Comparison) -> list[str]:
    """A Markdown table: means over the seeds with their 95% intervals, shortest mean TTFT first."""
    heads = ["policy", "TTFT mean, ms", "TTFT p99, ms", "time per token, ms", "goodput", "hit rate"]
    results = sorted(comparison.results, key=lambda result: result.interval("ttft").mean)
    return table(heads, [_row(result) for result in results])


def _row(result: Result) -> list[str]:
    def cell(metric: str, text: Callable[[float], str]) -> str:
        return _spread(result.interval(metric), text)

    return [
        result.label,
        cell("ttft", _ms),
        cell("ttft p99", _ms),
        cell("tpot", _ms),
        cell("goodput", _number),
        cell("hit rate", _percent),
    ]


def _spread(found: Interval, text: Callable[[float], str]) -> str:
    return f"{text(found.mean)} ± {text(found.half_width)}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"


def _number(value: float) -> str:
    return f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{share:.1%}"
