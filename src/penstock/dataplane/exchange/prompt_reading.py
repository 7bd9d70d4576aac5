"""A request's body, read whole before an endpoint is chosen: what is asked, and of which model.

Bodies of APIs that are known are understood, and everything follows from them. Of others, such as
Ollama's own or the counting of tokens, only the model is read, which decides who can answer.
"""

from penstock.core.attempts import Attempts
from penstock.core.prefixes.engine_slots import ANY
from penstock.dataplane.board.layout import P_UNREAD
from penstock.dataplane.exchange.settlement import Settlement
from penstock.dataplane.llm.answer_reading import AnswerReading, is_changed, reading_of
from penstock.dataplane.llm.body_skimming import BodySkimming, CodedBody, renamed
from penstock.dataplane.llm.insight import Insight
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.answer_model import ModelRenamer
from penstock.wire.content_coding import accepted_codings, decoder_of
from penstock.wire.http1 import ResponseHead
from penstock.wire.kept_things import thing_named
from penstock.wire.openai import LLAMACPP, OTHER
from penstock.wire.usage import UsageHider
from penstock.wire.usage_habit import HabitReader


class PromptReading(Settlement):
    """The part of an exchange that reads what a language model is asked."""

    def _begin_reading(self, way: PoolPlan) -> bool:
        """The body is to be read, as far as its head says; False when it was refused."""
        self.unread = way.unread
        if way.refuses_long:
            self._refuse_long(way)
            return False
        if way.skims:
            self._skimming = BodySkimming(self.head, way.boundary)
        elif way.coding:
            decoder = decoder_of(way.coding, way.pool.prompt_bytes)
            if decoder is not None:
                self._coded = CodedBody(self.head, decoder)
        return True

    def _passes_as_it_is(self, way: PoolPlan) -> bool:
        """The body cannot be read, as its head tells; False when it was refused."""
        self.unread = way.unread
        if way.refuses_coding:
            accepted = [("Accept-Encoding", accepted_codings().decode())]  # RFC 9110, 15.5.16
            self._refuse_body(way, 415, way.unread, accepted)
            return False
        if way.refuses_long:
            self._refuse_long(way)
            return False
        return True

    def _read_on(self, way: PoolPlan, data: bytes, complete: bool) -> bool:
        """More of the body came; False when it was refused."""
        if self._skimming is not None:
            self._skimming.feed(data)
        coded = self._coded
        if coded is not None:
            out = coded.feed(data, complete)
            if out and not complete:
                self._take_room(out)
            if coded.is_over:
                self._refuse_long(way)
                return False
        return True

    def _understand(self, way: PoolPlan) -> bool:
        """What was to be read of the body is there; False when it was refused, or has to wait."""
        skimming = self._skimming
        return self._inspect(way) if skimming is None else self._follow_name(way, skimming)

    def _follow_name(self, way: PoolPlan, skimming: BodySkimming) -> bool:
        """Go by the model that the body names, and by nothing else of it."""
        insight = way.pool.insight
        place = skimming.place
        if insight is None:
            return True
        if place is None:
            self.unread = self.unread or "no model was found in the form"
            return True
        model = way.pool.model_for(place.name, self.context.env)
        if not model:
            if self._awaits_models(way):
                return False
            if way.api == OTHER and not way.boundary:
                return True  # it is the engine's to refuse, or to fetch
            self._refuse_model(way, place.name)
            return False
        if model != place.name:
            pieces = self._body or []
            data = renamed(self.head, pieces, place, model)
            longer = len(data) - sum([len(piece) for piece in pieces])
            self._body = [data]
            self._other_length = max(self.head.content_length + longer, 0)
        self.request = insight.request_for(way.request, model)
        return True

    def _inspect(self, way: PoolPlan) -> bool:
        """Understand the body, which is whole; False when it was refused."""
        insight = way.pool.insight
        if insight is None:
            return True
        pieces = self._body or []
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        decoded: bytes | None = None
        coded = self._coded
        if coded is not None:
            if coded.problem:
                return self._passes_malformed(way, coded.problem)
            decoded = coded.take()
        prompt = PromptBody(way.api, self.head, body, decoded)
        if not prompt.asked and not prompt.found.problem:
            prompt.ask_for_model_if_any(way.pool.names.default)
        asked = prompt.asked
        model = way.pool.model_for(asked, self.context.env)
        if model != asked:
            if model:
                prompt.ask_for_model(model)
            elif self._awaits_models(way):
                return False
            elif way.api != OTHER:
                self._refuse_model(way, asked)
                return False
        if way.api == OTHER:
            if not model:
                self._find_keeper(way, insight, prompt, "")
                return True  # it is the engine's to refuse, or to fetch
        elif prompt.found.problem:
            if not self._passes_malformed(way, prompt.found.problem):
                return False
        else:
            self.prompt = prompt
            self._adapts = insight.usage == "hidden" and prompt.may_ask_for_usage()
        if way.pool.names.stand_in_for(asked):
            self._asking = prompt
        if pieces:
            self._ask(way, insight, prompt, model)
        if way.api == OTHER:
            self._find_keeper(way, insight, prompt, model)
        return True

    def _passes_malformed(self, way: PoolPlan, problem: str) -> bool:
        """The body cannot be understood; False when it was refused."""
        if way.refuses_malformed:
            self._refuse_body(way, 400, problem)
            return False
        self.unread = problem
        return True

    def _find_keeper(self, way: PoolPlan, insight: Insight, prompt: PromptBody, model: str) -> None:
        """A request that names a file goes to who keeps that."""
        if way.makes_things:
            thing = thing_named(prompt.json)
            if thing:
                self.request = insight.request_for(way.request, model, thing)

    def _adapt(self, prompt: PromptBody, endpoint: LiveEndpoint) -> None:
        """Have the request ask for usage and for a slot, or not, as suits where it goes."""
        prompt.leave_slot()
        if self._adapts:
            now = self.context.env.now
            api = prompt.found.api
            self._learns_habit = endpoint.habits.usage.of(api, now) == 0
            if not self.plainly and endpoint.habits.usage.asks(api, now):
                prompt.ask_for_usage()
            else:
                prompt.ask_plainly()
        if endpoint.slots is not None:
            self._take_slot(prompt, endpoint)
        if prompt.data:
            self._body = [prompt.data]
            self._other_length = len(prompt.data) if prompt.changed else -1

    def _take_slot(self, prompt: PromptBody | None, endpoint: LiveEndpoint) -> None:
        """Choose one of the engine's slots, or leave that to the engine."""
        ticket = self.ticket
        if ticket is None:
            return
        slot = ANY
        conversation = 0
        if prompt is not None and prompt.may_ask_for_slot():
            conversation = prompt.found.opening or ticket.request.session_hash
            slot = endpoint.choose_slot(conversation, prompt.found)
            if slot >= 0 and not prompt.ask_for_slot(slot):
                slot = ANY
        endpoint.give_slot(ticket, slot, conversation)

    def _note_usage(self, prompt: PromptBody, status: int) -> None:
        """Whether the engine takes the wish for usage, as far as this answer tells."""
        way = self.way
        endpoint = self.endpoint
        if way is None or endpoint is None or status != 200:
            return
        if prompt.asks_usage:
            endpoint.habits.usage.take(prompt.found.api)
        elif self.plainly and endpoint.habits.usage.refuse(prompt.found.api):
            way.pool.note(
                "engine.usage",
                f"endpoint {way.pool.name}/{endpoint.name} refuses requests that ask for usage "
                "(`stream_options`): its streams are not asked for it; "
                "`usage: asked` says so from the start",
                endpoint.name,
            )

    def _passes_unread(self, way: PoolPlan, roomy: bool) -> bool:
        """A body cannot be awaited, being too long or having no room; False when it was refused."""
        if not roomy:
            way.pool.counters.bump(P_UNREAD)
        self.unread = f"the body has over {way.pool.prompt_bytes} bytes"
        if not roomy:
            self.unread = "no memory is left to read prompts"
        if not way.refuses_malformed:
            return self._coded is not None or self._follow_front(way)
        if roomy:
            self._refuse_long(way)
        else:
            self._refuse(503, "no memory is left to read prompts", kind="overloaded")
        return False

    def _follow_front(self, way: PoolPlan) -> bool:
        """Go by the model that stands at the front of a body that cannot be awaited."""
        if not way.pool.tells_models_apart():
            return True
        front = BodySkimming(self.head, b"")
        for piece in self._body or ():
            front.feed(piece)
            if front.done:
                break
        self._skimming = front
        return self._follow_name(way, front)

    def _take_room(self, size: int) -> bool:
        """Keep so many bytes more of a body that is to be read; False when that is too many."""
        context = self.context
        self._room += size
        context.prompt_bytes += size
        return context.prompt_bytes <= context.prompt_room

    def _fall_back(self, prompt: PromptBody, attempts: Attempts) -> None:
        """When every endpoint that serves the model has failed, or as many of them as may be tried,
        ask for the one that stands in."""
        way = self.way
        request = self.request
        assert way is not None
        insight = way.pool.insight
        if request is None or insight is None:
            return
        model = attempts.stand_in(request.model, prompt.asked, self.context.env)
        if not model:
            return
        before = prompt.found
        prompt.ask_for_model(model)
        if prompt.found.model == model:
            attempts.begin_anew()
            self._ask(way, insight, prompt, model)
        else:
            prompt.found = before

    def _ask(self, way: PoolPlan, insight: Insight, prompt: PromptBody, model: str) -> None:
        """Send what the prompt has become, to an endpoint that serves the model."""
        self._body = [prompt.data]
        if prompt.changed:
            self._other_length = len(prompt.data)
            self._decoded = prompt.is_coded
        self._renames = way.pool.answers_as_asked and prompt.asked not in ("", model)
        if not prompt.found.problem:
            self.request = insight.request_of(way.request, prompt.found)
        elif model:
            self.request = insight.request_for(way.request, model)

    def _changes_answer(self, head: ResponseHead) -> bool:
        """Whether it cannot keep the length that it came with."""
        prompt = self.prompt
        if prompt is None or head.content_length == 0:
            return False
        if not prompt.asks_usage and not self._renames:
            return False
        return is_changed(head, prompt.asks_usage, self._renames)

    def _reading_of(self, prompt: PromptBody, head: ResponseHead) -> AnswerReading | None:
        """How the answer is read along."""
        endpoint = self.endpoint
        env = self.context.env
        asked = prompt.asks_usage
        changed = (asked or self._renames) and is_changed(head, asked, self._renames)
        reading = reading_of(head, self._framing, changed, env)
        if reading is None or endpoint is None:
            return reading
        reading.began = self.began
        reading.meter.tells_timings = prompt.found.api == LLAMACPP
        if changed and self._renames:
            model = prompt.found.model
            reading.renamer = ModelRenamer(model, prompt.asked, streamed=reading.streamed)
        if not reading.streamed:
            return reading
        if prompt.asks_usage:
            reading.hider = UsageHider(endpoint.habits.usage.of(prompt.found.api, env.now))
        elif self._learns_habit:
            reading.habit = HabitReader()
        return reading
