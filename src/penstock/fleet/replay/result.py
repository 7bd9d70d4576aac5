"""What a replay measured, in one value that is written as JSON and compared with others."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec

from penstock.fleet.replay.client import Outcome

FORMAT = "penstock-replay-1"


class Distribution(msgspec.Struct, frozen=True):
    """Of durations in seconds. ``percentiles`` are those from 0 to 100, 101 values."""

    count: int = 0
    mean: float = 0.0
    percentiles: tuple[float, ...] = (0.0,) * 101

    def percentile(self, percent: int) -> float:
        return self.percentiles[percent]


class Objectives(msgspec.Struct, frozen=True):
    """What a good answer keeps to; 0 asks nothing."""

    ttft_s: float = 0.0
    tpot_s: float = 0.0
    e2e_s: float = 0.0

    def met(self, outcome: Outcome, speedup: float) -> bool:
        return (
            not outcome.failure
            and (not self.ttft_s or outcome.ttft_s * speedup <= self.ttft_s)
            and (not self.tpot_s or outcome.tpot_s * speedup <= self.tpot_s)
            and (not self.e2e_s or outcome.e2e_s * speedup <= self.e2e_s)
        )


class ReplayResult(msgspec.Struct, frozen=True):
    """Times and rates are in the workload's time: a sped-up run is stretched back.

    ``ttft`` and ``e2e`` count from when a request was due; ``itl`` are the gaps between pieces of
    an answer, ``tpot`` is a request's mean time per output token; ``lag`` is how late this client
    itself was.
    """

    name: str
    url: str
    model: str
    workload: str
    speedup: float
    seconds: float
    requests: int
    failures: dict[str, int]
    objectives: Objectives
    good: int  # answered in full and within the objectives
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ttft: Distribution
    itl: Distribution
    tpot: Distribution
    e2e: Distribution
    lag: Distribution
    details: dict[str, str] = {}  # what was said of the first failure of each kind
    format: str = FORMAT

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def goodput_per_s(self) -> float:
        return self.good / self.seconds if self.seconds else 0.0

    @property
    def requests_per_s(self) -> float:
        return (self.requests - self.failed) / self.seconds if self.seconds else 0.0

    @property
    def output_tokens_per_s(self) -> float:
        return self.output_tokens / self.seconds if self.seconds else 0.0

    @property
    def hit_rate(self) -> float:
        """Share of the prompt tokens that engines reported as cached."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


class Measurement:
    """Takes outcomes in as they come and makes a result of them."""

    def __init__(self, objectives: Objectives, speedup: float) -> None:
        self._objectives = objectives
        self._speedup = speedup
        self._ttft, self._itl, self._tpot = array("d"), array("f"), array("d")
        self._e2e, self._lag = array("d"), array("d")
        self.requests = 0
        self.good = 0
        self.failures: dict[str, int] = {}
        self.details: dict[str, str] = {}
        self._first_due, self._last_end = math.inf, -math.inf
        self._prompt_tokens = self._cached_tokens = self._output_tokens = 0

    def add(self, outcome: Outcome) -> None:
        """Count ``outcome``. One that failed counts in failures and lag only."""
        self.requests += 1
        self._first_due = min(self._first_due, outcome.due)
        self._last_end = max(self._last_end, outcome.ended)
        self._lag.append(outcome.lag_s * self._speedup)
        if outcome.failure:
            self.failures[outcome.failure] = self.failures.get(outcome.failure, 0) + 1
            if outcome.detail:
                self.details.setdefault(outcome.failure, outcome.detail)
            return
        self.good += self._objectives.met(outcome, self._speedup)
        self._ttft.append(outcome.ttft_s * self._speedup)
        self._e2e.append(outcome.e2e_s * self._speedup)
        if outcome.output_tokens > 1:
            self._tpot.append(outcome.tpot_s * self._speedup)
        self._itl.extend(gap * self._speedup for gap in outcome.gaps_s)
        self._prompt_tokens += outcome.prompt_tokens
        self._cached_tokens += outcome.cached_tokens
        self._output_tokens += outcome.output_tokens

    def result(self, *, name: str, url: str, model: str, workload: str) -> ReplayResult:
        """Everything so far, from when the first request was due to the end of the last."""
        return ReplayResult(
            name=name,
            url=url,
            model=model,
            workload=workload,
            speedup=self._speedup,
            seconds=max(0.0, self._last_end - self._first_due) * self._speedup,
            requests=self.requests,
            failures=dict(self.failures),
            objectives=self._objectives,
            good=self.good,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            output_tokens=self._output_tokens,
            ttft=distribution(self._ttft),
            itl=distribution(self._itl),
            tpot=distribution(self._tpot),
            e2e=distribution(self._e2e),
            lag=distribution(self._lag),
            details=dict(self.details),
        )


def distribution(values: Sequence[float]) -> Distribution:
    """Percentiles by the nearest rank: each one is a value that was measured."""
    if not values:
        return Distribution()
    ascending = sorted(values)
    last = len(ascending) - 1
    ranks = (max(0, -(-percent * len(ascending) // 100) - 1) for percent in range(101))
    return Distribution(
        len(ascending),
        sum(ascending) / len(ascending),
        tuple(ascending[min(rank, last)] for rank in ranks),
    )


def write_result(result: ReplayResult, path: Path) -> None:
    """As indented JSON. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def read_result(path: Path) -> ReplayResult:
    """What ``write_result`` wrote. Raises OSError; ValueError for anything else."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=ReplayResult)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is not a replay's result: {error}") from error
    if result.format != FORMAT:
        raise ValueError(f"{path} is a result in format {result.format!r}, not {FORMAT!r}")
    return result
