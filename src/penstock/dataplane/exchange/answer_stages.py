"""What the body of an answer goes through between endpoint and client.

Made for an answer that needs any of it; all others pass as they come.
"""

from penstock.core.ticket import Ticket
from penstock.dataplane.board.layout import W_COMPRESSED_FROM, W_COMPRESSED_TO
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.answer_tap import AnswerTap
from penstock.dataplane.exchange.attempt import Learner
from penstock.dataplane.exchange.compressed_body import SLICE_BYTES, CompressedBody
from penstock.dataplane.exchange.grpc_call import GrpcCall
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.llm.answer_reading import AnswerReading


class AnswerStages(Learner):
    """Of one attempt's answer: it is read along first, and compressed then."""

    call: GrpcCall | None = None  # of gRPC-Web, which ends in the body
    tap: AnswerTap | None = None
    compressed: CompressedBody | None = None
    broken: str = ""  # why what comes cannot be passed on

    def __init__(self, ticket: Ticket) -> None:
        self._ticket: Ticket = ticket

    def pass_on(self, data: bytes, complete: bool, now: float) -> bytes:
        """What goes to the client for the next bytes, unless it is ``broken`` from here on."""
        data = self.read(data, complete, now)
        if self.compressed is not None and not self.broken:
            data = self.compressed.pass_on(data, complete)
        return data

    def read(self, data: bytes, complete: bool, now: float) -> bytes:
        """Read the next bytes; what of them is passed on."""
        if self.call is not None:
            self.call.read_body(self._ticket, data, complete)
        tap = self.tap
        if tap is not None:
            data = tap.pass_on(data, complete, now)
            self.broken = tap.reading.broken
        return data

    def compress(
        self, context: Context, stream: EndpointStream | None, data: bytes, complete: bool
    ) -> bytes:
        """What goes to the client for the first bytes, when it was decided whether they are
        compressed: then the answer is read slice by slice."""
        compressed = self.compressed
        if compressed is None:
            return data
        if compressed.compresses():
            context.compressing += 1
            if stream is not None:
                stream.limit_reading(SLICE_BYTES)
        return compressed.pass_on(data, complete)

    def most_at_once(self) -> int:
        """How much of the answer may be read at a time."""
        compresses = self.compressed is not None and self.compressed.compresses()
        return SLICE_BYTES if compresses else READ_BYTES

    def reading(self) -> AnswerReading | None:
        """What the answer of a language model told so far."""
        return self.tap.reading if self.tap is not None else None

    def learn(self, now: float) -> None:
        if self.tap is not None:
            self.tap.learn(now)

    def failure(self) -> str:
        """The error that the answer tells, in a sentence; empty without one."""
        return self.tap.failure() if self.tap is not None else ""

    def end(self, context: Context) -> None:
        """The exchange ended."""
        if self.compressed is not None and self.compressed.compresses():
            context.compressing -= 1
            number = self.compressed.coding_number()
            context.counters.add(W_COMPRESSED_FROM + number, self.compressed.bytes_in)
            context.counters.add(W_COMPRESSED_TO + number, self.compressed.bytes_out)
            self.compressed = None
