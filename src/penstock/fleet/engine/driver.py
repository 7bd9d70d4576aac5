"""Runs an engine's model in real time: steps end when their time has come, times its speed-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from penstock.fleet.engine.generation import Generation
from penstock.sim.inference import EngineLoad, InferenceEngine

# The generations that got a token, and how long the step took in engine seconds.
OnStep = Callable[[list[Generation], float], None]


# A timer set for a moment may fire when the engine's clock, computed anew, is a hair before it.
_ROUNDING_S = 1e-6


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an event loop that a driver needs."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


class Driver:
    """One engine on an event loop.

    Each step begins when the one before was due, not when the event loop got round to it, so
    that the loop's lateness (a millisecond with epoll) does not add up.
    """

    def __init__(
        self,
        engine: InferenceEngine[Generation],
        speedup: float,
        on_step: OnStep,
        clock: Clock | None = None,
    ) -> None:
        self._engine = engine
        self._speedup = speedup
        self._on_step = on_step
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._pace = speedup  # engine seconds per real second
        self._real_origin = self._clock.time()
        self._engine_origin = 0.0
        self._last_due = 0.0
        self._timer: Timer | None = None
        self.cancelled_at = -1.0  # the clock's time when work was last ended before it was done

    def now(self) -> float:
        """The engine's time in seconds."""
        return self._engine_origin + (self._clock.time() - self._real_origin) * self._pace

    def submit(self, generation: Generation) -> None:
        """Begin work. Raises ValueError for what can never fit."""
        self._advance()
        self._engine.submit(generation, self.now())
        self._arm()

    def cancel(self, generation: Generation) -> None:
        """End work; harmless when it has ended."""
        if not generation.finished:
            self.cancelled_at = self._clock.time()
        self._engine.cancel(generation)
        generation.listener = None

    def load(self) -> EngineLoad:
        return self._engine.load()

    def set_slowness(self, factor: float) -> None:
        """Take ``factor`` times as long for everything from now on; infinity stands still."""
        self._advance()
        self._engine_origin = self.now()
        self._real_origin = self._clock.time()
        self._pace = self._speedup / factor
        self._arm()

    def cold_start(self) -> None:
        """Lose all work and the cache."""
        self._engine.reset()
        self._arm()

    def _wake(self) -> None:
        self._timer = None
        self._advance()
        self._arm()

    def _advance(self) -> None:
        """End every step whose time has come."""
        now = self.now() + _ROUNDING_S
        while (due := self._engine.due) is not None and due <= now:
            generations = self._engine.step(due)
            for generation in generations:
                generation.emit()
            self._on_step(generations, due - self._last_due)
            self._last_due = due

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._engine.due
        if due is not None and self._pace > 0:
            real = self._real_origin + (due - self._engine_origin) / self._pace
            self._timer = self._clock.call_at(real, self._wake)
