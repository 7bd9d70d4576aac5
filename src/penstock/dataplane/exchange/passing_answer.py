"""The answer that the client gets, from its first token on: its framing, and when tokens came."""

from penstock.dataplane.exchange.held_answer import HeldAnswer
from penstock.dataplane.exchange.token_alarm import TokenAlarm
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.wire.chunked import LAST_CHUNK, encode_chunk


class PassingAnswer:
    """Of one exchange, whichever attempts it comes from. It comes unframed."""

    _events: int = 0  # of the attempt's answer, when looked at last

    def __init__(self, alarm: TokenAlarm, held: HeldAnswer, now: float, *, in_chunks: bool) -> None:
        self.began: float = now  # its first token came
        self._alarm: TokenAlarm = alarm
        self._held: HeldAnswer | None = held  # no longer; None: nobody answers at present
        self._in_chunks: bool = in_chunks  # as the client gets it
        alarm.await_token(now)

    def go_on(self, held: HeldAnswer, now: float) -> None:
        """The next tokens are those of that attempt."""
        self._held = held
        self._events = 0
        self._alarm.await_token(now)

    def cut(self) -> None:
        """Its attempt failed."""
        self._held = None

    def reading(self) -> AnswerReading | None:
        """What the attempt's answer told so far."""
        return self._held.reading() if self._held is not None else None

    def note_tokens(self, now: float) -> None:
        """More of it came: whether these were tokens, where the next one's time is bounded."""
        if self._alarm.token_s > 0.0:
            reading = self.reading()
            if reading is not None and reading.meter.events != self._events:
                self._events = reading.meter.events
                self._alarm.token_at = now

    def framed(self, data: bytes, complete: bool) -> bytes:
        """As the client gets it."""
        if not self._in_chunks:
            return data
        framed = encode_chunk(data) if data else b""
        return framed + LAST_CHUNK if complete else framed
