"""An endpoint and what this worker counts of it, on the board."""

from array import array
from typing import Final

from penstock.core import snapshot
from penstock.core.attempt_counts import EXCUSED, FAILED, AttemptCounts
from penstock.core.endpoint import Endpoint
from penstock.core.ticket import DONE
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_ADDRESS,
    L_BLAMELESS_5XX,
    L_BREAKER,
    L_BREAKER_OPENED,
    L_BROKEN,
    L_BYTES_RECEIVED,
    L_BYTES_SENT,
    L_CONNECT_FAILURES,
    L_CONNECTIONS,
    L_CONSECUTIVE_FAILURES,
    L_DECODING,
    L_EXCUSED,
    L_FAILURES,
    L_FIRST_BYTE_SUM_US,
    L_GATEWAY_ERRORS,
    L_HEARD_US,
    L_IN_FLIGHT,
    L_IRREGULAR,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    L_KV_TOKENS,
    L_PENDING_PREFILL,
    L_PREFILLED,
    L_QUIET_SINCE_US,
    L_REQUESTS,
    L_RUN_5XX,
    L_RUN_GATEWAY,
    L_RUN_GATEWAY_ERRORS,
    L_RUN_LOCAL,
    L_TIMED,
    L_TOTAL_SUM_US,
    LOAD_CELLS,
    RUNS,
    Board,
)
from penstock.wire.http1 import IRREGULARITIES

_KINDS: Final = len(IRREGULARITIES)


class CountedEndpoint(Endpoint):
    """Counts how attempts end. Totals survive the worker; who comes after it goes on from them."""

    def __init__(self, spec: snapshot.Endpoint, pool: str, board: Board, worker: int) -> None:
        super().__init__(spec.name, pool=pool)
        self.address_number: int = 0  # of the one connected to last, from 1
        self.row: int = spec.row
        self.requests: int = 0
        self.counts: AttemptCounts = AttemptCounts()
        self.bytes_sent: int = 0
        self.bytes_received: int = 0
        self.connections: int = 0
        self.irregular: list[int] = [0] * _KINDS
        self.judged_prompt: int = 0  # tokens whose engine told what it found cached
        self.judged_predicted: int = 0
        self.judged_cached: int = 0
        self.timed: int = 0  # whole responses, and the sums of their times
        self.first_byte_s: float = 0.0
        self.total_s: float = 0.0
        self.changed: bool = False
        self._cells: memoryview = board.cells
        self._load_at: int = board.load(spec.row, worker)
        self._resume_counts()

    def shown_address(self) -> str:
        """Where it is reached, for people; empty while that is not known."""
        return ""

    def acquire(self) -> None:
        self.in_flight += 1
        self._cells[self._load_at + L_IN_FLIGHT] = self.in_flight
        self.requests += 1
        self.changed = True

    def release(self) -> None:
        self.in_flight -= 1
        self._cells[self._load_at + L_IN_FLIGHT] = self.in_flight

    def heard(self, now: float) -> None:
        self.quiet_since = now
        self.unheard = False
        self.heard_at = now
        self.changed = True

    def settled(
        self, outcome: int, status: int, opened_at: float, first_byte_at: float, now: float
    ) -> bool:
        verdict = self.counts.settled(outcome, status, now)
        if outcome == DONE:
            self.timed += 1
            # A response that nobody watched for its first byte had it with its last.
            self.first_byte_s += (first_byte_at or now) - opened_at
            self.total_s += now - opened_at
        self.changed = True
        if verdict == FAILED:
            self.publish()  # outlier detection need not wait for the sweep
        return verdict == EXCUSED

    def count_irregular(self, kinds: int) -> None:
        """A response of these kinds (summed up) was read all the same."""
        for index in range(_KINDS):
            self.irregular[index] += kinds >> index & 1
        self.changed = True

    def publish(self) -> None:
        """Copy the counts to the board if they changed."""
        if not self.changed:
            return
        self.changed = False
        cells = self._cells
        at = self._load_at
        values = array("q", [0] * LOAD_CELLS)
        counts = self.counts
        values[L_IN_FLIGHT] = self.in_flight
        values[L_REQUESTS] = self.requests
        for index in range(5):
            values[L_1XX_TO_5XX + index] = counts.by_class[index]
        for index in range(4):  # CONNECT_FAILED, RESET, GARBAGE, TIMEOUT stand in that order
            values[L_CONNECT_FAILURES + index] = counts.by_outcome[2 + index]
        values[L_CONSECUTIVE_FAILURES] = counts.consecutive_failures
        values[L_CONNECTIONS] = self.connections
        values[L_BYTES_SENT] = self.bytes_sent
        values[L_BYTES_RECEIVED] = self.bytes_received
        values[L_FAILURES] = counts.failures
        values[L_PENDING_PREFILL] = self.pending_prefill
        values[L_KV_TOKENS] = self.kv_tokens
        values[L_DECODING] = self.decoding
        values[L_PREFILLED] = self.prefilled
        if self.breaker is not None:
            values[L_BREAKER] = self.breaker.state
        values[L_BREAKER_OPENED] = self.breaker_opened
        values[L_JUDGED_PROMPT] = self.judged_prompt
        values[L_JUDGED_PREDICTED] = self.judged_predicted
        values[L_JUDGED_CACHED] = self.judged_cached
        values[L_GATEWAY_ERRORS] = counts.gateway_errors
        values[L_BROKEN] = counts.broken
        values[L_BLAMELESS_5XX] = counts.blameless_5xx
        values[L_EXCUSED] = counts.excused
        values[L_TIMED] = self.timed
        values[L_FIRST_BYTE_SUM_US] = int(self.first_byte_s * 1e6)
        values[L_TOTAL_SUM_US] = int(self.total_s * 1e6)
        values[L_ADDRESS] = self.address_number
        for index in range(_KINDS):
            values[L_IRREGULAR + index] = self.irregular[index]
        values[L_RUN_GATEWAY] = counts.run_gateway
        values[L_RUN_LOCAL] = counts.run_local
        values[L_RUN_5XX] = counts.run_5xx
        values[L_RUN_GATEWAY_ERRORS] = counts.run_gateway_errors
        if self.owed > 0:
            values[L_QUIET_SINCE_US] = int(self.quiet_since * 1e6)
        values[L_HEARD_US] = int(self.heard_at * 1e6)
        cells[at : at + LOAD_CELLS] = memoryview(values)

    def told_cached(self, prompt: int, predicted: int, cached: int) -> None:
        self.judged_prompt += prompt
        self.judged_predicted += predicted
        self.judged_cached += cached
        self.changed = True

    def _resume_counts(self) -> None:
        """Totals go on from where a worker before this one left them; what it ran is gone."""
        cells = self._cells
        at = self._load_at
        counts = self.counts
        cells[at + L_IN_FLIGHT] = 0
        cells[at + L_BREAKER] = 0
        for cell in RUNS:
            cells[at + cell] = 0
        cells[at + L_PENDING_PREFILL] = 0
        cells[at + L_KV_TOKENS] = 0
        cells[at + L_DECODING] = 0
        cells[at + L_QUIET_SINCE_US] = 0
        self.prefilled = cells[at + L_PREFILLED]
        self.requests = cells[at + L_REQUESTS]
        for index in range(5):
            counts.by_class[index] = cells[at + L_1XX_TO_5XX + index]
        for index in range(4):
            counts.by_outcome[2 + index] = cells[at + L_CONNECT_FAILURES + index]
        self.connections = cells[at + L_CONNECTIONS]
        self.bytes_sent = cells[at + L_BYTES_SENT]
        self.bytes_received = cells[at + L_BYTES_RECEIVED]
        counts.failures = cells[at + L_FAILURES]
        self.breaker_opened = cells[at + L_BREAKER_OPENED]
        self.judged_prompt = cells[at + L_JUDGED_PROMPT]
        self.judged_predicted = cells[at + L_JUDGED_PREDICTED]
        self.judged_cached = cells[at + L_JUDGED_CACHED]
        counts.gateway_errors = cells[at + L_GATEWAY_ERRORS]
        counts.broken = cells[at + L_BROKEN]
        counts.blameless_5xx = cells[at + L_BLAMELESS_5XX]
        counts.excused = cells[at + L_EXCUSED]
        self.timed = cells[at + L_TIMED]
        self.first_byte_s = cells[at + L_FIRST_BYTE_SUM_US] / 1e6
        self.total_s = cells[at + L_TOTAL_SUM_US] / 1e6
        for index in range(_KINDS):
            self.irregular[index] = cells[at + L_IRREGULAR + index]
