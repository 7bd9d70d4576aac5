"""What has to be known of a request before it asks for a place: who asks, what its body asks for,
and that so much may be taken.

Made only where any of this is asked, by an exchange and by a pick for a gateway alike.
"""

from mypy_extensions import trait

from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.entrance import Entrance, EntranceOwner
from penstock.dataplane.exchange.entry import Entry, EntryOwner
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.inspection import GO_ON, READ_ON, REFUSE, Inspection
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.exchange.slots import give_slot
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.llm.learning import LlmLearning
from penstock.dataplane.pool.model_waits import ModelsAwaiter
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import RequestHead
from penstock.wire.openai import OTHER


@trait
class ClearanceOwner:
    """The request."""

    def has_ended(self) -> bool:
        """Whether its client left meanwhile."""
        raise NotImplementedError

    def on_waiting(self) -> None:
        """Somebody else is to tell whether it goes on, or with what: one of the others follows."""
        raise NotImplementedError

    def on_cleared(self) -> None:
        """It goes on from where it waited: it may ask here, or ask for a place."""
        raise NotImplementedError

    def give(self, answer: Answer, ended: str) -> None:
        """Its client gets that, and it goes no further. ``ended``: how, in one word, for the
        log."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed."""
        raise NotImplementedError


class Clearance(EntranceOwner, ModelsAwaiter, EntryOwner):
    """Of one request. Where a method returns False it does not go on: it was answered, or its owner
    is told later."""

    entry: Entry | None = None  # where it is asked who asks
    inspection: Inspection | None = None  # of one whose body may tell more
    awaits_body: bool = False  # nothing is chosen before more of it is there
    _entrance: Entrance | None = None  # while it is not known whether it may ask at all
    _pool_plan: PoolPlan | None = None
    _dispatch: Dispatch | None = None

    def __init__(
        self,
        context: Context,
        owner: ClearanceOwner,
        front: Front | None,
        head: RequestHead,
        plan: Plan,
        request_id: bytes,
    ) -> None:
        """``front``: its client's; None where somebody else speaks with it."""
        self._context: Context = context
        self._owner: ClearanceOwner = owner
        self._front: Front | None = front
        self._head: RequestHead = head
        self._plan: Plan = plan
        self._request_id: bytes = request_id

    # --- who asks ---------------------------------------------------------------------------

    def lets_in(self, front: Front) -> bool:
        """Whether whoever asks may ask here."""
        entrance = Entrance(self._context, front, self._plan, self._request_id, self)
        self.entry = entrance.entry
        if entrance.lets_in():
            return True
        if entrance.waits():
            self._entrance = entrance
            self._owner.on_waiting()
        return False

    def knows_key(self, pool_plan: PoolPlan) -> bool:
        """Likewise by its key alone."""
        self._pool_plan = pool_plan
        entry = Entry(self._context, self._plan, self._request_id)
        self.entry = entry
        access = self._plan.access
        refusal = entry.enter(access) if access is not None else None
        if refusal is not None:
            self.on_kept_out(refusal)
        return refusal is None

    def on_let_in(self) -> None:
        self._entrance = None
        self._owner.on_cleared()

    def on_kept_out(self, told: Answer) -> None:
        self._entrance = None
        own = OwnAnswers(self._head, self._plan, self._pool_plan, self._request_id)
        self._owner.give(own.as_page(told), "refused")

    def on_listed(self, body: bytes) -> None:
        self._entrance = None
        self._owner.give(answers.json_answer(200, body), "fixed")

    def name_caller(self, pool_plan: PoolPlan) -> None:
        """Have the request to that pool tell who asks."""
        self._pool_plan = pool_plan
        if self.entry is not None:
            self.entry.name_caller(pool_plan)

    # --- what its body asks for -------------------------------------------------------------

    def begin(
        self,
        dispatch: Dispatch,
        pool_plan: PoolPlan,
        learning: LlmLearning | None,
        body: RequestBody,
    ) -> bool:
        """Whether it goes on, by what there is of its body."""
        self._dispatch = dispatch
        self._pool_plan = pool_plan
        if learning is None:
            return True
        inspection = Inspection(
            self._context, pool_plan, learning, self._head, body, self._request_id, self
        )
        self.inspection = inspection
        if self.entry is not None:
            self.entry.prepare(inspection)
        found = inspection.begin()
        if found == READ_ON and body.complete:
            found = inspection.read_whole(body.kept())
        elif found == READ_ON:
            self.awaits_body = True
            if self._front is not None and self._head.expects_continue:
                self._front.send_continue()
            came = body.kept()
            if came:
                found = inspection.read(came, False)
        return self._heeds(inspection, found)

    def take_body(self, data: bytes, complete: bool) -> None:
        """More of it, while that is awaited."""
        inspection = self.inspection
        if inspection is not None and self._heeds(inspection, inspection.read(data, complete)):
            self._go_on()

    def on_models_known(self) -> None:
        inspection = self.inspection
        if inspection is not None and self._heeds(inspection, inspection.understand()):
            self._go_on()

    def has_ended(self) -> bool:
        return self._owner.has_ended()

    def _heeds(self, inspection: Inspection, found: int) -> bool:
        """Whether the request goes on by what the body tells."""
        if found == READ_ON:
            return False
        self.awaits_body = False
        if found == GO_ON and self._dispatch is not None:
            self._dispatch.request = inspection.request
            return True
        if found == REFUSE and inspection.refusal is not None:
            self.on_kept_out(inspection.refusal)
        else:
            self._owner.on_waiting()
        return False

    # --- how much it takes ------------------------------------------------------------------

    def reserves(self, dispatch: Dispatch, pool_plan: PoolPlan) -> bool:
        """Whether it may ask for that, and so much, which is reserved then."""
        self._dispatch = dispatch
        entry = self.entry
        return entry is None or entry.admits(
            pool_plan, dispatch.request, self.inspection, self._head, self
        )

    def _go_on(self) -> None:
        dispatch = self._dispatch
        pool_plan = self._pool_plan
        if dispatch is not None and pool_plan is not None and self.reserves(dispatch, pool_plan):
            self._owner.on_cleared()

    def on_reserving(self) -> None:
        self._owner.on_waiting()

    def on_reserved(self) -> None:
        if not self._owner.has_ended():
            self._owner.on_cleared()

    # --- when it is sent, and answered --------------------------------------------------------

    def forwarded(self, pool_plan: PoolPlan, attempt: Attempt, *, watched: bool) -> ForwardedHead:
        """The head for that attempt's endpoint, and the body made to suit it. ``watched``: the
        answer is to be read."""
        endpoint = attempt.endpoint
        inspection = self.inspection
        if inspection is None:
            if endpoint.slots is not None:
                give_slot(pool_plan, endpoint, attempt.ticket)
            head = pool_plan.forwarded(endpoint, False)
        else:
            legible = inspection.adapt(endpoint, attempt.ticket) or watched
            if inspection.goes_through != OTHER:
                head = pool_plan.forwarded_through(endpoint, inspection.goes_through)
            else:
                head = pool_plan.forwarded(endpoint, legible)
        entry = self.entry
        return head.with_fields(entry.told) if entry is not None and entry.told else head

    def shown(self, body: bytes) -> bytes:
        """See ``Entry.shown``."""
        return self.entry.shown(body) if self.entry is not None else body

    def drop(self) -> None:
        """Nothing of its body is sent again."""
        if self.inspection is not None:
            self.inspection.drop()

    def settle(self, sent: bool, status: int, reading: AnswerReading | None, size: int) -> None:
        """See ``Entry.settle``."""
        if self.entry is not None:
            self.entry.settle(sent, status, reading, size)

    # --- its end ----------------------------------------------------------------------------

    def on_crash(self) -> None:
        self._owner.on_crash()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        if self._entrance is not None:
            self._entrance.give_up()
            self._entrance = None

    def tell(self, outcome: Outcome) -> None:
        """For the log: who asked, and what its body told."""
        if self.entry is not None:
            outcome.caller = self.entry.caller
        if self.inspection is not None:
            outcome.take_inspection(self.inspection)

    def end(self) -> None:
        """The request ended. They know one another: no cycle is left for the collector."""
        self.inspection = None
        self._entrance = None
        self._dispatch = None
