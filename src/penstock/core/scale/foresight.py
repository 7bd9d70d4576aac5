"""The demand to come, by a forecaster of requests per step and the tokens that one brings."""

from math import ceil, floor
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
        self._noted_at: float = 0.0
        self._whole: bool = False

    def note(
        self, now: float, requests: float, prompt_tokens: float = 0.0, output_tokens: float = 0.0
    ) -> bool:
        """So much came since the last call, evenly; returns whether a step ended."""
        if self._ends_at < 0.0:
            self._ends_at = (floor(now / self.step_s) + 1.0) * self.step_s
            self._noted_at = now
            return False
        ended = False
        while now >= self._ends_at:
            share = (self._ends_at - self._noted_at) / (now - self._noted_at)
            self._add(requests * share, prompt_tokens * share, output_tokens * share)
            requests *= 1.0 - share
            prompt_tokens *= 1.0 - share
            output_tokens *= 1.0 - share
            self._noted_at = self._ends_at
            self._end_step()
            self._ends_at += self.step_s
            ended = True
            if now <= self._noted_at:
                return ended
        self._add(requests, prompt_tokens, output_tokens)
        self._noted_at = now
        return ended

    def _add(self, requests: float, prompt_tokens: float, output_tokens: float) -> None:
        self._requests += requests
        self._prompts += prompt_tokens
        self._outputs += output_tokens

    def most(self, until_s: float) -> Demand | None:
        if self.steps == 0:
            return None
        # What runs is the first step that is forecast.
        last = min(ceil(until_s / self.step_s) + 1, self.forecaster.horizon)
        requests = self.forecaster.forecast(last).highest(self.quantile, 1, last)
        rate = requests / self.step_s
        return Demand(rate, rate * self.prompt_tokens, rate * self.output_tokens)

    def rate(self, in_s: float, level: float) -> float:
        """Requests per second in so many seconds, at that quantile; 0 while nothing is known."""
        if self.steps == 0:
            return 0.0
        step = min(ceil(in_s / self.step_s) + 1, self.forecaster.horizon)
        return self.forecaster.forecast(step).quantile(level, step) / self.step_s

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
