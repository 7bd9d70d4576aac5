"""Scaling by one of several balancers: the others serve what it started, and drain whom it does."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from xxhash import xxh3_64_hexdigest

from penstock.control.discovery.membership import Membership, TooManyError
from penstock.control.discovery.source import SCALER, Place, Source, place_of
from penstock.control.elsewhere import DemandElsewhere, Elsewhere
from penstock.control.endpoint_key import EndpointKey
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.replicas.words import Words
from penstock.control.store.store import Store
from penstock.core.snapshot import Endpoint, Snapshot
from penstock.core.snapshot.address import shown_address, socket_path

OTHERS: Final = Source(SCALER.rank, 1000, "scale (another balancer)")
PREFIX: Final = "scaled/"
_REASON: Final = "the pool is scaled down by another balancer"
_MOST: Final = 1024  # endpoints that one word tells of
_Text = Annotated[str, Meta(min_length=1, max_length=253)]
_Port = Annotated[int, Meta(ge=1, le=65535)]


class Started(msgspec.Struct, omit_defaults=True):
    """An endpoint that the leader's actuator started."""

    host: _Text
    port: _Port
    tls: bool = False
    http2: bool = False
    weight: Annotated[float, Meta(ge=0.0, le=1e6)] = 1.0


class Scaled(msgspec.Struct, omit_defaults=True):
    """What the leader says of a pool. ``started`` is None where balancers find its endpoints."""

    pool: Annotated[str, Meta(max_length=2048)]
    started: Annotated[list[Started], Meta(max_length=_MOST)] | None = None
    draining: Annotated[list[tuple[_Text, _Port]], Meta(max_length=_MOST)] = []


class SharedScaling(Elsewhere):
    """``configure`` it by the snapshot that runs. ``leads`` says whether this balancer starts and
    stops endpoints of a pool."""

    def __init__(
        self,
        store: Store,
        leads: Callable[[str], bool],
        demand: Callable[[str], DemandElsewhere],
        states: EndpointStates,
        membership: Membership,
        events: Events,
    ) -> None:
        self.words = Words(store, PREFIX, events)
        self.words.on_word = self._hear
        self._leads = leads
        self._demand = demand
        self._states = states
        self._membership = membership
        self._events = events
        self._said: dict[str, bytes] = {}
        self._heard: dict[str, Scaled] = {}
        self._drained: set[EndpointKey] = set()
        self._pools: dict[str, tuple[Endpoint, ...]] = {}

    def configure(self, snapshot: Snapshot) -> None:
        """Of pools that are scaled the others' word holds."""
        before = self._pools
        self._pools = {
            pool.name: pool.endpoints for pool in snapshot.pools if pool.scale is not None
        }
        for scaled in self._heard.values():
            if scaled.started and scaled.pool in self._pools.keys() - before.keys():
                self._take(scaled.pool, scaled.started)
            self._drain(scaled)

    def demand(self, pool: str) -> DemandElsewhere:
        return self._demand(pool)

    def tell(
        self, pool: str, started: Sequence[Endpoint] | None, draining: Sequence[Place]
    ) -> None:
        begun = None
        if started is not None:
            begun = [
                Started(each.host, each.port, each.tls, each.http2, each.weight)
                for each in started[:_MOST]
                if not socket_path(each.host)
            ]
        word = msgspec.json.encode(Scaled(pool, begun, list(draining[:_MOST])))
        key = _key(pool)
        if self._said.get(key) == word:
            return
        self._said[key] = word
        heard = self._heard.pop(key, None)
        if heard is not None:
            self._membership.set(OTHERS, pool, ())
            self._drain(Scaled(pool))  # whom the leader before drained is this one's affair now
        self.words.say(key, word)

    def _hear(self, key: str, value: bytes | None) -> None:
        try:
            scaled = msgspec.json.decode(value, type=Scaled) if value is not None else None
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        before = self._heard.pop(key, None)
        self._said.pop(key, None)
        if scaled is None:
            scaled = Scaled(before.pool) if before is not None else None
        else:
            self._heard[key] = scaled
        if scaled is None or scaled.pool not in self._pools or self._leads(scaled.pool):
            return
        if scaled.started is not None:
            self._take(scaled.pool, scaled.started)
        self._drain(scaled)

    def _take(self, pool: str, started: list[Started]) -> None:
        endpoints = []
        for each in started:
            if socket_path(each.host):
                raise ValueError("a socket of the file system is none of another machine's")
            name = shown_address(each.host, each.port)
            endpoints.append(
                Endpoint(name, each.host, each.port, each.tls, each.http2, each.weight)
            )
        try:
            self._membership.set(OTHERS, pool, endpoints)
        except TooManyError as error:
            raise ValueError(str(error)) from error

    def _drain(self, scaled: Scaled) -> None:
        """Those that it says, and no others any more."""
        wanted = set(scaled.draining)
        for each in self._pools.get(scaled.pool, ()):
            endpoint = (scaled.pool, each.name)
            if place_of(each) in wanted:
                if self._states.of(*endpoint).draining is None:
                    self._drained.add(endpoint)
                    self._states.drain(*endpoint, _REASON)
            elif endpoint in self._drained:
                self._drained.discard(endpoint)
                self._states.undrain(*endpoint, "it is needed after all")


def _key(pool: str) -> str:
    return xxh3_64_hexdigest(pool.encode())
