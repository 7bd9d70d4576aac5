"""Drives outlier detection: ``core.health.outlier`` judges what the board says."""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import msgspec

from penstock.control.endpoints.attempt_columns import AttemptColumns
from penstock.control.endpoints.state import EndpointState
from penstock.control.endpoints.states import EndpointStates
from penstock.core.health.outlier import OutlierChange, OutlierDetector
from penstock.core.health.outlier_records import Ejection, EndpointCounts
from penstock.core.health.outlier_watch import LOOK_S, OutlierWatch
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.layout import L_FAILURES
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


class _Members:
    """Endpoints of one pool, until another snapshot runs."""

    def __init__(self, places: dict[int, str], states: list[EndpointState]) -> None:
        self.places = places  # names by row
        self.restless: set[str] = set()  # to be looked at though nothing was counted
        self.down: set[str] = set()  # by active checks or an operator, at the last look
        self._states = states

    def now_down(self) -> set[str]:
        """By active checks or an operator."""
        return {each.name for each in self._states if each.is_down or each.is_draining}


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
        self._members: dict[str, _Members] = {}  # by pool
        self._seen: AttemptColumns | None = None  # at the last look; None: look at all

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
        self._seen = None
        self._members.clear()

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
        seen, now_seen = self._seen, AttemptColumns(self._board)
        self._seen = now_seen
        if seen is not None and seen.rows == now_seen.rows:
            troubled = now_seen.troubled(seen)
            for pool in self._pools:
                if self._detectors[pool.name].must_see_all(now):
                    self._judge_all(pool, now_seen, now)
                else:
                    self._judge(pool, seen, now_seen, troubled, now)
        else:
            for pool in self._pools:
                self._judge_all(pool, now_seen, now)

    def _judge_all(self, pool: Pool, seen: AttemptColumns, now: float) -> None:
        members = self._members_of(pool)
        members.down = members.now_down()
        places = list(members.places.items())
        counts = [self._counts(pool, row, name, seen, now) for row, name in places]
        detector = self._detectors[pool.name]
        self._apply(pool, detector.observe(now, counts))
        members.restless = set(detector.restless([name for _, name in places]))

    def _judge(
        self,
        pool: Pool,
        before: AttemptColumns,
        seen: AttemptColumns,
        troubled: set[int],
        now: float,
    ) -> None:
        """By those of which there is more to tell than answers in order."""
        members = self._members_of(pool)
        places = members.places
        down = members.now_down()
        names = members.restless | (down ^ members.down)
        names.update(places[row] for row in troubled if row in places)
        members.down = down
        if pool.outlier.silence_s > 0.0:
            silent = seen.silent((now - pool.outlier.silence_s) * 1e6)
            names.update(places[row] for row in silent if row in places)
        if not names:
            return
        found = [(row, name) for row, name in places.items() if name in names]
        old = [self._counts(pool, row, name, before, now) for row, name in found]
        new = [self._counts(pool, row, name, seen, now) for row, name in found]
        detector = self._detectors[pool.name]
        self._apply(pool, detector.glance(now, old, new))
        members.restless = set(detector.restless([name for _, name in found]))

    def _members_of(self, pool: Pool) -> "_Members":
        members = self._members.get(pool.name)
        if members is None:
            states = [self._states.of(pool.name, each.name) for each in pool.endpoints]
            places = {each.row: each.name for each in pool.endpoints}
            members = self._members[pool.name] = _Members(places, states)
        return members

    def _apply(self, pool: Pool, changes: list[OutlierChange]) -> None:
        for change in changes:
            if change.ejected:
                self._states.eject(pool.name, change.name, change.reason)
            else:
                self._states.readmit(pool.name, change.name, change.reason)

    def _counts(
        self, pool: Pool, row: int, name: str, seen: AttemptColumns, now: float
    ) -> EndpointCounts:
        split = pool.outlier.split_local_failures
        up = name not in self._members[pool.name].down
        return seen.counts(row, name, split=split, up=up, now=now)

    def _count_failures(self) -> int:
        """All failures on the board: one strided read, so that polling costs little."""
        board = self._board
        end = board.load(board.endpoint_rows_used, 0)
        stride = board.load(1, 0) - board.load(0, 0)
        return sum(
            sum(board.cells[board.load(0, worker) + L_FAILURES : end : stride].tolist())
            for worker in range(board.workers)
        )
