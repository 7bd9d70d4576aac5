"""One request that a gateway asks about: from its head to the settled ticket.

    → clear                                clearance.py, while the gateway tells the body
    → admit → eligible → pick → ticket     dispatch.py
    → settle                               here, as the gateway tells the answer

The gateway carries the request. What it tells of the answer is read along as any answer is.
"""

from typing import Final

from mypy_extensions import trait

from penstock.core.endpoint import Endpoint
from penstock.core.ticket import ABANDONED, CLIENT_GONE, CONNECT_FAILED, DONE
from penstock.dataplane.board.layout import P_CLIENT_GONE, P_RETRIES
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answer_stages import AnswerStages
from penstock.dataplane.exchange.answer_tap import AnswerTap, reading_for
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.clearance import Clearance, ClearanceOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.endpoint_picking.destinations import (
    destination_of,
    destinations_of,
    elsewhere,
    fallbacks,
    named,
)
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.log_line import log_line
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.exchange.slots import give_slot
from penstock.dataplane.llm.answer_reading import AnswerReading, names_reading_of
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead, ResponseHead

_FIRST_BYTE: Final = 2  # of the histograms, as in board.PHASES
_TELLS_NOTHING: Final = frozenset(("client_gone", "crashed"))


@trait
class PickOwner:
    """Who speaks with the gateway."""

    def on_picked(self, destinations: str) -> None:
        """The endpoints, the best first, as the protocol writes them. The body stands in
        ``pick.body`` as far as it came."""
        raise NotImplementedError

    def on_refused(self, answer: Answer) -> None:
        """The client is to be answered so."""
        raise NotImplementedError

    def on_waiting(self) -> None:
        """It waits, and takes no more of the body meanwhile."""
        raise NotImplementedError


class Pick(AttemptOwner, ClearanceOwner):
    """Opened for one request; ended once, however that ends."""

    picked: bool = False
    has_body: bool = False
    ended: str = ""  # how, in one word, for the log
    why: str = ""
    status: int = 0  # that the client is answered with
    first_byte_at: float = 0.0
    response_bytes: int = 0
    dispatch: Dispatch | None = None
    clearance: Clearance | None = None  # of one that is asked who asks, or whose body is read
    stages: AnswerStages | None = None
    _subset: list[str] | None = None
    _moves: bool = False  # to the endpoint that the gateway chose in the end

    def __init__(
        self, context: Context, owner: PickOwner, head: RequestHead, plan: Plan, changes: bool
    ) -> None:
        """``changes``: answers come by here, and may be changed."""
        self.context: Context = context
        self.owner: PickOwner = owner
        self.head: RequestHead = head
        self.plan: Plan = plan
        self.pool_plan: PoolPlan = plan.choices[0]
        self.body: RequestBody = RequestBody(b"", False)
        self.request_id: bytes = plan.request_id or context.new_request_id()
        self.began: float = context.env.now
        self._changes: bool = changes

    # --- inspect ----------------------------------------------------------------------------

    def begin(self, complete: bool, subset: list[str] | None) -> None:
        """``complete``: it has no body. ``subset``: of ``ip:port``, among which is to be chosen;
        None: among all."""
        self.body.complete = complete
        self.has_body = not complete
        self._subset = subset
        pool_plan = self.pool_plan
        pool = pool_plan.pool
        pool.counters.came()
        clearance = Clearance(self.context, self, None, self.head, self.plan, self.request_id)
        self.clearance = clearance
        if self.plan.access is not None or pool.limits:
            if not clearance.knows_key(pool_plan):
                return
            clearance.name_caller(pool_plan)
        if pool.maintenance is not None:
            self.why = "an operator set the pool aside (maintenance)"
            self._refuse(self.own().maintenance(pool.maintenance))
            return
        dispatch = Dispatch(self.context, self, pool, pool_plan.request, self.request_id)
        dispatch.home = pool_plan.home
        dispatch.priority = pool_plan.priority
        self.dispatch = dispatch
        learning = pool.learning if pool_plan.may_tell_more else None
        if clearance.begin(dispatch, pool_plan, learning, self.body) and clearance.reserves(
            dispatch, pool_plan
        ):
            self._ask_for_place(dispatch)

    def take_body(self, data: bytes, complete: bool) -> None:
        """More of the body, before an endpoint is chosen."""
        self.body.add(data, complete, True)
        clearance = self.clearance
        if clearance is not None and clearance.awaits_body:
            clearance.take_body(data, complete)

    def has_ended(self) -> bool:
        return self.ended != ""

    def own(self) -> OwnAnswers:
        """Answers of our own to its client."""
        return OwnAnswers(self.head, self.plan, self.pool_plan, self.request_id)

    # --- admit, eligible, pick, ticket (Dispatch) ---------------------------------------------

    def on_cleared(self) -> None:
        if self.dispatch is not None:
            self._ask_for_place(self.dispatch)

    def give(self, answer: Answer, ended: str) -> None:
        self._refuse(answer)

    def _ask_for_place(self, dispatch: Dispatch) -> None:
        subset = self._subset
        if subset is not None:
            excluded = elsewhere(dispatch.pool.members, subset)
            if len(excluded) == len(dispatch.pool.members):
                self.on_no_endpoint("the gateway's subset holds no endpoint of the pool", 1)
                return
            if excluded:
                dispatch.tries().tried += excluded
        dispatch.begin()

    def on_waiting(self) -> None:
        if not self.ended:
            self.owner.on_waiting()

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        """Shed: the protocol has 429 for that, and 503 for none that is ready."""
        answer = self.own().refusal(429, why, retry_after_s, "overloaded")
        answer.headers = [*answer.headers, ("Retry-After", str(max(retry_after_s, 1)))]
        self._refuse(answer)

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self._refuse(self.own().refusal(503, why, retry_after_s))

    def on_attempt_made(self, attempt: Attempt) -> None:
        if self._moves:
            return
        endpoint = attempt.endpoint
        dispatch = self.dispatch
        assert dispatch is not None
        destination = destination_of(endpoint)
        if not destination or self._is_excluded(endpoint):
            # With all of a subset down, Dispatch would go back to those that were left out.
            attempt.settle(ABANDONED, self.context.env.now)
            self.on_no_endpoint("none of the endpoints that the gateway can reach is ready", 1)
            return
        attempt.peer = destination.encode()
        inspection = self._inspection()
        if endpoint.slots is not None:
            give_slot(self.pool_plan, endpoint, attempt.ticket)
        if inspection is not None and not self._changes:
            inspection.renames = False
        self.picked = True
        others = fallbacks(dispatch.pool, dispatch.request, endpoint, self._excluded())
        self.owner.on_picked(",".join([destination, *destinations_of(others)]))

    def _excluded(self) -> list[Endpoint]:
        dispatch = self.dispatch
        attempts = dispatch.attempts if dispatch is not None else None
        return attempts.tried if attempts is not None else []

    def _is_excluded(self, endpoint: Endpoint) -> bool:
        return self._subset is not None and endpoint in self._excluded()

    def shown_keys(self) -> list[bytes]:
        """The fields that show its key, which is for no endpoint."""
        access = self.plan.access
        if access is None:
            return []
        return [lower for what, _, lower, _ in access.edits if what == "remove"]

    @property
    def legible(self) -> bool:
        """Whether the answer must come without a content coding."""
        inspection = self._inspection()
        return inspection is not None and inspection.renames

    def _inspection(self) -> Inspection | None:
        return self.clearance.inspection if self.clearance is not None else None

    # --- the answer, as the gateway tells it ---------------------------------------------------

    def on_answer(self, head: ResponseHead, ends: bool, served: str) -> bool:
        """Its head, and the endpoint that it came from; whether its length may change."""
        self._follow(served)
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        if dispatch is None or attempt is None or attempt.is_settled():
            return False
        now = self.context.env.now
        pool = dispatch.pool
        self.status = head.status
        ticket = attempt.ticket
        ticket.status = head.status
        self.first_byte_at = now
        pool.counters.record(_FIRST_BYTE, now - self.began)
        reading = self._reading_of(head, attempt)
        if reading is None or not reading.streamed:
            ticket.first_byte(now)
        if pool.orca:
            pool.take_orca(attempt.endpoint, head, now)
        learning = pool.learning
        clearance = self.clearance
        if clearance is not None and clearance.entry is not None:
            clearance.entry.follow(reading)
        changes = False
        if reading is not None and learning is not None:
            stages = AnswerStages(ticket)
            stages.tap = AnswerTap(reading, ticket, attempt.endpoint, learning, self._inspection())
            attempt.learner = stages
            self.stages = stages
            changes = reading.renamer is not None
        if ends:
            self.on_answer_whole()
        return changes

    def _reading_of(self, head: ResponseHead, attempt: Attempt) -> AnswerReading | None:
        env = self.context.env
        inspection = self._inspection()
        if inspection is not None and inspection.prompt is not None:
            inspection.note_answer(attempt.endpoint, head.status)
            return reading_for(inspection, head, False, attempt.endpoint, self.began, env)
        return names_reading_of(head, False, env) if self.pool_plan.makes_things else None

    def told_fields(self) -> list[tuple[bytes, bytes]]:
        """What its client is told of its limits, in the answer's head."""
        entry = self.clearance.entry if self.clearance is not None else None
        if entry is None:
            return []
        lines = entry.lines(self.plan.family(self.pool_plan)).split(b"\r\n")[1:]
        parts = [line.partition(b": ") for line in lines]
        return [(name.lower(), value) for name, _, value in parts]

    def on_answer_body(self, data: bytes, ends: bool) -> bytes:
        """More of its body; what of it goes to the client."""
        if self.ended:
            return data
        stages = self.stages
        if stages is not None:
            data = stages.pass_on(data, ends, self.context.env.now)
        self.response_bytes += len(data)
        if ends:
            self.on_answer_whole()
        return data

    def on_answer_whole(self) -> None:
        """Nothing of it follows."""
        self._settle(DONE, "done")

    def _follow(self, served: str) -> None:
        """The gateway went on to a fallback: the load is there, and the first one failed."""
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        if not served or dispatch is None or attempt is None or attempt.is_settled():
            return
        if served == destination_of(attempt.endpoint):
            return
        endpoint = named(served, dispatch.pool.members)
        if endpoint is None:
            return  # one that left the pool meanwhile, or one of the gateway's own
        attempt.settle(CONNECT_FAILED, self.context.env.now)
        dispatch.pool.counters.bump(P_RETRIES)
        dispatch.attempt_number += 1
        self._moves = True
        dispatch.try_again_at(endpoint)
        if dispatch.attempt is not None:
            dispatch.attempt.peer = served.encode()

    # --- ends -------------------------------------------------------------------------------

    def closed(self, tells_bodies: bool) -> None:
        """The gateway tells nothing more. ``tells_bodies``: it would have told the answer's end."""
        if self.status and not tells_bodies:
            self.on_answer_whole()
        else:
            self.gone(CLIENT_GONE)

    def gone(self, outcome: int) -> None:
        """What comes of it is not known."""
        if not self.ended:
            if outcome == CLIENT_GONE:
                self.pool_plan.pool.counters.bump(P_CLIENT_GONE)
            self._settle(outcome, "client_gone" if outcome == CLIENT_GONE else "cut")

    def on_crash(self) -> None:
        if self.ended:
            return
        try:
            self._settle(ABANDONED, "crashed")
        finally:
            if not self.picked:
                why = "internal error; see the balancer's standard error"
                self.owner.on_refused(self.own().refusal(500, why))

    def _refuse(self, answer: Answer) -> None:
        self.why = self.why or answer.why
        self.status = answer.status
        self._end("refused")
        self.owner.on_refused(answer)

    def _settle(self, outcome: int, ended: str) -> None:
        if self.ended:
            return
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        try:
            if attempt is not None:
                attempt.settle(outcome, self.context.env.now)
        finally:
            self._end(ended)

    def _end(self, ended: str) -> None:
        """Metrics and the log line; the last thing that happens to each."""
        self.ended = ended
        now = self.context.env.now
        self.pool_plan.pool.counters.ended(self.status, now - self.began)
        dispatch = self.dispatch
        if dispatch is not None:
            dispatch.leave(
                told=ended not in _TELLS_NOTHING,
                whole=ended == "done",
                timed_out=False,
                status=self.status,
                at=self.first_byte_at,
            )
        self.body.end(self.context)
        clearance = self.clearance
        if clearance is not None and clearance.entry is not None:
            reading = self.stages.reading() if self.stages is not None else None
            size = self.body.size + self.response_bytes
            clearance.entry.settle(self.picked, self.status, reading, size)
        log = self.context.log
        if log.enabled:
            log.write(log_line(self._outcome(), now, log.shape))
        # They know this pick: no cycle is left for the collector.
        if dispatch is not None:
            dispatch.waiter = None
            self.dispatch = None
        if clearance is not None:
            clearance.end()
            self.clearance = None

    def _outcome(self) -> Outcome:
        outcome = Outcome(self.head, self.plan, self.request_id, self.began, self.ended)
        outcome.status = self.status
        outcome.response_bytes = self.response_bytes
        outcome.first_byte_at = self.first_byte_at
        outcome.why = self.why
        if self.dispatch is not None:
            outcome.take_dispatch(self.dispatch)
        clearance = self.clearance
        if clearance is not None:
            clearance.tell(outcome)
        if self.stages is not None:
            outcome.answer = self.stages.reading()
        return outcome
