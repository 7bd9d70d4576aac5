"""The load of a run beside what was forecast of it, as a supervisor would have."""

from collections import deque
from typing import Final

from penstock.core.forecast.counted import CountedSeries
from penstock.core.forecast.forecast import Forecast
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.source import Source

LOWER: Final = 0.1
UPPER: Final = 0.9


class ForecastStep:
    """A step that has ended: what came, and what was expected of it a lead before; per second."""

    def __init__(self, at_s: float, load: float, mean: float, lower: float, upper: float) -> None:
        self.at_s: float = at_s
        self.load: float = load
        self.mean: float = mean
        self.lower: float = lower
        self.upper: float = upper


class LoadForecast(Event):
    """Reads how many requests came at the end of every step. Begin it at 0."""

    def __init__(
        self, clock: Clock, source: Source, series: CountedSeries, step_s: float, lead: int
    ) -> None:
        super().__init__()
        self.steps: list[ForecastStep] = []
        self._clock: Clock = clock
        self._source: Source = source
        self._series: CountedSeries = series
        self._step_s: float = step_s
        self._lead: int = lead
        self._number: int = 0
        self._made: deque[Forecast] = deque()  # of the last steps, up to a lead ago

    def fire(self) -> None:
        self._series.read(self._source.sent, self._number)
        if len(self._made) == self._lead:
            made, lead, step_s = self._made.popleft(), self._lead, self._step_s
            self.steps.append(
                ForecastStep(
                    self._clock.now,
                    self._series.latest / step_s,
                    made.mean[lead - 1] / step_s,
                    made.quantile(LOWER, lead) / step_s,
                    made.quantile(UPPER, lead) / step_s,
                )
            )
        if self._series.observed:
            self._made.append(self._series.forecaster.forecast(self._lead))
        self._number += 1
        self._clock.heap.schedule(self, self._clock.now + self._step_s)
