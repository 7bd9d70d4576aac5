"""Snapshots, said briefly: ``world(pool(endpoint))`` is one listener that sends all to one pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from penstock.core.snapshot import (
    Endpoint,
    Listener,
    Match,
    PolicyChoice,
    Pool,
    Retry,
    Route,
    Snapshot,
    WeightedPool,
)

_Data = TypeVar("_Data", bound=msgspec.Struct)

NEVER_REPEAT = Retry(attempts=1)


class HasAddress(Protocol):
    """Anything that stands at an address."""

    @property
    def name(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class Address:
    """An address at which nobody of this process answers."""

    port: int
    host: str = "127.0.0.1"

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def at(place: HasAddress, **settings: object) -> Endpoint:
    """The endpoint of a snapshot that stands there."""
    given = {"name": place.name, "host": place.host, "port": place.port, **settings}
    return msgspec.convert(given, Endpoint)


def pool(*members: HasAddress | Endpoint, name: str = "main", **settings: object) -> Pool:
    """A pool of those endpoints, taken in turn; ``settings`` are fields of ``Pool``."""
    endpoints = tuple(m if isinstance(m, Endpoint) else at(m) for m in members)
    in_turn = PolicyChoice(name="round-robin")
    return _with(Pool(name=name, endpoints=endpoints, policy=in_turn), settings)


def listener(name: str = "main", **settings: object) -> Listener:
    """A listener on a loopback port that the system chooses."""
    return _with(Listener(name=name, host="127.0.0.1", port=0), settings)


def route(*pools: str, name: str = "", match: Match | None = None, **settings: object) -> Route:
    """A route to those pools in equal shares; it matches everything unless told."""
    to = tuple(WeightedPool(pool) for pool in pools)
    made = Route(name=name or "-".join(pools) or "route", match=match or Match(), pools=to)
    return _with(made, settings)


def world(
    *pools: Pool,
    routes: Sequence[Route] | None = None,
    listeners: Sequence[Listener] | None = None,
    **settings: object,
) -> Snapshot:
    """A snapshot. Unless given: one listener called main, and one route to the first pool."""
    if routes is None:
        routes = [route(pools[0].name, name="all")]
    made = Snapshot(
        generation=0,
        listeners=tuple([listener()] if listeners is None else listeners),
        routes=tuple(routes),
        pools=pools,
    )
    return _with(made, settings)


def _with(data: _Data, settings: dict[str, object]) -> _Data:
    """A copy with those fields, refusing any that the type does not have."""
    changed = msgspec.structs.replace(data, **settings)
    return msgspec.convert(msgspec.to_builtins(changed), type(data))
