"""The last minute: rates and latency quantiles from differences of the board's counters."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from penstock.admin.tokens import TokenCounts, tokens_by_pool
from penstock.admin.view import PlacedPool
from penstock.core.measure.histogram import BUCKETS, quantile_us
from penstock.dataplane.board.layout import (
    L_FIRST_BYTE_SUM_US,
    L_JUDGED_CACHED,
    L_JUDGED_PROMPT,
    L_REQUESTS,
    L_TIMED,
    L_TOTAL_SUM_US,
    P_REQUESTS,
    PHASES,
    SERVING_PHASES,
)
from penstock.dataplane.board.memory import Board

SAMPLE_S: Final = 5.0
_WINDOW_S: Final = 60.0


# Of an endpoint, read together: see ``board``.
_ENDPOINT_CELLS: Final = (
    L_REQUESTS,
    L_TIMED,
    L_FIRST_BYTE_SUM_US,
    L_TOTAL_SUM_US,
    L_JUDGED_PROMPT,
    L_JUDGED_CACHED,
)


@dataclass(frozen=True)
class _Sample:
    at: float
    pool_requests: dict[str, int]
    pool_tokens: dict[str, TokenCounts]
    rows: dict[tuple[str, str], int]  # of endpoints
    columns: dict[int, list[int]]  # by cell, of every row
    histograms: dict[tuple[str, str], list[int]]  # by pool and phase


class Recent:
    """Samples of the counters every few seconds, compared with the present."""

    def __init__(self, board: Board, clock: Callable[[], float] = monotonic) -> None:
        self._board = board
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=round(_WINDOW_S / SAMPLE_S))

    def sample(self, pools: Sequence[PlacedPool]) -> None:
        """Sample the counters."""
        self._samples.append(self._read(pools))

    def differences(self, pools: Sequence[PlacedPool]) -> "Differences":
        """From the oldest sample to the present."""
        present = self._read(pools)
        return Differences(self._samples[0] if self._samples else present, present)

    def _read(self, pools: Sequence[PlacedPool]) -> _Sample:
        board = self._board
        tokens = tokens_by_pool(board)
        histograms = {
            (p.name, phase): histogram_counts(board, p.row, index)
            for p in pools
            for index, phase in enumerate(PHASES)
        }
        serving = {
            (p.name, phase): serving_histogram_counts(board, p.row, index)
            for p in pools
            for index, phase in enumerate(SERVING_PHASES)
        }
        rows = {(p.name, e.name): e.row for p in pools for e in p.endpoints}
        used = 1 + max(rows.values(), default=-1)
        return _Sample(
            at=self._clock(),
            pool_requests={p.name: board.pool_sum(p.row, P_REQUESTS) for p in pools},
            pool_tokens={p.name: tokens.get(p.row, TokenCounts()) for p in pools},
            rows=rows,
            columns={cell: board.load_column(cell, used) for cell in _ENDPOINT_CELLS},
            histograms=histograms | serving,
        )


class Differences:
    """The difference between two samples. A counter that was reset counts from 0."""

    def __init__(self, before: _Sample, after: _Sample) -> None:
        self._before = before
        self._after = after
        self.seconds: float = after.at - before.at

    def pool_requests_per_s(self, pool: str) -> float:
        """Requests for the pool."""
        return self._rate(self._before.pool_requests.get(pool, 0), self._after.pool_requests[pool])

    def endpoint_requests_per_s(self, pool: str, endpoint: str) -> float:
        """Attempts made at the endpoint."""
        grown = self._grown_at(pool, endpoint, L_REQUESTS)
        return grown / self.seconds if self.seconds > 0.0 else 0.0

    def endpoint_first_byte_s(self, pool: str, endpoint: str) -> float | None:
        """Mean time to the first byte of whole responses, to the first token where answers of a
        language model are streamed; None when there were none."""
        return self._mean_s(pool, endpoint, L_FIRST_BYTE_SUM_US)

    def endpoint_total_s(self, pool: str, endpoint: str) -> float | None:
        """Mean time of whole responses; None when there were none."""
        return self._mean_s(pool, endpoint, L_TOTAL_SUM_US)

    def endpoint_cached_share(self, pool: str, endpoint: str) -> float | None:
        """Share of the prompt tokens that the engine found cached; None where it told none."""
        prompt = self._grown_at(pool, endpoint, L_JUDGED_PROMPT)
        return self._grown_at(pool, endpoint, L_JUDGED_CACHED) / prompt if prompt else None

    def pool_tokens(self, pool: str) -> TokenCounts:
        """Tokens of answers whose engine told them."""
        before, after = self._before.pool_tokens.get(pool), self._after.pool_tokens[pool]
        if before is None:
            return after
        return TokenCounts(*map(_grown, before, after))

    def quantile_s(self, pool: str, phase: str, q: float) -> float | None:
        """Of a phase's durations, of PHASES or SERVING_PHASES; None when there were none."""
        key = (pool, phase)
        after = self._after.histograms[key]
        before = self._before.histograms.get(key, [0] * len(after))
        counts = [_grown(old, new) for old, new in zip(before, after, strict=True)]
        return quantile_us(counts, q) / 1e6 if any(counts) else None

    def _mean_s(self, pool: str, endpoint: str, sum_us: int) -> float | None:
        timed = self._grown_at(pool, endpoint, L_TIMED)
        return self._grown_at(pool, endpoint, sum_us) / 1e6 / timed if timed else None

    def _grown_at(self, pool: str, endpoint: str, cell: int) -> int:
        key = (pool, endpoint)
        row = self._before.rows.get(key)
        before = self._before.columns[cell][row] if row is not None else 0
        return _grown(before, self._after.columns[cell][self._after.rows[key]])

    def _rate(self, before: int, after: int) -> float:
        return _grown(before, after) / self.seconds if self.seconds > 0.0 else 0.0


def histogram_counts(board: Board, row: int, phase: int) -> list[int]:
    """A pool's histogram of a phase (an index into PHASES), summed over workers."""
    return _summed(board, [board.histogram(row, worker, phase) for worker in range(board.workers)])


def serving_histogram_counts(board: Board, row: int, phase: int) -> list[int]:
    """The same of a phase of SERVING_PHASES."""
    workers = range(board.workers)
    return _summed(board, [board.serving_histogram(row, worker, phase) for worker in workers])


def _summed(board: Board, at: list[int]) -> list[int]:
    columns = [board.cells[first : first + BUCKETS].tolist() for first in at]
    return [sum(column) for column in zip(*columns, strict=True)]


def _grown(before: int, after: int) -> int:
    return after - before if after >= before else after
