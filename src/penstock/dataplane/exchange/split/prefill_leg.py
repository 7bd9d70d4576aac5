"""One prompt on its way through the pool that computes prompts: admit → eligible → pick → ticket →
send → settle, and again elsewhere when an endpoint failed."""

from typing import Final

from mypy_extensions import trait

from penstock.core.attempts import Failure
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, DONE, GARBAGE, is_fault
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.chunked import as_one_chunk
from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader

_MOST_ANSWER_BYTES: Final = 4 * 1024 * 1024  # block numbers of a million tokens
_BUSY: Final = frozenset((429, 503))


@trait
class PrefillOwner:
    """Whoever needs the prompt computed."""

    def prefill_body(self, endpoint: LiveEndpoint) -> bytes:
        """What that endpoint is asked."""
        raise NotImplementedError

    def is_needed(self) -> bool:
        """Whether anything is to be gained by asking another."""
        raise NotImplementedError

    def on_asked(self) -> None:
        """It has the request."""
        raise NotImplementedError

    def on_computed(self, answer: bytes) -> None:
        """It was; what the endpoint answered."""
        raise NotImplementedError

    def on_not_computed(self, why: str) -> None:
        """No endpoint could."""
        raise NotImplementedError


class PrefillLeg(AttemptOwner):
    """Ends once: with one of the two methods of its owner, or given up."""

    ended: bool = False
    status: int = 0
    _dispatch: Dispatch | None = None  # until it ended

    def __init__(
        self,
        context: Context,
        owner: PrefillOwner,
        pool: LivePool,
        plan: PoolPlan,
        request: Request,
        head: RequestHead,
        request_id: bytes,
        expires_at: float,
    ) -> None:
        """``plan``: of the request itself, whose head is sent."""
        self._context: Context = context
        self._owner: PrefillOwner = owner
        self._plan: PoolPlan = plan
        self._request_id: bytes = request_id
        self._chunked: bool = head.chunked
        self._answer: list[bytes] = []
        self._answer_bytes: int = 0
        self._began: float = context.env.now
        dispatch = Dispatch(context, self, pool, request, request_id)
        dispatch.priority = plan.priority
        dispatch.expires_at = expires_at
        self._dispatch = dispatch

    def begin(self) -> None:
        """Ask for a place, and go on as soon as there is one."""
        dispatch = self._dispatch
        if dispatch is not None:
            dispatch.pool.counters.came()
            dispatch.begin()

    def give_up(self, outcome: int) -> None:
        """Nobody waits for it any more: the endpoint sees that at once."""
        dispatch = self._dispatch
        if self.ended or dispatch is None:
            return
        attempt = dispatch.attempt
        if attempt is not None:
            attempt.give_up()
            attempt.settle(outcome, self._context.env.now)
        self._end(False)

    # --- on its way (Dispatch) ----------------------------------------------------------------

    def on_attempt_made(self, attempt: Attempt) -> None:
        self._answer = []
        self._answer_bytes = 0
        attempt.begin(self._context.env.now, False)

    def on_waiting(self) -> None:
        """The queue has its own deadline."""

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self._fail(why)

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self._fail(why)

    def proxy_header(self) -> ProxyHeader:
        raise NotImplementedError  # pools of language models write none

    # --- send, and read what it answers -------------------------------------------------------

    def on_attempt_connected(self, attempt: Attempt) -> None:
        stream = attempt.stream
        assert stream is not None
        endpoint = attempt.endpoint
        stream.begin(attempt, False, attempt.expires_at, None)
        body = self._owner.prefill_body(endpoint)
        if self._chunked:
            body = as_one_chunk(body)
        head = self._plan.forwarded(endpoint, True).for_other_body(len(body), False)
        attempt.sent = True
        stream.arm(endpoint.connector.settings.first_byte_s)
        stream.send_request(head, self._request_id, body, True)
        self._owner.on_asked()

    def on_attempt_interim(self, attempt: Attempt, head: ResponseHead) -> None:
        """The final head follows."""

    def on_attempt_drained(self, attempt: Attempt) -> None:
        """All of it was sent at once."""

    def frame_attempt(self, attempt: Attempt, head: ResponseHead) -> bool:
        return False

    def on_attempt_answered(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        now = self._context.env.now
        self.status = head.status
        attempt.ticket.status = head.status
        attempt.ticket.first_byte(now)
        self.on_attempt_body(attempt, body, complete)

    def on_attempt_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        self._answer.append(data)
        self._answer_bytes += len(data)
        if self._answer_bytes > _MOST_ANSWER_BYTES:
            attempt.give_up()
            attempt.settle(GARBAGE, self._context.env.now)
            self._fail("the answer is too long for one token")
        elif complete:
            self._take_answer(attempt)

    def _take_answer(self, attempt: Attempt) -> None:
        attempt.settle(DONE, self._context.env.now)
        status = self.status
        if status == 200:
            answer = b"".join(self._answer)
            self._end(True)
            self._owner.on_computed(answer)
            return
        # The other half tells the client what is wrong with its request.
        if status in _BUSY or is_fault(status):
            failure = Failure(attempt.endpoint, DONE, status, sent=True, safe=True)
            if self._retries(failure):
                return
        self._fail(f"endpoint {attempt.endpoint.name} answered {status}")

    def on_attempt_failed(
        self, attempt: Attempt, stream: EndpointStream | None, outcome: int, reason: str
    ) -> None:
        """Nothing stays behind of a prompt that was computed in part: others may be asked."""
        attempt.settle(outcome, self._context.env.now)
        if outcome != ABANDONED:
            failure = Failure(
                attempt.endpoint,
                outcome,
                timed_out=stream is not None and stream.ran_out_of_time(),
                sent=attempt.sent,
                safe=True,
            )
            if self._retries(failure):
                return
        self._fail(f"endpoint {attempt.endpoint.name}: {reason}")

    def _retries(self, failure: Failure) -> bool:
        """Whether another endpoint is asked."""
        dispatch = self._dispatch
        if dispatch is None or not self._owner.is_needed() or dispatch.why_not(failure):
            return False
        dispatch.retry()
        return True

    def on_attempt_unable(self, attempt: Attempt, reason: str) -> None:
        attempt.settle(ABANDONED, self._context.env.now)
        self._fail(reason)

    # --- ends -----------------------------------------------------------------------------------

    def on_crash(self) -> None:
        self.give_up(ABANDONED)
        self._owner.on_not_computed("internal error; see the balancer's standard error")

    def _fail(self, why: str) -> None:
        if not self.ended:
            self._end(False)
            self._owner.on_not_computed(why)

    def _end(self, whole: bool) -> None:
        self.ended = True
        self._answer = []
        dispatch = self._dispatch
        self._dispatch = None  # it knows this leg: no cycle is left for the collector
        if dispatch is None:
            return
        now = self._context.env.now
        dispatch.pool.counters.ended(self.status, now - self._began)
        dispatch.leave(
            told=True, whole=whole, timed_out=False, status=self.status, at=now if whole else 0.0
        )
        dispatch.waiter = None
