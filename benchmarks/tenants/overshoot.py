"""How much passes beyond a limit when a thousand ask at once."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.balancers import Balancer
from benchmarks.cores import Cores, on
from benchmarks.load.counted import CountedLoad
from benchmarks.scenarios.scenario import make_site
from benchmarks.tenants.asked import TOKENS, Allowed, Keys
from benchmarks.tenants.at_once import ask_at_once

_ENGINE: Final = "benchmarks.tenants.engine"
_DELAY_S: Final = 0.5  # of the engine: so long is what a request takes not known
_MINUTE_S: Final = 60.0
_LIMIT: Final = 100  # requests, or as many tokens as these take


class Bound(msgspec.Struct, frozen=True):
    """What the key may do, in words and in one unit; ``per_s`` of it flows back."""

    name: str
    allowed: Allowed
    amount: int
    unit: str
    per_s: float = 0.0

    @property
    def key(self) -> str:
        """That is held to it."""
        return f"sk-{self.name.replace(' ', '-'):-<40}"


BOUNDS: Final = (
    Bound("requests a minute", Allowed(requests=_LIMIT), _LIMIT, "requests", _LIMIT / _MINUTE_S),
    Bound(
        "tokens a minute",
        Allowed(tokens=_LIMIT * TOKENS),
        _LIMIT * TOKENS,
        "tokens",
        _LIMIT * TOKENS / _MINUTE_S,
    ),
    Bound("at a time", Allowed(concurrent=_LIMIT), _LIMIT, "requests"),
    Bound("budget of tokens", Allowed(budget_tokens=_LIMIT * TOKENS), _LIMIT * TOKENS, "tokens"),
)


def keys_of(bounds: Sequence[Bound]) -> Keys:
    """What each of their keys may do."""
    return {bound.key: bound.allowed for bound in bounds}


class Overshoot(msgspec.Struct, frozen=True):
    """What came of one crowd: ``passed`` in the bound's unit, as the engine saw it."""

    gateway: str
    bound: str
    unit: str
    asked: int
    amount: int
    passed: int
    allowed: float  # by the end: what flowed back meanwhile may be used again
    refused: int  # answered 429
    other: int  # answered anything else that is not 200, or not at all
    took_s: float

    @property
    def beyond(self) -> float:
        """That passed and should not have; 0 where all was kept to."""
        return max(0.0, self.passed - self.allowed)


def judged(
    gateway: str, bound: Bound, ends: dict[str, int], took_s: float, seen: dict[str, int]
) -> Overshoot:
    """``ends`` by status at the clients, ``seen`` by the engine: requests, and the most at once."""
    if bound.name == "at a time":
        passed = seen["most"]
    else:
        passed = seen["requests"] * (TOKENS if bound.unit == "tokens" else 1)
    refused = ends.get("429", 0)
    asked = sum(ends.values())
    return Overshoot(
        gateway,
        bound.name,
        bound.unit,
        asked,
        bound.amount,
        passed,
        bound.amount + bound.per_s * took_s,
        refused,
        asked - refused - ends.get("200", 0),
        took_s,
    )


def measure(
    gateway: Balancer, bounds: Sequence[Bound], requests: int, cores: Cores, directory: Path
) -> Iterator[Overshoot]:
    """A crowd for each bound, before a fresh gateway and a fresh engine. Raises StartError,
    LoadError where the engine ended, and OSError where the gateway takes no connection."""
    with ExitStack() as stack:
        engine = stack.enter_context(CountedLoad(_ENGINE, cores.load, port=0, delay=str(_DELAY_S)))
        site = make_site([("127.0.0.1", engine.ask()["port"])], directory, connections=2 * requests)
        stack.enter_context(gateway.start(site, cores.balancer))
        for bound in bounds:
            engine.ask()  # what it was asked until now is not counted
            with on(cores.load):
                asked = asyncio.run(ask_at_once(site.port, requests, bound.key))
            counts = engine.ask()
            yield judged(gateway.name, bound, dict(asked.ends), asked.took_s, counts)
