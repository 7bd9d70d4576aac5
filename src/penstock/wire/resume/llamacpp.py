"""Going on with a cut answer of llama.cpp's own completions (its server's README, `/completion`).

Every event tells how many tokens came so far; asked with ``return_tokens``, which. A prompt may be
texts and token ids in one list, so that the rest is asked for with either behind the prompt.
"""

from typing import Any, Final

import msgspec

from penstock.wire.openai import LLAMACPP
from penstock.wire.resume.answer_text import AnswerText, shown
from penstock.wire.resume.events import data_of, fields_of, object_in, split_events
from penstock.wire.resume.request import Resumption
from penstock.wire.resume.splice import Splicer

_NOTHING: Final = msgspec.Raw(b"")
_EMPTY: Final = frozenset((b"", b"null", b'""', b"{}", b"[]"))
_GAPS: Final = ("input_prefix", "input_suffix", "input_extra")
_LIMITS: Final = ("n_predict", "max_tokens")


class NativeText(AnswerText):
    """``problem`` says why the answer cannot be gone on with from here; "" while it can."""

    def take(self, data: bytes) -> None:
        """Whole events that go to the client."""
        if self._stopped:
            return
        for event in split_events(data):
            self._read(event)

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        told = fields_of(data)
        if not told:
            if data and data != b"[DONE]":
                self.problem = self.problem or "an event is not understood"
            return
        if bytes(told.get("error", _NOTHING)) not in _EMPTY:
            self.failure = self.failure or shown(told["error"])
            return
        if bytes(told.get("index", _NOTHING)) not in (b"", b"0"):
            self.problem = "it has several choices"
        if bytes(told.get("completion_probabilities", _NOTHING)) not in _EMPTY:
            self.problem = "it tells log probabilities"
        text = bytes(told.get("content", _NOTHING))
        if text.startswith(b'"'):
            self.add(text[1:-1])
        elif text not in _EMPTY:
            self.problem = "its content is no text"
        if bytes(told.get("stop", _NOTHING)) == b"true":
            self.finished = self.done = self.told_usage = True


class NativeSplicer(Splicer):
    """Events that count on where the answer was cut."""

    def __init__(self, begun: AnswerText, answered: int) -> None:
        super().__init__(LLAMACPP, begun, answered, LLAMACPP)
        try:
            self._said: str = begun.text()
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._said = ""

    def change(self, data: bytes) -> bytes:
        """What the client gets of whole events."""
        return b"".join([self._changed(event) for event in split_events(data)])

    def _changed(self, event: bytes) -> bytes:
        told = object_in(event)
        if told is None or told.get("error"):
            return event
        self._add(told, "tokens_predicted", self._answered)
        self._add(told, "tokens_evaluated", -self._answered)
        settings = told.get("generation_settings")
        if isinstance(settings, dict):
            for name in _LIMITS:
                if isinstance(settings.get(name), int) and settings[name] > 0:
                    self._add(settings, name, self._answered)
        timings = told.get("timings")
        if isinstance(timings, dict):
            self._add_timings(timings)
        prompt = told.get("prompt")
        if isinstance(prompt, str):
            told["prompt"] = prompt.removesuffix(self._said)
        return b"data: %b\n\n" % msgspec.json.encode(told)

    def _add_timings(self, timings: dict[str, Any]) -> None:
        """What was answered before was no prompt; durations are those of the engine that ended."""
        self._add(timings, "predicted_n", self._answered)
        computed, cached = timings.get("prompt_n"), timings.get("cache_n")
        if isinstance(computed, int) and isinstance(cached, int):
            prompt = max(computed + cached - self._answered, 0)
            timings["cache_n"] = min(cached, prompt)
            timings["prompt_n"] = prompt - timings["cache_n"]

    def _add(self, told: dict[str, Any], name: str, more: int) -> None:
        count = told.get(name)
        if isinstance(count, int):
            told[name] = max(count + more, 0)


class NativeResumption(Resumption):
    """Of one request: whether its answer may be gone on with at all, and how it is asked for."""

    def _why_not_here(self, asked: dict[str, Any]) -> str:
        self.ids_api = LLAMACPP
        if any([asked.get(name) for name in _GAPS]):
            return "the answer stands in a gap"
        if asked.get("n_probs"):
            return "log probabilities are asked for"
        prompt = asked.get("prompt")
        if isinstance(prompt, str):
            return ""
        if not isinstance(prompt, list) or not prompt:
            return "the prompt is not given as one text"
        texts = [each for each in prompt if isinstance(each, str)]
        ids = [each for each in prompt if isinstance(each, int)]
        if len(texts) + len(ids) < len(prompt) or (not ids and len(texts) > 1):
            return "several answers are asked for"
        return ""

    def _append(self, asked: dict[str, Any], text: str) -> None:
        prompt = asked["prompt"]
        asked["prompt"] = prompt + text if isinstance(prompt, str) else [*prompt, text]

    def by_ids(self, prompt: list[Any], answer: list[int], room: int) -> bytes:
        """The request for what follows these token ids; b"" where it cannot be made."""
        if self.problem or not answer or self._asked.get("stop"):
            return b""
        asked = dict(self._asked)
        if not self.lessen(asked, len(answer)):
            self.problem = ""
            return b""
        given = asked["prompt"]
        asked["prompt"] = [*([given] if isinstance(given, str) else given), *answer]
        return self.encoded(asked)
