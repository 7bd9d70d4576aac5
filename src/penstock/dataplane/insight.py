"""What a pool that serves a language model learns from requests and answers as they pass.

A request's whole body is read before an endpoint is chosen, within a bound; a larger one, or one
that is not understood, is balanced as any other request. Answers are read along, never held back.
"""

from time import monotonic
from typing import Final

from penstock.core.request import Request
from penstock.core.ticket import Ticket
from penstock.core.tokens import OutputPredictor, TokenEstimator
from penstock.dataplane.counters import PoolCounters
from penstock.dataplane.model_counters import ModelCounters
from penstock.wire.chunked import LAST_CHUNK, ChunkedReader, as_one_chunk, encode_chunk
from penstock.wire.forwarding import CHUNKED, LENGTH
from penstock.wire.http1 import Refusal, RequestHead, ResponseHead
from penstock.wire.openai import CHAT, COMPLETION, EMBEDDING, IMAGE_TOKENS, Inspection
from penstock.wire.sse import SseMeter
from penstock.wire.usage import UsageHider, asking_for_usage, is_sealed

MAX_INSPECTED_BYTES: Final = 16 * 1024 * 1024  # of a request: a million tokens with images
_FIRST_TOKEN: Final = 0  # of board.SERVING_PHASES
_TOKEN: Final = 1
MAX_ANSWER_BYTES: Final = 1024 * 1024  # of an answer that is not streamed, to find its usage


class Insight:
    """One pool's; in one worker. ``usage`` is the pool's setting of that name."""

    def __init__(self, counters: PoolCounters, models: ModelCounters) -> None:
        self.usage: str = "hidden"
        self._counters: PoolCounters = counters
        self._models: ModelCounters = models
        self.estimator: TokenEstimator = TokenEstimator()
        self.predictor: OutputPredictor = OutputPredictor()

    def asking(self, found: Inspection, body: bytes, head: RequestHead) -> bytes:
        """The body, in its framing, with the wish for usage in it; b"" where that is not to be."""
        if self.usage != "hidden" or not found.stream or is_sealed(head.fields):
            return b""
        if found.api != CHAT and found.api != COMPLETION:
            return b""
        if not head.chunked:
            return asking_for_usage(body, found.stream_options)
        if not body.endswith(b"\r\n" + LAST_CHUNK):
            return b""  # trailers follow, and they may speak of the body
        asking = asking_for_usage(unframed(body, True), found.stream_options)
        return as_one_chunk(asking) if asking else b""

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
        reading.ended_at = monotonic()
        if self.usage != "off":
            self._count(found.model, reading)

    def _count(self, model: str, reading: "AnswerReading") -> None:
        meter = reading.meter
        first_s = reading.first_token_s()
        if first_s >= 0.0:
            self._counters.record_serving(_FIRST_TOKEN, first_s)
        token_s = reading.token_s()
        if token_s >= 0.0:
            self._counters.record_serving(_TOKEN, token_s)
        if meter.prompt_tokens >= 0 or meter.output_tokens >= 0:
            self._models.count(model, meter.prompt_tokens, meter.cached_tokens, meter.output_tokens)


class AnswerReading:
    """Reads an answer along. Times are on the loop's clock; 0.0 until they are known."""

    def __init__(self, streamed: bool, chunked: bool) -> None:
        self.meter: SseMeter = SseMeter()
        self.began: float = 0.0  # the exchange
        self.first_event_at: float = 0.0
        self.ended_at: float = 0.0
        self.hider: UsageHider | None = None  # where usage was asked for in the client's stead
        self.streamed: bool = streamed
        self._deframer: ChunkedReader | None = ChunkedReader(False, 502) if chunked else None
        self._kept: list[bytes] = []  # of an answer that is not streamed
        self._kept_bytes: int = 0

    def first_token_s(self) -> float:
        """From the request's head to the first event; -1 when none came."""
        return self.first_event_at - self.began if self.first_event_at > 0.0 else -1.0

    def token_s(self) -> float:
        """Between two tokens, on average; -1 when it is not known."""
        tokens = self.meter.output_tokens
        if not self.streamed or tokens < 2 or self.ended_at <= 0.0:
            return -1.0
        return (self.ended_at - self.first_event_at) / (tokens - 1)

    def pass_on(self, data: bytes, complete: bool) -> bytes:
        """Read what is meant for the client, in its framing; what of it the client gets.

        Never raises.
        """
        payload = data
        deframer = self._deframer
        if deframer is not None and data:
            try:
                payload = deframer.feed(data)
            except Refusal:
                self._kept_bytes = MAX_ANSWER_BYTES + 1  # it passes unread
                self._deframer = None
                self.hider = None
                return data
        if not self.streamed:
            self._keep(payload, complete)
            return data
        meter = self.meter
        meter.feed(payload)
        if self.first_event_at == 0.0 and meter.begun:
            self.first_event_at = monotonic()
        if self.hider is None:
            return data
        return self._hide(self.hider, data, payload, complete)

    def _hide(self, hider: UsageHider, data: bytes, payload: bytes, complete: bool) -> bytes:
        passed = hider.feed(payload)
        if complete:
            passed += hider.finish()
        if passed == payload:
            return data
        deframer = self._deframer
        if deframer is None:
            return passed
        framed = encode_chunk(passed) if passed else b""
        return framed + deframer.ending() if deframer.done else framed

    def _keep(self, data: bytes, complete: bool) -> None:
        self._kept_bytes += len(data)
        if self._kept_bytes > MAX_ANSWER_BYTES:
            self._kept = []
        elif data:
            self._kept.append(data)
        if complete and self._kept:
            self.meter.read(b"".join(self._kept))


def reading_of(head: ResponseHead, framing: int, began: float, asked: bool) -> AnswerReading | None:
    """How to read an answer along; None when it is of a kind that says nothing.

    ``asked``: usage was asked for in the client's stead. An answer whose length the client was told
    cannot lose anything; engines that stream tell none.
    """
    reading = _reading_of(head, framing == CHUNKED)
    if reading is not None:
        reading.began = began
        if asked and reading.streamed and framing != LENGTH:
            reading.hider = UsageHider()
    return reading


def _reading_of(head: ResponseHead, chunked: bool) -> AnswerReading | None:
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
