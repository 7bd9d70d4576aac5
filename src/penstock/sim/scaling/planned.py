"""Penstock's planner as a rule: the very object that scales live."""

from collections.abc import Sequence
from typing import ClassVar

from penstock.core.forecast import create_forecaster
from penstock.core.scale.capacity import Places
from penstock.core.scale.demand import Demand, Foresight, Sight
from penstock.core.scale.foresight import ForecastDemand
from penstock.core.scale.members import SERVING, STARTING, Member
from penstock.core.scale.planner import Planner
from penstock.core.snapshot.scale import Scale
from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen

STEP_S = 300.0
DAY_STEPS = 24 * 12
WITHOUT = "none"


class Planned(ScalingRule):
    """``target`` is the share that is kept spare; ``forecast`` names the method, or ``none``."""

    name: ClassVar[str] = "penstock"
    every_s: ClassVar[float] = 10.0

    def __init__(
        self,
        fleet: Fleet,
        target: float,
        *,
        forecast: str = "seasonal-naive",
        quantile: float = 0.75,
        cool_down_s: float = 300.0,
    ) -> None:
        super().__init__(fleet, target)
        rules = Scale(
            max=fleet.most,
            min=fleet.fewest,
            concurrency=fleet.concurrency,
            late_share=fleet.late_share,
            quantile=quantile,
            spare=target,
            start_time_s=fleet.start_s,
            cool_down_s=cool_down_s,
            interval_s=self.every_s,
        )
        self._foreseen: ForecastDemand | None = None
        foresight = Foresight()
        if forecast != WITHOUT:
            horizon = int((3.0 * fleet.start_s + cool_down_s) / STEP_S) + 2
            seasons = (DAY_STEPS, 7 * DAY_STEPS)
            forecaster = create_forecaster(forecast, seasons, horizon)
            foresight = self._foreseen = ForecastDemand(forecaster, STEP_S, quantile)
        self.planner = Planner(rules, Places(fleet.concurrency, fleet.late_share), foresight)
        self._members: list[Member] = []
        self._made = 0
        self._at = 0.0

    def learn(self, rates: Sequence[float], until_s: float) -> None:
        if self._foreseen is not None:
            first = until_s - 60.0 * len(rates)
            self._foreseen.note(first, 0.0)
            for index, rate in enumerate(rates, start=1):
                self._foreseen.note(first + 60.0 * index, rate * 60.0)
        self._at = until_s

    def desired(self, seen: Seen) -> int:
        passed = seen.now - self._at
        self._at = seen.now
        if self._foreseen is not None:
            self._foreseen.note(seen.now, seen.rate * passed)
        at_endpoints = seen.concurrency - seen.queued
        sight = Sight(seen.now, Demand(seen.rate), in_flight=at_endpoints, queued=seen.queued)
        self.planner.capacity.learn_service(self.fleet.service_s, sight, seen.serving)
        self._match(seen)
        decision = self.planner.decide(sight, self._members)
        for name in decision.stop:
            self._members = [each for each in self._members if each.name != name]
        self._add(decision.start, STARTING)
        return self.bounded(decision.desired)

    def started(self, seconds: float) -> None:
        self.planner.starts.add(seconds)

    def _match(self, seen: Seen) -> None:
        while len(self._members) < seen.present:
            self._add(1, SERVING)
        del self._members[seen.present :]
        for index, member in enumerate(self._members):
            member.state = SERVING if index < seen.serving else STARTING

    def _add(self, count: int, state: int) -> None:
        for _ in range(count):
            self._members.append(Member(f"e{self._made}", state))
            self._made += 1
