"""How an answer passes that may not simply: whether anything takes its place, what is done to its
body, and who goes on where its attempt is too slow, fails or breaks.

An exchange has one if its attempts are watched (``steady.py``), if it is a gRPC call, or once an
attempt failed, or was answered by what is an error or has to be changed or read.
"""

from mypy_extensions import trait

from penstock.core.ticket import ABANDONED, DONE, GARBAGE, TIMEOUT
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.answer_handling import PASSED_ON, REPLACED, AnswerHandling
from penstock.dataplane.exchange.answer_stages import AnswerStages
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.clearance import Clearance
from penstock.dataplane.exchange.failover import Failover
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.grpc_call import GrpcCall
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.exchange.steady import SteadyAnswer
from penstock.dataplane.exchange.steady_owner import SteadyOwner
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.http1 import Field, RequestHead, ResponseHead


@trait
class PassageOwner:
    """The exchange."""

    def respond(
        self,
        attempt: Attempt,
        head: ResponseHead,
        handling: AnswerHandling | None,
        body: bytes,
        complete: bool,
    ) -> None:
        """The client gets this answer, from its head on."""
        raise NotImplementedError

    def send_on(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        """More of it, as the client is to get it."""
        raise NotImplementedError

    def end_whole(self, attempt: Attempt, outcome: int) -> None:
        """All of it was sent, whatever became of its attempt."""
        raise NotImplementedError

    def replace(self, handling: AnswerHandling, answer: Answer) -> None:
        """The client gets that in its place."""
        raise NotImplementedError

    def refuse(
        self, status: int, message: str, why: str = "", retry_after_s: int = 1, kind: str = ""
    ) -> None:
        """No whole answer comes: the client is told, or what it has is cut. ``why``: for the log,
        which has endpoint and reason; addresses and certificates are no client's business."""
        raise NotImplementedError

    def on_taken_over(self) -> None:
        """It comes from another attempt from here on."""
        raise NotImplementedError

    def takes_none(self) -> bool:
        """Whether the client takes no more for now."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed: give up, and leave no client waiting."""
        raise NotImplementedError


class Passage(SteadyOwner):
    """Of one exchange, for all its attempts."""

    call: GrpcCall | None = None  # where it is one
    steady: SteadyAnswer | None = None  # where its attempts are watched
    _handling: AnswerHandling | None = None  # of the answer that came last, unless it passes so
    _stages: AnswerStages | None = None  # of the body that the client gets, if it needs any

    def __init__(
        self,
        owner: PassageOwner,
        own: OwnAnswers,
        failover: Failover,
        front: Front,
        clearance: Clearance | None,
        began: float,
        *,
        begun: bool,
    ) -> None:
        """``began``: the exchange; ``begun``: the client has a head already."""
        self._context: Context = failover.dispatch.context
        self._owner: PassageOwner = owner
        self._own: OwnAnswers = own
        self._failover: Failover = failover
        self._front: Front = front
        self._request: RequestHead = own.head
        self._pool_plan: PoolPlan = failover.plan
        self._clearance: Clearance | None = clearance
        self._began: float = began
        self._begun: bool = begun
        if own.plan.is_grpc:
            self.call = GrpcCall(own.plan.grpc_kind)

    def watch(self) -> None:
        """Have the attempts watched. Before the first one."""
        failover = self._failover
        self.steady = SteadyAnswer(
            self._context,
            self,
            self._front,
            failover.body,
            failover.dispatch,
            failover.inspection,
            self._pool_plan,
        )
        failover.dispatch.yielding = self.steady

    # --- attempts ---------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> None:
        """One begins."""
        if self.steady is not None:
            self.steady.begin(attempt, self._context.env.now)

    def forget(self, attempt: Attempt) -> bool:
        """It failed; whether some of its answer was held, of which the client got nothing."""
        return self.steady is not None and self.steady.forget(attempt)

    def on_failed(
        self, attempt: Attempt, stream: EndpointStream | None, outcome: int, reason: str
    ) -> None:
        """One failed, as in ``AttemptOwner``: another goes on, or the client is told."""
        steady = self.steady
        owner = self._owner
        if steady is not None and steady.runs_beside(attempt):
            steady.lose(attempt, outcome)
            return
        if self._begun:
            if steady is not None and steady.resume(attempt, outcome):
                return
            attempt.settle(outcome, self._context.env.now)
            why = steady.why_cut if steady is not None else self._failover.why_never_resumed()
            if why:
                reason = f"{reason}; nobody goes on with it: {why}"
            owner.refuse(502, "", reason)
            return
        if outcome == ABANDONED:
            attempt.settle(outcome, self._context.env.now)
            owner.refuse(503, reason, reason)
            return
        held = steady is not None and steady.forget(attempt)
        if self._failover.goes_on(attempt, stream, outcome, self._request.method, held):
            return
        why = f"endpoint {attempt.endpoint.name}: {reason}"
        if outcome == TIMEOUT or (stream is not None and stream.ran_out_of_time()):
            owner.refuse(504, "the endpoint did not answer in time", why)
        else:
            owner.refuse(502, "the endpoint failed before it answered", why)

    # --- the head of an answer --------------------------------------------------------------

    def frame(self, attempt: Attempt, head: ResponseHead) -> bool:
        """Whether the body behind that head is wanted in chunks. See ``Front.frame``."""
        if self._pool_plan.passes_answers and head.status < 400:
            self._handling = None
            return self._front.frame(head, False)
        handling = AnswerHandling(
            self._context,
            self._request,
            self._pool_plan,
            self._failover,
            self._own,
            self.call,
            attempt,
            head,
        )
        steady = self.steady
        if steady is not None and steady.keeps(attempt, head):
            steady.hold(attempt, handling)
            return False
        self._handling = handling
        return handling.frame(self._front)

    def on_head(self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool) -> None:
        """It came, with what of the body came along."""
        steady = self.steady
        if steady is not None:
            if steady.holds(attempt):
                steady.on_head(attempt, body, complete)
                return
            if self._begun:  # another answer is under way, of which this is to be the rest
                why = f"it answered {head.status} to the request for the rest of an answer"
                self.break_off(attempt, DONE, why)
                return
            if not steady.is_answer(attempt, head):
                return
        handling = self._handling
        if handling is None:
            attempt.ticket.first_byte(self._context.env.now)
            self._respond(attempt, head, None, body, complete, "")
        elif self.passes_on(handling, attempt, body, complete):
            body = handling.begin(body, complete)
            self._respond(attempt, handling.head, handling, body, complete, handling.broken)

    def passes_on(
        self, handling: AnswerHandling, attempt: Attempt, body: bytes, complete: bool
    ) -> bool:
        verdict = handling.judge(self._began, body, complete)
        if verdict == REPLACED and handling.answer is not None:
            attempt.drop()
            self._owner.replace(handling, handling.answer)
        return verdict == PASSED_ON

    def begin_answer(
        self, attempt: Attempt, handling: AnswerHandling, body: bytes, complete: bool, broken: str
    ) -> None:
        self._handling = handling
        self._respond(attempt, handling.head, handling, body, complete, broken)

    def _respond(
        self,
        attempt: Attempt,
        head: ResponseHead,
        handling: AnswerHandling | None,
        body: bytes,
        complete: bool,
        broken: str,
    ) -> None:
        steady = self.steady
        if steady is not None and not steady.spoke:
            steady.win(attempt)
        self._begun = True
        if handling is not None:
            self._stages = handling.stages
        self._owner.respond(attempt, head, handling, body, complete and not broken)
        if broken:
            self.break_off(attempt, GARBAGE, broken)

    def repeats_call(self, attempt: Attempt, head: ResponseHead, trailers: list[Field]) -> bool:
        """Whether a gRPC call that ended without a message is made once more."""
        call = self.call
        if call is None or not self._pool_plan.repeats_calls:
            return False
        attempt.ticket.status = head.status
        call.note(attempt.ticket, trailers)
        return self._failover.repeats_call(attempt, call, trailers, call.status)

    # --- its body ---------------------------------------------------------------------------

    def pass_on(self, attempt: Attempt, data: bytes, complete: bool) -> bytes | None:
        """What goes to the client for the next bytes; None where nothing follows them from here:
        they are held, or the attempt was broken off."""
        steady = self.steady
        if steady is not None and steady.holds(attempt):
            steady.on_body(attempt, data, complete)
            return None
        stages = self._stages
        if stages is not None:
            data = stages.pass_on(data, complete, self._context.env.now)
            if stages.broken:
                self.break_off(attempt, GARBAGE, stages.broken)
                return None
        if steady is None:
            return data
        data = steady.follow(attempt, data, complete)
        failed = steady.fails()
        if failed:
            self._end_by_error(attempt, data, failed)
            return None
        return data

    def pass_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        steady = self.steady
        if steady is None:
            return
        data = steady.follow(attempt, data, complete)
        failed = steady.fails()
        if failed:
            self._end_by_error(attempt, data, failed)
        else:
            self._owner.send_on(attempt, data, complete)

    def _end_by_error(self, attempt: Attempt, data: bytes, failed: str) -> None:
        """It tells an error, and this came before: another goes on with it, or it is cut."""
        if data:
            self._front.send_body(data)
        self.break_off(attempt, GARBAGE, f"the answer tells an error: {failed}")

    def note_trailers(self, attempt: Attempt, fields: list[Field]) -> None:
        """Fields behind it."""
        if self.call is not None:
            self.call.note(attempt.ticket, fields)

    # --- what its attempts' watch asks for (SteadyOwner) --------------------------------------

    def take_over(self, handling: AnswerHandling) -> None:
        clearance = self._clearance
        entry = clearance.entry if clearance is not None else None
        before = self.reading()
        self._handling = handling
        self._stages = handling.stages
        if entry is not None:
            entry.go_on(before, self.reading())
        self._owner.on_taken_over()

    def end_whole(self, attempt: Attempt, outcome: int, data: bytes) -> None:
        if data:
            self._front.send_body(data)
        self._owner.end_whole(attempt, outcome)

    def break_off(self, attempt: Attempt, outcome: int, reason: str) -> None:
        attempt.give_up()
        self.on_failed(attempt, None, outcome, reason)

    def failover(self) -> Failover:
        return self._failover

    def takes_none(self) -> bool:
        return self._owner.takes_none()

    def on_crash(self) -> None:
        self._owner.on_crash()

    # --- what there is of it ----------------------------------------------------------------

    def waits(self) -> bool:
        """Whether an attempt that is to go on with the answer has no token yet."""
        return self.steady is not None and self.steady.waits()

    def most_at_once(self) -> int:
        """How much of the answer may be read at a time."""
        return self._stages.most_at_once() if self._stages is not None else READ_BYTES

    def reading(self) -> AnswerReading | None:
        """What the answer of a language model told so far."""
        return self._stages.reading() if self._stages is not None else None

    def failure(self) -> str:
        """The error that the answer tells, in a sentence; empty without one."""
        stages = self._handling.stages if self._handling is not None else None
        return stages.failure() if stages is not None else ""

    def tell(self, outcome: Outcome) -> None:
        """For the log."""
        outcome.answer = self.reading()
        if self.steady is not None:
            outcome.resumed = self.steady.resumed()
            outcome.hedged = self.steady.hedged()
        if self.call is not None:
            outcome.grpc_status = self.call.status

    # --- its end ----------------------------------------------------------------------------

    def give_up(self, outcome: int) -> None:
        """What runs beside the dispatch's own attempt is stopped as well."""
        if self.steady is not None:
            self.steady.give_up(outcome)

    def end(self) -> None:
        """The exchange ended."""
        if self._handling is not None and self._handling.stages is not None:
            self._handling.stages.end(self._context)
        self._handling = None
        if self.steady is not None:
            self.steady.end()
            self.steady = None
