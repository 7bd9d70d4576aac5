"""Whether a service (``forward_auth``) or a password (``basic_auth``) lets a request in."""

from mypy_extensions import trait

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.auth_call import AuthAwaiter, AuthCall, ask_auth
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.password_check import MOST_AT_ONCE, PasswordCheck
from penstock.dataplane.route.auth_question import AuthQuestion
from penstock.dataplane.route.auth_verdicts import AuthVerdict
from penstock.dataplane.route.basic_question import BasicQuestion


@trait
class ApprovalOwner:
    """A request that goes on only then."""

    def on_approved(self) -> None:
        """It is let in, after it waited for that."""
        raise NotImplementedError

    def on_kept_out(self, told: Answer) -> None:
        """It is not, and its client is told so."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed."""
        raise NotImplementedError


class Approval(AuthAwaiter):
    """Of one request; made where its route asks. A verdict that is remembered is not asked for."""

    def __init__(
        self,
        context: Context,
        entry: Entry,
        question: object,
        request_id: bytes,
        owner: ApprovalOwner,
    ) -> None:
        self.waits: bool = False  # for a verdict; then the owner is told
        self._context: Context = context
        self._entry: Entry = entry
        self._question: object = question  # the ``AuthQuestion`` or ``BasicQuestion``
        self._request_id: bytes = request_id
        self._owner: ApprovalOwner | None = owner
        self._call: AuthCall | None = None
        self._check: PasswordCheck | None = None

    def begin(self) -> bool:
        """Whether it is let in at once. If not, it was answered, or ``waits``."""
        question = self._question
        if isinstance(question, AuthQuestion):
            return self._ask(question)
        if isinstance(question, BasicQuestion):
            return self._look_at(question)
        return True

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._owner = None
        if self._call is not None:
            self._call.give_up()
            self._call = None
        if self._check is not None:
            self._check.give_up()
            self._check = None

    def on_auth(self, verdict: AuthVerdict) -> None:
        self._call = None
        self._check = None
        owner = self._owner
        if owner is None:
            return
        if not verdict.allows and isinstance(self._question, BasicQuestion) and verdict.status:
            self._entry.note_wrong()
        if self._heed(verdict):
            self._owner = None
            owner.on_approved()

    def on_crash(self) -> None:
        if self._owner is not None:
            self._owner.on_crash()

    def _ask(self, question: AuthQuestion) -> bool:
        """The service."""
        context = self._context
        verdict = context.auth_verdicts.get(question.digest, context.env.now)
        if verdict is not None:
            return self._heed(verdict)
        call = ask_auth(context, question, self._request_id, self)
        if call is None:
            return self._heed(AuthVerdict(0, [], b"", "no endpoint of its pool is available"))
        if call.is_open():
            self._call = call
            self.waits = True
        return False

    def _look_at(self, question: BasicQuestion) -> bool:
        """The password that it shows, if any."""
        context = self._context
        verdict = context.auth_verdicts.get(question.digest, context.env.now)
        if verdict is None and not question.user:
            verdict = question.no()
        elif verdict is None:
            verdict = self._entry.wrong_passwords()
            if verdict is None and context.password_checks < MOST_AT_ONCE:
                self._check = PasswordCheck(context, question, self)
                self.waits = True
                return False
            if verdict is None:
                verdict = AuthVerdict(0, [], b"", "too many passwords are being checked")
        return self._heed(verdict)

    def _heed(self, verdict: AuthVerdict) -> bool:
        """Whether it allows; else the client is told."""
        question = self._question
        owner = self._owner
        if not verdict.allows:
            self._owner = None
            if owner is not None:
                owner.on_kept_out(self._entry.rejection(verdict))
            return False
        if isinstance(question, AuthQuestion):
            self._entry.approve(question, verdict)
        else:
            self._entry.told = verdict.fields
        return True
