"""A pool's forecast as the planner asks for it."""

from collections.abc import Callable
from typing import Final

from penstock.control.forecasts.pool_forecast import PoolForecast
from penstock.control.forecasts.totals import ALL_MODELS, REQUESTS, Load
from penstock.control.scale.sampling import Sample
from penstock.core.scale.demand import Demand, Foresight

_REQUESTS: Final = Load(ALL_MODELS, REQUESTS)
_STEP: Final = 0.05  # of the tokens of a request, per look at which any came


class ForeseenDemand(Foresight):
    """Requests are forecast; the tokens that one brings are those of late, without what is found
    in caches, which nobody computes."""

    def __init__(self, forecast: Callable[[], PoolForecast | None], quantile: float) -> None:
        """``forecast``: the pool's, if it has one now."""
        self._forecast = forecast
        self._quantile = quantile
        self._prompt_tokens = 0.0  # of a request
        self._output_tokens = 0.0

    def note(self, sample: Sample) -> None:
        """What came since the last look."""
        if sample.came <= 0.0:
            return
        share = _STEP if self._prompt_tokens or self._output_tokens else 1.0
        prompts, outputs = sample.prompt_tokens / sample.came, sample.output_tokens / sample.came
        self._prompt_tokens += (prompts - self._prompt_tokens) * share
        self._output_tokens += (outputs - self._output_tokens) * share

    def most(self, until_s: float) -> Demand | None:
        forecast = self._forecast()
        if forecast is None:
            return None
        rate = forecast.most(_REQUESTS, self._quantile, until_s)
        if rate is None:
            return None
        return Demand(rate, rate * self._prompt_tokens, rate * self._output_tokens)

    def rate(self, in_s: float, level: float) -> float:
        """Requests per second from now until then, at most, at that quantile; 0: nobody knows."""
        forecast = self._forecast()
        found = forecast.most(_REQUESTS, level, in_s) if forecast is not None else None
        return found if found is not None else 0.0
