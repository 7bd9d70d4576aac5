"""All other methods, each weighed by what acting on it has cost of late.

    weight ∝ exp(−η · cost / the least cost)

with costs that fade, those of a stand-in fleet (``decision_loss``) whose capacity comes ``lead``
steps after it is ordered, and of which a missing unit costs ``under`` times an idle one. So a
method that errs where nothing can be decided any more loses nothing by it. Exponential weights are
those of Y. Freund and R. Schapire, "A decision-theoretic generalization of on-line learning and an
application to boosting", JCSS 55 (1997).
"""

from math import exp
from typing import ClassVar, Final

from penstock.core.forecast.base import Forecaster
from penstock.core.forecast.decision_loss import StandInFleet
from penstock.core.forecast.methods.autoregressive import Autoregressive
from penstock.core.forecast.methods.holt_winters import HoltWinters
from penstock.core.forecast.methods.last_value import LastValue
from penstock.core.forecast.methods.seasonal_naive import SeasonalNaive
from penstock.core.plain_state import State, number, part
from penstock.core.policy.base import Option

_ETA: Final = 10.0
_KEPT: Final = 0.998  # of costs, at each step


class Blend(Forecaster):
    name: ClassVar[str] = "blend"
    options: ClassVar[tuple[Option, ...]] = (
        Option("lead", 5, "steps from ordering capacity until it serves", minimum=1),
        Option("under", 9.0, "what a missing unit costs, where an idle one costs 1", minimum=0.1),
    )

    def __init__(
        self, seasons: tuple[int, ...], horizon: int, lead: int = 5, under: float = 9.0
    ) -> None:
        super().__init__(seasons, horizon)
        lead = min(lead, horizon)
        self._members: list[Member] = [
            Member(HoltWinters(seasons, horizon), lead, under),
            Member(Autoregressive(seasons, horizon), lead, under),
            Member(SeasonalNaive(seasons, horizon), lead, under),
            Member(LastValue(seasons, horizon), lead, under),
        ]

    def weights(self) -> dict[str, float]:
        """The share that each method has, by its name."""
        least = min([member.cost for member in self._members])
        if least <= 0.0:
            return {member.forecaster.name: 1.0 / len(self._members) for member in self._members}
        raw = [exp(-_ETA * (member.cost / least - 1.0)) for member in self._members]
        total = sum(raw)
        return {
            self._members[at].forecaster.name: raw[at] / total for at in range(len(self._members))
        }

    def learn(self, value: float) -> None:
        for member in self._members:
            member.observe(value)

    def miss(self) -> None:
        for member in self._members:
            member.observe(None)

    def skip(self) -> None:
        self._conformal.skip()
        for member in self._members:
            member.forecaster.skip()

    def predict(self) -> list[float]:
        path = [0.0] * self.horizon
        weights = self.weights()
        for member in self._members:
            weight = weights[member.forecaster.name]
            mean = member.forecaster.forecast(self.horizon).mean
            for step in range(self.horizon):
                path[step] += weight * mean[step]
        return path

    def own_state(self) -> State:
        return {member.forecaster.name: member.state() for member in self._members}

    def take_state(self, state: State) -> None:
        for member in self._members:
            member.restore(part(state, member.forecaster.name))


class Member:
    """A method, and what acting on it has cost."""

    def __init__(self, forecaster: Forecaster, lead: int, under: float) -> None:
        self.forecaster: Forecaster = forecaster
        self.cost: float = 0.0
        self._fleet: StandInFleet = StandInFleet(lead, under)

    def observe(self, value: float | None) -> None:
        """A step has ended."""
        if value is not None:
            self.cost = _KEPT * self.cost + self._fleet.cost(value)
        self.forecaster.observe(value)
        self._fleet.act(self.forecaster.forecast(self._fleet.lead))

    def state(self) -> State:
        """What it remembers, as plain values."""
        return {
            "forecaster": self.forecaster.state(),
            "fleet": self._fleet.state(),
            "cost": self.cost,
        }

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError."""
        self.forecaster.restore(part(state, "forecaster"))
        self._fleet.restore(part(state, "fleet"))
        self.cost = number(state, "cost")
