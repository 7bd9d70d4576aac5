"""What an answer whose attempts are watched asks of its exchange."""

from mypy_extensions import trait

from penstock.dataplane.exchange.answer_handling import AnswerHandling
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.failover import Failover


@trait
class SteadyOwner:
    """The exchange."""

    def passes_on(
        self, handling: AnswerHandling, attempt: Attempt, body: bytes, complete: bool
    ) -> bool:
        """Whether nothing takes an answer's place, whose head came."""
        raise NotImplementedError

    def begin_answer(
        self, attempt: Attempt, handling: AnswerHandling, body: bytes, complete: bool, broken: str
    ) -> None:
        """The client gets this one from here on. ``body``: framed as the front wants it."""
        raise NotImplementedError

    def break_off(self, attempt: Attempt, outcome: int, reason: str) -> None:
        """Give up an attempt that failed in its answer."""
        raise NotImplementedError

    def failover(self) -> Failover:
        """What may follow an attempt."""
        raise NotImplementedError

    def takes_none(self) -> bool:
        """Whether the client takes no more for now."""
        raise NotImplementedError

    def pass_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        """More of the answer that the client gets, read along already."""
        raise NotImplementedError

    def take_over(self, handling: AnswerHandling) -> None:
        """The answer goes on with that one."""
        raise NotImplementedError

    def end_whole(self, attempt: Attempt, outcome: int, data: bytes) -> None:
        """The answer is whole with that, though its attempt ended otherwise."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed: give up, and leave no client waiting."""
        raise NotImplementedError
