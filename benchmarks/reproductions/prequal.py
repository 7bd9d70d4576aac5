"""Prequal's testbed: a hundred clients, a hundred replicas beside antagonists."""

from typing import Any, Final

from benchmarks.reproductions.reproduction import (
    Effort,
    Reproduction,
    milliseconds,
    simulated,
    table,
)

# p90/p99 in ms at 70% and 90% of the CPU allocation. Wydrowski, Kleinberg, Rumble and Archer, Load
# is not what you should balance: Introducing Prequal (NSDI 2024), figure 7.
PUBLISHED: Final = {
    "RR": ("4984/timeout", "timeout/timeout"),
    "WRR": ("173/314", "1667/timeout"),
    "least loaded": ("343/1804", "940/2654"),
    "YARP Po2C": ("210/2642", "213/1169"),
    "C3": ("161/299", "164/304"),
    "Prequal": ("149/281", "152/286"),
}
RAMP: Final = (0.75, 0.83, 0.93, 1.03, 1.14, 1.27, 1.41, 1.57, 1.74)
_SHORT_RAMP: Final = (0.75, 1.03, 1.74)  # the last two are those of which figures are published

_TIMEOUT_S: Final = 5.0
# A replica's allocation is a tenth of a machine: four cores of it. Where antagonists take the rest
# of the machine that is all it has, elsewhere it may use four times as much. The share of the
# contended follows from the published errors of weighted round robin: none below a load of 1, a
# quarter at 1.74.
_ALLOCATION_CORES: Final = 4
_ANTAGONIST: Final = {
    "factors": [1.0, 4.0],
    "weights": [0.55, 0.45],
    "stay": {"law": "exponential", "mean": "20s"},
    "cores": True,
}
# That round robin times out at 70% says that some replicas are much slower than others: half of
# them, at half the speed, are the simplest such testbed.
_MIXED: Final = (1.0, 0.5)
_EQUAL: Final = (1.0,)
_POLICIES: Final[dict[str, tuple[str | dict[str, Any], dict[str, Any]]]] = {
    "random": ("random", {}),
    "RR": ("round-robin", {}),
    "WRR": ("round-robin", {"weights": "2s"}),
    "least loaded": ("join-shortest-queue", {}),
    "least loaded of two": ("power-of-two", {}),
    "YARP Po2C": ("power-of-two", {"every": "500ms", "own": False}),
    "C3": ({"name": "c3", "balancers": 100}, {"responses": True}),
    "Prequal": ({"name": "prequal", "answers": "asked"}, {}),
}


def compare_rules(effort: Effort) -> list[str]:
    """The rules side by side at two loads."""
    rows = []
    for name in _POLICIES:
        cells = [name]
        for index, load in enumerate((0.7, 0.9)):
            published = PUBLISHED.get(name)
            scenario = _scenario(name, load, effort, _MIXED) | {"run": _settled(effort)}
            result = simulated(scenario, effort).results[0]
            p90 = milliseconds(result, "p90", _TIMEOUT_S)
            p99 = milliseconds(result, "p99", _TIMEOUT_S)
            cells += [published[index] if published else "–", f"{p90}/{p99}"]
            cells.append(f"{result.interval('errors').mean:.2%}")
        rows.append(cells)
    heads = [
        "rule",
        *("70%: published p90/p99", "ours", "our errors"),
        *("90%: published p90/p99", "ours", "our errors"),
    ]
    return table(heads, rows)


def ramp(effort: Effort) -> list[str]:
    """Weighted round robin and Prequal as the load grows past the allocation.

    With a scale below a half three loads of the ramp, once each.
    """
    short = effort.scale < 0.5
    rows = []
    for load in _SHORT_RAMP if short else RAMP:
        cells = [f"{load:g}"]
        for name in ("WRR", "Prequal"):
            scenario = _scenario(name, load, effort, _EQUAL)
            if short:
                scenario["run"] = {"duration": "20s", "warm_up": 0.3, "replications": 1}
            result = simulated(scenario, effort).results[0]
            cells.append(milliseconds(result, "p99", _TIMEOUT_S))
            cells.append(milliseconds(result, "p99.9", _TIMEOUT_S))
            cells.append(f"{result.interval('errors').mean:.3%}")
        rows.append(cells)
    heads = [
        "load over allocation",
        *("WRR p99", "p99.9", "errors"),
        *("Prequal p99", "p99.9", "errors"),
    ]
    return table(heads, rows)


def _settled(effort: Effort) -> dict[str, object]:
    """Weighted round robin begins with equal weights, and slow replicas take half a minute to work
    off what that brings them; the published figures are of hours.
    """
    length_s = max(40, round(120 * effort.scale))
    return {"duration": f"{length_s}s", "warm_up": 0.7, "replications": 1}


def _scenario(
    name: str, load: float, effort: Effort, speeds: tuple[float, ...]
) -> dict[str, object]:
    policy, reports = _POLICIES[name]
    return {
        "arrivals": {"load": load},
        "service": {"law": "truncated-normal", "mean": "65ms", "cv2": 1},
        "servers": [
            {
                "count": 100 // len(speeds),
                "name": f"speed {speed} ",
                "model": "sharing",
                "slots": _ALLOCATION_CORES,
                "speed": speed,
                "antagonist": _ANTAGONIST,
            }
            for speed in speeds
        ],
        "balancers": 100,
        "policies": [policy],
        "reports": reports,
        "network": {
            "request": {"law": "gamma", "mean": "0.2ms", "cv2": 0.5},
            "response": {"law": "gamma", "mean": "0.2ms", "cv2": 0.5},
        },
        "timeout": f"{_TIMEOUT_S:g}s",
        "run": {
            "duration": f"{max(20, round(60 * effort.scale))}s",
            "warm_up": 0.3,
            "replications": 3,
        },
    }


RULES: Final = Reproduction("prequal-rules", "Prequal: rules side by side", compare_rules)
RAMP_UP: Final = Reproduction("prequal-ramp", "Prequal: a load ramp", ramp)
