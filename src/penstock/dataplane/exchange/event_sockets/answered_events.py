"""What an engine tells of one response by its events, read along as a stream over HTTP is."""

from typing import Final

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answer_stages import AnswerStages
from penstock.dataplane.exchange.answer_tap import AnswerTap, reading_for
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.pool.live_pool import LivePool
from penstock.wire.http1 import ResponseHead
from penstock.wire.response_events import ERROR, EngineEvent, as_sse, of_sse

_FIRST_BYTE: Final = 2  # of the histograms, as in board.PHASES


class AnsweredEvents:
    """Of one response, from its first event on."""

    status: int = 0  # as HTTP would have told it; 0 until the first event
    first_byte_at: float = 0.0
    size: int = 0  # bytes that the client gets
    name: str = ""  # of the response, once the engine told
    failure: str = ""  # the error that it ended with, in a sentence
    stages: AnswerStages | None = None  # where it is understood
    watched: AnswerReading | None = None  # of one whose attempts are watched

    def __init__(self, context: Context, pool: LivePool, began: float) -> None:
        self._context: Context = context
        self._pool: LivePool = pool
        self._began: float = began

    def note_begun(self, status: int) -> None:
        """The first event came, which the client gets."""
        now = self._context.env.now
        self.status = status
        self.first_byte_at = now
        self._pool.counters.record(_FIRST_BYTE, now - self._began)

    def begin(self, attempt: Attempt, event: EngineEvent, inspection: Inspection | None) -> None:
        """The same, and it is to be read along here."""
        now = self._context.env.now
        ticket = attempt.ticket
        ticket.status = event.status
        self.note_begun(event.status)
        learning = self._pool.learning
        reading = None
        if inspection is not None and inspection.prompt is not None:
            endpoint = attempt.endpoint
            inspection.note_answer(endpoint, event.status)
            head = streamed_head()
            env = self._context.env
            reading = reading_for(inspection, head, False, endpoint, self._began, env)
        if reading is None or learning is None:
            ticket.first_byte(now)
            return
        stages = AnswerStages(ticket)
        stages.tap = AnswerTap(reading, ticket, attempt.endpoint, learning, inspection)
        attempt.learner = stages
        self.stages = stages

    def read(self, event: EngineEvent, message: bytes) -> bytes:
        """Read the next event; what of it the client gets."""
        if event.response:
            self.name = event.response
        last = event.is_last
        stages = self.stages
        if stages is not None:
            read = stages.pass_on(as_sse(message), last, self._context.env.now)
            reading = stages.reading()
            if reading is not None and reading.renamer is not None:
                message = of_sse(read)
            if last and reading is not None and event.kind != ERROR:
                reading.meter.done = True
                if not reading.meter.finish_reason:
                    became = event.became or event.kind.rpartition(".")[2]
                    reading.meter.finish_reason = became
            if last:
                self.failure = stages.failure()
        elif event.kind == ERROR:
            self.failure = "the answer tells an error"
        self.size += len(message)
        return message

    def reading(self) -> AnswerReading | None:
        """What it told so far."""
        return self.stages.reading() if self.stages is not None else self.watched


def streamed_head() -> ResponseHead:
    """What the answer would begin with over HTTP: events follow."""
    head = ResponseHead(b"", 200, b"OK", 1)
    head.fields = [(b"content-type", b"Content-Type", b"text/event-stream")]
    return head
