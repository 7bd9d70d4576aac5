"""Going on with a cut answer of Ollama's own API (Ollama, docs/api.md).

Lines of JSON, each with the time when it was made, and a last one with the counts. A chat goes on
from a last message of the assistant, which its templates leave open; a generation goes on as the
chat that Ollama makes of it, or, where it is ``raw``, from its prompt with the text behind it.
"""

from typing import Any, Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai import OLLAMA_CHAT, OLLAMA_GENERATE
from penstock.wire.resume.answer_text import AnswerText, shown
from penstock.wire.resume.events import fields_of
from penstock.wire.resume.request import GRAMMAR, Resumption
from penstock.wire.resume.splice import Splicer

_NOTHING: Final = msgspec.Raw(b"")
_EMPTY: Final = frozenset((b"", b"null", b'""', b"{}", b"[]"))
_QUOTE: Final = b'"'
_BACKSLASH: Final = 92
_HARMLESS: Final = frozenset(("role", "content"))
_OF_GENERATIONS: Final = ("prompt", "system", "images", "raw", "template", "context", "suffix")


class OllamaText(AnswerText):
    """``problem`` says why the answer cannot be gone on with from here; "" while it can."""

    def __init__(self, api: int) -> None:
        super().__init__(api)
        self.line: dict[str, msgspec.Raw] = {}  # one that brings text, by field
        self._text_key: bytes = b'"content":"' if api == OLLAMA_CHAT else b'"response":"'
        self._behind: bytes = b""  # what follows the text of such a line
        self._quotes: int = 0  # in such a line, around what is no text

    def take(self, data: bytes) -> None:
        """Whole lines that go to the client."""
        if self._stopped:
            return
        if self._behind and data.endswith(self._behind) and data.count(b"\n") == 1:
            # The time is another in each line, so that what stands before the text differs.
            at = data.find(self._text_key) + len(self._text_key)
            text = data[at : len(data) - len(self._behind)]
            plain = text and _QUOTE not in text and text[-1] != _BACKSLASH
            if plain and data.count(_QUOTE) == self._quotes:
                self.add(text)
                return
        for line in data.splitlines(keepends=True):
            self._read(line)

    def _read(self, event: bytes) -> None:
        told = fields_of(event.strip())
        if not told:
            if event.strip():
                self.problem = self.problem or "a line is not understood"
            return
        if bytes(told.get("error", _NOTHING)) not in _EMPTY:
            self.failure = self.failure or shown(told["error"])
            return
        if not self.names and "model" in told:
            self.names = {"model": told["model"]}
        done = bytes(told.get("done", _NOTHING)) == b"true"
        text = _NOTHING
        if self._api == OLLAMA_GENERATE:
            text = told.get("response", _NOTHING)
            if bytes(told.get("thinking", _NOTHING)) not in _EMPTY:
                self.problem = "it tells its reasoning"
        else:
            message = fields_of(bytes(told.get("message", _NOTHING)))
            text = message.get("content", _NOTHING)
            for name, value in message.items():
                if name not in _HARMLESS and bytes(value) not in _EMPTY:
                    calls = name == "tool_calls"
                    self.problem = "a tool call is under way" if calls else f"it brings `{name}`"
        raw = bytes(text)
        if raw.startswith(_QUOTE):
            self.add(raw[1:-1])
            if not done and len(raw) > 2:
                self._learn_line(event, told, raw)
        elif raw not in _EMPTY:
            self.problem = "its content is no text"
        if done:
            self.finished = self.done = self.told_usage = True

    def _learn_line(self, line: bytes, told: dict[str, msgspec.Raw], text: bytes) -> None:
        """The form of lines, where that is certain."""
        if not self.line:
            self.line = told
        at = line.find(self._text_key) + len(self._text_key)
        if line.count(self._text_key) == 1 and line.startswith(text[1:], at):
            self._behind = line[at + len(text) - 2 :]
            self._quotes = line.count(_QUOTE) - text[1:-1].count(_QUOTE)


class OllamaSplicer(Splicer):
    """Lines under the model's name and in the form of those that began, with counts of one answer.

    Durations are those of the engine that ended it: what the other took is not known.
    """

    def __init__(self, api: int, begun: OllamaText, answered: int, rest_api: int) -> None:
        super().__init__(api, begun, answered, rest_api)
        self._lines: OllamaText = begun

    def change(self, data: bytes) -> bytes:
        """What the client gets of whole lines."""
        return b"".join([self._changed(line) for line in data.splitlines(keepends=True)])

    def _changed(self, event: bytes) -> bytes:
        try:
            told = bodies.anything.decode(event.strip())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return event
        if not isinstance(told, dict) or told.get("error"):
            return event
        if self._completes and "message" in told:
            told = self._as_generation(told)
        if "model" in self._begun.names:
            told["model"] = bodies.anything.decode(bytes(self._begun.names["model"]))
        if told.get("done") is True:
            self._add_counts(told)
        elif self._brings_text_alone(told):
            return self._in_form(told)
        return msgspec.json.encode(told) + b"\n"

    def _as_generation(self, told: dict[str, Any]) -> dict[str, Any]:
        """A line of a chat as one of a generation."""
        changed: dict[str, Any] = {}
        for name, value in told.items():
            if name == "message":
                message = value if isinstance(value, dict) else {}
                changed["response"] = message.get("content") or ""
                if message.get("thinking"):
                    changed["thinking"] = message["thinking"]
            else:
                changed[name] = value
        return changed

    def _add_counts(self, told: dict[str, Any]) -> None:
        """As if one engine had answered: what was answered before was no prompt."""
        prompt, output = told.get("prompt_eval_count"), told.get("eval_count")
        if isinstance(prompt, int):
            told["prompt_eval_count"] = max(prompt - self._answered, 0)
        if isinstance(output, int):
            told["eval_count"] = output + self._answered

    def _brings_text_alone(self, told: dict[str, Any]) -> bool:
        if self._api == OLLAMA_GENERATE:
            return not told.get("thinking")
        message = told.get("message")
        return isinstance(message, dict) and not any(
            [value and name not in _HARMLESS for name, value in message.items()]
        )

    def _in_form(self, told: dict[str, Any]) -> bytes:
        line = self._lines.line
        if not line:
            return msgspec.json.encode(told) + b"\n"
        made: dict[str, Any] = dict(line)
        if "created_at" in made and "created_at" in told:
            made["created_at"] = told["created_at"]
        if self._api == OLLAMA_GENERATE:
            made["response"] = told.get("response") or ""
        else:
            message: dict[str, Any] = dict(fields_of(bytes(line.get("message", _NOTHING))))
            message["content"] = told["message"].get("content") or ""
            made["message"] = message
        return msgspec.json.encode(made) + b"\n"


class OllamaResumption(Resumption):
    """Of one request: whether its answer may be gone on with at all, and how it is asked for."""

    def _why_not_here(self, asked: dict[str, Any]) -> str:
        if asked.get("format") not in (None, ""):
            return GRAMMAR
        if asked.get("think") not in (None, False):
            return "reasoning is asked for, which would begin anew"
        if self._api == OLLAMA_CHAT:
            messages = asked.get("messages")
            if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
                return "the request is not understood"
            last = messages[-1]
            if last.get("role") == "assistant" and not isinstance(last.get("content"), str):
                return "it goes on from a message that is no text"
            return ""
        if asked.get("suffix"):
            return "the answer stands in a gap"
        if not isinstance(asked.get("prompt"), str) or not asked["prompt"]:
            return "there is no prompt to go on from"
        if asked.get("raw"):
            return ""
        if asked.get("template") or asked.get("context"):
            return "a template or context of its own is given, which chats do not take"
        self.rest_api = OLLAMA_CHAT
        return ""

    def lessen(self, asked: dict[str, Any], tokens: int) -> bool:
        """Ask for so many tokens less; False where none are left."""
        options = asked.get("options")
        if not isinstance(options, dict):
            return True
        inner = dict(options)
        limit = inner.pop("num_predict", None)
        if isinstance(limit, int) and limit > 0:
            if limit <= tokens:
                self.problem = "as many tokens came as were asked for"
                return False
            limit -= tokens
        if limit is not None:
            inner["num_predict"] = limit
        asked["options"] = inner
        return True

    def _append(self, asked: dict[str, Any], text: str) -> None:
        if self._api == OLLAMA_GENERATE and self.rest_api == OLLAMA_GENERATE:
            asked["prompt"] = asked["prompt"] + text
            return
        if self._api == OLLAMA_CHAT:
            messages = list(asked["messages"])
        else:
            messages = _messages_of(asked)
            for name in _OF_GENERATIONS:
                asked.pop(name, None)
        last = messages[-1]
        if last.get("role") == "assistant":
            messages[-1] = {**last, "content": last["content"] + text}
        else:
            messages.append({"role": "assistant", "content": text})
        asked["messages"] = messages

    def by_ids(self, prompt: list[Any], answer: list[int], room: int) -> bytes:
        """No engine tells them in these answers."""
        return b""

    def _stops(self) -> Any:
        options = self._asked.get("options")
        return options.get("stop") if isinstance(options, dict) else None


def _messages_of(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The chat that Ollama makes of a generation."""
    messages: list[dict[str, Any]] = []
    if asked.get("system"):
        messages.append({"role": "system", "content": asked["system"]})
    question: dict[str, Any] = {"role": "user", "content": asked["prompt"]}
    if asked.get("images"):
        question["images"] = asked["images"]
    messages.append(question)
    return messages
