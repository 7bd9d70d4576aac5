"""What a request asks a language model for, read of its body before an endpoint is chosen.

Bodies of APIs that are known are understood, and everything follows from them. Of others, such as
Ollama's own or the counting of tokens, only the model is read, which decides who can answer.
"""

from collections.abc import Sequence
from typing import Final

from penstock.core.attempts import Attempts
from penstock.core.request import Request
from penstock.core.ticket import Ticket
from penstock.dataplane.board.layout import P_UNREAD
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers, prompt_refusals
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.id_wishes import IdWishes
from penstock.dataplane.exchange.slots import ask_for_slot, give_slot
from penstock.dataplane.llm.body_skimming import BodySkimming, CodedBody, renamed
from penstock.dataplane.llm.learning import LlmLearning
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.model_waits import ModelsAwaiter
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.content_coding import accepted_codings, decoder_of
from penstock.wire.http1 import RequestHead
from penstock.wire.kept_things import thing_named
from penstock.wire.openai import OTHER, TEMPLATE, inspect
from penstock.wire.resume.forms import comes_in_lines

# What comes of reading.
GO_ON: Final = 0  # ``request`` and the body are what they are to be
READ_ON: Final = 1  # more of the body is needed
AWAIT_MODELS: Final = 2  # ``ModelsAwaiter.on_models_known`` follows
REFUSE: Final = 3  # with ``refusal``
_NO_ALIASES: Final[dict[str, str]] = {}  # shared, never changed


class Inspection:
    """Of one request, at a pool that serves a language model."""

    prompt: PromptBody | None = None  # if it was understood
    asking: PromptBody | None = None  # while another model than the first may have to be asked for
    refusal: Answer | None = None
    unread: str = ""  # why it was not understood, though its API is known
    renames: bool = False  # answers are told under the name that the client asked for
    plainly: bool = False  # it was asked again without the wish for usage
    learns_habit: bool = False  # what the endpoint's streams are like without being asked
    keeps_wish: bool = False  # for usage, or its lack: two attempts are to ask for the same
    named: str = ""  # the model that the request names, as it came
    aliases: dict[str, str] = _NO_ALIASES  # names that only its tenant has for models
    ids: IdWishes | None = None  # of tokens, where they are asked for in the client's stead
    goes_through: int = OTHER  # the API by which what is sent goes on, where it is another
    _adapts: bool = False  # whether the endpoint decides if it asks for usage
    _awaited_models: bool = False  # that nobody is known to serve, once
    _coded: CodedBody | None = None
    _skimming: BodySkimming | None = None

    def __init__(
        self,
        context: Context,
        plan: PoolPlan,
        learning: LlmLearning,
        head: RequestHead,
        body: RequestBody,
        request_id: bytes,
        awaiter: ModelsAwaiter,
    ) -> None:
        self.request: Request = plan.request
        self._context: Context = context
        self._plan: PoolPlan = plan
        self._learning: LlmLearning = learning
        self._head: RequestHead = head
        self._body: RequestBody = body
        self._request_id: bytes = request_id
        self._awaiter: ModelsAwaiter = awaiter

    # --- while the body comes ---------------------------------------------------------------

    def begin(self) -> int:
        """What is to be read, as far as the head says."""
        plan = self._plan
        self.unread = plan.unread
        reads = plan.inspects or plan.skims
        if not reads and plan.refuses_coding:
            accepted = [("Accept-Encoding", accepted_codings().decode())]  # RFC 9110, 15.5.16
            return self._refuse_body(415, plan.unread, accepted)
        if plan.refuses_long:
            return self._refuse_long()
        if not reads:
            return GO_ON
        if plan.skims:
            self._skimming = BodySkimming(self._head, plan.boundary)
        elif plan.coding:
            decoder = decoder_of(plan.coding, plan.pool.prompt_bytes)
            if decoder is not None:
                self._coded = CodedBody(self._head, decoder)
        return READ_ON

    def read(self, data: bytes, complete: bool) -> int:
        """The next bytes of the body; it keeps them itself. One over a bound passes unread."""
        # What came with the head is there already, and takes no room while that is all.
        roomy = self._body.take_room(self._context, len(data)) or complete
        if self._skimming is not None:
            self._skimming.feed(data)
        if self._coded is not None and not self._decode(self._coded, data, complete):
            return self._refuse_long()
        skimming = self._skimming
        found = skimming is not None and skimming.done
        fits = roomy and self._body.size <= self._plan.pool.prompt_bytes
        if fits and not complete and not found:
            return READ_ON
        if complete or skimming is not None:
            return self.understand()
        return self._pass_unread(roomy)

    def read_whole(self, data: bytes) -> int:
        """All of it came with the head."""
        if self._skimming is not None:
            self._skimming.feed(data)
        if self._coded is not None and not self._decode(self._coded, data, True):
            return self._refuse_long()
        return self.understand()

    def understand(self) -> int:
        """What was to be read is there."""
        skimming = self._skimming
        return self._inspect() if skimming is None else self._follow_name(skimming)

    def _decode(self, coded: CodedBody, data: bytes, complete: bool) -> bool:
        """Take its content coding off; False when more comes out than may."""
        out = coded.feed(data, complete)
        if out and not complete:
            self._body.take_room(self._context, out)
        return not coded.is_over

    # --- when it is there -------------------------------------------------------------------

    def _follow_name(self, skimming: BodySkimming) -> int:
        """Go by the model that the body names, and by nothing else of it."""
        plan = self._plan
        place = skimming.place
        if place is None:
            self.unread = self.unread or "no model was found in the form"
            return GO_ON
        self.named = place.name
        wanted = self.aliases.get(place.name, place.name)
        model = plan.pool.model_for(wanted, self._context.env)
        if not model:
            if self._awaits_models():
                return AWAIT_MODELS
            if plan.api == OTHER and not plan.boundary:
                return GO_ON  # it is the engine's to refuse, or to fetch
            return self._refuse(prompt_refusals.missing_model(plan, place.name, self._request_id))
        if model != place.name:
            pieces = self._body.pieces()
            data = renamed(self._head, pieces, place, model)
            longer = len(data) - sum([len(piece) for piece in pieces])
            self._body.replace(data, max(self._head.content_length + longer, 0))
        self.request = self._learning.request_for(plan.request, model)
        return GO_ON

    def _inspect(self) -> int:
        """Understand the body, which is whole."""
        plan = self._plan
        body = self._body.kept()
        decoded: bytes | None = None
        coded = self._coded
        if coded is not None:
            if coded.problem:
                return self._pass_malformed(coded.problem)
            decoded = coded.take()
        prompt = PromptBody(plan.api, self._head, body, decoded)
        if prompt.found.transfer and plan.pool.refuses_transfers:
            return self._refuse_body(400, prompt_refusals.TRANSFER % prompt.found.transfer)
        if not prompt.asked and not prompt.found.problem:
            prompt.ask_for_model_if_any(plan.pool.names.default)
        api = prompt.found.api  # OTHER where a path is that of several, and the body another's
        asked = prompt.asked
        self.named = asked
        wanted = self.aliases.get(asked, asked)
        model = plan.pool.model_for(wanted, self._context.env)
        if model != asked:
            if model:
                prompt.ask_for_model(model)
            elif self._awaits_models():
                return AWAIT_MODELS
            elif comes_in_lines(api):
                return GO_ON  # it is Ollama's to refuse, or to fetch
            elif api != OTHER:
                return self._refuse(prompt_refusals.missing_model(plan, asked, self._request_id))
        if api == OTHER:
            if not model:
                self._find_keeper(prompt, "")
                return GO_ON  # it is the engine's to refuse, or to fetch
        elif prompt.found.problem:
            if self._pass_malformed(prompt.found.problem) == REFUSE:
                return REFUSE
        else:
            self.prompt = prompt
            self._adapts = self._learning.usage == "hidden" and prompt.may_ask_for_usage()
        if plan.pool.names.stand_in_for(wanted):
            self.asking = prompt
        if body:
            self._ask(prompt, model)
        if api == OTHER:
            self._find_keeper(prompt, model)
        return GO_ON

    def _ask(self, prompt: PromptBody, model: str) -> None:
        """Send what the prompt has become, to an endpoint that serves the model."""
        self._body.replace(prompt.data, len(prompt.data) if prompt.changed else -1)
        if prompt.changed:
            self._body.decoded = prompt.is_coded
        if self._plan.routes_each or self._plan.counts_each:
            prompt.found.stream = True  # whether it says so or not
        if self._body.heard >= 0:
            prompt.found.prompt_tokens = self._body.heard
            prompt.found.images = 1  # its bytes tell nothing of its tokens
        self.renames = self._plan.pool.answers_as_asked and prompt.asked not in ("", model)
        if not prompt.found.problem:
            self.request = self._learning.request_of(self._plan.request, prompt.found)
        elif model:
            self.request = self._learning.request_for(self._plan.request, model)

    def _find_keeper(self, prompt: PromptBody, model: str) -> None:
        """A request that names a file goes to who keeps that."""
        if self._plan.makes_things:
            thing = thing_named(prompt.json)
            if thing:
                self.request = self._learning.request_for(self._plan.request, model, thing)

    def _awaits_models(self) -> bool:
        """Whether it waits now for a model that nobody is known to serve."""
        pool = self._plan.pool
        if self._awaited_models or not pool.spec.asks_again:
            return False
        self._awaited_models = pool.waits.add(self._awaiter)
        return self._awaited_models

    # --- what cannot be read ----------------------------------------------------------------

    def _pass_malformed(self, problem: str) -> int:
        """The body cannot be understood."""
        if self._plan.refuses_malformed:
            return self._refuse_body(400, problem)
        self.unread = problem
        return GO_ON

    def _pass_unread(self, roomy: bool) -> int:
        """A body cannot be awaited, being too long or having no room."""
        plan = self._plan
        if not roomy:
            plan.pool.counters.bump(P_UNREAD)
        self.unread = f"the body has over {plan.pool.prompt_bytes} bytes"
        if not roomy:
            self.unread = "no memory is left to read prompts"
        if not plan.refuses_malformed:
            return GO_ON if self._coded is not None else self._follow_front()
        if roomy:
            return self._refuse_long()
        return self._refuse(prompt_refusals.no_memory(plan, self._request_id))

    def _follow_front(self) -> int:
        """Go by the model that stands at the front of a body that cannot be awaited."""
        if not self._plan.pool.tells_models_apart():
            return GO_ON
        front = BodySkimming(self._head, b"")
        for piece in self._body.pieces():
            front.feed(piece)
            if front.done:
                break
        self._skimming = front
        return self._follow_name(front)

    def _refuse_body(
        self, status: int, problem: str, headers: Sequence[tuple[str, str]] = ()
    ) -> int:
        family = self._plan.family
        told = answers.bad_body(
            status, problem, headers=headers, family=family, request_id=self._request_id
        )
        return self._refuse(told)

    def _refuse_long(self) -> int:
        return self._refuse_body(413, f"the body has over {self._plan.pool.prompt_bytes} bytes")

    def _refuse(self, answer: Answer) -> int:
        self.refusal = answer
        return REFUSE

    # --- for the endpoint that was chosen ---------------------------------------------------

    def adapt(self, endpoint: LiveEndpoint, ticket: Ticket) -> bool:
        """Have the request ask for usage, token ids and a slot, or not, as suits where it goes.
        Whether its answer must come without a content coding."""
        prompt = self.prompt
        if prompt is None:
            if endpoint.slots is not None:
                give_slot(self._plan, endpoint, ticket)
            return self.renames
        if self._adapts or endpoint.slots is not None or prompt.names_slot or self.ids is not None:
            self._adapt_prompt(prompt, endpoint, ticket)
        return self.renames or prompt.asks_usage or self.learns_habit

    def _adapt_prompt(self, prompt: PromptBody, endpoint: LiveEndpoint, ticket: Ticket) -> None:
        prompt.leave_ids()
        if self._adapts and not self.keeps_wish:
            now = self._context.env.now
            api = prompt.found.api
            self.learns_habit = endpoint.habits.usage.of(api, now) == 0
            if not self.plainly and endpoint.habits.usage.asks(api, now):
                prompt.ask_for_usage()
            else:
                prompt.ask_plainly()
        if self.ids is not None:
            self.ids.ask(prompt, endpoint, self.goes_through or prompt.found.api)
        if endpoint.slots is not None:
            ask_for_slot(prompt, endpoint, ticket)
        if prompt.data:
            self._body.replace(prompt.data, len(prompt.data) if prompt.changed else -1)

    def ask_again_plainly(self, endpoint: LiveEndpoint) -> bool:
        """Ask without what was asked for in the client's stead, if that may be why it was refused:
        some servers know no ``stream_options``."""
        prompt = self.prompt
        if prompt is None:
            return False
        if self.ids is not None and self.ids.asks(endpoint):
            return self.ids.ask_again_without(prompt, endpoint)
        if not endpoint.habits.usage.may_refuse(prompt.found.api) or not prompt.ask_plainly():
            return False
        self._body.replace(prompt.data, len(prompt.data) if prompt.changed else -1)
        self.plainly = True
        return True

    def note_answer(self, endpoint: LiveEndpoint, status: int) -> None:
        """Whether the engine has the model, and takes the wish for usage, as far as that tells."""
        prompt = self.prompt
        pool = self._plan.pool
        if status == 404 and pool.spec.asks_again:
            pool.waits.missed()
        if prompt is None or status != 200:
            return
        if self.ids is not None:
            self.ids.note_answer(pool, endpoint, prompt.found.api)
        if prompt.asks_usage:
            endpoint.habits.usage.take(prompt.found.api)
        elif self.plainly and endpoint.habits.usage.refuse(prompt.found.api):
            told = prompt_refusals.REFUSES_USAGE % (pool.name, endpoint.name)
            pool.note("engine.usage", told, endpoint.name)

    # --- when attempts fail -----------------------------------------------------------------

    def go_on_with(self, json: bytes, api: int) -> None:
        """Send that from here on, which asks for the rest of an answer through ``api``."""
        prompt = self.prompt
        if prompt is None:
            return
        found = inspect(prompt.found.api if api == TEMPLATE else api, json)
        self.goes_through = api if api != prompt.found.api else OTHER
        self.keeps_wish = True
        prompt.send(json)
        self._body.replace(prompt.data, len(prompt.data))
        self._body.decoded = prompt.is_coded
        if self.ids is None:
            prompt.drop()
        if not found.problem:
            self.request = self._learning.request_of(self._plan.request, found)

    def fall_back(self, attempts: Attempts) -> None:
        """When every endpoint that serves the model has failed, or as many of them as may be tried,
        ask for the one that stands in."""
        prompt = self.asking
        if prompt is None:
            return
        wanted = self.aliases.get(prompt.asked, prompt.asked)
        model = attempts.stand_in(self.request.model, wanted, self._context.env)
        if not model:
            return
        before = prompt.found
        prompt.ask_for_model(model)
        if prompt.found.model == model:
            attempts.begin_anew()
            self._ask(prompt, model)
        else:
            prompt.found = before

    def drop(self) -> None:
        """Keep what was understood, not the text: nothing is sent again."""
        self.asking = None
        if self.prompt is not None:
            self.prompt.drop()
