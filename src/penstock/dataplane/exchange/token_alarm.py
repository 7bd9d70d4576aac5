"""Rings where the tokens of an answer are to be looked at: when the next one is due, or sooner."""

from mypy_extensions import trait

from penstock.dataplane.io.loop import Alarm, Loop


@trait
class TokenAwaiter:
    """The answer."""

    def ring(self, now: float) -> None:
        """It is due."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed while it rang."""
        raise NotImplementedError


class TokenAlarm(Alarm):
    """Of one answer. It is all that the loop's list of alarms holds on to, until its time."""

    token_at: float = 0.0  # when the last token came

    def __init__(self, answer: TokenAwaiter, loop: Loop, token_s: float) -> None:
        self.token_s: float = token_s  # that the next one may take; 0: any time
        self._answer: TokenAwaiter | None = answer
        self._loop: Loop = loop

    def ring(self, now: float) -> None:
        if self._answer is not None:
            self._answer.ring(now)

    def on_crash(self) -> None:
        if self._answer is not None:
            self._answer.on_crash()

    def ring_at(self, at: float) -> None:
        """At 0.0 not at all."""
        if at > 0.0 or self.due_at > 0.0:
            self._loop.set_alarm(self, at)

    def await_token(self, last_at: float) -> None:
        """Set it for the token that follows the one of then."""
        self.token_at = last_at
        self.ring_at(last_at + self.token_s if self.token_s > 0.0 else 0.0)

    def is_early(self, now: float) -> bool:
        """Whether a token came meanwhile, so that the next one is due later."""
        return now < self.token_at + self.token_s

    def end(self) -> None:
        """The exchange ended."""
        self.ring_at(0.0)
        self._answer = None
