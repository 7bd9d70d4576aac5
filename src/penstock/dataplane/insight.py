"""What a pool that serves a language model learns from requests and answers as they pass.

A request's whole body is read before an endpoint is chosen, within a bound; a larger one, or one
that is not understood, is balanced as any other request. Answers are read along, never held back.
"""

from typing import Final

from penstock.core.request import Request
from penstock.core.ticket import Ticket
from penstock.core.tokens import OutputPredictor, TokenEstimator
from penstock.wire.chunked import ChunkedReader
from penstock.wire.http1 import Refusal, RequestHead, ResponseHead
from penstock.wire.openai import EMBEDDING, IMAGE_TOKENS, Inspection, inspect
from penstock.wire.sse import SseMeter

MAX_INSPECTED_BYTES: Final = 16 * 1024 * 1024  # of a request: a million tokens with images
MAX_ANSWER_BYTES: Final = 1024 * 1024  # of an answer that is not streamed, to find its usage


class Insight:
    """One pool's; in one worker."""

    def __init__(self) -> None:
        self.estimator: TokenEstimator = TokenEstimator()
        self.predictor: OutputPredictor = OutputPredictor()
        self.understood: int = 0
        self.not_understood: int = 0

    def read(self, api: int, body: bytes, chunked: bool) -> Inspection:
        """Understand a whole body; ``chunked`` when it still has its framing."""
        found = inspect(api, unframed(body, chunked))
        if found.problem:
            self.not_understood += 1
        else:
            self.understood += 1
        return found

    def request_of(self, head: Request, found: Inspection) -> Request:
        """The facts of the head with those of the body."""
        model = found.model
        per_token = self.estimator.bytes_per_token(model)
        tokens = found.prompt_tokens
        if tokens < 0:
            tokens = self.estimator.tokens(model, found.prompt_bytes) + IMAGE_TOKENS * found.images
        output = 0
        if found.api != EMBEDDING:
            output = self.predictor.predict(model, found.output_limit)
        return Request(
            method=head.method,
            host=head.host,
            path=head.path,
            source=head.source,
            key_hash=head.key_hash,
            model=model,
            prompt_tokens=max(tokens, 1),
            output_tokens=output,
            blocks=found.blocks,
            block_ends=[int(end / per_token) for end in found.block_ends],
            session_hash=found.session_hash,
            streams=found.stream,
        )

    def learn(self, found: Inspection, reading: "AnswerReading", ticket: Ticket) -> None:
        """An answer to an understood request ended; the ticket gets its tokens."""
        meter = reading.meter
        output = meter.output_tokens if meter.output_tokens >= 0 else meter.events
        ticket.output_tokens = output
        if found.images == 0:
            self.estimator.learn(found.model, found.prompt_bytes, meter.prompt_tokens)
        if ticket.outcome < 0 and (meter.done or meter.finish_reason):
            self.predictor.learn(found.model, output)
        ticket.prompt_tokens = meter.prompt_tokens
        ticket.cached_tokens = meter.cached_tokens


class AnswerReading:
    """Reads an answer along."""

    def __init__(self, streamed: bool, chunked: bool) -> None:
        self.meter: SseMeter = SseMeter()
        self.streamed: bool = streamed
        self._deframer: ChunkedReader | None = ChunkedReader(False, 502) if chunked else None
        self._kept: list[bytes] = []  # of an answer that is not streamed
        self._kept_bytes: int = 0

    def feed(self, data: bytes, complete: bool) -> None:
        """What is passed on to the client, in its framing. Never raises."""
        deframer = self._deframer
        if deframer is not None and data:
            try:
                data = deframer.feed(data)
            except Refusal:
                self._kept_bytes = MAX_ANSWER_BYTES + 1  # it passes unread
                self._deframer = None
                return
        if self.streamed:
            self.meter.feed(data)
            return
        self._kept_bytes += len(data)
        if self._kept_bytes > MAX_ANSWER_BYTES:
            self._kept = []
        elif data:
            self._kept.append(data)
        if complete and self._kept:
            self.meter.read(b"".join(self._kept))


def reading_of(head: ResponseHead, chunked: bool) -> AnswerReading | None:
    """How to read an answer along; None when it is of a kind that says nothing."""
    if head.status != 200 or _value(head, b"content-encoding"):
        return None
    kind = _value(head, b"content-type").lower()
    if kind.startswith(b"text/event-stream"):
        return AnswerReading(True, chunked)
    if kind.startswith(b"application/json"):
        return AnswerReading(False, chunked)
    return None


def unframed(body: bytes, chunked: bool) -> bytes:
    """A whole body without its framing. It was read before, so it cannot be refused."""
    return ChunkedReader(False, 400).feed(body) if chunked else body


def may_inspect(head: RequestHead, complete: bool) -> bool:
    """Whether a request's body can be awaited before an endpoint is chosen.

    A client that waits for 100 (Continue) sends nothing before an endpoint has answered.
    """
    if head.method != b"POST" or head.content_length > MAX_INSPECTED_BYTES:
        return False
    return complete or not head.expects_continue


def _value(head: ResponseHead, name: bytes) -> bytes:
    """The first value of a field by its lower-case name; empty without one."""
    for lower, _, value in head.fields:
        if lower == name:
            return value
    return b""
