"""What goes wrong with a request, and what is done about it: another attempt, or an honest end.

A retry goes back to *eligible* (``_attempt``), never after a byte of a response has gone to the
client, and only as ``core/attempts.py`` allows.
"""

import sys

from penstock.core.attempts import OVER_BUDGET, Attempts, Failure
from penstock.core.policy.support.own import own_failure
from penstock.core.retry import IDEMPOTENT_METHODS, REFUSALS
from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE, GARBAGE, RESET, TIMEOUT, Ticket
from penstock.dataplane.board.layout import P_CLIENT_GONE, P_CUT, P_RETRIES, P_RETRIES_DENIED
from penstock.dataplane.endpoint.http1 import EndpointConnection
from penstock.dataplane.exchange.prompt_reading import PromptReading
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.forwarding import UNTIL_CLOSE


class Failover(PromptReading):
    """The part of an exchange that deals with failure."""

    def _attempt(self) -> None:
        """Choose an endpoint and get a connection to it."""
        raise NotImplementedError

    def _connect_anew(self, endpoint: LiveEndpoint) -> None:
        """A connection of its own to this endpoint."""
        raise NotImplementedError

    def on_client_gone(self) -> None:
        """The client left: the endpoint's work is stopped at once."""
        connection = self.connection
        self.connection = None
        if connection is not None:
            connection.give_up()
        if self.way is not None:
            self.way.pool.counters.bump(P_CLIENT_GONE)
        self._settle(CLIENT_GONE)
        self._end(self.context.env.now, "client_gone")

    def cut_off(self, outcome: int, why: str) -> None:
        """We end it, and not because of anything that its endpoint did."""
        connection = self.connection
        self.connection = None
        if connection is not None:
            connection.give_up()
        self.why = why
        self.cut_by_us = True
        if self.way is not None and self.status:
            self.way.pool.counters.bump(P_CUT)
        self._settle(outcome)
        self._end(self.context.env.now, "cut")

    def abandon(self, status: int, why: str) -> None:
        """The client's request turned out bad while it came; the client side answers ``status``."""
        connection = self.connection
        self.connection = None
        if connection is not None:
            connection.give_up()
        self._settle(ABANDONED)
        self.status = status
        self.why = why
        self._end(self.context.env.now, "bad_request")

    def on_crash(self) -> None:
        """A bug showed, ours or of a user's policy: the client is not left waiting."""
        if self.ended:
            return
        connection = self.connection
        self.connection = None
        if connection is not None:
            connection.give_up()
        try:
            self._settle(ABANDONED)
        finally:
            if self.status == 0:
                self.front.close_after()
                own = own_failure(sys.exc_info()[1])
                if own:
                    self.why = own  # for the log; no client's business
                    self._refuse(500, "the policy of the pool failed; see the standard error")
                else:
                    self._refuse(500, "internal error; see the balancer's standard error")
            else:
                self._end(self.context.env.now, "crashed")
                self.front.cut(True)

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        connection = self.connection
        self.connection = None
        if self.status:
            self.why = reason
            self._settle(outcome)
            assert self.way is not None
            self.way.pool.counters.bump(P_CUT)
            self._end(self.context.env.now, "cut")
            self.front.cut(self._framing == UNTIL_CLOSE)
            return
        endpoint = self.endpoint
        way = self.way
        assert endpoint is not None
        assert way is not None
        if self._is_stale(connection, outcome) and self._attempts(way).replaces_stale():
            self._settle(ABANDONED)  # says nothing about the endpoint
            self._reopen(endpoint)
            return
        self._settle(outcome)
        timed_out = connection is not None and connection.timed_out
        silent = connection is None or not connection.answered
        if self._may_repeat(outcome, 0, timed_out, silent):
            self._retry()
            return
        # The log has endpoint and reason; addresses and certificates are no client's business.
        self.why = f"endpoint {endpoint.name}: {reason}"
        if outcome == TIMEOUT or timed_out:
            self._refuse(504, "the endpoint did not answer in time")
        else:
            self._refuse(502, "the endpoint failed before it answered")

    def _break_off(self, reason: str) -> None:
        """What comes cannot be passed on."""
        connection = self.connection
        if connection is not None:
            connection.give_up()
        self.on_endpoint_failed(GARBAGE, reason)

    def _is_sent_once(self) -> bool:
        """Whether a connection that dies under the request would end it: see ``_is_stale``."""
        way = self.way
        assert way is not None
        return not (self._body_complete and way.pool.rules.repeats_sent(self.head.method))

    def _is_stale(self, connection: EndpointConnection | None, outcome: int) -> bool:
        """A reused connection that died before any response byte: the endpoint had closed it.

        It may have begun the request all the same, unless the connection shows that it did not.
        """
        return (
            outcome == RESET
            and connection is not None
            and connection.requests > 1
            and not connection.answered
            and self._replayable
            and (self.head.method in IDEMPOTENT_METHODS or connection.never_arrived)
        )

    def _reopen(self, endpoint: LiveEndpoint) -> None:
        way = self.way
        request = self.request
        assert way is not None
        assert request is not None
        self._sent = False
        now = self.context.env.now
        self.ticket = Ticket(endpoint, way.pool.policy, request, now)
        if endpoint.guarded:
            endpoint.gives_way(self.ticket, now)  # it has its place, and is to be counted there
        self._connect_anew(endpoint)

    def _repeat_plainly(self, complete: bool) -> bool:
        """Send the request without what was asked for in the client's stead, if that may be why it
        was refused: some servers know no ``stream_options``. Nothing was done for it yet."""
        prompt = self.prompt
        endpoint = self.endpoint
        if prompt is None or endpoint is None or not self._body_complete:
            return False
        if not endpoint.habits.usage.may_refuse(prompt.found.api) or not prompt.ask_plainly():
            return False
        self._body = [prompt.data]
        self._other_length = len(prompt.data) if prompt.changed else -1
        self.plainly = True
        self.attempt_number += 1
        self._leave_connection(complete)
        self._settle(DONE)
        self._reopen(endpoint)
        return True

    def _may_be_sent_again(self, way: PoolPlan, endpoint: LiveEndpoint) -> bool:
        """Whether a body that was sent is to be kept until the answer begins.

        One that only might be lost with its endpoint gives way to prompts that are yet to be read.
        """
        rules = way.pool.rules
        prompt = self.prompt
        if rules.repeats_sent(self.head.method):
            return True
        if prompt is None:
            return False
        if prompt.asks_usage and endpoint.habits.usage.may_refuse(prompt.found.api):
            return True
        context = self.context
        return self._is_harmless(way) and context.prompt_bytes * 2 <= context.prompt_room

    def _is_harmless(self, way: PoolPlan) -> bool:
        """Whether it asks for a generation of which nothing stays behind where it is begun."""
        prompt = self.prompt
        return way.pool.rules.generations and prompt is not None and not prompt.found.stays

    def _may_repeat(self, outcome: int, status: int, timed_out: bool, silent: bool = False) -> bool:
        """Whether another attempt is safe, possible, and within the rules and the budget.

        ``silent``: not a byte of an answer came.
        """
        way = self.way
        request = self.request
        endpoint = self.endpoint
        assert way is not None
        assert request is not None
        assert endpoint is not None
        if not self._replayable:
            return False
        pool = way.pool
        failure = Failure(
            endpoint,
            outcome,
            status,
            timed_out=timed_out,
            sent=self._sent,
            safe=pool.rules.repeats_sent(self.head.method) or (silent and self._is_harmless(way)),
            refused=status in REFUSALS and pool.insight is not None,
            passed_on=self.status != 0,
        )
        asking = self._asking
        asked = asking.asked if asking is not None else ""
        why_not = self._attempts(way).failed(failure, request.model, asked, self.context.env)
        if why_not == OVER_BUDGET:
            pool.counters.bump(P_RETRIES_DENIED)
        return not why_not

    def _attempts(self, way: PoolPlan) -> Attempts:
        attempts = self.attempts
        if attempts is None:
            attempts = self.attempts = Attempts(way.pool)
        return attempts

    def _retry(self) -> None:
        """Back to *eligible*, without the endpoints that failed; another model may stand in."""
        way = self.way
        assert way is not None
        way.pool.counters.bump(P_RETRIES)
        self._sent = False
        if self._asking is not None and self.attempts is not None:
            self._fall_back(self._asking, self.attempts)
        self._attempt()

    def _pass_over(self, endpoint: LiveEndpoint) -> None:
        """It is full, which is no failure: it may be chosen again after a wait."""
        way = self.way
        assert way is not None
        self._attempts(way).pass_over(endpoint)
        self._attempt()

    def _leave_connection(self, complete: bool) -> None:
        """Drop a response that is not passed on."""
        connection = self.connection
        self.connection = None
        if connection is not None and not complete:
            connection.give_up()
