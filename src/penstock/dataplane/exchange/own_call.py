"""A gRPC call that the balancer answers itself."""

from mypy_extensions import trait

from penstock.dataplane.exchange.answers import Answer
from penstock.wire.chunked import ChunkedReader
from penstock.wire.grpc import OK, trailers
from penstock.wire.grpc_messages import MessageReader
from penstock.wire.http1 import RequestHead


@trait
class CallOwner:
    """The exchange that it is."""

    def give(self, answer: Answer, ended: str) -> None:
        """That is all that is said to it. ``ended``: how, in one word, for the log."""
        raise NotImplementedError

    def on_call_over(self) -> None:
        """Its trailers were told to the front: nothing more is said."""
        raise NotImplementedError


class OwnCall:
    """From the first byte of its request's body to its end. One of many messages each way answers
    as they come, and has the body held while it, or its client, takes no more."""

    status: int = -1  # how it ended, of ``wire.grpc``; -1: it has not

    def opening(self) -> Answer | None:
        """The head of its answer, where that is sent before anything is asked."""
        return None

    def has_line(self) -> bool:
        """Whether it has a line in the log."""
        return True

    def take(self, data: bytes, complete: bool) -> None:
        """More of the client's messages, in the framing of its request."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """The client takes more again."""

    def limit(self, most: int) -> None:
        """Say at most so much at a time; at 0, for now nothing."""

    def gone(self, outcome: int) -> None:
        """It is over, and nobody hears what it says. ``outcome`` is of ``core.ticket``."""


class CallMessages:
    """Those of a call's client, out of the body of its request; ``most`` bytes each."""

    def __init__(self, head: RequestHead, most: int) -> None:
        self.reader: MessageReader = MessageReader(most)
        self._chunks: ChunkedReader | None = ChunkedReader(False, 400) if head.chunked else None

    def feed(self, data: bytes) -> list[bytes]:
        """The whole messages that the next bytes complete, which come in the request's framing."""
        chunks = self._chunks
        if chunks is not None and data:
            data = chunks.feed(data)
        return self.reader.feed(data)


def opening_answer() -> Answer:
    """The head of an answer of messages that come one by one."""
    answer = Answer(200, b"", (("Content-Type", "application/grpc"),))
    answer.trailers = trailers(OK)  # told anew when they are known
    answer.goes_on = True
    return answer
