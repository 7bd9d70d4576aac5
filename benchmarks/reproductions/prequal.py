"""Prequal's testbed: a hundred clients, a hundred replicas beside antagonists."""

from statistics import NormalDist
from typing import Any, Final

from benchmarks.reproductions.reproduction import (
    Effort,
    Reproduction,
    milliseconds,
    simulated,
    table,
)
from penstock.sim.experiment import Result
from penstock.sim.kernel.laws import TruncatedNormal

# p90/p99 in ms at 70% and 90% of the CPU allocation. Wydrowski, Kleinberg, Rumble and Archer, Load
# is not what you should balance: Introducing Prequal (NSDI 2024), figure 7.
PUBLISHED: Final = {
    "RR": ("4984/timeout", "timeout/timeout"),
    "random": ("294/timeout", "timeout/timeout"),
    "WRR": ("173/314", "1667/timeout"),
    "LL": ("343/1804", "940/2654"),
    "LL-Po2C": ("224/569", "623/1918"),
    "YARP-Po2C": ("210/2642", "213/1169"),
    "linear": ("206/698", "245/1036"),
    "C3": ("161/299", "164/304"),
    "Prequal": ("149/281", "152/286"),
}
# Section 5.1, the text on figure 6, in ms: p50, p99 and p99.9 of weighted round robin and the
# share of its errors (5 to 20 of 7,700 per second at 1.03); p99.9 of Prequal, which has no error.
RAMP: Final[dict[float, tuple[str, str, str, str, str]]] = {
    0.75: ("80", "265", "325", "0", "325"),
    0.83: ("80", "265", "325", "0", "325"),
    0.93: ("80", "265", "325", "0", "325"),
    1.03: ("–", "335", "timeout", "0.06–0.26%", "325"),
    1.14: ("–", "–", "timeout", "more", "325"),
    1.27: ("–", "timeout", "timeout", "–", "350"),
    1.41: ("–", "timeout", "timeout", "–", "–"),
    1.57: ("111", "timeout", "timeout", "–", "–"),
    1.74: ("150", "timeout", "timeout", "> 25%", "700"),
}

_TIMEOUT_S: Final = 5.0
# A tenth of a machine: 5,600 requests per second of 87 ms at three quarters of it make 6.5 cores.
_ALLOCATION_CORES: Final = 6
# The normal law that iterations are drawn from, before it is cut at 0. Of the load ramp: its
# quantiles are 80, 182, 266 and 327 ms, those published below the allocation. Of the rules: with
# half of the replicas at half the speed (sections 5.3 and A) the mixture that weighted round robin
# sends has a p90 of 173 and a p99 of 312 ms, published 173 and 314; section A measured a median of
# 75 ms with one request in flight, half of them at either speed, for which this gives 73.
_RAMP_WORK_MS: Final = 80.0
_RULES_WORK_MS: Final = 54.0
_EQUAL: Final = (1.0,)
_MIXED: Final = (1.0, 0.5)
_SCALED_RIF_S: Final = 0.075  # section A
# The same requests take more CPU under rules that send more to the slow half. Load is what Prequal
# makes of them: its published p90 and p99 are those of 19% sent there, at both loads.
_SLOW_SHARE: Final = 0.19
# What a machine has for a replica, over its allocation: normal, but never less than the allocation,
# which is guaranteed. Both figures of the ramp's follow from weighted round robin there: about one
# replica in a hundred in trouble at 1.03, a third at 1.74. In the comparison antagonists took more
# (section 5.2), so that its p90 broke down at 90%: the same deviation, and an eighth have nothing
# beyond the allocation.
_HEADROOM_DEVIATION: Final = 0.34
_RAMP_HEADROOM: Final = 1.9
_RULES_HEADROOM: Final = 1.4
_LEVELS: Final = 100

_POLICIES: Final[dict[str, tuple[str | dict[str, Any], dict[str, Any]]]] = {
    "RR": ("round-robin", {}),
    "random": ("random", {}),
    "WRR": ("round-robin", {"weights": "2s"}),
    "LL": ("join-shortest-queue", {}),
    "LL-Po2C": ("power-of-two", {}),
    "YARP-Po2C": ("power-of-two", {"poll": "500ms", "own": False}),
    "linear": (
        {"name": "prequal", "answers": "asked", "rule": "linear", "rif_cost_s": _SCALED_RIF_S},
        {},
    ),
    "C3": ({"name": "prequal", "answers": "asked", "rule": "c3", "balancers": 100}, {}),
    "Prequal": ({"name": "prequal", "answers": "asked", "q_rif": 0.75}, {}),
}


def compare_rules(effort: Effort) -> list[str]:
    """The rules side by side at two loads."""
    work_s = _mean_s(_RULES_WORK_MS) * (1.0 + _SLOW_SHARE)
    rows = []
    for name, published in PUBLISHED.items():
        cells = [name]
        for index, load in enumerate((0.7, 0.9)):
            result = _run(
                name,
                100 * _ALLOCATION_CORES * load / work_s,
                _RULES_WORK_MS,
                _MIXED,
                _RULES_HEADROOM,
                # Weighted round robin begins with equal weights, which overload the slow half.
                {"duration": _length(90, effort), "warm_up": 0.6, "replications": 4},
                effort,
            )
            cells += [published[index], _spread(result, "p90"), _spread(result, "p99")]
            cells.append(f"{result.interval('errors').mean:.2%}")
        rows.append(cells)
    heads = [
        "rule",
        *("70%: published p90/p99", "our p90", "our p99", "our errors"),
        *("90%: published p90/p99", "our p90", "our p99", "our errors"),
    ]
    return table(heads, rows)


def ramp(effort: Effort) -> list[str]:
    """Weighted round robin and Prequal as the load grows past the allocation."""
    rows = []
    for load, (p50, p99, p999, errors, prequal) in RAMP.items():
        rate = 100 * _ALLOCATION_CORES * load / _mean_s(_RAMP_WORK_MS)
        run = {"duration": _length(120, effort), "warm_up": 0.5, "replications": 3}
        ours = [
            _run(name, rate, _RAMP_WORK_MS, _EQUAL, _RAMP_HEADROOM, run, effort)
            for name in ("WRR", "Prequal")
        ]
        cells = [f"{load:g}", f"{p50}/{p99}/{p999}"]
        cells.append("/".join(_ms(ours[0], metric) for metric in ("p50", "p99", "p99.9")))
        cells += [errors, f"{ours[0].interval('errors').mean:.2%}"]
        cells += [prequal, _spread(ours[1], "p99.9"), f"{ours[1].interval('errors').mean:.3%}"]
        rows.append(cells)
    heads = [
        "load over allocation",
        *("WRR: published p50/p99/p99.9", "ours", "published errors", "ours"),
        *("Prequal: published p99.9", "ours", "our errors"),
    ]
    return table(heads, rows)


def _run(
    name: str,
    rate: float,
    work_ms: float,
    speeds: tuple[float, ...],
    headroom: float,
    run: dict[str, object],
    effort: Effort,
) -> Result:
    policy, reports = _POLICIES[name]
    delay = {"law": "gamma", "mean": "0.2ms", "cv2": 0.5}
    antagonist = {
        "factors": _headroom(headroom),
        "stay": {"law": "exponential", "mean": "600s"},
        "cores": True,
    }
    scenario: dict[str, object] = {
        "arrivals": {"rate": rate},
        "service": {"law": "truncated-normal", "mean": f"{work_ms}ms", "cv2": 1},
        "servers": [
            {
                "count": 100 // len(speeds),
                "name": f"speed {speed} ",
                "model": "sharing",
                "slots": _ALLOCATION_CORES,
                "speed": speed,
                "antagonist": antagonist,
            }
            for speed in speeds
        ],
        "balancers": 100,
        "policies": [policy],
        "reports": reports,
        "network": {"request": delay, "response": delay},
        "timeout": f"{_TIMEOUT_S:g}s",
        "cancel": False,  # a loop of hashes does not look whether its client is still there
        "run": run,
    }
    return simulated(scenario, effort).results[0]


def _mean_s(work_ms: float) -> float:
    return TruncatedNormal(work_ms / 1000.0, work_ms / 1000.0).mean


def _headroom(mean: float) -> list[float]:
    law = NormalDist(mean, _HEADROOM_DEVIATION)
    return [max(1.0, law.inv_cdf((level + 0.5) / _LEVELS)) for level in range(_LEVELS)]


def _length(seconds: float, effort: Effort) -> str:
    return f"{max(20, round(seconds * effort.scale))}s"


def _ms(result: Result, metric: str) -> str:
    return milliseconds(result, metric, _TIMEOUT_S)


def _spread(result: Result, metric: str) -> str:
    mean = _ms(result, metric)
    if mean == "timeout":
        return mean
    return f"{mean} ± {result.interval(metric).half_width * 1000:.0f}"


RULES: Final = Reproduction("prequal-rules", "Prequal: rules side by side", compare_rules)
RAMP_UP: Final = Reproduction("prequal-ramp", "Prequal: a load ramp", ramp)
