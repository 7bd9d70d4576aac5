"""Outlier detection at work: reads the board, lets ``core.outlier`` judge, ejects and lets in."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from penstock.control.endpoint_states import EndpointStates
from penstock.control.rows import Rows
from penstock.core.endpoint import DOWN
from penstock.core.outlier import EndpointCounts, OutlierDetector
from penstock.core.snapshot import Pool, Snapshot
from penstock.dataplane.board import (
    L_1XX_TO_5XX,
    L_CONNECT_FAILURES,
    L_CONSECUTIVE_FAILURES,
    L_FAILURES,
    L_TIMEOUTS,
    Board,
)

_LOOK_S: Final = 0.1
# Without a new failure nothing is ejected by a run of them; ends of ejections and sweeps can wait
# so long.
_QUIET_S: Final = 1.0


class OutlierDetection:
    """The detectors of all pools."""

    def __init__(
        self,
        board: Board,
        rows: Rows,
        states: EndpointStates,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._board = board
        self._rows = rows
        self._states = states
        self._clock = clock
        self._pools: tuple[Pool, ...] = ()
        self._detectors: dict[str, OutlierDetector] = {}
        self._failures = 0
        self._observed_at = float("-inf")

    def follow(self, snapshot: Snapshot) -> None:
        """This is the world that runs."""
        kept = self._detectors
        self._pools = snapshot.pools
        self._detectors = {}
        for pool in snapshot.pools:
            detector = kept.get(pool.name)
            if detector is None:
                detector = OutlierDetector(pool.outlier, self._clock())
            detector.settings = pool.outlier
            self._detectors[pool.name] = detector
        self._observed_at = float("-inf")

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Judge, if anything failed since the last time or enough time passed."""
        now = self._clock()
        failures = self._count_failures()
        if failures == self._failures and now - self._observed_at < _QUIET_S:
            return
        self._failures = failures
        self._observed_at = now
        for pool in self._pools:
            self._judge(pool, now)

    def _judge(self, pool: Pool, now: float) -> None:
        counts = [self._counts(pool.name, each.name, each.row) for each in pool.endpoints]
        for change in self._detectors[pool.name].observe(now, counts):
            if change.ejected:
                self._states.eject(pool.name, change.name, change.reason)
            else:
                self._states.readmit(pool.name, change.name, change.reason)

    def _counts(self, pool: str, name: str, row: int) -> EndpointCounts:
        board = self._board
        finished = failures = consecutive = local = 0
        for worker in range(board.workers):
            at = board.load(row, worker)
            load = board.cells[at : at + L_FAILURES + 1].tolist()
            # Responses of every class and the four ways to fail stand side by side.
            finished += sum(load[L_1XX_TO_5XX : L_TIMEOUTS + 1])
            failures += load[L_FAILURES]
            local += sum(load[L_CONNECT_FAILURES : L_TIMEOUTS + 1])
            consecutive = max(consecutive, load[L_CONSECUTIVE_FAILURES])
        state = self._states.of(pool, name)
        up = state.health != DOWN and state.draining is None
        return EndpointCounts(name, finished, failures, consecutive, up, local)

    def _count_failures(self) -> int:
        """All failures on the board: one strided read, so that looking often costs little."""
        board = self._board
        end = board.load(self._rows.highest_endpoint_row + 1, 0)
        stride = board.load(1, 0) - board.load(0, 0)
        return sum(
            sum(board.cells[board.load(0, worker) + L_FAILURES : end : stride].tolist())
            for worker in range(board.workers)
        )


assert L_CONNECT_FAILURES == L_1XX_TO_5XX + 5
assert L_TIMEOUTS == L_CONNECT_FAILURES + 3
