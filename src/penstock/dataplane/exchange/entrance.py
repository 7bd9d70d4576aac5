"""Whether a request may ask here at all: what a service or a password says of it, then its key."""

from mypy_extensions import trait

from penstock.dataplane.board.layout import W_FIXED, W_UNROUTED
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.approval import Approval, ApprovalOwner
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.route.access import Access
from penstock.dataplane.route.plan import Plan


@trait
class EntranceOwner:
    """The exchange."""

    def on_let_in(self) -> None:
        """It may, after it waited for that."""
        raise NotImplementedError

    def on_kept_out(self, told: Answer) -> None:
        """It may not, and its client is told so."""
        raise NotImplementedError

    def on_listed(self, body: bytes) -> None:
        """All that it asked for is the list of models that its key is good for."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed."""
        raise NotImplementedError


class Entrance(ApprovalOwner):
    """Of one request, on a route that asks who asks."""

    def __init__(
        self,
        context: Context,
        front: Front,
        plan: Plan,
        request_id: bytes,
        owner: EntranceOwner,
    ) -> None:
        self.entry: Entry = Entry(context, plan, request_id)
        self._context: Context = context
        self._front: Front = front
        self._plan: Plan = plan
        self._request_id: bytes = request_id
        self._owner: EntranceOwner = owner
        self._approval: Approval | None = None  # while it is not known whether it may go on

    def lets_in(self) -> bool:
        """Whether it may go on at once. If not, it was answered, or ``waits``."""
        question = self._plan.auth
        if question is not None and not self._is_approved(question):
            return False
        access = self._plan.access
        return access is None or self._shows_key(access)

    def waits(self) -> bool:
        """Whether that is not known yet; then the owner is told."""
        return self._approval is not None

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        if self._approval is not None:
            self._approval.give_up()
            self._approval = None

    def _is_approved(self, question: object) -> bool:
        """Whether a service or a password lets it in; False while that is not known."""
        approval = Approval(self._context, self.entry, question, self._request_id, self)
        if approval.begin():
            return True
        if approval.waits:
            self._approval = approval
        return False

    def on_approved(self) -> None:
        self._approval = None
        access = self._plan.access
        if access is None or self._shows_key(access):
            self._owner.on_let_in()

    def on_kept_out(self, told: Answer) -> None:
        self._approval = None
        self._owner.on_kept_out(told)

    def on_crash(self) -> None:
        self._owner.on_crash()

    def _shows_key(self, access: Access) -> bool:
        """Whether it shows a key that is good, where it needs one, and is not answered already."""
        entry = self.entry
        refusal = entry.enter(access) if entry.record is None else None
        if refusal is not None:
            self._context.counters.bump(W_UNROUTED)
            if entry.closes:
                self._front.close_after()
            self._owner.on_kept_out(refusal)
            return False
        listed = access.model_list.body(entry.record) if access.model_list is not None else b""
        if listed:
            self._context.counters.bump(W_FIXED)
            self._owner.on_listed(listed)
        return not listed
