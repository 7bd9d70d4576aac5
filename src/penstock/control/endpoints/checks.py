"""Active health checks: when to check whom, and what becomes of the results.

One task for each endpoint that is checked: its checks follow one another, so they cannot pile up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from time import monotonic
from typing import Final

from penstock.control.endpoints.probes import Prober, Target
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.world.certificates import EndpointContexts
from penstock.control.world.rows import EndpointKey
from penstock.core.endpoint import DOWN, UP
from penstock.core.env import Env
from penstock.core.health.health import Health
from penstock.core.snapshot import Snapshot

_AT_ONCE: Final = 128  # checks; a bound on descriptors, not on speed
_AFTER_A_BUG_S: Final = 5.0


class HealthChecks:
    """The checks of every endpoint whose pool asks for them."""

    def __init__(self, states: EndpointStates, events: Events, contexts: EndpointContexts) -> None:
        self._states = states
        self._events = events
        self._env = Env(Random())
        self._prober = Prober(contexts)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._checked: dict[EndpointKey, _Checked] = {}
        # Awaited before an endpoint that was down gets requests; bounded.
        self.before_up: Callable[[str, str], Awaitable[None]] | None = None

    def follow(self, snapshot: Snapshot) -> None:
        """This is the world that runs. Checks that stay as they are go on undisturbed."""
        before, self._checked = self._checked, {}
        for pool in snapshot.pools:
            if pool.health_check is None:
                continue
            for endpoint in pool.endpoints:
                key = (pool.name, endpoint.name)
                target = Target(pool.name, endpoint, pool.health_check, pool.tls)
                checked = before.pop(key, None)
                if checked is None or checked.target != target:
                    checked = self._begin(target, checked)
                self._checked[key] = checked
        for gone in before.values():
            gone.task.cancel()

    def last_result(self, pool: str, name: str) -> str:
        """Of the newest check, for people; empty before the first and where there are none."""
        checked = self._checked.get((pool, name))
        return checked.health.last_result if checked is not None else ""

    async def stop(self) -> None:
        """End all."""
        tasks = [checked.task for checked in self._checked.values()]
        self._checked = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, target: Target, before: "_Checked | None") -> "_Checked":
        health = Health(target.check)
        if before is not None:
            before.task.cancel()
        # What is known holds until the first result of this check, which decides at once.
        known = self._states.of(target.pool, target.endpoint.name)
        health.state = known.health
        return _Checked(target, health, asyncio.create_task(self._keep_checking(target, health)))

    async def _keep_checking(self, target: Target, health: Health) -> None:
        self._env.now = monotonic()
        at = health.first_check_at(self._env)
        while True:
            await asyncio.sleep(at - monotonic())
            try:
                await self._check(target, health)
            except Exception as error:  # noqa: BLE001 - one endpoint's must not end the others'
                self._events.bug(f"checking {target.pool}/{target.endpoint.name}", error)
                await asyncio.sleep(_AFTER_A_BUG_S)
            self._env.now = monotonic()
            at = health.next_check_at(self._env)

    async def _check(self, target: Target, health: Health) -> None:
        async with self._room:
            result = await self._prober.probe(target)
        take = health.succeeded if result.passed else health.failed
        change = take(result.detail, monotonic())
        if change is not None:
            name = target.endpoint.name
            returns = change.state == UP and self._states.of(target.pool, name).health == DOWN
            if returns and self.before_up is not None:
                await self.before_up(target.pool, name)
            self._states.set_health(target.pool, target.endpoint.name, change.state, change.reason)


class _Checked:
    """An endpoint under check."""

    def __init__(self, target: Target, health: Health, task: "asyncio.Task[None]") -> None:
        self.target = target
        self.health = health
        self.task = task
