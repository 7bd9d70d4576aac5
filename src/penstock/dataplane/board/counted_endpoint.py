"""An endpoint and what this worker counts of it, on the board."""

from array import array
from typing import Final

from penstock.core import snapshot
from penstock.core.endpoint import Endpoint
from penstock.core.health.breaker import Breaker
from penstock.core.ticket import CONNECT_FAILED, DONE, GARBAGE, TIMEOUT, is_fault
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
)
from penstock.dataplane.board.memory import Board
from penstock.wire.http1 import IRREGULARITIES

# Without an answer in order for so long, wrongly framed ones are held against the endpoint: the
# interval of outlier detection, by default.
EXCUSED_FOR_S: Final = 10.0
_KINDS: Final = len(IRREGULARITIES)


class CountedEndpoint(Endpoint):
    """Counts how attempts end. Totals survive the worker; who comes after it goes on from them."""

    def __init__(self, spec: snapshot.Endpoint, pool: str, board: Board, worker: int) -> None:
        super().__init__(spec.name, pool=pool)
        self.address_number: int = 0  # of the one connected to last, from 1
        self.row: int = spec.row
        self.requests: int = 0
        self.bytes_sent: int = 0
        self.bytes_received: int = 0
        self.connections: int = 0
        self.failures: int = 0
        self.consecutive_failures: int = 0
        self.gateway_errors: int = 0
        self.broken: int = 0
        self.blameless_5xx: int = 0
        self.excused: int = 0
        self.irregular: list[int] = [0] * _KINDS
        self.well_at: float = 0.0  # when a whole answer came last
        self.run_gateway: int = 0  # the runs by kind: see board
        self.run_local: int = 0
        self.run_5xx: int = 0
        self.run_gateway_errors: int = 0
        self.by_class: list[int] = [0] * 5
        self.by_outcome: list[int] = [0] * 7
        self.judged_prompt: int = 0  # tokens whose engine told what it found cached
        self.judged_predicted: int = 0
        self.judged_cached: int = 0
        self.timed: int = 0  # whole responses, and the sums of their times
        self.first_byte_s: float = 0.0
        self.total_s: float = 0.0
        self.heard_at: float = 0.0  # the last byte that was waited for came from it
        self.breaker: Breaker | None = None
        self.breaker_opened: int = 0
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
        """Count how an attempt ended, once, for metrics and outlier detection."""
        excused = False
        self.by_outcome[outcome] += 1
        if status >= 100:
            self.by_class[min(status // 100, 5) - 1] += 1
        if outcome != DONE or status >= 500:
            excused = self._count_unusual(outcome, status, now)
        elif self.consecutive_failures:
            self._end_runs()
        if outcome == DONE:
            self.well_at = now
            self.timed += 1
            # A response that nobody watched for its first byte had it with its last.
            self.first_byte_s += (first_byte_at or now) - opened_at
            self.total_s += now - opened_at
        self.changed = True
        return excused

    def _count_unusual(self, outcome: int, status: int, now: float) -> bool:
        """Tell failures from what says nothing of the endpoint. Returns whether it is excused."""
        if outcome == GARBAGE and self._is_excused(now):
            self.excused += 1
            self.broken += status > 0
            return True
        if CONNECT_FAILED <= outcome <= TIMEOUT or is_fault(status):
            self._count_failure(outcome, status)
            self.publish()  # outlier detection need not wait for the sweep
        elif status >= 500:
            self.blameless_5xx += 1
        elif self.consecutive_failures and status:
            self._end_runs()
        return False

    def _is_excused(self, now: float) -> bool:
        """Whether an answer that was framed wrongly is the fault of what made it, one URL maybe.

        It is as long as other answers are in order. An endpoint that says nothing else is faulty.
        """
        if self.well_at == 0.0:
            self.well_at = now  # the first that is heard of it
        return now - self.well_at < EXCUSED_FOR_S

    def _end_runs(self) -> None:
        self.consecutive_failures = 0  # the other runs are parts of this one
        self.run_gateway = self.run_local = self.run_5xx = self.run_gateway_errors = 0

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
        values[L_IN_FLIGHT] = self.in_flight
        values[L_REQUESTS] = self.requests
        for index in range(5):
            values[L_1XX_TO_5XX + index] = self.by_class[index]
        for index in range(4):  # CONNECT_FAILED, RESET, GARBAGE, TIMEOUT stand in that order
            values[L_CONNECT_FAILURES + index] = self.by_outcome[2 + index]
        values[L_CONSECUTIVE_FAILURES] = self.consecutive_failures
        values[L_CONNECTIONS] = self.connections
        values[L_BYTES_SENT] = self.bytes_sent
        values[L_BYTES_RECEIVED] = self.bytes_received
        values[L_FAILURES] = self.failures
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
        values[L_GATEWAY_ERRORS] = self.gateway_errors
        values[L_BROKEN] = self.broken
        values[L_BLAMELESS_5XX] = self.blameless_5xx
        values[L_EXCUSED] = self.excused
        values[L_TIMED] = self.timed
        values[L_FIRST_BYTE_SUM_US] = int(self.first_byte_s * 1e6)
        values[L_TOTAL_SUM_US] = int(self.total_s * 1e6)
        values[L_ADDRESS] = self.address_number
        for index in range(_KINDS):
            values[L_IRREGULAR + index] = self.irregular[index]
        values[L_RUN_GATEWAY] = self.run_gateway
        values[L_RUN_LOCAL] = self.run_local
        values[L_RUN_5XX] = self.run_5xx
        values[L_RUN_GATEWAY_ERRORS] = self.run_gateway_errors
        if self.owed > 0:
            values[L_QUIET_SINCE_US] = int(self.quiet_since * 1e6)
        values[L_HEARD_US] = int(self.heard_at * 1e6)
        cells[at : at + LOAD_CELLS] = memoryview(values)

    def _count_failure(self, outcome: int, status: int) -> None:
        """One more that the endpoint is to blame for, by kind."""
        local = CONNECT_FAILED <= outcome <= TIMEOUT
        gateway = 502 <= status <= 504
        self.failures += 1
        self.consecutive_failures += 1
        self.run_gateway = self.run_gateway + 1 if local or gateway else 0
        self.run_local = self.run_local + 1 if local else 0
        if not status:
            return
        self.run_5xx = self.run_5xx + 1 if is_fault(status) else 0
        self.run_gateway_errors = self.run_gateway_errors + 1 if gateway else 0
        self.gateway_errors += gateway
        self.broken += local

    def told_cached(self, prompt: int, predicted: int, cached: int) -> None:
        self.judged_prompt += prompt
        self.judged_predicted += predicted
        self.judged_cached += cached
        self.changed = True

    def _resume_counts(self) -> None:
        """Totals go on from where a worker before this one left them; what it ran is gone."""
        cells = self._cells
        at = self._load_at
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
            self.by_class[index] = cells[at + L_1XX_TO_5XX + index]
        for index in range(4):
            self.by_outcome[2 + index] = cells[at + L_CONNECT_FAILURES + index]
        self.connections = cells[at + L_CONNECTIONS]
        self.bytes_sent = cells[at + L_BYTES_SENT]
        self.bytes_received = cells[at + L_BYTES_RECEIVED]
        self.failures = cells[at + L_FAILURES]
        self.breaker_opened = cells[at + L_BREAKER_OPENED]
        self.judged_prompt = cells[at + L_JUDGED_PROMPT]
        self.judged_predicted = cells[at + L_JUDGED_PREDICTED]
        self.judged_cached = cells[at + L_JUDGED_CACHED]
        self.gateway_errors = cells[at + L_GATEWAY_ERRORS]
        self.broken = cells[at + L_BROKEN]
        self.blameless_5xx = cells[at + L_BLAMELESS_5XX]
        self.excused = cells[at + L_EXCUSED]
        self.timed = cells[at + L_TIMED]
        self.first_byte_s = cells[at + L_FIRST_BYTE_SUM_US] / 1e6
        self.total_s = cells[at + L_TOTAL_SUM_US] / 1e6
        for index in range(_KINDS):
            self.irregular[index] = cells[at + L_IRREGULAR + index]
