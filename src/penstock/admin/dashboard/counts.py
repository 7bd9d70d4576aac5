"""Rates of a few seconds, from differences of the board's counters."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock.admin.recent import histogram_counts, serving_histogram_counts
from penstock.admin.tokens import TokenCounts, tokens_by_pool
from penstock.admin.view import PlacedPool
from penstock.core.measure.histogram import COARSE, coarse_quantile_us, quantile_us
from penstock.dataplane.board.layout import (
    L_IN_FLIGHT,
    L_TIMED,
    L_TIMES,
    LOAD_CELLS,
    P_HISTOGRAMS,
    P_LIMIT_MILLI,
    PHASES,
    SERVING_PHASES,
    WORKER_CELLS,
)
from penstock.dataplane.board.memory import Board

WINDOW_S: Final = 10.0
_STEP_S: Final = 2.0  # between two samples that are kept
_KEPT: Final = round(WINDOW_S / _STEP_S) + 2

Row = list[int]
_NOTHING: Final = bytes(LOAD_CELLS * 8)  # what one that never ran counted


@dataclass(frozen=True)
class Sample:
    """All counters at one moment. Rows are summed over workers, but for those of workers."""

    at: float
    endpoints: dict[int, Row]  # by row on the board, all load cells
    pools: dict[str, Row]  # up to the histograms
    tokens: dict[str, TokenCounts]
    times: dict[tuple[str, str], Row]  # histograms by pool and phase
    workers: dict[int, Row]
    in_flight: dict[str, int]  # by pool


class Sampler:
    """Reads the board. Rows of endpoints that did not change are the same object again."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._known: dict[int, tuple[bytes, Row]] = {}  # by an endpoint's row: as read, and summed

    def take(self, pools: Sequence[PlacedPool], at: float, *, endpoints: bool = True) -> Sample:
        """All counters, those of endpoints only where they are asked for. Workers are not."""
        board = self._board
        running = board.seen_workers()
        tokens = tokens_by_pool(board)
        times: dict[tuple[str, str], Row] = {}
        for pool in pools:
            for index, phase in enumerate(PHASES):
                times[pool.name, phase] = histogram_counts(board, pool.row, index)
            if pool.kind == "llm":
                for index, phase in enumerate(SERVING_PHASES):
                    times[pool.name, phase] = serving_histogram_counts(board, pool.row, index)
        rows = self._endpoints(pools) if endpoints else {}
        return Sample(
            at,
            endpoints=rows,
            pools={pool.name: _pool_row(board, pool.row, running) for pool in pools},
            tokens={pool.name: tokens.get(pool.row, TokenCounts()) for pool in pools},
            times=times,
            workers={
                w: board.cells[board.worker(w) : board.worker(w) + WORKER_CELLS].tolist()
                for w in running
            },
            in_flight=self._in_flight(pools),
        )

    def _in_flight(self, pools: Sequence[PlacedPool]) -> dict[str, int]:
        used = 1 + max((each.row for pool in pools for each in pool.endpoints), default=-1)
        column = self._board.load_column(L_IN_FLIGHT, used)
        return {pool.name: sum(column[each.row] for each in pool.endpoints) for pool in pools}

    def _endpoints(self, pools: Sequence[PlacedPool]) -> dict[int, Row]:
        """Over all workers that there is room for: those that never ran counted nothing."""
        board = self._board
        before, self._known = self._known, {}
        cells, size = board.cells, board.workers * LOAD_CELLS
        for pool in pools:
            for endpoint in pool.endpoints:
                row = endpoint.row
                first = board.load(row, 0)
                read = cells[first : first + size].tobytes()
                known = before.get(row)
                if known is None or known[0] != read:
                    known = (read, _of_workers(read))
                self._known[row] = known
        return {row: summed for row, (_, summed) in self._known.items()}


def _of_workers(read: bytes) -> Row:
    """An endpoint's cells, summed over those workers that counted anything."""
    parts = [read[at : at + len(_NOTHING)] for at in range(0, len(read), len(_NOTHING))]
    counted = [memoryview(part).cast("q").tolist() for part in parts if part != _NOTHING]
    if not counted:
        return [0] * LOAD_CELLS
    return counted[0] if len(counted) == 1 else [sum(each) for each in zip(*counted, strict=True)]


def _pool_row(board: Board, row: int, running: list[int]) -> Row:
    """All workers together; they have one limit, which each of them tells."""
    summed = _summed(board, [board.pool(row, w) for w in running], P_HISTOGRAMS)
    summed[P_LIMIT_MILLI] = board.pool_highest(row, P_LIMIT_MILLI)
    return summed


def _summed(board: Board, at: list[int], cells: int) -> Row:
    if not at:
        return [0] * cells
    rows = [board.cells[first : first + cells].tolist() for first in at]
    return rows[0] if len(rows) == 1 else [sum(column) for column in zip(*rows, strict=True)]


class Window:
    """The newest sample, and one from about ten seconds before it."""

    def __init__(self) -> None:
        self._kept: deque[Sample] = deque(maxlen=_KEPT)

    def differences(self, now: Sample) -> "Differences":
        """From the newest sample that is ten seconds old, or the oldest there is, until now."""
        kept = self._kept
        while len(kept) > 1 and now.at - kept[1].at >= WINDOW_S:
            kept.popleft()
        before = kept[0] if kept else now
        if not kept or now.at - kept[-1].at >= _STEP_S:
            kept.append(now)
        return Differences(before, now)


class Differences:
    """What was counted between two samples. A counter that was reset counts from 0."""

    def __init__(self, before: Sample, now: Sample) -> None:
        self.now = now
        self._before = before
        self.seconds = now.at - before.at

    def endpoint(self, row: int, cell: int) -> int:
        """How much this cell of an endpoint grew."""
        return _grown(self._before.endpoints.get(row), self.now.endpoints[row], cell)

    def is_quiet(self, row: int) -> bool:
        """Whether nothing was counted of an endpoint."""
        return self._before.endpoints.get(row) is self.now.endpoints[row]

    def endpoint_quantile_s(self, row: int, q: float) -> float | None:
        """Of the times of whole responses; None when there were none."""
        now = self.now.endpoints[row]
        before = self._before.endpoints.get(row, now)
        if now[L_TIMED] == before[L_TIMED]:
            return None
        pairs = zip(
            before[L_TIMES : L_TIMES + COARSE], now[L_TIMES : L_TIMES + COARSE], strict=True
        )
        counts = [n - b if n > b else 0 for b, n in pairs]
        return coarse_quantile_us(counts, q) / 1e6 if any(counts) else None

    def pool(self, name: str, cell: int) -> int:
        """The same of a pool."""
        return _grown(self._before.pools.get(name), self.now.pools[name], cell)

    def worker(self, index: int, cell: int) -> int:
        """The same of a worker."""
        return _grown(self._before.workers.get(index), self.now.workers[index], cell)

    def tokens(self, pool: str) -> TokenCounts:
        """Tokens of answers whose engine told them."""
        before, now = self._before.tokens.get(pool), self.now.tokens[pool]
        return TokenCounts(*(max(0, n - b) for b, n in zip(before or now, now, strict=True)))

    def per_s(self, count: int) -> float:
        """A count as a rate."""
        return count / self.seconds if self.seconds > 0.0 else 0.0

    def quantile_s(self, pool: str, phase: str, q: float) -> float | None:
        """Of a phase's durations; None when there were none."""
        now = self.now.times[pool, phase]
        before = self._before.times.get((pool, phase)) or now
        counts = [max(0, n - b) for b, n in zip(before, now, strict=True)]
        return quantile_us(counts, q) / 1e6 if any(counts) else None


def _grown(before: Row | None, now: Row, cell: int) -> int:
    """An endpoint that just came has not grown: its row's counts may be another's before it."""
    if before is None:
        return 0
    value = now[cell]
    return value - before[cell] if value >= before[cell] else value
