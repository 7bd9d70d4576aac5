"""An endpoint and what this worker counts of it, on the board."""

from typing import Final

from penstock.core import snapshot
from penstock.core.endpoint import Endpoint
from penstock.core.health.breaker import Breaker
from penstock.core.ticket import CONNECT_FAILED, DONE, GARBAGE, TIMEOUT, is_fault
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_BLAMELESS_5XX,
    L_BREAKER,
    L_BROKEN,
    L_CONNECT_FAILURES,
    L_CONSECUTIVE_FAILURES,
    L_EXCUSED,
    L_FAILURES,
    L_GATEWAY_ERRORS,
    L_HEARD_US,
    L_IN_FLIGHT,
    L_IRREGULAR,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    L_PREFILLED,
    L_QUIET_SINCE_US,
    L_RUN_5XX,
    L_RUN_GATEWAY,
    L_RUN_GATEWAY_ERRORS,
    L_RUN_LOCAL,
    RUNS,
)
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.token_cells import tally_tokens
from penstock.wire.http1 import IRREGULARITIES

# Without an answer in order for so long, wrongly framed ones are held against the endpoint: the
# interval of outlier detection, by default.
EXCUSED_FOR_S: Final = 10.0
_KINDS: Final = len(IRREGULARITIES)


class CountedEndpoint(Endpoint):
    """Counts how attempts end."""

    def __init__(self, spec: snapshot.Endpoint, pool: str, board: Board, worker: int) -> None:
        super().__init__(spec.name, pool=pool)
        self.row: int = spec.row
        self.tally: LoadTally = LoadTally(board, spec.row, worker)
        self.well_at: float = 0.0  # when a whole answer came last
        self.heard_at: float = 0.0  # the last byte that was waited for came from it
        self.breaker: Breaker | None = None
        self._cells: memoryview = board.cells
        self._load_at: int = board.load(spec.row, worker)
        self.tokens.prefilled = self.tally.values[L_PREFILLED]

    def shown_address(self) -> str:
        """Where it is reached, for people; empty while that is not known."""
        return ""

    def acquire(self) -> None:
        self.in_flight += 1
        self._cells[self._load_at + L_IN_FLIGHT] = self.in_flight
        tally = self.tally
        tally.requests += 1
        tally.changed = True

    def release(self) -> None:
        self.in_flight -= 1
        self._cells[self._load_at + L_IN_FLIGHT] = self.in_flight

    def heard(self, now: float) -> None:
        self.quiet_since = now
        self.unheard = False
        self.heard_at = now
        self.tally.changed = True

    def settled(
        self, outcome: int, status: int, opened_at: float, first_byte_at: float, now: float
    ) -> bool:
        """Count how an attempt ended, once, for metrics and outlier detection."""
        tally = self.tally
        tally.changed = True
        if status >= 100:
            tally.values[L_1XX_TO_5XX - 1 + min(status // 100, 5)] += 1
        excused = False
        if outcome != DONE or status >= 500:
            excused = self._count_unusual(outcome, status, now)
        elif tally.values[L_CONSECUTIVE_FAILURES]:
            self._end_runs()
        if outcome == DONE:
            self.well_at = now
            tally.timed += 1
            # A response that nobody watched for its first byte had it with its last.
            tally.first_byte_s += (first_byte_at or now) - opened_at
            tally.total_s += now - opened_at
        return excused

    def _count_unusual(self, outcome: int, status: int, now: float) -> bool:
        """Tell failures from what says nothing of the endpoint. Returns whether it is excused."""
        values = self.tally.values
        local = CONNECT_FAILED <= outcome <= TIMEOUT
        if local:  # CONNECT_FAILED, RESET, GARBAGE, TIMEOUT stand in that order
            values[L_CONNECT_FAILURES + outcome - CONNECT_FAILED] += 1
        if outcome == GARBAGE and self._is_excused(now):
            values[L_EXCUSED] += 1
            values[L_BROKEN] += status > 0
            return True
        if local or is_fault(status):
            self._count_failure(local, status)
            self.publish()  # outlier detection need not wait for the sweep
        elif status >= 500:
            values[L_BLAMELESS_5XX] += 1
        elif values[L_CONSECUTIVE_FAILURES] and status:
            self._end_runs()
        return False

    def _is_excused(self, now: float) -> bool:
        """Whether an answer that was framed wrongly is the fault of what made it, one URL maybe.

        It is as long as other answers are in order. An endpoint that says nothing else is faulty.
        """
        if self.well_at == 0.0:
            self.well_at = now  # the first that is heard of it
        return now - self.well_at < EXCUSED_FOR_S

    def _count_failure(self, local: bool, status: int) -> None:
        """One more that the endpoint is to blame for, by kind."""
        gateway = 502 <= status <= 504
        values = self.tally.values
        values[L_FAILURES] += 1
        values[L_CONSECUTIVE_FAILURES] += 1
        values[L_RUN_GATEWAY] = values[L_RUN_GATEWAY] + 1 if local or gateway else 0
        values[L_RUN_LOCAL] = values[L_RUN_LOCAL] + 1 if local else 0
        if not status:
            return
        values[L_RUN_5XX] = values[L_RUN_5XX] + 1 if is_fault(status) else 0
        values[L_RUN_GATEWAY_ERRORS] = values[L_RUN_GATEWAY_ERRORS] + 1 if gateway else 0
        values[L_GATEWAY_ERRORS] += gateway
        values[L_BROKEN] += local

    def _end_runs(self) -> None:
        values = self.tally.values
        for cell in RUNS:
            values[cell] = 0

    def count_irregular(self, kinds: int) -> None:
        """A response of these kinds (summed up) was read all the same."""
        for index in range(_KINDS):
            self.tally.values[L_IRREGULAR + index] += kinds >> index & 1
        self.tally.changed = True

    def told_cached(self, prompt: int, predicted: int, cached: int) -> None:
        """Count what was predicted to be cached and what was, in the engine's own tokens."""
        values = self.tally.values
        values[L_JUDGED_PROMPT] += prompt
        values[L_JUDGED_PREDICTED] += predicted
        values[L_JUDGED_CACHED] += cached

    def publish(self) -> None:
        """Copy the counts to the board if they changed, with what is so at present."""
        tally = self.tally
        if not tally.changed:
            return
        values = tally.values
        values[L_IN_FLIGHT] = self.in_flight
        tally_tokens(values, self.tokens)
        values[L_BREAKER] = self.breaker.state if self.breaker is not None else 0
        values[L_QUIET_SINCE_US] = int(self.quiet_since * 1e6) if self.owed > 0 else 0
        values[L_HEARD_US] = int(self.heard_at * 1e6)
        tally.publish()
