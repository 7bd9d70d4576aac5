"""An endpoint and what this worker counts of it, on the board."""

from typing import Final

from penstock.core import snapshot
from penstock.core.attempt_counts import ATTEMPT_CELLS, EXCUSED, FAILED, AttemptCounts
from penstock.core.endpoint import Endpoint
from penstock.core.measure.histogram import coarse_of
from penstock.core.ticket import DONE
from penstock.dataplane.board.layout import (
    ATTEMPTS_AT,
    L_BREAKER,
    L_BREAKER_OPENED,
    L_HEARD_US,
    L_IN_FLIGHT,
    L_IRREGULAR,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    L_PREFILLED,
    L_QUIET_SINCE_US,
    L_TIMES,
)
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.token_cells import tally_tokens
from penstock.wire.http1 import IRREGULARITIES

_KINDS: Final = len(IRREGULARITIES)
# The buckets of short durations, listed: working one out was 4% of the instructions of a request.
_LISTED_US: Final = 16384
_COARSE: Final[list[int]] = [coarse_of(microseconds) for microseconds in range(_LISTED_US)]


class CountedEndpoint(Endpoint):
    """Counts attempts and how they end."""

    def __init__(self, spec: snapshot.Endpoint, pool: str, board: Board, worker: int) -> None:
        super().__init__(spec.name, pool=pool)
        self.row: int = spec.row
        self.tally: LoadTally = LoadTally(board, spec.row, worker)
        self.counts: AttemptCounts = AttemptCounts()
        self.heard_at: float = 0.0  # the last byte that was waited for came from it
        self._cells: memoryview = board.cells
        self._load_at: int = board.load(spec.row, worker)
        values = self.tally.values
        self.counts.values = values[ATTEMPTS_AT : ATTEMPTS_AT + ATTEMPT_CELLS]
        self.breaker_opened = values[L_BREAKER_OPENED]
        self.tokens.prefilled = values[L_PREFILLED]

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
        verdict = self.counts.settled(outcome, status, now)
        tally = self.tally
        if outcome == DONE:
            tally.timed += 1
            # A response that nobody watched for its first byte had it with its last.
            tally.first_byte_s += (first_byte_at or now) - opened_at
            total_s = now - opened_at
            tally.total_s += total_s
            microseconds = int(total_s * 1e6)
            bucket = 0
            if 0 <= microseconds < _LISTED_US:
                bucket = _COARSE[microseconds]
            elif microseconds > 0:
                bucket = coarse_of(microseconds)
            tally.values[L_TIMES + bucket] += 1
        tally.changed = True
        if verdict == FAILED:
            self.publish()  # outlier detection need not wait for the sweep
        return verdict == EXCUSED

    def count_irregular(self, kinds: int) -> None:
        """A response of these kinds (summed up) was read all the same."""
        for index in range(_KINDS):
            self.tally.values[L_IRREGULAR + index] += kinds >> index & 1
        self.tally.changed = True

    def told_cached(self, prompt: int, predicted: int, cached: int) -> None:
        tally = self.tally
        tally.values[L_JUDGED_PROMPT] += prompt
        tally.values[L_JUDGED_PREDICTED] += predicted
        tally.values[L_JUDGED_CACHED] += cached
        tally.changed = True

    def publish(self) -> None:
        """Copy the counts to the board if they changed, with what is so at present."""
        tally = self.tally
        if not tally.changed:
            return
        values = tally.values
        values[L_IN_FLIGHT] = self.in_flight
        values[ATTEMPTS_AT : ATTEMPTS_AT + ATTEMPT_CELLS] = self.counts.values
        tally_tokens(values, self.tokens)
        values[L_BREAKER] = self.breaker.state if self.breaker is not None else 0
        values[L_BREAKER_OPENED] = self.breaker_opened
        values[L_QUIET_SINCE_US] = int(self.quiet_since * 1e6) if self.owed > 0 else 0
        values[L_HEARD_US] = int(self.heard_at * 1e6)
        tally.publish()
