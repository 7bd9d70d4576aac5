"""Reloading: read the configuration again and publish it, or say why not and change nothing."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Final

from penstock.admin.view import ReloadView
from penstock.config.compile.configured import Configured
from penstock.config.load.errors import ConfigError
from penstock.control.events import Events
from penstock.control.world.publish import Publisher, PublishError

_NEEDS_RESTART: Final = "takes effect after a restart"


class Reloader:
    """``configured`` is what runs; ``last`` how the newest reload ended, ``count`` all of them."""

    def __init__(
        self,
        configured: Configured,
        reread: Callable[[], Configured],
        publisher: Publisher,
        events: Events,
    ) -> None:
        self.configured = configured
        self.last: ReloadView | None = None
        self.on_begin: Callable[[], None] = _nobody
        self.on_end: Callable[[], None] = _nobody
        # What is added to a configuration that is to run, and who is told of one that does.
        self.extend: Callable[[Configured], Configured] = _as_it_is
        self.on_run: Callable[[Configured], None] = _nobody_told
        self.succeeded = 0
        self.failed = 0
        self._first = configured
        self._reread = reread
        self._publisher = publisher
        self._events = events
        self._one_at_a_time = asyncio.Lock()
        self._refused_because = ""

    @property
    def under_way(self) -> bool:
        """Whether one is asked for and not done."""
        return self._one_at_a_time.locked()

    def refuse_all(self, reason: str) -> None:
        """From here on reloads fail for that reason."""
        self._refused_because = reason

    async def reload(self, asked_by: str) -> ReloadView:
        """Read, check and publish. Never raises for what a configuration says."""
        async with self._one_at_a_time:
            if self._refused_because:
                return self._failed(asked_by, self._refused_because)
            self.on_begin()
            try:
                configured = await asyncio.to_thread(self._reread)
                await self._publisher.publish(self.extend(configured).snapshot)
            except (ConfigError, PublishError) as error:
                return self._failed(asked_by, str(error))
            finally:
                self.on_end()
            self.configured = configured
            self.on_run(configured)
            return self._succeeded(asked_by, self._notes(configured))

    async def publish(self) -> None:
        """Run the same configuration with what is added to it now. Raises PublishError."""
        async with self._one_at_a_time:
            if self._refused_because:
                raise PublishError(self._refused_because)
            await self._publisher.publish(self.extend(self.configured).snapshot)

    def _succeeded(self, asked_by: str, notes: tuple[str, ...]) -> ReloadView:
        generation = self._publisher.running.generation
        message = f"generation {generation} is active"
        self.succeeded += 1
        self.last = ReloadView(time(), asked_by, True, message, generation, notes)
        self._events.info("reload", f"reloaded ({asked_by}): {message}", generation=generation)
        for note in notes:
            self._events.warning("reload.note", note)
        return self.last

    def _failed(self, asked_by: str, reason: str) -> ReloadView:
        generation = self._publisher.running.generation
        self.failed += 1
        self.last = ReloadView(time(), asked_by, False, reason, generation)
        self._events.error(
            "reload.failed",
            f"reload failed ({asked_by}), generation {generation} stays active: {reason}",
            generation=generation,
        )
        return self.last

    def _notes(self, configured: Configured) -> tuple[str, ...]:
        notes = list(configured.warnings)
        if configured.workers != self._first.workers:
            notes.append(f"workers: {configured.workers} {_NEEDS_RESTART}")
        if configured.admin != self._first.admin:
            notes.append(f"the admin address or token {_NEEDS_RESTART}")
        if configured.state != self._first.state:
            notes.append(f"the state directory {_NEEDS_RESTART}")
        if configured.store != self._first.store:
            notes.append(f"the store {_NEEDS_RESTART}")
        return tuple(notes)


def _nobody() -> None:
    """Wants to know."""


def _nobody_told(configured: Configured) -> None:
    """Wants to know."""


def _as_it_is(configured: Configured) -> Configured:
    """Where nothing is added."""
    return configured
