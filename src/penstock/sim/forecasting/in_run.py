"""A scenario's ``forecast`` brought to life."""

from functools import partial

from penstock.core.forecast import forecaster_of
from penstock.core.forecast.counted import CountedSeries
from penstock.core.snapshot import Forecast
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.load_forecast import LoadForecast
from penstock.sim.kernel.source import Source


def load_forecast(spec: Forecast, clock: Clock, source: Source) -> LoadForecast:
    """To be begun at 0."""
    series = CountedSeries(partial(forecaster_of, spec), longest_gap=1)
    return LoadForecast(clock, source, series, spec.step_s, round(spec.lead_s / spec.step_s))
