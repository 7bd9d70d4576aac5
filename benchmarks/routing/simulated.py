"""The same traffic in the simulator: Penstock's policies over several seeds, with intervals."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks import data
from benchmarks.data import Record
from benchmarks.reproductions.reproduction import table
from benchmarks.routing.fleets import ANTAGONISED, PROFILE, SPEEDS
from benchmarks.routing.floor import NAME
from benchmarks.routing.workloads import OBJECTIVES, Kind
from penstock.sim.experiment import Comparison, Result, compare
from penstock.sim.scenario_file import scenario_of
from penstock.sim.statistics import Interval
from penstock.sim.trace import BLOCK_TOKENS

OWN: Final = "marginal-cost"
# What goodput counts, told to the policy.
OWN_OBJECTIVES: Final[dict[str, float]] = {
    "ttft_objective_s": OBJECTIVES.ttft_s,
    "token_objective_s": OBJECTIVES.tpot_s,
}
WITH_OBJECTIVES: Final = " with objectives"  # to the policy's name
# Those that also run as live processes.
POLICIES: Final = (OWN, "cache-aware", "least-request", "round-robin")
# And the rules of other routers of language-model requests, as far as Penstock has them.
EVERY_POLICY: Final[tuple[str | dict[str, object], ...]] = (
    *POLICIES,
    {"name": OWN, **OWN_OBJECTIVES},
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
WARM_UP: Final = 0.1  # of a run, not counted
_SLOWER: Final = {"two speeds": "slow", ANTAGONISED: "antagonised"}


def scenario(
    kind: Kind,
    fleet: str,
    customers: int,
    seeds: int,
    policies: Sequence[Any] = POLICIES,
    warm_up: float = WARM_UP,
) -> dict[str, Any]:
    """A scenario as ``penstock simulate`` reads it; ``warm_up`` is the share not counted, where
    the kind does not say it."""
    share = warm_up if kind.warm_up is None else kind.warm_up
    run: dict[str, Any] = {"replications": seeds, "warm_up": share}
    if not kind.traced:
        run["customers"] = customers
    return {
        "name": f"{kind.name}, {fleet}",
        **kind.simulated(fleet),
        "servers": _servers(fleet, kind.traced),
        "policies": list(policies),
        "reports": {"scrape": "1s"},
        "objective_ttft": f"{OBJECTIVES.ttft_s:g}s",
        "objective_tpot": f"{OBJECTIVES.tpot_s * 1000:g}ms",
        "run": run,
    }


def _servers(fleet: str, traced: bool) -> list[dict[str, Any]]:
    """A trace tells blocks of its own size, which the engines' caches then have."""
    engine: dict[str, Any] = {"profile": PROFILE}
    if traced:
        engine["block_tokens"] = BLOCK_TOKENS
    return [
        {
            "name": "engine" if speed == 1.0 else _SLOWER[fleet],
            "model": "engine",
            "engine": engine,
            "count": count,
            "speed": speed,
        }
        for speed, count in sorted(Counter(SPEEDS[fleet]).items(), reverse=True)
    ]


def simulate(
    kind: Kind,
    fleet: str,
    customers: int,
    seeds: int,
    policies: Sequence[Any] = POLICIES,
    warm_up: float = WARM_UP,
) -> Comparison:
    """All policies on one traffic and fleet."""
    made = scenario(kind, fleet, customers, seeds, policies, warm_up)
    return compare(scenario_of(made), processes=0)


def rows(comparison: Comparison, floor: tuple[Interval, Interval]) -> list[str]:
    """A Markdown table: means over the seeds with their 95% intervals, shortest mean TTFT first.

    ``floor`` is of the first two columns.
    """
    heads = ["policy", "TTFT mean, ms", "TTFT p99, ms", "time per token, ms", "goodput", "hit rate"]
    results = sorted(comparison.results, key=lambda result: result.interval("ttft").mean)
    least = [NAME, *(_spread(each, _ms) for each in floor)]
    least += ["–"] * (len(heads) - len(least))
    return table(heads, [least, *map(_row, results)])


def records(
    comparison: Comparison, floor: tuple[Interval, Interval], kind: str, fleet: str
) -> list[Record]:
    """The same as rows of a data file."""
    results = sorted(comparison.results, key=lambda result: result.interval("ttft").mean)
    shared = {
        "workload": kind,
        "engines": fleet,
        "seeds": str(comparison.scenario.run.replications),
    }
    least = _columns(dict(zip(("ttft", "ttft p99"), floor, strict=True)))
    measured = [
        {**shared, "policy": label(result), **_columns({m: result.interval(m) for m in _COLUMNS})}
        for result in results
    ]
    return [{**shared, "policy": NAME, **least}, *measured]


# The metrics of the simulator in a data file: title, factor, digits.
_COLUMNS: Final[dict[str, tuple[str, float, int]]] = {
    "ttft": ("TTFT mean ms", 1000.0, 0),
    "ttft p99": ("TTFT p99 ms", 1000.0, 0),
    "tpot": ("time per token ms", 1000.0, 0),
    "goodput": ("goodput per s", 1.0, 2),
    "hit rate": ("hit rate", 1.0, 3),
}


def _columns(found: dict[str, Interval]) -> Record:
    record: Record = {}
    for metric, (title, factor, digits) in _COLUMNS.items():
        mean, wide = "", ""
        if metric in found:
            mean = f"{found[metric].mean * factor:.{digits}f}"
            wide = f"{found[metric].half_width * factor:.{digits}f}"
        record |= data.spread(title, mean, wide)
    return record


def label(result: Result) -> str:
    """The policy's name, and that it knows the objectives where it does."""
    return result.policy.name + (WITH_OBJECTIVES if result.policy.options else "")


def _row(result: Result) -> list[str]:
    def cell(metric: str, text: Callable[[float], str]) -> str:
        return _spread(result.interval(metric), text)

    return [
        label(result),
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
