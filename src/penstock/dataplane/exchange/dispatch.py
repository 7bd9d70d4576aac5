"""From a request that knows its pool to an attempt: admit → eligible → pick → ticket.

Every protocol's exchange has one. What is tried again, with whom and within which budget is
``core.attempts``; whether something may be sent twice is the exchange's to know.
"""

from penstock.core.admission.needs import needs_of
from penstock.core.admission.priority import importance_of
from penstock.core.admission.refusals import Ending
from penstock.core.admission.tenant_shares import cost_of
from penstock.core.attempts import OVER_BUDGET, Attempts, Failure
from penstock.core.caller import ANYONE
from penstock.core.endpoint import Endpoint
from penstock.core.pool.pool import NO_ROOM, ROOM
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, Ticket
from penstock.dataplane.board.layout import (
    P_NO_ENDPOINT,
    P_RETRIES,
    P_RETRIES_DENIED,
)
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.yielding import Yielding
from penstock.dataplane.pool.admission import AdmittedExchange, ExchangeWaiter
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.record.recorder import Watch


class Dispatch(AdmittedExchange):
    """One exchange's way through one pool, and through it again when an attempt failed."""

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    attempt: Attempt | None = None  # the last one
    attempts: Attempts | None = None  # made when the first one fails or is passed over
    attempt_number: int = 0  # of the attempt under way or made last; 0 before the first
    waiter: ExchangeWaiter | None = None  # of one that has passed or awaits a pool's admission
    home: LiveEndpoint | None = None  # that a sticky cookie names
    pinned: LiveEndpoint | None = None  # whose connection it is asked for on: nobody else's
    yielding: Yielding | None = None  # of one whose answer is watched
    keeps_cookie: bool = False  # its endpoint is full, and it goes elsewhere this once
    priority: int = -1  # as its request or route say, 0 most important; -1: they do not
    expires_at: float = 0.0  # when the whole exchange must be done; 0.0: never

    def __init__(
        self,
        context: Context,
        owner: AttemptOwner,
        pool: LivePool,
        request: Request,
        request_id: bytes,
    ) -> None:
        self.context: Context = context
        self.owner: AttemptOwner = owner
        self.pool: LivePool = pool
        self.request: Request = request  # what the policy may know
        self.request_id: bytes = request_id

    def expire_by(self, at: float) -> None:
        """The whole exchange must be done by then too."""
        if self.expires_at == 0.0 or at < self.expires_at:
            self.expires_at = at

    # --- admit ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go on at once, unless the pool's admission makes it wait or turns it away."""
        admission = self.pool.admission
        if admission is None:
            self.pick()
            return
        request = self.request
        importance = self.priority
        if importance < 0 or request.caller is not ANYONE:
            importance = importance_of(importance, request.caller, admission.spec)
        waiter = ExchangeWaiter(self, importance, self.expires_at)
        waiter.caller = request.caller
        waiter.needs = self._needs()
        self.waiter = waiter
        if admission.admits(waiter):
            self.pick()
        else:
            self.owner.on_waiting()

    def on_admitted(self) -> None:
        self.pick()

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self.owner.on_turned_away(why, retry_after_s)

    def on_crash(self) -> None:
        self.owner.on_crash()

    def room(self) -> int:
        """Whether an endpoint takes it now: ROOM, NO_ROOM or NOBODY of ``core.pool``."""
        pool = self.pool
        request = self.request
        bound = self._bound_to()
        if bound is not None:
            if bound.has_room():
                return ROOM
            if self._waits_for_bound():
                return NO_ROOM
        attempts = self.attempts
        return pool.room(request, attempts.tried if attempts is not None else None)

    def cost(self) -> float:
        """What it is thought to use, as its tenant is charged."""
        request = self.request
        if request.prompt_tokens <= 0:
            return 1.0
        return cost_of(request.prompt_tokens, 0, request.output_tokens)

    def cached(self) -> int:
        """Most tokens of its prompt that an endpoint with room holds."""
        attempts = self.attempts
        return self.pool.cached(self.request, attempts.tried if attempts is not None else None)

    def usable(self) -> list[Endpoint]:
        """The endpoints that it can use, with room or without."""
        bound = self._bound_to()
        if bound is not None and self._waits_for_bound():
            return [bound]
        attempts = self.attempts
        return self.pool.usable(self.request, attempts.tried if attempts is not None else None)

    def held(self) -> LiveEndpoint | None:
        """Its endpoint, if it may give its place there away and be sent again."""
        attempt = self.attempt
        if attempt is None or attempt.is_settled() or self.pinned is not None:
            return None
        yielding = self.yielding
        return attempt.endpoint if yielding is not None and yielding.may_yield() else None

    def on_preempted(self) -> None:
        if self.yielding is not None:
            self.yielding.yield_place()
        if self.waiter is not None:
            self.waiter.needs = self._needs()

    def _needs(self) -> str:
        """What it can use: those that wait for the same do so in one line."""
        bound = self._bound_to() if self._waits_for_bound() else None
        attempts = self.attempts
        tried = attempts.tried if attempts is not None else None
        return needs_of(self.request.model, tried, bound.name if bound is not None else "")

    def _waits_for_bound(self) -> bool:
        """Whether it goes to the endpoint that binds it, or to none."""
        return self.pool.waits_for_bound or self.pinned is not None

    def _bound_to(self) -> LiveEndpoint | None:
        """The endpoint to which an answer, or else a cookie, binds it, as long as it may go there
        and has tried nothing yet."""
        if self.pinned is not None:
            return self.pinned
        if self.attempts is not None and self.attempts.tried:
            return None
        pool = self.pool
        return pool.answer_endpoint(self.request) or pool.sticky_endpoint(self.home, self.request)

    # --- eligible, pick, ticket -------------------------------------------------------------

    def pick(self) -> None:
        """Choose an endpoint and begin an attempt there."""
        request = self.request
        env = self.context.env
        pool = self.pool
        attempts = self.attempts
        tried = attempts.tried if attempts is not None else None
        passed = tried
        if pool.hedge is not None:
            passed = pool.hedge.passes(pool, request, tried, env.now)
        watch: Watch | None = None
        if pool.counters.requests >= pool.recorder.sample_at:
            watch = pool.recorder.watch(request, env, passed or (), self.request_id)
        chosen: Endpoint | None = None
        by = "answer"
        if not tried:
            chosen = self.pinned
            if chosen is None and request.continues:
                chosen = pool.answer_endpoint(request)
            if chosen is None and self.home is not None:
                chosen = pool.sticky_endpoint(self.home, request)
                by = "cookie"
            if chosen is not None and not chosen.has_room():
                if self._waits_for_bound():
                    self._no_endpoint()
                    return
                chosen = None
                self.keeps_cookie = by == "cookie"
        if chosen is None:
            chosen = pool.pick(request, env, passed)
            by = "policy"
        if chosen is None:
            self._no_endpoint()
            return
        assert isinstance(chosen, LiveEndpoint)
        self.attempt_number += 1
        if watch is None:
            ticket = Ticket(chosen, pool.policy, request, env.now)
        else:
            ticket = watch.ticket(chosen, pool.policy, request, by, self.attempt_number)
        attempt = Attempt(self.owner, chosen, ticket, self.expires_at)
        self.attempt = attempt
        if chosen.guarded and not ticket.enters(env.now):
            # Another worker took the last place at the same moment.
            attempt.settle(ABANDONED, env.now)
            self.attempt_number -= 1
            if self.pinned is not None or (by != "policy" and pool.waits_for_bound):
                self._no_endpoint()
            else:
                self.keeps_cookie = self.keeps_cookie or by == "cookie"
                self.tries().pass_over(chosen)
                self.pick()
            return
        self.owner.on_attempt_made(attempt)

    def tries(self) -> Attempts:
        """The failed attempts so far."""
        attempts = self.attempts
        if attempts is None:
            attempts = self.attempts = Attempts(self.pool)
        return attempts

    def why_not(self, failure: Failure, asked: str = "") -> str:
        """Why no other attempt may follow one that failed so; "" if one may. See ``Attempts``."""
        why = self.tries().failed(failure, self.request.model, asked, self.context.env)
        if why == OVER_BUDGET:
            self.pool.counters.bump(P_RETRIES_DENIED)
        return why

    def retry(self) -> None:
        """Back to *eligible*, without the endpoints that failed."""
        self.pool.counters.bump(P_RETRIES)
        self.pick_again()

    def pick_again(self) -> None:
        """Another endpoint in place of the one of the attempt before."""
        self.pick()
        admission = self.pool.admission
        if admission is not None:
            admission.go_on()  # into the room that the failed attempt left

    def try_again_at(self, endpoint: LiveEndpoint) -> None:
        """Make another attempt where the one before was, which keeps its place there; on a fresh
        connection."""
        now = self.context.env.now
        ticket = Ticket(endpoint, self.pool.policy, self.request, now)
        if endpoint.guarded:
            ticket.enters(now)  # it has its place, and is to be counted there
        attempt = Attempt(self.owner, endpoint, ticket, self.expires_at)
        attempt.afresh = True
        self.attempt = attempt
        self.owner.on_attempt_made(attempt)

    def attempt_beside(self, endpoint: LiveEndpoint) -> Attempt | None:
        """A second attempt at that endpoint while the first goes on; None where it has no room."""
        now = self.context.env.now
        ticket = Ticket(endpoint, self.pool.policy, self.request, now)
        if endpoint.guarded and not ticket.enters(now):
            ticket.settle(ABANDONED, now)
            return None
        return Attempt(self.owner, endpoint, ticket, self.expires_at)

    def start_beside(self, attempt: Attempt) -> None:
        """Begin it."""
        self.attempt_number += 1
        self.attempt = attempt
        self.owner.on_attempt_made(attempt)

    def cookie(self, sent: str) -> bytes:
        """The value of a Set-Cookie that binds its client to the endpoint; b"" where none is
        needed. ``sent``: that came with the request."""
        if self.pool.sticky is None or self.keeps_cookie or self.attempt is None:
            return b""
        return self.pool.cookie_for(self.attempt.endpoint, sent)

    def _no_endpoint(self) -> None:
        """There is none for it now: it waits once more where it was let in, or is refused."""
        pool = self.pool
        waiter = self.waiter
        if waiter is not None and pool.admission is not None:
            if self.attempts is not None:
                self.attempts.may_fill_again()
            waiter.needs = self._needs()
            if pool.admission.takes_back(waiter):
                return
        pool.counters.bump(P_NO_ENDPOINT)
        self.owner.on_no_endpoint(pool.why_none(self.request), pool.retry_after_s())

    # --- settle -----------------------------------------------------------------------------

    def has_sent(self) -> bool:
        """Whether an endpoint got any of the request."""
        return self.attempt_number > 1 or (self.attempt is not None and self.attempt.sent)

    def leave(self, *, told: bool, whole: bool, timed_out: bool, status: int, at: float) -> None:
        """Free its place in the pool's admission, if it has one, and say how the exchange went.

        ``at``: when the endpoint's first byte came; 0.0: none did. The others are of ``Ending``.
        """
        waiter = self.waiter
        if waiter is None or waiter.gate is None:
            return
        if waiter.charged != 0.0:
            waiter.gate.settle(waiter, self._used())
        came = at > 0.0
        latency_s = (at if came else self.context.env.now) - waiter.admitted_at
        ending = Ending(
            told=told,
            came=came,
            whole=whole,
            timed_out=timed_out,
            status=status if came else 0,
            latency_s=latency_s,
        )
        waiter.gate.left(waiter, ending)

    def _used(self) -> float:
        """What it used, as its tenant is charged."""
        attempt = self.attempt
        request = self.request
        if request.prompt_tokens <= 0:
            return 1.0
        if attempt is None:
            return 0.0
        ticket = attempt.ticket
        told = ticket.prompt_tokens >= 0
        prompt = ticket.prompt_tokens if told else request.prompt_tokens
        cached = ticket.cached_tokens if ticket.cached_tokens >= 0 else ticket.hit_tokens
        return cost_of(prompt, cached, ticket.output_tokens)
