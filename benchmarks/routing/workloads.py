"""The traffic: each kind as requests to live engines, and as a simulator's tenants.

Rates are for eight engines of a 70B model on two H100 each, about two thirds busy where prefixes
are not found.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.routing.fleets import share
from penstock.fleet.replay.generate import Shape, generate
from penstock.fleet.replay.result import Objectives
from penstock.fleet.replay.session import Workload
from penstock.fleet.replay.traces import load_trace

OBJECTIVES: Final = Objectives(ttft_s=2.0, tpot_s=0.1)  # what counts as goodput
_TRACE_RATE: Final = 3.0  # requests a second, as it was recorded
# Times that rate: 2.2 requests a second, 85% of the 2.6 that eight engines finish of the trace's
# first 1,500 and 4,000 requests when these come at twice their rate, by whichever of marginal-cost,
# kv-cost and prefix-sticky. At its own rate the queues of all policies grow until the trace ends,
# and what is measured is its length.
_TRACE_SCALE: Final = 0.75
_TRACE_LIMIT: Final = 3000  # requests simulated: the first 20 minutes

# Users think for a minute: of the first 162 requests 3 continue another, of 486 there are 57.
_THINK_LASTS: Final = 3.0
_TRACED: Final = "conversation trace"
_THINKING: Final = "trace with think time"


@dataclass(frozen=True)
class Kind:
    """``live(engine_seconds, seed, fleet)`` makes requests; ``simulated(fleet)`` is a scenario's
    part.

    Live it ``lasts`` as many times as long as others. ``warm_up`` is the share of a run that is not
    counted, live and simulated, where it is not what others have.
    """

    name: str
    requests_per_s: float
    live: Callable[[float, int, str], Workload]
    simulated: Callable[[str], dict[str, Any]]
    traced: bool = False
    lasts: float = 1.0
    warm_up: float | None = None


def kinds(trace: Path | None) -> list[Kind]:
    """All of them; those of the conversation trace only where its file is given."""
    found = [_generated(shaped) for shaped in _SHAPES]
    if trace is None:
        return found
    return [_conversation(trace, think=False), _conversation(trace, think=True), *found]


@dataclass(frozen=True)
class _Shaped:
    """A generated workload."""

    name: str
    about: str
    shape: Shape
    lasts: float = 1.0
    warm_up: float | None = None


_SHAPES: Final = (
    _Shaped(
        "shared prompts",
        "60 system prompts of 6,000 tokens, single questions of 400, answers of 100, 12 a second",
        Shape("shared-prompt", 1, 12.0, 60, 6000, 1, 400, 100, 0.0),
    ),
    # 1.3 times the 8 × 307,328 tokens of all caches. Simulated, policies that copy little find 62%
    # of the tokens in the second half of 864 requests and 64% in that of 3,000, and finish 19 a
    # second. At 10 a second engines of two speeds cannot keep to 0.1 s a token.
    _Shaped(
        "many prompts",
        "530 system prompts of 6,000 tokens, 1.3 times what the caches of all engines hold, single "
        "questions of 400, answers of 100, 8 a second; runs are twice as long, and their first "
        "half, in which the caches fill, is not counted",
        Shape("shared-prompt", 1, 8.0, 530, 6000, 1, 400, 100, 0.0),
        lasts=2.0,
        warm_up=0.5,
    ),
    _Shaped(
        "agents",
        "4 system prompts of 4,000 tokens, 8 turns that add 800, answers of 100, "
        "tools that take a second (a turn waits for the answer to the one before), 8 a second",
        Shape("agentic", 1, 8.0, 4, 4000, 8, 800, 100, 1.0, timed=False),
    ),
    _Shaped(
        "reasoning",
        "questions of 300 tokens with nothing in common, answers of 800, 4 a second",
        Shape("no-prefix", 1, 4.0, 0, 0, 1, 300, 800, 0.0),
    ),
    _Shaped(
        "no prefix",
        "documents of 2,000 tokens with nothing in common, answers of 60, 20 a second",
        Shape("no-prefix", 1, 20.0, 0, 0, 1, 2000, 60, 0.0),
    ),
)


def _generated(shaped: _Shaped) -> Kind:
    name, shape = shaped.name, shaped.shape

    def live(engine_s: float, seed: int, fleet: str) -> Workload:
        requests = round(engine_s * shape.rate_per_s)
        return generate(replace(shape, requests=requests, seed=seed))

    tenant: dict[str, Any] = {
        "name": name.replace(" ", "-"),
        "groups": max(shape.groups, 1),
        "system_tokens": shape.system_tokens,
        "turns": shape.turns,
        "input": {"mean": shape.input_tokens, "cv2": 0.28},
        "output": {"mean": shape.output_tokens, "cv2": 0.28},
    }
    if shape.think_s:
        tenant["think"] = {"mean": f"{shape.think_s:g}s"}
    simulated = {
        "arrivals": {"rate": shape.rate_per_s / shape.turns},
        "prompts": {"tenants": [tenant]},
    }
    return Kind(
        name,
        shape.rate_per_s,
        live,
        lambda fleet: simulated,
        lasts=shaped.lasts,
        warm_up=shaped.warm_up,
    )


def _conversation(trace: Path, *, think: bool) -> Kind:
    def live(engine_s: float, seed: int, fleet: str) -> Workload:
        """The trace has one order of events: there is no seed in it."""
        limit = round(_TRACE_RATE * engine_s)
        return load_trace(trace, limit=limit, rate_scale=_trace_scale(fleet), think=think)

    def simulated(fleet: str) -> dict[str, Any]:
        prompts: dict[str, Any] = {
            "trace": str(trace),
            "limit": _TRACE_LIMIT,
            "rate_scale": _trace_scale(fleet),
            "think": think,
        }
        return {"arrivals": {"kind": "recorded"}, "prompts": prompts}

    return Kind(
        _THINKING if think else _TRACED,
        _TRACE_RATE * _TRACE_SCALE,
        live,
        simulated,
        traced=True,
        lasts=_THINK_LASTS if think else 1.0,
    )


def abouts() -> dict[str, str]:
    """What each workload is, by its name; those of the trace too, wherever its file is."""
    traced = {_TRACED: _of_trace(think=False), _THINKING: _of_trace(think=True)}
    return traced | {shaped.name: shaped.about for shaped in _SHAPES}


def _of_trace(*, think: bool) -> str:
    paced = (
        "as conversations (a request that continues an earlier one's prompt waits for its answer, "
        "then as long as its user thought), in runs three times as long, begun at"
        if think
        else "by its timestamps,"
    )
    return f"Mooncake's conversation trace {paced} {_TRACE_SCALE:g} times the rate"


def _trace_scale(fleet: str) -> float:
    """As much slower as the fleet is slower than engines alike: what these can only just carry
    would make every queue of a slower fleet grow."""
    return _TRACE_SCALE * share(fleet)
