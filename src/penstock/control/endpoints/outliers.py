"""Drives outlier detection: ``core.health.outlier`` judges what the board says."""

import asyncio
from collections.abc import Callable
from time import monotonic

from penstock.control.endpoints.states import EndpointStates
from penstock.control.world.rows import Rows
from penstock.core.attempt_counts import AttemptCounts
from penstock.core.health.outlier import OutlierDetector
from penstock.core.health.outlier_records import EndpointCounts
from penstock.core.health.outlier_watch import LOOK_S, OutlierWatch
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.core.ticket import CONNECT_FAILED, TIMEOUT
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_BLAMELESS_5XX,
    L_BROKEN,
    L_CONNECT_FAILURES,
    L_CONSECUTIVE_FAILURES,
    L_EXCUSED,
    L_FAILURES,
    L_GATEWAY_ERRORS,
    L_HEARD_US,
    L_QUIET_SINCE_US,
    L_RUN_5XX,
    L_RUN_GATEWAY,
    L_RUN_GATEWAY_ERRORS,
    L_RUN_LOCAL,
    L_TIMEOUTS,
    LOAD_CELLS,
    Board,
)


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
        self._watch = OutlierWatch()

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot."""
        kept = self._detectors
        self._pools = snapshot.pools
        self._detectors = {}
        for pool in snapshot.pools:
            detector = kept.get(pool.name)
            if detector is None:
                detector = OutlierDetector(pool.outlier, self._clock())
            detector.settings = pool.outlier
            self._detectors[pool.name] = detector
        self._watch.look_at_once()

    def ejections(self, pool: str) -> dict[str, int]:
        """How many ejections each detector caused."""
        detector = self._detectors.get(pool)
        return dict(detector.ejections) if detector is not None else {}

    def refused(self, pool: str) -> int:
        """Ejections not made, because too many endpoints were out."""
        detector = self._detectors.get(pool)
        return detector.refused if detector is not None else 0

    def unreachable(self) -> list[tuple[Pool, Endpoint]]:
        """Endpoints that are ejected because no connection could be made."""
        found = []
        for pool in self._pools:
            names = self._detectors[pool.name].unreachable()
            found += [(pool, each) for each in pool.endpoints if each.name in names]
        return found

    def reached(self, pool: str, name: str) -> None:
        """A connection to such an endpoint was made: readmit it, if it is still configured."""
        if (pool, name) not in [(spec.name, each.name) for spec, each in self.unreachable()]:
            return
        change = self._detectors[pool].reached(name, self._clock())
        if change is not None:
            self._states.readmit(pool, name, change.reason)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.refresh()

    def refresh(self) -> None:
        """Judge, if anything failed since the last time or enough time passed."""
        now = self._clock()
        if not self._watch.is_due(self._count_failures(), now):
            return
        for pool in self._pools:
            self._judge(pool, now)

    def _judge(self, pool: Pool, now: float) -> None:
        counts = [self._counts(pool, each.name, each.row) for each in pool.endpoints]
        for change in self._detectors[pool.name].observe(now, counts):
            if change.ejected:
                self._states.eject(pool.name, change.name, change.reason)
            else:
                self._states.readmit(pool.name, change.name, change.reason)

    def _counts(self, pool: Pool, name: str, row: int) -> EndpointCounts:
        board = self._board
        counts = AttemptCounts()
        quiet_since = 0  # the latest of workers: whom any of them hears is not silent
        heard = 0
        for worker in range(board.workers):
            at = board.load(row, worker)
            load = board.cells[at : at + LOAD_CELLS].tolist()
            quiet_since = max(quiet_since, load[L_QUIET_SINCE_US])
            heard = max(heard, load[L_HEARD_US])
            counts.add(_counted_by(load))
        state = self._states.of(pool.name, name)
        return counts.for_outliers(
            name,
            split=pool.outlier.split_local_failures,
            up=not state.is_down and not state.is_draining,
            silent_s=max(self._clock() - quiet_since / 1e6, 0.0) if quiet_since else 0.0,
            heard_at=heard / 1e6,
        )

    def _count_failures(self) -> int:
        """All failures on the board: one strided read, so that polling costs little."""
        board = self._board
        end = board.load(self._rows.highest_endpoint_row + 1, 0)
        stride = board.load(1, 0) - board.load(0, 0)
        return sum(
            sum(board.cells[board.load(0, worker) + L_FAILURES : end : stride].tolist())
            for worker in range(board.workers)
        )


def _counted_by(load: list[int]) -> AttemptCounts:
    """What one worker counted of an endpoint, as the board has it."""
    counts = AttemptCounts()
    counts.by_class = load[L_1XX_TO_5XX:L_CONNECT_FAILURES]
    counts.by_outcome[CONNECT_FAILED : TIMEOUT + 1] = load[L_CONNECT_FAILURES : L_TIMEOUTS + 1]
    counts.failures = load[L_FAILURES]
    counts.gateway_errors = load[L_GATEWAY_ERRORS]
    counts.broken = load[L_BROKEN]
    counts.blameless_5xx = load[L_BLAMELESS_5XX]
    counts.excused = load[L_EXCUSED]
    counts.consecutive_failures = load[L_CONSECUTIVE_FAILURES]
    counts.run_gateway = load[L_RUN_GATEWAY]
    counts.run_local = load[L_RUN_LOCAL]
    counts.run_5xx = load[L_RUN_5XX]
    counts.run_gateway_errors = load[L_RUN_GATEWAY_ERRORS]
    return counts


assert L_CONNECT_FAILURES == L_1XX_TO_5XX + 5
assert L_TIMEOUTS == L_CONNECT_FAILURES + 3
