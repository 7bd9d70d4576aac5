"""Days of a scaled fleet in steps of seconds: what broke, and what it cost.

Requests come as a Poisson process of a given rate. What endpoints cannot take waits in one queue.
A step is broken when its load would make more than the allowed share of requests wait for a place,
by Erlang's C for the true rate and the endpoints that serve, or when those that wait already cannot
be gone within ``Fleet.service_s``. Who starts is paid for from the first second and serves after
a time that is drawn; who is removed is paid for while it drains, one service time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from random import Random
from typing import Final

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen
from penstock.sim.scaling.staffing import staffing_of

STEP_S: Final = 10.0
_SPREAD: Final = 0.2  # of start times, as a share of the usual one
_RATE_S: Final = 30.0  # over which rates are shown


@dataclass
class Course:
    """What a rule did."""

    rule: str
    target: float
    broken_s: float = 0.0
    endpoint_s: float = 0.0
    needed_s: float = 0.0  # of endpoints, had each been there exactly when needed
    measured_s: float = 0.0
    changes: int = 0  # of the number
    turns: int = 0  # changes of direction
    hasty_turns: int = 0  # two of them within a start time and a cool-down of 300 s
    numbers: list[int] = field(default_factory=list)  # one a minute

    @property
    def broken_minutes(self) -> float:
        return self.broken_s / 60.0

    @property
    def endpoint_hours(self) -> float:
        return self.endpoint_s / 3600.0


def run_course(
    make: Callable[[], ScalingRule],
    fleet: Fleet,
    rate_at: Callable[[float], float],
    *,
    seed: int,
    begin_s: float,
    length_s: float,
) -> Course:
    """Let a rule scale from ``begin_s`` on; what was before it has been told."""
    rule = make()
    world = _Fluid(fleet, Random(f"{seed}/starts"))
    arrivals = Random(f"{seed}/arrivals")
    course = Course(rule.name, rule.target)
    turns = _Turns(fleet.start_s + 300.0)
    world.begin(rate_at(begin_s))
    staffing = staffing_of(fleet.concurrency, fleet.late_share)
    rates: list[float] = []
    next_look = now = begin_s
    while now < begin_s + length_s:
        rate = rate_at(now)
        mean = rate * STEP_S
        came = max(arrivals.gauss(mean, sqrt(mean)), 0.0)
        for seconds in world.arrive(now):
            rule.started(seconds)
        world.serve(came)
        rates.append(came / STEP_S)
        del rates[: -int(_RATE_S / STEP_S)]
        needed = staffing.needed(rate * fleet.service_s)
        course.measured_s += STEP_S
        course.endpoint_s += STEP_S * world.paid()
        course.needed_s += STEP_S * needed
        if world.serving < needed or world.is_late():
            course.broken_s += STEP_S
        if now % 60.0 < STEP_S:
            course.numbers.append(world.present)
        now += STEP_S
        if now >= next_look:
            next_look = now + rule.every_s
            before = world.present
            shown = sum(rates) / len(rates)
            wanted = rule.desired(world.seen(now, shown))
            world.become(wanted, now)
            turns.note(now, world.present - before)
    course.changes, course.turns, course.hasty_turns = turns.changes, turns.turns, turns.hasty
    return course


class _Turns:
    """Counts changes of direction."""

    def __init__(self, within_s: float) -> None:
        self.changes = self.turns = self.hasty = 0
        self._within_s = within_s
        self._direction = 0
        self._turned_at = -1e18

    def note(self, now: float, change: int) -> None:
        if change == 0:
            return
        self.changes += 1
        direction = 1 if change > 0 else -1
        if self._direction and direction != self._direction:
            self.turns += 1
            if now - self._turned_at < self._within_s:
                self.hasty += 1
            self._turned_at = now
        self._direction = direction


class _Fluid:
    """Endpoints, and the requests that are there."""

    def __init__(self, fleet: Fleet, rng: Random) -> None:
        self.serving = 0
        self._fleet = fleet
        self._rng = rng
        self._starting: list[tuple[float, float]] = []  # when it serves, how long it took
        self._draining = 0.0  # paid for in this step
        self._waiting = 0.0
        self._in_service = 0.0

    @property
    def present(self) -> int:
        return self.serving + len(self._starting)

    def paid(self) -> float:
        return self.present + self._draining

    def begin(self, rate: float) -> None:
        """So many as are needed are there."""
        fleet = self._fleet
        needed = staffing_of(fleet.concurrency, fleet.late_share).needed(rate * fleet.service_s)
        self.serving = min(max(needed, fleet.fewest), fleet.most)

    def arrive(self, now: float) -> list[float]:
        """Those whose start time has passed serve; returns how long they took."""
        ready = [took for when, took in self._starting if when <= now]
        self._starting = [each for each in self._starting if each[0] > now]
        self.serving += len(ready)
        return ready

    def serve(self, came: float) -> None:
        fleet = self._fleet
        self._draining = 0.0
        most = self.serving * fleet.concurrency / fleet.service_s * STEP_S
        work = self._waiting + came
        done = min(work, most)
        self._waiting = work - done
        self._in_service = done / STEP_S * fleet.service_s

    def is_late(self) -> bool:
        """Whether those that wait need longer than a service time."""
        if self._waiting <= 0.0:
            return False
        rate = self.serving * self._fleet.concurrency / self._fleet.service_s
        return self._waiting > rate * self._fleet.service_s

    def seen(self, now: float, rate: float) -> Seen:
        there = self._in_service + self._waiting
        return Seen(now, rate, there, self._waiting, self.serving, len(self._starting))

    def become(self, wanted: int, now: float) -> None:
        usual = self._fleet.start_s
        while self.present < wanted:
            took = max(self._rng.gauss(usual, _SPREAD * usual), 0.2 * usual)
            self._starting.append((now + took, took))
        while self.present > wanted and self._starting:
            self._starting.pop()
        if self.present > wanted:
            self._draining += (self.present - wanted) * self._fleet.service_s / STEP_S
            self.serving = wanted
