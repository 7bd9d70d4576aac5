"""The driver: steps on time, lateness that does not add up, pace that can change."""

from collections.abc import Callable

import pytest

from penstock.fleet.engine.driver import Driver
from penstock.fleet.engine.generation import Generation
from penstock.sim.engine_timing import EngineTiming
from penstock.sim.inference import EngineLimits, InferenceEngine

# A prefill of 100 ms, then 10 ms a token.
TIMING = EngineTiming(prefill_base=100.0, prefill_token=0.0, decode_base=10.0)


class FakeTimer:
    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that passes when told to; timers fire ``late`` seconds late."""

    def __init__(self, late: float = 0.0) -> None:
        self._now = 1000.0
        self._late = late
        self._timers: list[FakeTimer] = []

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], object], /) -> FakeTimer:
        self._timers.append(FakeTimer(when, callback))
        return self._timers[-1]

    def run_until(self, end: float) -> None:
        while True:
            live = [timer for timer in self._timers if timer.callback is not None]
            due = [timer for timer in live if timer.when + self._late <= end]
            if not due:
                self._now = end
                return
            first = min(due, key=lambda timer: timer.when)
            self._timers.remove(first)
            self._now = max(self._now, first.when + self._late)
            assert first.callback is not None
            first.callback()


class Recorder:
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.at: list[float] = []
        self.last = False

    def token(self, text: bytes, last: bool) -> None:
        self.at.append(round(self._clock.time() - 1000.0, 6))
        self.last = last


def driver_on(clock: FakeClock, speedup: float = 1.0) -> Driver:
    engine = InferenceEngine[Generation](TIMING, EngineLimits(kv_tokens=4096))
    return Driver(engine, speedup, lambda generations, step_s: None, clock)


def generation(clock: FakeClock, tokens: int) -> tuple[Generation, Recorder]:
    made = Generation(
        b"ask " * 10, b" yes" * tokens, [], block_tokens=16, stopped=False, adapter=""
    )
    recorder = Recorder(clock)
    made.listener = recorder
    return made, recorder


def test_tokens_come_when_their_steps_end() -> None:
    clock = FakeClock()
    driver = driver_on(clock)
    asked, told = generation(clock, 3)
    driver.submit(asked)
    clock.run_until(1010.0)
    assert told.at == [0.1, 0.11, 0.12]
    assert told.last


def test_a_late_event_loop_delays_each_token_but_not_the_engine() -> None:
    clock = FakeClock(late=0.004)
    driver = driver_on(clock)
    asked, told = generation(clock, 50)
    driver.submit(asked)
    clock.run_until(1010.0)
    assert told.at[-1] == pytest.approx(0.1 + 49 * 0.01 + 0.004)


def test_a_loop_later_than_a_step_catches_up() -> None:
    clock = FakeClock(late=0.025)
    driver = driver_on(clock)
    asked, told = generation(clock, 10)
    driver.submit(asked)
    clock.run_until(1010.0)
    assert len(told.at) == 10
    assert told.at[-1] <= 0.1 + 9 * 0.01 + 0.025 + 1e-6


def test_speedup_divides_every_time() -> None:
    clock = FakeClock()
    driver = driver_on(clock, speedup=10.0)
    asked, told = generation(clock, 3)
    driver.submit(asked)
    clock.run_until(1010.0)
    assert told.at == [0.01, 0.011, 0.012]


def test_slowness_stretches_what_is_left() -> None:
    clock = FakeClock()
    driver = driver_on(clock)
    asked, told = generation(clock, 2)
    driver.submit(asked)
    clock.run_until(1000.05)
    driver.set_slowness(4.0)
    clock.run_until(1010.0)
    assert told.at == [0.25, 0.29]


def test_standing_still_and_going_on() -> None:
    clock = FakeClock()
    driver = driver_on(clock)
    asked, told = generation(clock, 2)
    driver.submit(asked)
    clock.run_until(1000.05)
    driver.set_slowness(float("inf"))
    clock.run_until(1003.0)
    assert told.at == []
    driver.set_slowness(1.0)
    clock.run_until(1010.0)
    assert told.at == [3.05, 3.06]


def test_a_cancelled_generation_hears_nothing_more() -> None:
    clock = FakeClock()
    driver = driver_on(clock)
    asked, told = generation(clock, 5)
    driver.submit(asked)
    clock.run_until(1000.115)
    driver.cancel(asked)
    clock.run_until(1010.0)
    assert told.at == [0.1, 0.11]
    assert driver.load().running == 0
