"""What a pool that serves a language model learns from requests and answers as they pass.

A request's whole body is read before an endpoint is chosen, within a bound; a larger one, or one
that is not understood, is balanced as any other request. Answers are read along, never held back.
"""

from typing import Any, Final

from penstock._in_c import in_c
from penstock.core.endpoint import Endpoint
from penstock.core.measure.tokens import Outlook, OutputPredictor, TokenEstimator, answer_class
from penstock.core.pool.model_names import without_default_tag
from penstock.core.prefixes.answer_endpoints import AnswerEndpoints
from penstock.core.request import Request
from penstock.core.ticket import Ticket
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.model_counters import ModelCounters
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.llm.engine_habits import EngineHabits
from penstock.dataplane.llm.routed_prefixes import RoutedPrefixes
from penstock.dataplane.llm.sightings import SightingRing
from penstock.wire.inspection import Inspection
from penstock.wire.openai import EMBEDDING, IMAGE_TOKENS
from penstock.wire.prompt_blocks import ENDS, block_ends
from penstock.wire.session_keys import session_hash

_FIRST_TOKEN: Final = 0  # of board.SERVING_PHASES
_TOKEN: Final = 1
_NO_ENDS: Final[list[int]] = []  # shared, never changed
_prefixes: Final[Any] = in_c("_prefixes")
_in_tokens: Final[Any] = None if _prefixes is None else _prefixes.in_tokens


class LlmLearning:
    """One pool's; in one worker. ``usage`` is the pool's setting of that name."""

    def __init__(
        self, counters: PoolCounters, models: ModelCounters, sightings: SightingRing
    ) -> None:
        self.usage: str = "hidden"
        self._counters: PoolCounters = counters
        self.models: ModelCounters = models
        self._sightings: SightingRing = sightings
        self.estimator: TokenEstimator = TokenEstimator()
        self.predictor: OutputPredictor = OutputPredictor()
        self.answer_endpoints: AnswerEndpoints = AnswerEndpoints()
        self.journal: RoutedPrefixes | None = None  # hears of them, where there are other workers

    def request_of(self, head: Request, found: Inspection) -> Request:
        """The facts of the head with those of the body."""
        model = found.model
        per_token = self.estimator.bytes_per_token(model)
        tokens = found.prompt_tokens
        if tokens < 0:
            tokens = self.estimator.tokens(model, found.prompt_bytes) + IMAGE_TOKENS * found.images
        output = 0
        outlook = None
        if found.api != EMBEDDING:
            kind = _class_of(found)
            outlook = Outlook(self.predictor, model, found.output_limit, kind)
            output = outlook.length(0)
        return Request(
            method=head.method,
            host=head.host,
            path=head.path,
            source=head.source,
            key_hash=head.key_hash,
            model=model,
            prompt_tokens=max(tokens, 1),
            output_tokens=output,
            outlook=outlook,
            blocks=found.blocks,
            block_ends=_ends_of(len(found.blocks), per_token),
            session_hash=head.session_hash or found.session_hash,
            continues=found.continues,
            streams=found.stream,
            caller=head.caller,
        )

    def request_for(self, head: Request, model: str, continues: int = 0) -> Request:
        """The facts of the head, and of a body that is not understood the model alone, and what it
        goes on from."""
        return Request(
            method=head.method,
            host=head.host,
            path=head.path,
            source=head.source,
            key_hash=head.key_hash,
            model=model,
            session_hash=head.session_hash,
            continues=continues or head.continues,
            streams=head.streams,
            caller=head.caller,
        )

    def learn(
        self,
        found: Inspection,
        reading: AnswerReading,
        ticket: Ticket,
        habits: EngineHabits,
        now: float,
    ) -> None:
        """An answer to an understood request ended; the ticket gets its tokens."""
        meter = reading.meter
        output = meter.output_tokens if meter.output_tokens >= 0 else meter.events
        ticket.output_tokens = output
        if found.images == 0:
            self.estimator.learn(found.model, found.prompt_bytes, meter.prompt_tokens)
        if ticket.outcome < 0 and (meter.done or meter.finish_reason) and not meter.failure:
            self.predictor.learn(found.model, output, _class_of(found))
        ticket.prompt_tokens = meter.prompt_tokens
        whole = meter.prompt_tokens >= 0 and (meter.done or not reading.streamed)
        endpoint = ticket.endpoint
        if reading.streamed:
            if reading.habit is not None:
                habits.usage.learn(found.api, reading.habit.habit(meter), now)
            elif meter.done and meter.prompt_tokens < 0 and meter.output_tokens < 0:
                habits.usage.missed(found.api)
        if whole:
            meter.cached_tokens = habits.cached_tokens(found.api, meter.cached_tokens)
        ticket.cached_tokens = meter.cached_tokens
        if endpoint.exact_slot >= 0:
            self._sightings.note(found, ticket)
        if whole and ticket.cached_tokens < 0:
            # Up to a second old: good for sums, not for what one prompt teaches.
            ticket.cached_tokens = 0 if habits.never_hit and found.api != EMBEDDING else -1
        reading.ended_at = now
        if self.usage != "off":
            self._count(found.model, reading)

    def note_answer(self, name: str, endpoint: Endpoint) -> None:
        """The endpoint made, or makes, the answer of that name."""
        self.note_kept(session_hash(name.encode("utf-8", "surrogatepass")), endpoint)

    def note_kept(self, answer: int, endpoint: Endpoint) -> None:
        """The endpoint keeps that; by its name's hash."""
        if answer and self.answer_endpoints.note(answer, endpoint) and self.journal is not None:
            self.journal.answered(answer, endpoint)

    def _count(self, model: str, reading: AnswerReading) -> None:
        meter = reading.meter
        first_s = reading.first_token_s()
        if first_s >= 0.0 and not reading.goes_on:  # else it was counted where it began
            self._counters.record_serving(_FIRST_TOKEN, first_s)
        token_s = reading.token_s()
        if token_s >= 0.0:
            self._counters.record_serving(_TOKEN, token_s)
        if meter.prompt_tokens >= 0 or meter.output_tokens >= 0:
            name = without_default_tag(model)
            self.models.count(name, meter.prompt_tokens, meter.cached_tokens, meter.output_tokens)


def _ends_of(blocks: int, per_token: float) -> list[int]:
    """Where the first blocks of any prompt end, in tokens of so many bytes."""
    if blocks == 0:
        return _NO_ENDS
    if _in_tokens is not None:
        ends: list[int] = _in_tokens(ENDS, blocks, per_token)
        return ends
    return [int(end / per_token) for end in block_ends(blocks)]


def _class_of(found: Inspection) -> int:
    return answer_class(found.api, found.stream, found.tools, found.output_limit)
