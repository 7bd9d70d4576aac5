"""Going on with a cut answer of SGLang's own API (sgl-project/sglang, ``/generate``).

Each event tells the text, the token ids and the counts of all that came so far, so that the last
one is kept as it came and read when it is needed. A prompt is a text or token ids: the rest is
asked for behind it, by the same.
"""

from typing import Any, Final

import msgspec

from penstock.wire import sglang_bodies
from penstock.wire.openai import SGLANG
from penstock.wire.resume.answer_text import AnswerText, shown
from penstock.wire.resume.events import data_of, fields_of, object_in, split_events
from penstock.wire.resume.request import GRAMMAR, Resumption
from penstock.wire.resume.splice import Splicer
from penstock.wire.sglang_events import ABORT, end_in
from penstock.wire.sse import has_value

_NOTHING: Final = msgspec.Raw(b"")
_EMPTY: Final = frozenset((b"", b"null", b'""', b"{}", b"[]"))
_FAILED: Final = b'"error"'
_FAILURE_BYTES: Final = 64
_ENDED: Final = b'"finish_reason"'
_GRAMMARS: Final = ("regex", "json_schema", "ebnf", "structural_tag")
_PENALTIES: Final = (("frequency_penalty", 0), ("presence_penalty", 0), ("repetition_penalty", 1))
_PROBABILITIES: Final = ("return_logprob", "top_logprobs_num", "token_ids_logprob")


class GenerateText(AnswerText):
    """``problem`` says why the answer cannot be gone on with from here; "" while it can."""

    def __init__(self, api: int) -> None:
        super().__init__(api)
        self.name: str = ""  # of the answer
        self._last: bytes = b""  # event that told some of it
        self._read_last: bool = True
        self._said: str = ""
        self._ids: list[int] = []

    def take(self, data: bytes) -> None:
        """Whole events that go to the client."""
        if self._stopped:
            return
        for event in split_events(data):
            self._read(event)

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        if not data:
            return
        if data == b"[DONE]":
            self.done = True
            return
        if data.find(_FAILED, 0, _FAILURE_BYTES) >= 0:
            error = fields_of(data).get("error", _NOTHING)
            if bytes(error) not in _EMPTY:
                self.failure = self.failure or shown(error)
                return
        if has_value(data, _ENDED):
            told = _decoded(data)
            meta = told.meta_info if told is not None else None
            kind, message = end_in(meta.finish_reason) if meta is not None else ("", "")
            if kind == ABORT:
                self.failure = self.failure or message
                return
            self.finished = self.told_usage = kind != ""
        self._last = data
        self._read_last = False
        self.tokens += 1  # until it is read
        self.size = len(data)

    def stop(self) -> None:
        """Keep no more of it."""
        super().stop()
        self._last = b""

    def look(self) -> None:
        """Read what the last event told."""
        if self._read_last:
            return
        self._read_last = True
        told = _decoded(self._last)
        meta = told.meta_info if told is not None else None
        if told is None or meta is None or told.text is None or meta.completion_tokens is None:
            self.problem = self.problem or "an event is not understood"
            return
        if told.index:
            self.problem = "it has several choices"
        ids = told.output_ids or []
        # Some servers tell what is new in each alone (`--incremental-streaming-output`).
        if told.output_ids is not None and len(ids) != meta.completion_tokens:
            self.problem = "its events do not tell all that came"
        self.name = meta.id or ""
        self.tokens = meta.completion_tokens
        self._said = told.text
        self._ids = ids

    def text(self) -> str:
        """All of it."""
        self.look()
        return self._said

    def ids(self) -> list[int]:
        """Of its tokens; none where they were not told."""
        self.look()
        return self._ids


def _decoded(data: bytes) -> sglang_bodies.Generated | None:
    try:
        return sglang_bodies.generated.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class GenerateSplicer(Splicer):
    """Events that tell what was said before as well."""

    def __init__(self, begun: GenerateText, answered: int) -> None:
        super().__init__(SGLANG, begun, answered, SGLANG)
        self._said: str = begun.text()
        self._ids: list[int] = begun.ids()
        self._name: str = begun.name

    def change(self, data: bytes) -> bytes:
        """What the client gets of whole events."""
        return b"".join([self._changed(event) for event in split_events(data)])

    def _changed(self, event: bytes) -> bytes:
        told = object_in(event)
        if told is None or told.get("error"):
            return event
        text, ids = told.get("text"), told.get("output_ids")
        if isinstance(text, str):
            told["text"] = self._said + text
        if isinstance(ids, list):
            told["output_ids"] = self._ids + ids
        meta = told.get("meta_info")
        if isinstance(meta, dict):
            self._add(meta)
        return b"data: %b\n\n" % msgspec.json.encode(told)

    def _add(self, meta: dict[str, Any]) -> None:
        """As if one engine had answered: what was answered before was no prompt."""
        answered = self._answered
        if self._name:
            meta["id"] = self._name
        for name, more in (("prompt_tokens", -answered), ("completion_tokens", answered)):
            if isinstance(meta.get(name), int):
                meta[name] = max(meta[name] + more, 0)
        cached, prompt = meta.get("cached_tokens"), meta.get("prompt_tokens")
        if isinstance(cached, int) and isinstance(prompt, int):
            meta["cached_tokens"] = min(cached, prompt)
        reason = meta.get("finish_reason")
        if isinstance(reason, dict) and isinstance(reason.get("length"), int):
            reason["length"] += answered


class GenerateResumption(Resumption):
    """Of one request: whether its answer may be gone on with at all, and how it is asked for."""

    def _why_not_here(self, asked: dict[str, Any]) -> str:
        self.ids_api = SGLANG
        sampling = asked.get("sampling_params")
        if sampling is None:
            sampling = {}
        if not isinstance(sampling, dict) or sampling.get("n") not in (None, 1):
            return "several answers are asked for"
        if any([sampling.get(name) is not None for name in _GRAMMARS]):
            return GRAMMAR
        if sampling.get("stop_regex"):
            return "a pattern is to stop it"
        if any([asked.get(name) for name in _PROBABILITIES]):
            return "log probabilities are asked for"
        if asked.get("return_hidden_states"):
            return "hidden states are asked for"
        if asked.get("custom_logit_processor"):
            return "its tokens are chosen by code of its own, whose state would be lost"
        if asked.get("session_params"):
            return "it goes on from what one endpoint keeps"
        text, ids = asked.get("text"), asked.get("input_ids")
        if isinstance(text, list) or (ids and isinstance(ids, list) and isinstance(ids[0], list)):
            return "several answers are asked for"
        if isinstance(text, str) != isinstance(ids, list):
            return ""
        return "the prompt is not given as one text"

    def body_for(self, text: str, tokens: int) -> bytes:
        """The request for what follows ``text``, of so many tokens; b"" where there is no room left
        for any, or where the prompt is of token ids: then ``problem`` says so."""
        asked = dict(self._asked)
        if not isinstance(asked.get("text"), str):
            self.problem = "the prompt is of token ids, and those of its answer were not told"
            return b""
        if not self.lessen(asked, tokens):
            return b""
        asked["text"] += text
        return self.encoded(asked)

    def lessen(self, asked: dict[str, Any], tokens: int) -> bool:
        """Ask for so many tokens less; False where none are left."""
        sampling = dict(asked.get("sampling_params") or {})
        limit = sampling.get("max_new_tokens")
        if not isinstance(limit, int):
            limit = sglang_bodies.MOST_NEW_TOKENS
        if limit <= tokens:
            self.problem = "as many tokens came as were asked for"
            return False
        sampling["max_new_tokens"] = limit - tokens
        least = sampling.get("min_new_tokens")
        if isinstance(least, int):
            sampling["min_new_tokens"] = max(least - tokens, 0)
        asked["sampling_params"] = sampling
        return True

    def by_ids(self, prompt: list[Any], answer: list[int], room: int) -> bytes:
        """The request for what follows these token ids; b"" where it cannot be made."""
        given = self._asked.get("input_ids")
        if self.problem or not answer or not isinstance(given, list) or self._stops():
            return b""
        asked = dict(self._asked)
        if not self.lessen(asked, len(answer)):
            self.problem = ""
            return b""
        asked["input_ids"] = [*given, *answer]
        return self.encoded(asked)

    def why_not_exact(self) -> str:
        """Why the rest would not be what it would have been, though it is asked for by token ids;
        "" where it would."""
        sampling = self._asked.get("sampling_params") or {}
        for name, neutral in _PENALTIES:
            if sampling.get(name) not in (None, neutral):
                return f"`{name}` counts what was answered, which would be taken for the prompt"
        if sampling.get("stop"):
            return "`stop` withholds text whose token ids are told"
        if sampling.get("sampling_seed") is not None and sampling.get("temperature") != 0:
            return "another engine does not go on with the chances of a `seed`"
        return ""

    def _stops(self) -> Any:
        sampling = self._asked.get("sampling_params")
        return sampling.get("stop") if isinstance(sampling, dict) else None
