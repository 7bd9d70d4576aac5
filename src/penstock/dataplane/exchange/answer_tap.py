"""Reads an answer along as it passes: its first token, its usage, and the names that it tells."""

from penstock.core.env import Env
from penstock.core.ticket import Ticket
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.llm.answer_reading import (
    AnswerReading,
    NameMeter,
    is_changed,
    reading_of,
    streams_lines,
)
from penstock.dataplane.llm.learning import LlmLearning
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.wire.answer_model import ModelRenamer
from penstock.wire.http1 import ResponseHead
from penstock.wire.ollama_lines import LineMeter
from penstock.wire.openai import LLAMACPP, SGLANG
from penstock.wire.resume.forms import comes_in_lines
from penstock.wire.sglang_events import GenerateMeter
from penstock.wire.usage import UsageHider
from penstock.wire.usage_habit import HabitReader


class AnswerTap:
    """Of one attempt. What it learns goes to the policy, metrics and what the pool learns."""

    def __init__(
        self,
        reading: AnswerReading,
        ticket: Ticket,
        endpoint: LiveEndpoint,
        learning: LlmLearning,
        inspection: Inspection | None,
    ) -> None:
        self.reading: AnswerReading = reading
        self._ticket: Ticket = ticket
        self._endpoint: LiveEndpoint = endpoint
        self._learning: LlmLearning = learning
        self._prompt: PromptBody | None = inspection.prompt if inspection is not None else None
        ticket.progress = reading

    def pass_on(self, data: bytes, complete: bool, now: float) -> bytes:
        """Read the next bytes; what of them the client gets. See ``reading.broken`` afterwards.

        The first token is what policies know as the first byte.
        """
        reading = self.reading
        passed = reading.pass_on(data, complete)
        ticket = self._ticket
        if ticket.first_byte_at > 0.0:
            ticket.endpoint.heard(now)
            if complete and reading.meter.response_id:
                self._note_answer()
        elif reading.meter.begun:
            ticket.first_byte(reading.first_event_at)
            if reading.meter.response_id:
                self._note_answer()
        elif complete and reading.meter.response_id:
            self._note_answer()
        if complete and isinstance(reading.meter, NameMeter):
            for name in reading.meter.names:  # before its client can ask for what they name
                self._learning.note_answer(name, self._endpoint)
        return passed

    def learn(self, now: float) -> None:
        """The attempt ends: its ticket gets what the answer told."""
        if self._prompt is not None:
            found = self._prompt.found
            self.reading.add_answered()
            self._learning.learn(found, self.reading, self._ticket, self._endpoint.habits, now)

    def failure(self) -> str:
        """The error that the answer tells, in a sentence; empty without one."""
        told = self.reading.meter.failure
        return f"the answer tells an error: {told}" if told else ""

    def _note_answer(self) -> None:
        """Who makes an answer that has a name, before its client can go on from it."""
        self._learning.note_answer(self.reading.meter.response_id, self._endpoint)
        if self._prompt is not None and self._prompt.found.continues:
            self._learning.note_kept(self._prompt.found.continues, self._endpoint)  # it knew that


def changes_length(inspection: Inspection | None, head: ResponseHead) -> bool:
    """Whether an answer cannot keep the length that it came with."""
    if inspection is None or inspection.prompt is None or head.content_length == 0:
        return False
    asked = inspection.prompt.asks_usage
    if not asked and not inspection.renames:
        return False
    return is_changed(head, asked, inspection.renames)


def reading_for(
    inspection: Inspection,
    head: ResponseHead,
    chunked: bool,
    endpoint: LiveEndpoint,
    began: float,
    env: Env,
) -> AnswerReading | None:
    """How the answer to an understood prompt is read along; None when it says nothing.

    ``chunked``: its pieces come in chunks. ``began``: the exchange, on the loop's clock.
    """
    prompt = inspection.prompt
    if prompt is None:
        return None
    in_lines = comes_in_lines(prompt.found.api)
    if in_lines and streams_lines(head):
        lines = AnswerReading(True, chunked, env)
        lines.began = began
        lines.meter = LineMeter()
        return lines
    asked = prompt.asks_usage
    renames = inspection.renames
    changed = (asked or renames) and is_changed(head, asked, renames)
    reading = reading_of(head, chunked, changed, env)
    if reading is None:
        return None
    reading.began = began
    if in_lines:
        reading.meter = LineMeter()
    elif prompt.found.api == SGLANG:
        reading.meter = GenerateMeter()
    reading.meter.tells_timings = prompt.found.api == LLAMACPP
    if changed and renames:
        model = prompt.found.model
        reading.renamer = ModelRenamer(model, prompt.asked, streamed=reading.streamed)
    if not reading.streamed:
        return reading
    if asked:
        reading.hider = UsageHider(endpoint.habits.usage.of(prompt.found.api, env.now))
    elif inspection.learns_habit:
        reading.habit = HabitReader()
    return reading
