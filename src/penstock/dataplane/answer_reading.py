"""Answers to requests to language models, read along as they pass and never held back."""

from typing import Final

from penstock.core.env import Env
from penstock.core.tokens import Progress
from penstock.wire.chunked import ChunkedReader, encode_chunk
from penstock.wire.forwarding import CHUNKED, LENGTH
from penstock.wire.http1 import Refusal, ResponseHead
from penstock.wire.sse import SseMeter
from penstock.wire.usage import UsageHider

MAX_ANSWER_BYTES: Final = 1024 * 1024  # of an answer that is not streamed, to find its usage


class AnswerReading(Progress):
    """Reads an answer along. Times are on the loop's clock; 0.0 until they are known."""

    def __init__(self, streamed: bool, chunked: bool, env: Env) -> None:
        self._env: Env = env
        self.meter: SseMeter = SseMeter()
        self.began: float = 0.0  # the exchange
        self.first_event_at: float = 0.0
        self.ended_at: float = 0.0
        self.hider: UsageHider | None = None  # where usage was asked for in the client's stead
        self.streamed: bool = streamed
        self._deframer: ChunkedReader | None = ChunkedReader(False, 502) if chunked else None
        self._kept: list[bytes] = []  # of an answer that is not streamed
        self._kept_bytes: int = 0

    def tokens(self) -> int:
        """How many came so far: engines send one with each event."""
        return self.meter.events

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
            self.first_event_at = self._env.now
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


def reading_of(
    head: ResponseHead, framing: int, began: float, asked: bool, env: Env
) -> AnswerReading | None:
    """How to read an answer along; None when it is of a kind that says nothing.

    ``asked``: usage was asked for in the client's stead. An answer whose length the client was told
    cannot lose anything; engines that stream tell none.
    """
    reading = _reading_of(head, framing == CHUNKED, env)
    if reading is not None:
        reading.began = began
        if asked and reading.streamed and framing != LENGTH:
            reading.hider = UsageHider()
    return reading


def _reading_of(head: ResponseHead, chunked: bool, env: Env) -> AnswerReading | None:
    if head.status != 200 or _value(head, b"content-encoding"):
        return None
    kind = _value(head, b"content-type").lower()
    if kind.startswith(b"text/event-stream"):
        return AnswerReading(True, chunked, env)
    if kind.startswith(b"application/json"):
        return AnswerReading(False, chunked, env)
    return None


def _value(head: ResponseHead, name: bytes) -> bytes:
    """The first value of a field by its lower-case name; empty without one."""
    for lower, _, value in head.fields:
        if lower == name:
            return value
    return b""
