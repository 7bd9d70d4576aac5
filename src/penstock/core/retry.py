"""Whether a failed attempt may be repeated: a pool's rules, and its budget.

A request is repeated when it was not sent, or when sending it twice does no harm, never after a
byte of a response has been passed on, and only as the pool's ``Retry`` allows for the way it
failed. Sending it twice does no harm where its method is idempotent (RFC 9110, 9.2.2) or the pool
says so; for a gRPC call that ended without a message, where the pool says so of its status (as
gRPC's own clients have it, gRFC A6); and in pools that serve a language model, where an engine
refused it (429, 503), or where it asks for a generation that leaves nothing behind and of which no
byte came.

Refused connections do not count as attempts while untried endpoints remain: once for each endpoint,
64 at most. Every retry is taken from the budget, and a connection that ran out of time counts, so
the time spent on connecting stays bounded. A model that stands in for another gets attempts of its
own. ``core/attempts.py`` applies all this to one exchange.
"""

from typing import Final

from penstock.core.measure.window import SlidingCount
from penstock.core.snapshot import Retry
from penstock.core.ticket import CONNECT_FAILED, DONE, GARBAGE, RESET, TIMEOUT

# RFC 9110, 9.2.2: doing it twice means no more than doing it once.
IDEMPOTENT_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))

# An engine with these did not take the request up.
REFUSALS: Final = frozenset((429, 503))

WINDOW_S: Final = 10  # of the budget (Finagle, RetryBudget)
# Endpoints whose refused connections do not count, per request. The system may refuse a connection
# within the call that asks for it, so they nest; with more dead ones, others found out long ago.
MOST_PASSED_OVER: Final = 64


class RetryRules:
    """A pool's ``Retry`` settings as a decision."""

    def __init__(self, settings: Retry) -> None:
        self.attempts: int = settings.attempts
        # Of responses that count as failures to be retried.
        self.on_statuses: frozenset[int] = frozenset(settings.on_statuses)
        # Of gRPC calls that ended without a message: they are made again although they were sent.
        self.on_grpc_statuses: frozenset[int] = frozenset(settings.on_grpc_statuses)
        self._on_connect_failure: bool = settings.on_connect_failure
        self._on_reset: bool = settings.on_reset
        self._on_timeout: bool = settings.on_timeout
        self._non_idempotent: bool = settings.non_idempotent
        self.generations: bool = settings.generations

    def repeats_sent(self, method: bytes) -> bool:
        """Whether a request with that method may be repeated although it was sent."""
        return self._non_idempotent or method in IDEMPOTENT_METHODS

    def counts(
        self, outcome: int, *, timed_out: bool, again: bool, tried: int, others: bool
    ) -> bool:
        """Whether an attempt that ended so is one of those that ``Retry.attempts`` bounds.

        ``timed_out``: it failed by running out of time. ``again``: the endpoint had been tried
        before. ``tried``: how many were, this one included. ``others``: untried ones remain.
        """
        free = outcome == CONNECT_FAILED and not timed_out and not again and others
        return not free or tried > MOST_PASSED_OVER or self.attempts <= 1

    def used_up(self, attempts: int) -> bool:
        """Whether so many are all there may be, which a model that stands in begins anew."""
        return attempts >= self.attempts > 1

    def refusal(
        self,
        *,
        attempts: int,
        outcome: int,
        status: int,
        sent: bool,
        safe: bool,
        passed_on: bool,
        grpc_status: int = -1,
        late: bool = False,
    ) -> str:
        """Why the rules forbid one more attempt, for people; "" when they allow it.

        ``attempts`` that count were made already and the last one ended with ``outcome`` (of
        ``core.ticket``) and ``status`` (0: no response). ``sent``: bytes of the request reached
        the endpoint's connection. ``safe``: sending it twice does no harm. ``passed_on``: bytes of
        a response reached the client. ``grpc_status``: of a call that ended without a message; -1
        for all else. ``late``: it was given up here, as no token came by its deadline, which is set
        to have another asked. The budget must allow another attempt as well.
        """
        if passed_on:
            return "part of a response was passed on"
        if attempts >= self.attempts:
            return f"{attempts} of {self.attempts} attempts were made"
        if grpc_status in self.on_grpc_statuses:
            return ""
        if not late and not self._repeats(outcome, status):
            return "failures of this kind are not retried"
        if sent and not safe:
            return "it was sent, and sending it twice may do harm"
        return ""

    def _repeats(self, outcome: int, status: int) -> bool:
        if outcome == CONNECT_FAILED:
            return self._on_connect_failure
        if outcome in (RESET, GARBAGE):
            return self._on_reset
        if outcome == TIMEOUT:
            return self._on_timeout
        return outcome == DONE and status in self.on_statuses


class RetryBudget:
    """Retries may be a share of requests, and a few a second in any case.

    In every window of ten seconds: retries ≤ share · requests + min_per_s · 10, counted in
    slots of a second. A worker that is one of several passes its part of ``min_per_s``.
    Source: Finagle, RetryBudget (20%, at least 10 a second, 10 s).
    """

    def __init__(self, share: float, min_per_s: float) -> None:
        self.allow(share, min_per_s)
        self._requests: SlidingCount = SlidingCount(WINDOW_S)
        self._retries: SlidingCount = SlidingCount(WINDOW_S)

    def allow(self, share: float, min_per_s: float) -> None:
        """From here on; what was counted stays."""
        self._share: float = share
        self._reserve: float = min_per_s * WINDOW_S

    def request(self, now: float, count: int = 1) -> None:
        """So many requests came; their retries are not counted here."""
        self._requests.add(now, count)

    def take(self, now: float) -> bool:
        """Take the right to retry once; False when there is none left."""
        if self._retries.at(now) + 1 > self._share * self._requests.at(now) + self._reserve:
            return False
        self._retries.add(now)
        return True

    def left(self, now: float) -> int:
        """How many retries the budget would allow right now."""
        allowed = int(self._share * self._requests.at(now) + self._reserve)
        return max(0, allowed - self._retries.at(now))
