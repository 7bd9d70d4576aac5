"""What an engine's metrics say of the past: histograms of its requests, in clients' seconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence as Seq

from penstock.fleet.engine.generation import Generation

# Bounds between those of vLLM, SGLang and TGI, which agree in range.
_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0),
)
_TOKENS = (1.0, 8.0, 32.0, 128.0, 512.0, 2048.0, 8192.0, 32768.0, 131072.0)


class CumulativeHistogram:
    """Counts of values at most as large as each bound."""

    def __init__(self, bounds: Seq[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self._bounds, value)] += times
        self.total += value * times

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: cumulative, by their upper bound."""
        found: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip((*self._bounds, None), self.counts, strict=True):
            running += count
            found.append(("+Inf" if bound is None else repr(bound), float(running)))
        return found


class Observations:
    """Histograms of finished requests and of tokens as they come."""

    def __init__(self) -> None:
        self.first_token_s = CumulativeHistogram(_SECONDS)
        self.token_gap_s = CumulativeHistogram(_SECONDS)
        self.mean_token_s = CumulativeHistogram(_SECONDS)
        self.queue_s = CumulativeHistogram(_SECONDS)
        self.request_s = CumulativeHistogram(_SECONDS)
        self.prompt_tokens = CumulativeHistogram(_TOKENS)
        self.answer_tokens = CumulativeHistogram(_TOKENS)

    def step(self, generations: Seq[Generation], step_s: float) -> None:
        """Take in the tokens of one step."""
        later = sum(generation.generated > 1 for generation in generations)
        if later:
            self.token_gap_s.add(step_s, later)

    def began(self, generation: Generation, scale: float) -> None:
        """Its first token came; ``scale`` makes client seconds of engine seconds."""
        self.first_token_s.add((generation.first_token_at - generation.arrived_at) * scale)
        self.queue_s.add((generation.admitted_at - generation.arrived_at) * scale)

    def finished(self, generation: Generation, now: float, scale: float) -> None:
        self.request_s.add((now - generation.arrived_at) * scale)
        self.prompt_tokens.add(generation.prompt_tokens)
        self.answer_tokens.add(generation.generated)
        if generation.generated > 1:
            decoding_s = (now - generation.first_token_at) * scale
            self.mean_token_s.add(decoding_s / (generation.generated - 1))
