"""Answers to requests to language models, read along as they pass and never held back."""

from typing import Final

from penstock.core.env import Env
from penstock.core.measure.tokens import Progress
from penstock.wire.answer_model import ModelRenamer
from penstock.wire.chunked import LAST_CHUNK, ChunkedReader, encode_chunk
from penstock.wire.content_coding import BadCoding, ContentDecoder, OverBound, decoder_of
from penstock.wire.http1 import BadMessage, ResponseHead
from penstock.wire.kept_things import names_in
from penstock.wire.sse import SseMeter
from penstock.wire.usage import UsageHider
from penstock.wire.usage_habit import HabitReader

_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream"
_LINES: Final = b"application/x-ndjson"
_MOST_DECODED_BYTES: Final = 1 << 62  # a stream is decoded as it passes, and not kept
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
        self.renamer: ModelRenamer | None = None  # where the client is told the name it asked for
        self.habit: HabitReader | None = None  # where nobody asked, and that is to be learnt from
        # The endpoint's coding, which was not asked for, is taken off; and why that failed.
        self.decoder: ContentDecoder | None = None
        self.broken: str = ""
        self.goes_on: bool = False  # with an answer that another endpoint began
        self.answered: int = 0  # tokens that another endpoint answered before
        self.wraps: bool = False  # it came with a length, and goes on in chunks
        self.streamed: bool = streamed
        self._deframer: ChunkedReader | None = ChunkedReader(False, 502) if chunked else None
        self._kept: list[bytes] = []  # of an answer that is not streamed
        self._kept_bytes: int = 0

    def tokens(self) -> int:
        """How many came so far: engines send one with each event."""
        return self.meter.events

    def go_on_from(self, answered: int, first_event_at: float) -> None:
        """It is the rest of an answer that began then, of which so many tokens came."""
        self.answered = answered
        self.first_event_at = first_event_at
        self.goes_on = True

    def add_answered(self) -> None:
        """Count what was answered before to the answer, in whose prompt the engine had it; once."""
        meter = self.meter
        answered = self.answered
        self.answered = 0
        if answered and meter.prompt_tokens >= 0:
            meter.prompt_tokens = max(meter.prompt_tokens - answered, 0)
            meter.cached_tokens = min(meter.cached_tokens, meter.prompt_tokens)
        if meter.output_tokens >= 0:
            meter.output_tokens += answered
        else:
            meter.events += answered

    def take_held(self) -> bytes:
        """What was held of an answer that goes on no more, as payload."""
        hider = self.hider
        self.hider = None
        return hider.finish() if hider is not None else b""

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
            except BadMessage:
                self._kept_bytes = MAX_ANSWER_BYTES + 1  # it passes unread
                self._deframer = None
                self.hider = None
                return data
        if self.decoder is not None:
            payload = self._decode(self.decoder, payload, complete)
        if not self.streamed:
            self._keep(payload, complete)
            return data if self.renamer is None else self._change(data, payload, complete)
        meter = self.meter
        meter.feed(payload)
        if complete:
            meter.end()
        if self.first_event_at == 0.0 and meter.begun:
            self.first_event_at = self._env.now
        if self.habit is not None:
            self.habit.feed(payload)
        if self.hider is None and self.renamer is None:
            return data
        return self._change(data, payload, complete)

    def _decode(self, decoder: ContentDecoder, data: bytes, complete: bool) -> bytes:
        try:
            payload = decoder.feed(data)
            if complete:
                decoder.end()
        except (BadCoding, OverBound) as error:
            self.broken = f"the answer's content coding is broken: {error}"
            return b""
        return payload

    def _change(self, data: bytes, payload: bytes, complete: bool) -> bytes:
        """What the client gets in the place of this, in its framing."""
        passed = payload
        hider = self.hider
        if hider is not None:
            passed = hider.feed(payload, finishing=self.meter.finish_reason != "")
            if complete:
                passed += hider.finish()
        if self.renamer is not None:
            passed = self.renamer.feed(passed, complete)
        if self.wraps:
            framed = encode_chunk(passed) if passed else b""
            return framed + LAST_CHUNK if complete else framed
        if passed == payload and self.decoder is None:
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


def is_changed(head: ResponseHead, asked: bool, renamed: bool) -> bool:
    """Whether an answer has to be changed, and can be.

    ``asked``: usage was asked for in the client's stead. Whatever says not that it is JSON may be a
    stream: clients do not look at the type. ``renamed``: its model is to be called otherwise.
    """
    if head.status != 200:
        return False
    kind = _value(head, b"content-type").lower()
    if kind.startswith(_JSON):
        if not renamed:
            return False
    elif not asked and not (renamed and kind.startswith(_EVENTS)):
        return False
    coding = _coding(head)
    return not coding or decoder_of(coding, 0) is not None


def reading_of(head: ResponseHead, chunked: bool, changed: bool, env: Env) -> AnswerReading | None:
    """How to read an answer along; None when it is of a kind that says nothing.

    ``chunked``: its pieces come in chunks. ``changed``: it has to be, see ``is_changed``.
    """
    if head.status != 200:
        return None
    coding = _coding(head)
    kind = _value(head, b"content-type").lower()
    if changed:
        wraps = chunked and head.content_length > 0
        reading = AnswerReading(not kind.startswith(_JSON), chunked and not wraps, env)
        reading.wraps = wraps
        if coding:
            reading.decoder = decoder_of(coding, _MOST_DECODED_BYTES)
        return reading
    if coding:
        return None
    if kind.startswith(_EVENTS):
        return AnswerReading(True, chunked, env)
    if kind.startswith(_JSON):
        return AnswerReading(False, chunked, env)
    return None


def streams_events(head: ResponseHead) -> bool:
    """Whether an answer comes event by event, and can be read so."""
    if head.status != 200 or _coding(head):
        return False
    return _value(head, b"content-type").lower().startswith(_EVENTS)


def streams_lines(head: ResponseHead) -> bool:
    """Whether an answer comes in lines of JSON, and can be read so: Ollama's own."""
    if head.status != 200 or _coding(head):
        return False
    return _value(head, b"content-type").lower().startswith(_LINES)


class NameMeter(SseMeter):
    """Reads the ids that a whole answer tells, in place of its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def read(self, line: bytes) -> None:
        self.names = names_in(line)


def names_reading_of(head: ResponseHead, chunked: bool, env: Env) -> AnswerReading | None:
    """How to read the ids in an answer; None when it tells none."""
    if not 200 <= head.status < 300 or _coding(head):
        return None
    if not _value(head, b"content-type").lower().startswith(_JSON):
        return None
    reading = AnswerReading(False, chunked, env)
    reading.meter = NameMeter()
    return reading


def _coding(head: ResponseHead) -> bytes:
    coding = _value(head, b"content-encoding").lower()
    return b"" if coding == b"identity" else coding


def _value(head: ResponseHead, name: bytes) -> bytes:
    """The first value of a field by its lower-case name; empty without one."""
    for lower, _, value in head.fields:
        if lower == name:
            return value
    return b""
