"""Active health checks: when each endpoint is checked, and what the results change.

One task for each endpoint that is checked: its checks follow one another, so they cannot pile up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Final

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckTarget
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.target_tasks import TargetTasks
from penstock.core.env import Env
from penstock.core.health.health import DOWN, UP, Health
from penstock.core.snapshot import Snapshot

_AT_ONCE: Final = 128  # checks; a bound on descriptors, not on speed


class HealthChecks:
    """The checks of every endpoint whose pool asks for them."""

    def __init__(self, states: EndpointStates, events: Events, contexts: EndpointContexts) -> None:
        self._states = states
        self._env = Env(Random())
        self._checker = HealthChecker(contexts)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._checked: TargetTasks[CheckTarget, _Checked] = TargetTasks(
            "checking", self._begin, self._keep_checking, events
        )
        # Awaited before an endpoint that was down gets requests; bounded.
        self.before_up: Callable[[str, str], Awaitable[None]] | None = None

    def configure(self, snapshot: Snapshot) -> None:
        """Check the endpoints of the running snapshot. Unchanged checks go on undisturbed."""
        self._checked.configure(
            {
                (pool.name, endpoint.name): CheckTarget(
                    pool.name, endpoint, pool.health_check, pool.tls, pool.proxy_protocol
                )
                for pool in snapshot.pools
                if pool.health_check is not None
                for endpoint in pool.endpoints
            }
        )

    def last_result(self, pool: str, name: str) -> str:
        """The newest check's result, for people; empty before the first and without checks."""
        checked = self._checked.get((pool, name))
        return checked.health.last_result if checked is not None else ""

    def hurry(self, pool: str, name: str) -> None:
        """Check it now: another balancer thinks otherwise of it than before."""
        checked = self._checked.get((pool, name))
        if checked is not None:
            checked.wanted.set()

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        await self._checked.stop()

    def _begin(self, target: CheckTarget, _: "_Checked | None") -> "_Checked":
        health = Health(target.check)
        # What is known holds until the first result of this check, which decides at once.
        health.state = self._states.of(target.pool, target.endpoint.name).health
        return _Checked(target, health)

    async def _keep_checking(self, checked: "_Checked") -> None:
        self._env.now = monotonic()
        at = checked.health.first_check_at(self._env)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(at - monotonic(), 0.0)):
                    await checked.wanted.wait()
            checked.wanted.clear()
            await self._check(checked.target, checked.health)
            self._env.now = monotonic()
            at = checked.health.next_check_at(self._env)

    async def _check(self, target: CheckTarget, health: Health) -> None:
        async with self._room:
            result = await self._checker.check(target)
        take = health.succeeded if result.passed else health.failed
        change = take(result.detail, monotonic())
        if change is not None:
            name = target.endpoint.name
            returns = change.state == UP and self._states.of(target.pool, name).health == DOWN
            if returns and self.before_up is not None:
                await self.before_up(target.pool, name)
            self._states.set_health(target.pool, target.endpoint.name, change.state, change.reason)


@dataclass
class _Checked:
    """An endpoint under check."""

    target: CheckTarget
    health: Health
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
