"""Follows the providers of all pools, each in a task of its own."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import uniform
from time import time
from typing import Final

from penstock.admin.view import DiscoveryView
from penstock.control.background import BackgroundTasks, Sleep
from penstock.control.discovery.membership import Membership, TooManyError
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.control.discovery.providers import create_provider
from penstock.control.discovery.source import Source, provider_source
from penstock.control.events import Events
from penstock.core.snapshot import Discovery, Endpoint, Snapshot
from penstock.core.snapshot.discovery import found_endpoint

_FIRST_WAIT_S: Final = 1.0  # of a publication, for providers that were never asked
_SHOWN: Final = 300  # characters of a reason
_SHOWN_PROBLEMS: Final = 3
_SHOWN_NAMES: Final = 5

_Key = tuple[str, Source, Discovery]


@dataclass(eq=False)
class _Followed:
    """One provider, and how it does."""

    pool: str
    source: Source
    discovery: Discovery
    state: str = "waiting"  # or found, held, failing
    reason: str = "it has not answered yet"
    answered_at: float = 0.0  # Unix time; 0.0: never
    failures: int = 0  # in a row
    endpoints: list[Endpoint] = field(default_factory=list)  # of the last answer with any
    first: asyncio.Event = field(default_factory=asyncio.Event)  # it answered, or failed
    task: "asyncio.Task[None] | None" = None


class Discoveries:
    """Of the snapshot that runs, and of one that may run soon."""

    def __init__(
        self,
        membership: Membership,
        events: Events,
        create: Callable[[Discovery], Provider] = create_provider,
        sleep: Sleep = asyncio.sleep,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        self._membership = membership
        self._events = events
        self._create = create
        self._sleep = sleep
        self._wall_clock = wall_clock
        self._followed: dict[_Key, _Followed] = {}
        self._members: dict[str, set[str]] = {}  # names of those that are not configured
        self._tasks = BackgroundTasks(events)

    async def search(self, spec: Snapshot, wait_s: float = _FIRST_WAIT_S) -> None:
        """Begin with the providers that are new in it, and give them a moment to answer."""
        new = [self._begin(key) for key in _wanted(spec) if key not in self._followed]
        if new:
            waits = [asyncio.create_task(each.first.wait()) for each in new]
            _, late = await asyncio.wait(waits, timeout=wait_s)
            for each in late:
                each.cancel()

    def configure(self, snapshot: Snapshot, fixed: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """This snapshot runs; ``fixed`` are the endpoints that its configuration lists."""
        wanted = list(_wanted(snapshot))
        before, self._followed = self._followed, {}
        for key in wanted:
            self._followed[key] = before.pop(key) if key in before else self._begin(key)
        replaced = {(pool, source) for pool, source, _ in before}
        for gone in before.values():
            if gone.task is not None:
                gone.task.cancel()
        providers: dict[str, list[Source]] = {}
        for each in self._followed.values():
            providers.setdefault(each.pool, []).append(each.source)
            if (each.pool, each.source) in replaced and each.endpoints:
                self._tell(each)  # the one before may have spoken last
        self._membership.configure(providers, fixed)
        self._tell_changes(snapshot, fixed)

    def _tell_changes(self, snapshot: Snapshot, fixed: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """Log who came and who left."""
        before, self._members = self._members, {}
        for pool in snapshot.pools:
            configured = len(fixed.get(pool.name, ()))
            if configured == len(pool.endpoints) and pool.name not in before:
                continue
            names = {each.name for each in pool.endpoints[configured:]}
            self._members[pool.name] = names
            known = before.get(pool.name, set())
            told = [
                f"{_several(some)} {what}"
                for some, what in ((names - known, "came"), (known - names, "left"))
                if some
            ]
            if told:
                text = f"pool {pool.name}: {', '.join(told)}"
                self._events.info("discovery.changed", text, pool=pool.name)

    def views(self, pool: str) -> tuple[DiscoveryView, ...]:
        """How the providers of a pool do, in their order."""
        return tuple(
            DiscoveryView(
                provider=each.discovery.provider,
                shown=each.discovery.shown,
                state=each.state,
                reason=each.reason,
                answered_at=each.answered_at,
                endpoints=len(self._membership.told(each.source, pool)),
                failures=each.failures,
            )
            for each in self._followed.values()
            if each.pool == pool
        )

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end; ``configure`` begins them again."""
        self._followed = {}
        await self._tasks.stop()

    # --- one provider -----------------------------------------------------------------------

    def _begin(self, key: _Key) -> _Followed:
        followed = self._followed[key] = _Followed(*key)
        what = f"looking for endpoints: {followed.pool}, {followed.source.name}"
        followed.task = self._tasks.begin(what, self._follow(followed))
        return followed

    async def _follow(self, followed: _Followed) -> None:
        """Runs until cancelled."""
        provider = self._create(followed.discovery)
        try:
            while True:
                pause_s = await self._look(provider, followed)
                followed.first.set()
                await self._sleep(pause_s)
        finally:
            await provider.close()

    async def _look(self, provider: Provider, followed: _Followed) -> float:
        """Once; returns how long to wait before the next time."""
        try:
            answer = await provider.look()
            self._take(followed, answer)
        except (ProviderError, TooManyError) as error:
            return self._failed(provider, followed, str(error))
        except Exception as error:  # noqa: BLE001 - one provider's must not end it for ever
            self._events.bug(f"looking for endpoints: {followed.discovery.shown}", error)
            return self._failed(provider, followed, f"{type(error).__name__}: {error}")
        return answer.again_s

    def _take(self, followed: _Followed, answer: Answer) -> None:
        """Raises TooManyError and ProviderError."""
        endpoints, problems = [], list(answer.problems)
        for found in answer.found:
            try:
                endpoints.append(found_endpoint(followed.discovery, found))
            except ValueError as error:
                problems.append(str(error))
        if problems and not endpoints:
            raise ProviderError(_told(problems))
        if endpoints:
            before, followed.endpoints = followed.endpoints, endpoints
            try:
                self._tell(followed)
            except TooManyError:
                followed.endpoints = before
                raise
        followed.answered_at = self._wall_clock()
        failed, followed.failures = followed.failures > 0, 0
        if not endpoints:
            self._become(followed, "held", f"it answers with no endpoint{self._kept(followed)}")
            return
        if failed or followed.state == "held":
            text = f"pool {followed.pool}: {followed.source.name} is found again"
            self._events.info("discovery.found", text, pool=followed.pool)
        followed.state, followed.reason = "found", _told(problems)

    def _tell(self, followed: _Followed) -> None:
        most = followed.discovery.max_endpoints
        self._membership.set(followed.source, followed.pool, followed.endpoints, most)

    def _failed(self, provider: Provider, followed: _Followed, reason: str) -> float:
        followed.failures += 1
        self._become(followed, "failing", reason[:_SHOWN] + self._kept(followed))
        pause_s = provider.first_pause_s * 2.0 ** min(followed.failures - 1, 10)
        return min(pause_s, provider.longest_pause_s) * uniform(0.75, 1.25)

    def _become(self, followed: _Followed, state: str, reason: str) -> None:
        if (followed.state, followed.reason) != (state, reason):
            text = f"pool {followed.pool}: {followed.source.name}: {reason}"
            self._events.warning("discovery.failed", text, pool=followed.pool)
        followed.state, followed.reason = state, reason

    def _kept(self, followed: _Followed) -> str:
        known = len(self._membership.told(followed.source, followed.pool))
        return f"; the {known} known before are used" if known else ""


def _wanted(snapshot: Snapshot) -> Iterator[_Key]:
    for pool in snapshot.pools:
        for order, each in enumerate(pool.discover):
            yield pool.name, provider_source(order, each.shown), each


def _several(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _told(problems: list[str]) -> str:
    """The first of them, and how many more there are."""
    shown = "; ".join(problems[:_SHOWN_PROBLEMS])[:_SHOWN]
    more = len(problems) - _SHOWN_PROBLEMS
    return f"{shown}; and {more} more" if more > 0 else shown
