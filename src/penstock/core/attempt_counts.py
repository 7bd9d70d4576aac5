"""How attempts at one endpoint ended, counted for metrics and for outlier detection.

A *failure* is held against the endpoint: no whole response, or one with a status that tells of a
fault (``core.ticket.is_fault``). A response with wrong framing is *excused* as long as the
endpoint's others are in order: it may be the fault of what made it, of one URL maybe.

A *run* is a number of failures in a row. Of several processes that count the same endpoint the
longest run holds, and everything else is the sum (``add``).
"""

from typing import Final

from penstock.core.health.outlier_records import EndpointCounts, Tally
from penstock.core.ticket import CONNECT_FAILED, DONE, GARBAGE, OUTCOMES, TIMEOUT, is_fault

# What an attempt says of its endpoint.
NO_FAILURE: Final = 0
EXCUSED: Final = 1
FAILED: Final = 2

# Without a response in order for so long, wrongly framed ones are held against the endpoint: the
# interval of outlier detection, by default.
EXCUSED_FOR_S: Final = 10.0
_CLASSES: Final = 5  # 1xx to 5xx


class AttemptCounts:
    """One endpoint's, as one process counts them."""

    def __init__(self) -> None:
        self.by_class: list[int] = [0] * _CLASSES
        self.by_outcome: list[int] = [0] * len(OUTCOMES)
        self.failures: int = 0
        self.gateway_errors: int = 0  # of them: 502, 503, 504
        self.broken: int = 0  # of responses: those that were not whole
        self.blameless_5xx: int = 0
        self.excused: int = 0
        self.well_at: float = 0.0  # when a whole response came last
        self.consecutive_failures: int = 0
        self.run_gateway: int = 0  # gateway errors and local failures
        self.run_local: int = 0
        self.run_5xx: int = 0  # among responses
        self.run_gateway_errors: int = 0  # among responses

    def settled(self, outcome: int, status: int, now: float) -> int:
        """Count how an attempt ended. Returns NO_FAILURE, EXCUSED or FAILED."""
        self.by_outcome[outcome] += 1
        if status >= 100:
            self.by_class[min(status // 100, _CLASSES) - 1] += 1
        if outcome == DONE:
            self.well_at = now
            if status < 500:
                if self.consecutive_failures:
                    self._end_runs()
                return NO_FAILURE
        return self._count_unusual(outcome, status, now)

    def add(self, other: "AttemptCounts") -> None:
        """Count in what another process counted of the same endpoint."""
        for index in range(_CLASSES):
            self.by_class[index] += other.by_class[index]
        for index in range(len(OUTCOMES)):
            self.by_outcome[index] += other.by_outcome[index]
        self.failures += other.failures
        self.gateway_errors += other.gateway_errors
        self.broken += other.broken
        self.blameless_5xx += other.blameless_5xx
        self.excused += other.excused
        self.well_at = max(self.well_at, other.well_at)
        self.consecutive_failures = max(self.consecutive_failures, other.consecutive_failures)
        self.run_gateway = max(self.run_gateway, other.run_gateway)
        self.run_local = max(self.run_local, other.run_local)
        self.run_5xx = max(self.run_5xx, other.run_5xx)
        self.run_gateway_errors = max(self.run_gateway_errors, other.run_gateway_errors)

    def for_outliers(
        self, name: str, *, split: bool, up: bool, silent_s: float, heard_at: float
    ) -> EndpointCounts:
        """What outlier detection judges the endpoint by; ``split``: local failures apart."""
        responses = sum(self.by_class)
        local = sum(self.by_outcome[CONNECT_FAILED : TIMEOUT + 1])
        finished = responses + local - self.broken  # one that was not whole stands in both
        blamed_local = local - self.excused
        if split:
            errors = self.by_class[_CLASSES - 1] - self.blameless_5xx
            every = Tally(responses, errors, self.run_5xx)
            gateway = Tally(responses, self.gateway_errors, self.run_gateway_errors)
            apart = Tally(finished, blamed_local, self.run_local)
        else:
            every = Tally(finished, self.failures, self.consecutive_failures)
            gateway = Tally(finished, self.gateway_errors + blamed_local, self.run_gateway)
            apart = Tally()
        # A run without a connection is one of all processes: what any of them reaches, is.
        unreached = Tally(finished, self.by_outcome[CONNECT_FAILED])
        return EndpointCounts(name, every, gateway, apart, up, unreached, silent_s, heard_at)

    def _count_unusual(self, outcome: int, status: int, now: float) -> int:
        """Tell failures from what says nothing of the endpoint."""
        if outcome == GARBAGE and self._is_excused(now):
            self.excused += 1
            self.broken += status > 0
            return EXCUSED
        if CONNECT_FAILED <= outcome <= TIMEOUT or is_fault(status):
            self._count_failure(outcome, status)
            return FAILED
        if status >= 500:
            self.blameless_5xx += 1
        elif self.consecutive_failures and status:
            self._end_runs()
        return NO_FAILURE

    def _is_excused(self, now: float) -> bool:
        """Whether others are in order. An endpoint that answers nothing else is faulty."""
        if self.well_at == 0.0:
            self.well_at = now  # the first that is heard of it
        return now - self.well_at < EXCUSED_FOR_S

    def _count_failure(self, outcome: int, status: int) -> None:
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

    def _end_runs(self) -> None:
        self.consecutive_failures = 0  # the other runs are parts of this one
        self.run_gateway = self.run_local = self.run_5xx = self.run_gateway_errors = 0
