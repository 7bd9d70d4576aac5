"""An answer that may not simply pass: another attempt or an answer of our own may take its place,
its head may change, and its body may go through stages.

Made for one that is an error, or where its plan asks for any of this: all others pass as they come.
"""

from typing import Final

from penstock.core.ticket import DONE
from penstock.dataplane.board.layout import W_UNCOMPRESSED
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answer_stages import AnswerStages
from penstock.dataplane.exchange.answer_tap import AnswerTap, changes_length, reading_for
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.compressed_body import begun_head, body_for, why_passed
from penstock.dataplane.exchange.failover import Failover
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.grpc_call import GrpcCall
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.llm.answer_reading import AnswerReading, names_reading_of
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.http1 import RequestHead, ResponseHead

# What becomes of it.
PASSED_ON: Final = 0
REPEATED: Final = 1  # another attempt was begun in its place
REPLACED: Final = 2  # by ``answer``


class AnswerHandling:
    """Of one attempt's answer, from its head to the first bytes of its body."""

    answer: Answer | None = None  # of our own, in its place
    why: str = ""  # it is replaced, for the log
    refuses: bool = False  # the request, by the answer in its place
    counts: bool = False  # as an answer, although another takes its place
    cookie: bytes = b""  # the value of a further Set-Cookie
    decoded: bool = False  # the body's content coding is taken off
    broken: str = ""  # why its body cannot be passed on to the end
    stages: AnswerStages | None = None  # of its body, if it needs any
    _chunked: bool = False  # its pieces come in chunks
    _reading: AnswerReading | None = None

    def __init__(
        self,
        context: Context,
        request: RequestHead,
        pool_plan: PoolPlan,
        failover: Failover,
        own: OwnAnswers,
        call: GrpcCall | None,
        attempt: Attempt,
        head: ResponseHead,
    ) -> None:
        self.head: ResponseHead = head  # as the client gets it
        self._context: Context = context
        self._request: RequestHead = request
        self._pool_plan: PoolPlan = pool_plan
        self._failover: Failover = failover
        self._own: OwnAnswers = own
        self._call: GrpcCall | None = call
        self._attempt: Attempt = attempt

    def frame(self, front: Front) -> bool:
        """Whether its body is wanted in chunks. See ``Front.frame``."""
        rewritten = changes_length(self._failover.inspection, self.head)
        compression = self._pool_plan.compression
        if compression is not None:
            compressed = body_for(
                self._pool_plan, compression, self.head, self._context.compressing
            )
            if compressed is not None:
                self._staged().compressed = compressed
                compressed.in_chunks = front.frame(self.head, True)
                return False  # it chunks them itself
        self._chunked = front.frame(self.head, rewritten)
        return self._chunked

    def frame_bare(self) -> None:
        """Its body is wanted without chunks, whatever becomes of it."""
        self._chunked = False

    def renew_cookie(self) -> None:
        """The endpoint that it binds to was not certain before."""
        self.cookie = self._failover.dispatch.cookie(self._pool_plan.cookie)

    def _staged(self) -> AnswerStages:
        stages = self.stages
        if stages is None:
            stages = self.stages = AnswerStages(self._attempt.ticket)
        return stages

    # --- is it passed on? -------------------------------------------------------------------

    def judge(self, began: float, body: bytes, complete: bool) -> int:
        """PASSED_ON, REPEATED or REPLACED. ``began``: the exchange, on the loop's clock."""
        attempt = self._attempt
        failover = self._failover
        head = self.head
        status = head.status
        now = self._context.env.now
        pool = self._pool_plan.pool
        if self._request.extended_connect and status < 300:
            return self._refuse_consent()
        if self._is_call_repeated(body, complete):
            return REPEATED
        if self._own.lists_in_place_of(head):
            if self._pool_plan.origin:
                pool.origins.learn(self._pool_plan.origin, head.fields)
            return self._replace_by(self._own.model_list())
        if (status == 400 or status == 422) and failover.asks_plainly(attempt):
            return REPEATED
        reading = self._reading_of(began)
        self._reading = reading
        if reading is None or not reading.streamed:
            attempt.ticket.first_byte(now)  # else with the first token: engines send the head first
        if pool.orca:
            pool.take_orca(attempt.endpoint, head, now)
        if status in pool.rules.on_statuses and failover.allows(attempt, None, DONE, status):
            failover.drop_and_retry(attempt)
            return REPEATED
        if status >= 400:
            page = self._own.in_place_of(head)
            if page is not None:
                self.counts = True
                return self._replace_by(page)
        return PASSED_ON

    def _replace_by(self, answer: Answer) -> int:
        self.answer = answer
        return REPLACED

    def _refuse_consent(self) -> int:
        """A success would tell the client that the protocol was changed (RFC 8441, 5)."""
        self.refuses = True
        self.why = (
            f"endpoint {self._attempt.endpoint.name}: it answered {self.head.status} in place of "
            "101 to a request to change the protocol"
        )
        return self._replace_by(
            self._own.refusal(502, "the endpoint did not change the protocol", 1)
        )

    def _is_call_repeated(self, body: bytes, complete: bool) -> bool:
        """Whether it ends a gRPC call without a message, and the call is made again."""
        call = self._call
        if call is None:
            return False
        fields = self.head.fields
        call.note(self._attempt.ticket, fields)  # of an answer of trailers only
        if not self._pool_plan.repeats_calls or body or not complete:
            return False
        status = call.status_of(self.head.status)
        return self._failover.repeats_call(self._attempt, call, fields, status)

    def _reading_of(self, began: float) -> AnswerReading | None:
        """How it is read along; None where that tells nothing."""
        env = self._context.env
        inspection = self._failover.inspection
        if inspection is not None and inspection.prompt is not None:
            endpoint = self._attempt.endpoint
            inspection.note_answer(endpoint, self.head.status)
            return reading_for(inspection, self.head, self._chunked, endpoint, began, env)
        if self._pool_plan.makes_things:
            return names_reading_of(self.head, self._chunked, env)
        return None

    # --- it is ------------------------------------------------------------------------------

    def begin(self, body: bytes, complete: bool) -> bytes:
        """Decide about the head, and what of the body's first bytes is passed on."""
        pool_plan = self._pool_plan
        pool = pool_plan.pool
        attempt = self._attempt
        learning = pool.learning
        if pool_plan.conversation and learning is not None:
            learning.note_kept(pool_plan.conversation, attempt.endpoint)
        self.cookie = self._failover.dispatch.cookie(pool_plan.cookie)
        if pool_plan.origin and self.head.rewritten_for is not pool_plan.rules:
            pool.origins.learn(pool_plan.origin, self.head.fields)
        reading = self._reading
        if reading is not None and learning is not None:
            stages = self._staged()
            inspection = self._failover.inspection
            stages.tap = AnswerTap(reading, attempt.ticket, attempt.endpoint, learning, inspection)
            self.decoded = reading.decoder is not None
        if self._call is not None and self._call.ends_in_body:
            self._call.begin_body(self._chunked)
            self._staged().call = self._call
        return self._through_stages(body, complete)

    def _through_stages(self, body: bytes, complete: bool) -> bytes:
        stages = self.stages
        if stages is not None:
            self._attempt.learner = stages
            body = stages.read(body, complete, self._context.env.now)
            self.broken = stages.broken
        compression = self._pool_plan.compression
        if compression is None:
            return body
        whole = complete and not self.broken
        compressed = stages.compressed if stages is not None else None
        why = why_passed(compressed, self._pool_plan, compression, self.head, len(body))
        if why >= 0:
            self._context.counters.bump(W_UNCOMPRESSED + why)
        self.head = begun_head(compressed, compression, self.head, self._request, len(body), whole)
        if stages is None:
            return body
        return stages.compress(self._context, self._attempt.stream, body, whole)
