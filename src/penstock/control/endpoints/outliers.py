"""Drives outlier detection: ``core.health.outlier`` judges what the board says."""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import msgspec

from penstock.control.endpoints.states import EndpointStates
from penstock.core.attempt_counts import ATTEMPT_CELLS, AttemptCounts
from penstock.core.health.outlier import OutlierDetector
from penstock.core.health.outlier_records import Ejection, EndpointCounts
from penstock.core.health.outlier_watch import LOOK_S, OutlierWatch
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.layout import (
    ATTEMPTS_AT,
    L_FAILURES,
    L_HEARD_US,
    L_QUIET_SINCE_US,
    LOAD_CELLS,
)
from penstock.dataplane.board.memory import Board


class KnownEjection(msgspec.Struct):
    """An endpoint that is ejected, or was of late; times are of the monotonic clock."""

    pool: str
    name: str
    ejected: bool = False
    until: float = 0.0
    times: int = 0  # ejections held against it
    unreachable: bool = False
    silent_since: float = 0.0


class OutlierDetection:
    """The detectors of all pools."""

    def __init__(
        self,
        board: Board,
        states: EndpointStates,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._board = board
        self._states = states
        self._clock = clock
        self._pools: tuple[Pool, ...] = ()
        self._detectors: dict[str, OutlierDetector] = {}
        self._inherited: dict[str, dict[str, Ejection]] = {}  # by pool, of a predecessor
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
                detector.restore(self._inherited.pop(pool.name, {}))
            detector.settings = pool.outlier
            self._detectors[pool.name] = detector
        self._watch.look_at_once()

    def known(self) -> list["KnownEjection"]:
        """For a successor's ``restore``."""
        return [
            KnownEjection(
                pool,
                name,
                each.ejected,
                each.until,
                each.times,
                each.unreachable,
                each.silent_since,
            )
            for pool, detector in self._detectors.items()
            for name, each in detector.ejections_known().items()
        ]

    def restore(self, found: Iterable["KnownEjection"]) -> None:
        """Go on from what a predecessor knew; before the first snapshot is followed."""
        for each in found:
            self._inherited.setdefault(each.pool, {})[each.name] = Ejection(
                each.ejected, each.until, each.times, each.unreachable, each.silent_since
            )

    def advise(self, pool: str, name: str, *, out: bool) -> None:
        """Whether another balancer has that endpoint out."""
        detector = self._detectors.get(pool)
        if detector is not None:
            detector.advised = detector.advised - {name} | ({name} if out else frozenset())

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
            counts.add(load[ATTEMPTS_AT : ATTEMPTS_AT + ATTEMPT_CELLS])
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
        end = board.load(board.endpoint_rows_used, 0)
        stride = board.load(1, 0) - board.load(0, 0)
        return sum(
            sum(board.cells[board.load(0, worker) + L_FAILURES : end : stride].tolist())
            for worker in range(board.workers)
        )
