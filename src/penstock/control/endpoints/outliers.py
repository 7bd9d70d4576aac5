"""Outlier detection at work: reads the board, lets ``core.outlier`` judge, ejects and lets in."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from penstock.control.endpoints.states import EndpointStates
from penstock.core.health.outlier import EndpointCounts, OutlierDetector, Tally
from penstock.core.snapshot import Endpoint, Pool, Snapshot
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
    RUNS,
)
from penstock.dataplane.board.memory import Board

_LOOK_S: Final = 0.1
# Without a new failure nothing is ejected by a run of them; ends of ejections and sweeps can wait
# so long.
_QUIET_S: Final = 1.0


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

    def ejections(self, pool: str) -> dict[str, int]:
        """How many each detector caused."""
        detector = self._detectors.get(pool)
        return dict(detector.ejections) if detector is not None else {}

    def refused(self, pool: str) -> int:
        """Ejections not made, because too many endpoints were out."""
        detector = self._detectors.get(pool)
        return detector.refused if detector is not None else 0

    def unreachable(self) -> list[tuple[Pool, Endpoint]]:
        """Who is out because no connection could be made."""
        found = []
        for pool in self._pools:
            names = self._detectors[pool.name].unreachable()
            found += [(pool, each) for each in pool.endpoints if each.name in names]
        return found

    def reached(self, pool: str, name: str) -> None:
        """A connection was made to such an endpoint: it is let in, if it is still configured."""
        if (pool, name) not in [(spec.name, each.name) for spec, each in self.unreachable()]:
            return
        change = self._detectors[pool].reached(name, self._clock())
        if change is not None:
            self._states.readmit(pool, name, change.reason)

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
        counts = [self._counts(pool, each.name, each.row) for each in pool.endpoints]
        for change in self._detectors[pool.name].observe(now, counts):
            if change.ejected:
                self._states.eject(pool.name, change.name, change.reason)
            else:
                self._states.readmit(pool.name, change.name, change.reason)

    def _counts(self, pool: Pool, name: str, row: int) -> EndpointCounts:
        board = self._board
        sums = [0] * LOAD_CELLS
        runs = dict.fromkeys(RUNS, 0)
        quiet_since = 0  # the latest of workers: whom any of them hears is not silent
        heard = 0
        for worker in range(board.workers):
            at = board.load(row, worker)
            load = board.cells[at : at + LOAD_CELLS].tolist()
            quiet_since = max(quiet_since, load[L_QUIET_SINCE_US])
            heard = max(heard, load[L_HEARD_US])
            sums = [total + each for total, each in zip(sums, load, strict=True)]
            runs = {cell: max(run, load[cell]) for cell, run in runs.items()}
        state = self._states.of(pool.name, name)
        up = not state.is_down and not state.is_draining
        split = pool.outlier.split_local_failures
        return EndpointCounts(
            name,
            *_tallies(sums, runs, split),
            up,
            _unreached(sums),
            max(self._clock() - quiet_since / 1e6, 0.0) if quiet_since else 0.0,
            heard / 1e6,
        )

    def _count_failures(self) -> int:
        """All failures on the board: one strided read, so that looking often costs little."""
        board = self._board
        end = board.load(board.endpoint_rows_used, 0)
        stride = board.load(1, 0) - board.load(0, 0)
        return sum(
            sum(board.cells[board.load(0, worker) + L_FAILURES : end : stride].tolist())
            for worker in range(board.workers)
        )


def _unreached(sums: list[int]) -> Tally:
    """Attempts without a connection. A run is one of all workers: what any of them reaches, is."""
    return Tally(_finished(sums), sums[L_CONNECT_FAILURES])


def _finished(sums: list[int]) -> int:
    responses = sum(sums[L_1XX_TO_5XX:L_CONNECT_FAILURES])
    local = sum(sums[L_CONNECT_FAILURES : L_TIMEOUTS + 1])
    return responses + local - sums[L_BROKEN]  # one that was not whole stands in both


def _tallies(sums: list[int], runs: dict[int, int], split: bool) -> tuple[Tally, Tally, Tally]:
    """What detectors look at: every failure, those of gateways, and local ones where split off."""
    responses = sum(sums[L_1XX_TO_5XX:L_CONNECT_FAILURES])
    local = sum(sums[L_CONNECT_FAILURES : L_TIMEOUTS + 1]) - sums[L_EXCUSED]
    errors = sums[L_CONNECT_FAILURES - 1] - sums[L_BLAMELESS_5XX]
    gateway = sums[L_GATEWAY_ERRORS]
    finished = _finished(sums)
    if split:
        return (
            Tally(responses, errors, runs[L_RUN_5XX]),
            Tally(responses, gateway, runs[L_RUN_GATEWAY_ERRORS]),
            Tally(finished, local, runs[L_RUN_LOCAL]),
        )
    return (
        Tally(finished, sums[L_FAILURES], runs[L_CONSECUTIVE_FAILURES]),
        Tally(finished, gateway + local, runs[L_RUN_GATEWAY]),
        Tally(),
    )


assert L_CONNECT_FAILURES == L_1XX_TO_5XX + 5
assert L_TIMEOUTS == L_CONNECT_FAILURES + 3
