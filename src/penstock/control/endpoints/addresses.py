"""Addresses of endpoints that are configured by name.

A look-up can take seconds, and none holds up anybody: a name that was found is used as it was
until it is found again, and an endpoint whose name was never found is down with the reason. Names
are looked up with every reload, by a period, and when an endpoint goes down. Workers are told
addresses, and so are health checks, which then test what requests go to.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import monotonic
from typing import Final

import msgspec

from penstock.control.background import BackgroundTasks
from penstock.control.endpoints.resolver import NoAddressError, Resolver
from penstock.control.events import Events
from penstock.core.snapshot import Endpoint, Snapshot
from penstock.core.snapshot.address import socket_path

_FIRST_WAIT_S: Final = 2.0  # of a publish, for names that were never looked up
_WAIT_S: Final = 0.5  # for names that were: what was found before will do
_PERIOD_S: Final = 30.0  # between two look-ups, where nobody says how long addresses hold
_LEAST_S: Final = 5.0  # whatever else is said, and after one that failed
_LOOK_S: Final = 1.0
_MOST_REMEMBERED: Final = 1 << 17
_ADDRESSES: Final[set[str]] = set()  # hosts that are no names: asked of all with every publication
_BEING_LOOKED_UP: Final = "its name is being looked up"


@dataclass
class _Name:
    """What is known of one."""

    host: str
    addresses: tuple[str, ...] = ()
    problem: str = _BEING_LOOKED_UP
    failing: bool = False  # the last look-up did; ``addresses`` may be of one before
    due: float = 0.0
    since: float = 0.0  # of the last look-up
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Addresses:
    """Of all names in the world that runs."""

    def __init__(
        self, resolver: Resolver, events: Events, clock: Callable[[], float] = monotonic
    ) -> None:
        self._resolver = resolver
        self._events = events
        self._clock = clock
        self._names: dict[str, _Name] = {}
        self._changed = asyncio.Event()
        self._look_ups = BackgroundTasks(events)

    async def resolve(self, spec: Snapshot) -> Snapshot:
        """The snapshot with addresses, after a moment for those that are not known or to be looked
        up again, which are those of a document that was just read."""
        asked: list[asyncio.Task[None]] = []
        wait_s = _WAIT_S
        for endpoint in _named(spec):
            name = self._names.get(endpoint.host)
            if name is None:
                name = self._names[endpoint.host] = _Name(endpoint.host)
                wait_s = _FIRST_WAIT_S
            if not endpoint.addresses and not endpoint.no_address:
                asked.append(self._look_up(name))
        if asked:
            await asyncio.wait(asked, timeout=wait_s)
        self._changed.clear()
        return self._mark(spec)

    def configure(self, snapshot: Snapshot) -> None:
        """Keep the names of the running snapshot, and forget all others."""
        if not self._names:
            return
        present = {endpoint.host for endpoint in _named(snapshot)}
        for host in [host for host in self._names if host not in present]:
            gone = self._names.pop(host)
            if gone.task is not None:
                gone.task.cancel()

    def known(self, host: str) -> tuple[str, ...]:
        """Addresses of a name that is followed; none of others."""
        name = self._names.get(host)
        return name.addresses if name is not None else ()

    def expire(self, endpoint: Endpoint) -> None:
        """It went down: it may be elsewhere now."""
        name = self._names.get(endpoint.host)
        if name is not None:
            name.due = min(name.due, name.since + _LEAST_S)

    async def run(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Runs until cancelled: look up what is due, and publish addresses that changed."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self.look_up_due()
            if self._changed.is_set():
                await refresh()

    def look_up_due(self) -> None:
        """Begin the look-ups whose time has come."""
        now = self._clock()
        for name in self._names.values():
            if now >= name.due:
                self._look_up(name)

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        self._names = {}
        await self._look_ups.stop()

    def _look_up(self, name: _Name) -> asyncio.Task[None]:
        """Begin to, unless that is under way."""
        if name.task is None or name.task.done():
            name.task = self._look_ups.begin(f"looking up {name.host}", self._find(name))
        return name.task

    async def _find(self, name: _Name) -> None:
        name.due = float("inf")
        try:
            answer = await self._resolver.look_up(name.host)
        except NoAddressError as error:
            self._note_failure(name, str(error))
            return
        except Exception as error:  # noqa: BLE001 - one name's must not end the others'
            self._events.bug(f"looking up {name.host}", error)
            self._note_failure(name, f"{name.host} has no address: {error}")
            return
        name.since = self._clock()
        hold_s = _PERIOD_S if answer.ttl_s is None else answer.ttl_s
        name.due = name.since + max(hold_s, _LEAST_S)
        told = name.failing or name.problem != _BEING_LOOKED_UP
        name.failing = False
        name.problem = ""
        if set(answer.addresses) == set(name.addresses):
            return  # servers answer in changing orders
        before, name.addresses = name.addresses, answer.addresses
        self._changed.set()
        if before or (told and not before):
            shown = ", ".join(answer.addresses)
            text = f"{name.host} is at {shown}" + (f", not {', '.join(before)}" if before else "")
            self._events.info("name.found", text, name=name.host)

    def _note_failure(self, name: _Name, problem: str) -> None:
        name.since = self._clock()
        name.due = name.since + _LEAST_S
        if not name.failing:
            kept = f"; {', '.join(name.addresses)} is used as before" if name.addresses else ""
            self._events.warning("name.not_found", problem + kept, name=name.host)
        name.failing = True
        if not name.addresses and name.problem != problem:
            name.problem = problem
            self._changed.set()

    def _mark(self, spec: Snapshot) -> Snapshot:
        if not self._names:  # `resolve` has noted all that there are
            return spec
        return msgspec.structs.replace(
            spec,
            pools=tuple(
                msgspec.structs.replace(
                    pool, endpoints=tuple(self._mark_endpoint(each) for each in pool.endpoints)
                )
                for pool in spec.pools
            ),
        )

    def _mark_endpoint(self, endpoint: Endpoint) -> Endpoint:
        name = self._names.get(endpoint.host)
        if name is None:
            return endpoint
        problem = "" if name.addresses else name.problem
        return msgspec.structs.replace(endpoint, addresses=name.addresses, no_address=problem)


def _named(spec: Snapshot) -> list[Endpoint]:
    """Endpoints whose host is no address itself."""
    return [
        each
        for pool in spec.pools
        for each in pool.endpoints
        if each.host not in _ADDRESSES and not _is_address(each.host)
    ]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        if not socket_path(host):
            return False
    if len(_ADDRESSES) >= _MOST_REMEMBERED:
        _ADDRESSES.clear()
    _ADDRESSES.add(host)
    return True
