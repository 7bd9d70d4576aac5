"""The demand to come, by a forecaster of requests per step and the tokens that one brings."""

from math import ceil
from typing import Final

from penstock.core.forecast.base import Forecaster
from penstock.core.scale.demand import Demand, Foresight

_STEP: Final = 0.05  # of the tokens of a request, per step that had any


class ForecastDemand(Foresight):
    """Told what came; whoever drives it does so every few seconds, and steps end by themselves."""

    def __init__(self, forecaster: Forecaster, step_s: float, quantile: float) -> None:
        self.forecaster: Forecaster = forecaster
        self.step_s: float = step_s
        self.quantile: float = quantile
        self.steps: int = 0  # that were seen whole
        self.prompt_tokens: float = 0.0  # of a request, on average
        self.output_tokens: float = 0.0
        self._requests: float = 0.0  # of the step that runs
        self._prompts: float = 0.0
        self._outputs: float = 0.0
        self._ends_at: float = -1.0
        self._whole: bool = False

    def note(
        self, now: float, requests: float, prompt_tokens: float = 0.0, output_tokens: float = 0.0
    ) -> bool:
        """So much came since the last call; returns whether a step ended."""
        if self._ends_at < 0.0:
            self._ends_at = ceil((now + 1e-9) / self.step_s) * self.step_s
        ended = False
        while now >= self._ends_at:
            self._end_step()
            self._ends_at += self.step_s
            ended = True
        self._requests += requests
        self._prompts += prompt_tokens
        self._outputs += output_tokens
        return ended

    def most(self, until_s: float) -> Demand | None:
        if self.steps == 0:
            return None
        # What runs is the first step that is forecast.
        last = min(ceil(until_s / self.step_s) + 1, self.forecaster.horizon)
        requests = self.forecaster.forecast(last).highest(self.quantile, 1, last)
        rate = requests / self.step_s
        return Demand(rate, rate * self.prompt_tokens, rate * self.output_tokens)

    def _end_step(self) -> None:
        # The first step is one of which only a part was seen.
        if not self._whole:
            self._whole = True
        else:
            self.forecaster.observe(self._requests)
            self.steps += 1
            if self._requests > 0.0:
                share = _STEP if self.prompt_tokens or self.output_tokens else 1.0
                prompts = self._prompts / self._requests
                outputs = self._outputs / self._requests
                self.prompt_tokens += (prompts - self.prompt_tokens) * share
                self.output_tokens += (outputs - self.output_tokens) * share
        self._requests = self._prompts = self._outputs = 0.0
