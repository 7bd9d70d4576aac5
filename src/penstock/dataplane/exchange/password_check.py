"""Passwords, checked in a thread while the loop serves: a hash that is slow to guess is slow."""

from typing import Final

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.auth_call import AuthAwaiter
from penstock.dataplane.io.thread_call import Slow, ThreadCall
from penstock.dataplane.route.auth_verdicts import AuthVerdict
from penstock.dataplane.route.basic_question import BasicQuestion

MOST_AT_ONCE: Final = 4  # threads; further ones are told to come again
_KEPT_S: Final = 300.0  # a right one
_WRONG_KEPT_S: Final = 5.0


class PasswordCheck(Slow):
    """One check."""

    def __init__(self, context: Context, question: BasicQuestion, awaiter: AuthAwaiter) -> None:
        self._context: Context = context
        self._question: BasicQuestion = question
        self._awaiter: AuthAwaiter | None = awaiter
        self._verdict: AuthVerdict | None = None
        context.password_checks += 1
        ThreadCall(context.loop, self)

    def give_up(self) -> None:
        """Nobody waits for it any more; what comes of it is kept all the same."""
        self._awaiter = None

    def work(self) -> None:
        self._verdict = self._question.check()

    def done(self) -> None:
        context = self._context
        context.password_checks -= 1
        verdict = self._verdict or AuthVerdict(0, [], b"", "a password could not be checked")
        if verdict.status:
            keeps_s = _KEPT_S if verdict.allows else _WRONG_KEPT_S
            until = context.env.now + keeps_s
            context.auth_verdicts.keep(self._question.digest, verdict, until)
        awaiter = self._awaiter
        self._awaiter = None
        if awaiter is not None:
            awaiter.on_auth(verdict)

    def on_crash(self) -> None:
        awaiter = self._awaiter
        self._awaiter = None
        if awaiter is not None:
            awaiter.on_crash()
