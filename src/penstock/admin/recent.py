"""The last minute: rates and latency quantiles from differences of the board's counters."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from penstock.admin.view import Overview
from penstock.core.histogram import BUCKETS, quantile_us
from penstock.dataplane.board import L_REQUESTS, P_REQUESTS, PHASES, Board

SAMPLE_S: Final = 5.0
_WINDOW_S: Final = 60.0


@dataclass(frozen=True)
class _Sample:
    at: float
    pool_requests: dict[str, int]
    endpoint_requests: dict[tuple[str, str], int]
    histograms: dict[tuple[str, str], list[int]]  # by pool and phase


class Recent:
    """Samples every few seconds, and what they say together with the present."""

    def __init__(self, board: Board, clock: Callable[[], float] = monotonic) -> None:
        self._board = board
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=round(_WINDOW_S / SAMPLE_S))

    def sample(self, overview: Overview) -> None:
        """Remember the counters as they are."""
        self._samples.append(self._read(overview))

    def differences(self, overview: Overview) -> "Differences":
        """From the oldest sample to the present."""
        present = self._read(overview)
        return Differences(self._samples[0] if self._samples else present, present)

    def _read(self, overview: Overview) -> _Sample:
        board = self._board
        return _Sample(
            at=self._clock(),
            pool_requests={p.name: board.pool_sum(p.row, P_REQUESTS) for p in overview.pools},
            endpoint_requests={
                (p.name, e.name): board.load_sum(e.row, L_REQUESTS)
                for p in overview.pools
                for e in p.endpoints
            },
            histograms={
                (p.name, phase): histogram_counts(board, p.row, index)
                for p in overview.pools
                for index, phase in enumerate(PHASES)
            },
        )


class Differences:
    """What happened between two samples. A counter that began anew counts from 0."""

    def __init__(self, before: _Sample, after: _Sample) -> None:
        self._before = before
        self._after = after
        self.seconds: float = after.at - before.at

    def pool_requests_per_s(self, pool: str) -> float:
        """Requests that came for the pool."""
        return self._rate(self._before.pool_requests.get(pool, 0), self._after.pool_requests[pool])

    def endpoint_requests_per_s(self, pool: str, endpoint: str) -> float:
        """Attempts made at the endpoint."""
        key = (pool, endpoint)
        before = self._before.endpoint_requests.get(key, 0)
        return self._rate(before, self._after.endpoint_requests[key])

    def quantile_s(self, pool: str, phase: str, q: float) -> float | None:
        """Of a phase's durations; None when there were none."""
        key = (pool, phase)
        after = self._after.histograms[key]
        before = self._before.histograms.get(key, [0] * len(after))
        counts = [_grown(old, new) for old, new in zip(before, after, strict=True)]
        return quantile_us(counts, q) / 1e6 if any(counts) else None

    def _rate(self, before: int, after: int) -> float:
        return _grown(before, after) / self.seconds if self.seconds > 0.0 else 0.0


def histogram_counts(board: Board, row: int, phase: int) -> list[int]:
    """A pool's histogram of a phase (an index into PHASES), summed over workers."""
    at = [board.histogram(row, worker, phase) for worker in range(board.workers)]
    columns = [board.cells[first : first + BUCKETS].tolist() for first in at]
    return [sum(column) for column in zip(*columns, strict=True)]


def _grown(before: int, after: int) -> int:
    return after - before if after >= before else after
