"""When an answer's first token is due, and whether another endpoint is asked that has none by
then."""

from penstock.core.pool.pool import ROOM
from penstock.core.ticket import ABANDONED, TIMEOUT
from penstock.dataplane.board.layout import P_LATE_TOKENS
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.failover import Failover


class FirstToken:
    """Of one exchange. ``within_s``: the time that it may take; 0: any."""

    due_at: float = 0.0  # 0: it is not waited for
    _patient: bool = False  # no other endpoint may be asked in place of the one that is waited for

    def __init__(self, dispatch: Dispatch, wanted_s: float, within_s: float) -> None:
        self.within_s: float = within_s
        self._dispatch: Dispatch = dispatch
        configured_s = dispatch.pool.spec.timeouts.first_token_s
        # A client that is in a hurry says nothing of the endpoint.
        hurried = wanted_s < configured_s or configured_s == 0.0
        self.outcome: int = ABANDONED if hurried else TIMEOUT  # of an attempt that is late

    def begin(self, now: float) -> None:
        """An attempt begins."""
        if self.within_s > 0.0 and not self._patient:
            self.due_at = now + self.within_s

    def is_given_up(self, attempt: Attempt, failover: Failover) -> bool:
        """No token came in time: whether another endpoint is to be asked, for which the retry
        budget has been charged. Where none can be, waiting goes on: it is the best that there
        is."""
        dispatch = self._dispatch
        pool = dispatch.pool
        pool.counters.bump(P_LATE_TOKENS)
        request = dispatch.request
        tried = [attempt.endpoint, *dispatch.tries().tried]
        if (
            not pool.is_left(request.model, tried)
            or pool.room(request, tried) != ROOM
            or not failover.may_replace_late(attempt, self.outcome)
        ):
            self._patient = True
            return False
        return True
