"""One pool's series, and what is forecast of them."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec

from penstock.admin.view import AheadView, ForecastView
from penstock.control.forecasts.totals import ALL_MODELS, REQUESTS, Load, Totals
from penstock.core.forecast import forecaster_of
from penstock.core.forecast.counted import CountedSeries
from penstock.core.forecast.methods.blend import Blend
from penstock.core.snapshot import Forecast as ForecastSpec

SHOWN: Final = (0.1, 0.5, 0.9, 0.99)  # quantiles
_MOST_MODELS: Final = 4  # of a pool that have series of their own: a megabyte or two each
_LONGEST_GAP: Final = 20_160  # steps: two weeks of minutes, passed over in half a second
_ENOUGH: Final = 3  # steps seen, before anybody is told a forecast


class SavedSeries(msgspec.Struct):
    """As the state directory has it."""

    model: str
    quantity: str
    state: dict[str, Any]


class PoolForecast:
    """Begins empty, or where a predecessor ended (``restore``)."""

    def __init__(self, spec: ForecastSpec) -> None:
        self.spec = spec
        self.series: dict[Load, CountedSeries] = {}

    def step_at(self, now_s: float) -> int:
        """The number of the step that runs then (Unix time)."""
        return int(now_s / self.spec.step_s)

    def loads(self, totals: Totals) -> list[Load]:
        """Of which there are to be series: of the pool, and of its busiest models if several."""
        whole = [load for load in totals if load.model == ALL_MODELS]
        models = {load.model for load in totals} - {ALL_MODELS}
        if len(models) < 2:
            return whole
        known = {load.model for load in self.series} & models
        others = sorted(models - known, key=lambda model: -totals[Load(model, REQUESTS)])
        chosen = [*sorted(known), *others][:_MOST_MODELS]
        return whole + [load for load in totals if load.model in chosen]

    def read(self, load: Load, total: int, step: int) -> None:
        """What was asked for up to the beginning of that step."""
        series = self.series.get(load)
        if series is None:
            series = self.series[load] = self._new()
        series.read(total, step)

    def most(self, load: Load, level: float, until_s: float) -> float | None:
        """The greatest of the quantiles from now until then, per second; None while too little was
        seen. Beyond the horizon it is that of the horizon."""
        series = self.series.get(load)
        if series is None or series.observed < _ENOUGH:
            return None
        forecaster = series.forecaster
        steps = min(max(-int(-until_s // self.spec.step_s), 1), forecaster.horizon)
        return forecaster.forecast(steps).highest(level, 1, steps) / self.spec.step_s

    def views(self) -> tuple[ForecastView, ...]:
        """What is shown of all series of which enough was seen."""
        return tuple(
            self._view(load, series)
            for load, series in sorted(self.series.items())
            if series.observed >= _ENOUGH
        )

    def saved(self) -> Iterator[SavedSeries]:
        """All of it, as plain values, one series at a time."""
        for load, series in list(self.series.items()):
            yield SavedSeries(load.model, load.quantity, series.state())

    def restore(self, saved: list[SavedSeries]) -> None:
        """Go on from there. Raises ValueError where the pool is forecast otherwise now."""
        restored: dict[Load, CountedSeries] = {}
        for each in saved:
            series = self._new()
            series.restore(each.state)
            restored[Load(each.model, each.quantity)] = series
        self.series = restored

    def _new(self) -> CountedSeries:
        return CountedSeries(partial(forecaster_of, self.spec), _LONGEST_GAP)

    def _view(self, load: Load, series: CountedSeries) -> ForecastView:
        spec, forecaster = self.spec, series.forecaster
        forecast = forecaster.forecast(forecaster.horizon)
        lead = round(spec.lead_s / spec.step_s)
        return ForecastView(
            model=load.model,
            quantity=load.quantity,
            method=spec.method,
            step_s=spec.step_s,
            lead_s=spec.lead_s,
            observed=series.observed,
            latest=series.latest / spec.step_s,
            ahead=tuple(
                AheadView(
                    ahead_s=step * spec.step_s,
                    mean=forecast.mean[step - 1] / spec.step_s,
                    quantiles={q: forecast.quantile(q, step) / spec.step_s for q in SHOWN},
                )
                for step in sorted({1, lead, forecaster.horizon})
            ),
            weights=forecaster.weights() if isinstance(forecaster, Blend) else {},
        )
