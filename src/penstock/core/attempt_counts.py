"""How attempts at one endpoint ended, counted for metrics and for outlier detection.

A *failure* is held against the endpoint: no whole response, or one with a status that tells of a
fault (``core.ticket.is_fault``). A response with wrong framing is *excused* as long as the
endpoint's others are in order: it may be the fault of what made it, of one URL maybe.

A *run* is a number of failures in a row. Of several processes that count the same endpoint the
longest run holds, and everything else is the sum (``add``).

What is counted is a list of numbers, and processes tell each other of it as that: the board's load
cells have them in this order (``dataplane.board.layout``).
"""

from typing import Final

from penstock.core.health.outlier_records import EndpointCounts, Tally
from penstock.core.ticket import CONNECT_FAILED, DONE, GARBAGE, TIMEOUT, is_fault

# What an attempt says of its endpoint.
NO_FAILURE: Final = 0
EXCUSED: Final = 1
FAILED: Final = 2

# Without a response in order for so long, wrongly framed ones are held against the endpoint: the
# interval of outlier detection, by default.
EXCUSED_FOR_S: Final = 10.0
# Runs, 0 after a success: of all failures, and by kind.
A_CONSECUTIVE_FAILURES: Final = 0
A_RUN_GATEWAY: Final = A_CONSECUTIVE_FAILURES + 1  # 502, 503, 504, or no whole response
A_RUN_LOCAL: Final = A_RUN_GATEWAY + 1  # no whole response
A_RUN_5XX: Final = A_RUN_LOCAL + 1  # among responses alone
A_RUN_GATEWAY_ERRORS: Final = A_RUN_5XX + 1  # 502, 503, 504, among responses alone
_RUNS: Final = A_RUN_GATEWAY_ERRORS + 1
# Totals.
A_1XX_TO_5XX: Final = _RUNS  # responses by class; 5xx stands for what is beyond too
A_CONNECT_FAILURES: Final = A_1XX_TO_5XX + 5  # from here on by outcome, from CONNECT_FAILED
A_TIMEOUTS: Final = A_CONNECT_FAILURES + 3
A_FAILURES: Final = A_TIMEOUTS + 1
A_GATEWAY_ERRORS: Final = A_FAILURES + 1  # responses 502, 503, 504
A_BROKEN: Final = A_GATEWAY_ERRORS + 1  # not whole: counted by class and by how they failed
A_BLAMELESS_5XX: Final = A_BROKEN + 1  # of the responses 5xx: 501, 505, and what is beyond 599
A_EXCUSED: Final = A_BLAMELESS_5XX + 1  # of wrong framing: not held against the endpoint
ATTEMPT_CELLS: Final = A_EXCUSED + 1


class AttemptCounts:
    """One endpoint's, as one process counts them."""

    def __init__(self) -> None:
        self.values: list[int] = [0] * ATTEMPT_CELLS
        self.well_at: float = 0.0  # when a whole response came last

    def settled(self, outcome: int, status: int, now: float) -> int:
        """Count how an attempt ended. Returns NO_FAILURE, EXCUSED or FAILED."""
        values = self.values
        if status >= 100:
            values[A_1XX_TO_5XX - 1 + min(status // 100, 5)] += 1
        if outcome == DONE:
            self.well_at = now
            if status < 500:
                if values[A_CONSECUTIVE_FAILURES]:
                    self._end_runs()
                return NO_FAILURE
        return self._count_unusual(outcome, status, now)

    def add(self, others: list[int]) -> None:
        """Count in what another process counted of the same endpoint."""
        values = self.values
        for cell in range(ATTEMPT_CELLS):
            count = others[cell]
            values[cell] = max(values[cell], count) if cell < _RUNS else values[cell] + count

    def for_outliers(
        self, name: str, *, split: bool, up: bool, silent_s: float, heard_at: float
    ) -> EndpointCounts:
        """What outlier detection judges the endpoint by; ``split``: local failures apart."""
        values = self.values
        responses = sum(values[A_1XX_TO_5XX:A_CONNECT_FAILURES])
        local = sum(values[A_CONNECT_FAILURES : A_TIMEOUTS + 1])
        finished = responses + local - values[A_BROKEN]  # one that was not whole stands in both
        blamed_local = local - values[A_EXCUSED]
        errors = values[A_GATEWAY_ERRORS]
        if split:
            faults = values[A_CONNECT_FAILURES - 1] - values[A_BLAMELESS_5XX]
            every = Tally(responses, faults, values[A_RUN_5XX])
            gateway = Tally(responses, errors, values[A_RUN_GATEWAY_ERRORS])
            apart = Tally(finished, blamed_local, values[A_RUN_LOCAL])
        else:
            every = Tally(finished, values[A_FAILURES], values[A_CONSECUTIVE_FAILURES])
            gateway = Tally(finished, errors + blamed_local, values[A_RUN_GATEWAY])
            apart = Tally()
        # A run without a connection is one of all processes: what any of them reaches, is.
        unreached = Tally(finished, values[A_CONNECT_FAILURES])
        return EndpointCounts(name, every, gateway, apart, up, unreached, silent_s, heard_at)

    def _count_unusual(self, outcome: int, status: int, now: float) -> int:
        """Tell failures from what says nothing of the endpoint."""
        values = self.values
        local = CONNECT_FAILED <= outcome <= TIMEOUT
        if local:
            values[A_CONNECT_FAILURES + outcome - CONNECT_FAILED] += 1
        if outcome == GARBAGE and self._is_excused(now):
            values[A_EXCUSED] += 1
            values[A_BROKEN] += status > 0
            return EXCUSED
        if local or is_fault(status):
            self._count_failure(local, status)
            return FAILED
        if status >= 500:
            values[A_BLAMELESS_5XX] += 1
        elif values[A_CONSECUTIVE_FAILURES] and status:
            self._end_runs()
        return NO_FAILURE

    def _is_excused(self, now: float) -> bool:
        """Whether others are in order. An endpoint that answers nothing else is faulty."""
        if self.well_at == 0.0:
            self.well_at = now  # the first that is heard of it
        return now - self.well_at < EXCUSED_FOR_S

    def _count_failure(self, local: bool, status: int) -> None:
        gateway = 502 <= status <= 504
        values = self.values
        values[A_FAILURES] += 1
        values[A_CONSECUTIVE_FAILURES] += 1
        values[A_RUN_GATEWAY] = values[A_RUN_GATEWAY] + 1 if local or gateway else 0
        values[A_RUN_LOCAL] = values[A_RUN_LOCAL] + 1 if local else 0
        if not status:
            return
        values[A_RUN_5XX] = values[A_RUN_5XX] + 1 if is_fault(status) else 0
        values[A_RUN_GATEWAY_ERRORS] = values[A_RUN_GATEWAY_ERRORS] + 1 if gateway else 0
        values[A_GATEWAY_ERRORS] += gateway
        values[A_BROKEN] += local

    def _end_runs(self) -> None:
        values = self.values
        for cell in range(_RUNS):
            values[cell] = 0
