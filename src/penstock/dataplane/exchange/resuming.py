"""What is kept of a streamed answer so that another endpoint can go on with it when it is cut."""

from typing import Any, Final

import msgspec

from penstock.core.snapshot import Resume
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import P_KEPT_BYTES, P_NOT_RESUMED, RESUME_REFUSALS
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.inspection import Inspection
from penstock.wire.openai import ANTHROPIC, CHAT, OTHER, SGLANG, TEMPLATE
from penstock.wire.resume.answer_text import AnswerText
from penstock.wire.resume.events import EventSplitter
from penstock.wire.resume.forms import resumption_of, splicer_of, splitter_of, text_of
from penstock.wire.resume.request import UNBOUNDED, Resumption, prompt_told
from penstock.wire.resume.splice import Splicer
from penstock.wire.resume.token_ids import NO_WAY, PROBABILITIES, TokenIds

_COUNTED_BYTES: Final = 4096  # of text, that are counted together
_ERROR: Final = b'"error"'
_ABORT: Final = b'"abort"'  # SGLang's own word for one
_DONE: Final = b"data: [DONE]\n\n"
_MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class Resuming:
    """Of one exchange, from its first token on. Whole events go to the client and no parts of them;
    an error that an engine tells in place of the rest is held back."""

    def __init__(
        self, settings: Resume, context: Context, counters: PoolCounters, inspection: Inspection
    ) -> None:
        self.made: int = 0  # times that another endpoint went on
        self.counts: bool = True  # reasons why nobody does
        self.why: str = ""  # nobody goes on, in a sentence
        self._settings: Resume = settings
        self._context: Context = context
        self._counters: PoolCounters = counters
        self._inspection: Inspection = inspection
        prompt = inspection.prompt
        api = prompt.found.api if prompt is not None else OTHER
        self._body: bytes = prompt.sent() if prompt is not None else b""
        self._api: int = api
        self.text: AnswerText = text_of(api)
        self._splitter: EventSplitter = splitter_of(api)
        self._splicer: Splicer | None = None
        self._held_back: bytes = b""
        self._ids: TokenIds | None = TokenIds(api) if inspection.ids is not None else None
        self._template: str = ""  # the prompt of the chat, where an engine told it
        self.asks_template: bool = False  # the next request is for that
        self._rest_api: int = api
        self._counted: int = 0
        self._roomy: bool = True
        self._count(len(self._body))

    # --- as it passes -----------------------------------------------------------------------

    def pass_on(self, data: bytes, complete: bool) -> bytes:
        """What goes to the client of the next bytes of the answer."""
        whole = self._splitter.feed(data)
        if complete:
            whole += self._splitter.rest()
        ids = self._ids
        if ids is not None and ids.way != NO_WAY:
            whole = ids.take_out(whole, self._roomy)
        if self._splicer is not None:
            whole = self._splicer.change(whole)
        text = self.text
        if _ERROR in whole or (self._api == SGLANG and _ABORT in whole):
            return self._up_to_error(whole)
        text.take(whole)
        if text.size + len(self._body) - self._counted > _COUNTED_BYTES:
            self._count(text.size + len(self._body) - self._counted)
        return whole

    def _up_to_error(self, whole: bytes) -> bytes:
        passed: list[bytes] = []
        events = self._splitter.split(whole)
        for index, event in enumerate(events):
            self.text.take(event)
            if self.text.failure:
                self._held_back = b"".join(events[index:])
                break
            passed.append(event)
        return b"".join(passed)

    def is_failing(self) -> bool:
        """Whether the engine told an error in place of the rest."""
        return self.text.failure != ""

    def take_held_back(self) -> bytes:
        """Nobody goes on: the client gets what the engine told."""
        held = self._held_back
        self._held_back = b""
        return held

    def missing_end(self) -> bytes | None:
        """What is left to be told of an answer that is whole; None of one that is not."""
        text = self.text
        if text.done:
            return b""
        if text.finished and (text.told_usage or not self._wants_usage()):
            return _MESSAGE_STOP if self._api == ANTHROPIC else _DONE
        return None

    def _wants_usage(self) -> bool:
        prompt = self._inspection.prompt
        return prompt is not None and prompt.wants_usage()

    # --- when it is cut ---------------------------------------------------------------------

    def request_for_rest(self, room: int) -> bytes:
        """What to ask another endpoint for; b"" where it may not be, and ``why`` says so. ``room``:
        the tokens that the model has for prompt and answer, where that is known; else 0."""
        text = self.text
        text.look()
        if self.made >= self._settings.max_resumes:
            return self._refuse("max_resumes", f"it was resumed {self.made} times")
        if not self._roomy:
            return self._refuse("memory", "too much would have to be kept")
        if text.problem or self._splitter.overlong:
            return self._refuse("answer", text.problem or "its events are too long")
        if text.finished:
            return self._refuse("answer", "all of it came, but for the usage that is asked for")
        resumption = resumption_of(self._api, self._body)
        if resumption.problem:
            return self._refuse("request", resumption.problem)
        if self._settings.exact and resumption.why_not_exact():
            return self._refuse("exact", resumption.why_not_exact())
        by_ids = self._by_ids(resumption, room)
        if by_ids:
            return by_ids
        self._rest_api = resumption.rest_api
        if self._settings.exact:
            return self._refuse("exact", "its token ids were not told")
        try:
            said = text.text()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._refuse("answer", "what was answered is no text")
        if resumption.half_stop(said):
            return self._refuse("answer", "it may be within a text that is to stop it")
        body = resumption.body_for(said, text.tokens)
        if not body:
            return self._refuse("request", resumption.problem)
        self._ids = None  # what comes from here on is not certain to be cut into the same
        return body

    def keeps_ids(self) -> bool:
        """Whether engines are to tell them, to go on by them."""
        return self._ids is not None

    def _by_ids(self, resumption: Resumption, room: int) -> bytes:
        """The request for the rest by token ids, or for what it needs; b"" where that cannot be."""
        own = self.text.ids()
        if own:
            self._rest_api = resumption.ids_api
            return resumption.by_ids([], own, UNBOUNDED)
        ids = self._ids
        if ids is None or ids.events < self.text.tokens:  # some were not told
            return b""
        prompt: list[Any] = list(ids.prompt)
        if not prompt and ids.way == PROBABILITIES:
            prompt = [self._template or resumption.prompt()]
            room = UNBOUNDED
        made = resumption.by_ids(prompt, ids.answer, room)
        if not made:
            return b""
        self._rest_api = resumption.ids_api
        self.asks_template = self._api == CHAT and prompt == [""]
        return self._body if self.asks_template else made

    def take_template(self, answer: bytes) -> bytes:
        """The request for the rest, now that an engine told the prompt of the chat; b"" where it
        did not."""
        self.asks_template = False
        self._template = prompt_told(answer)
        if not self._template:
            return b""
        return self._by_ids(resumption_of(self._api, self._body), UNBOUNDED)

    def tell_way(self, way: int) -> None:
        """How the engine that answers from here on was asked to tell ids."""
        if self._ids is not None:
            self._ids.begin(way)

    def refuse(self, kind: str, why: str) -> None:
        """Nobody goes on with it; ``kind`` is of ``RESUME_REFUSALS``."""
        self._refuse(kind, why)

    def _refuse(self, kind: str, why: str) -> bytes:
        self.why = why
        if self.counts:
            self._counters.bump(P_NOT_RESUMED + RESUME_REFUSALS.index(kind))
        return b""

    def begin_again(self) -> None:
        """Another attempt goes on from here."""
        self.made += 1
        self.text.failure = ""
        self._held_back = b""
        if self._ids is not None:
            self._ids.api = self._rest_api
        self._splitter = splitter_of(self._api)
        self._splicer = splicer_of(
            self._api,
            self.text,
            self.answered(),
            self._rest_api,
            self._wants_usage(),
        )

    def rest_api(self) -> int:
        """Through which API the next request goes."""
        return TEMPLATE if self.asks_template else self._rest_api

    def answered(self) -> int:
        """How many tokens came."""
        ids = self._ids
        return max(len(ids.answer), self.text.tokens) if ids is not None else self.text.tokens

    # --- memory -----------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        """So many bytes more are kept; what there is no room for is not."""
        context = self._context
        if not self._roomy:
            return
        self._counted += size
        context.prompt_bytes += size
        self._counters.add(P_KEPT_BYTES, size)
        too_long = self.text.size > self._settings.answer_bytes
        if too_long or context.prompt_bytes > context.prompt_room:
            self._roomy = False
            self.text.stop()
            self._body = b""
            self.end()

    def end(self) -> None:
        """Nothing is kept any more."""
        self._context.prompt_bytes -= self._counted
        self._counters.add(P_KEPT_BYTES, -self._counted)
        self._counted = 0
