"""Makes of the stream that goes on with an answer the rest of the stream that began it.

The client sees one stream: under one id and model, with one role at its beginning, in the form of
the engine that began, with one end, and usage as of one answer.
"""

from typing import Any, Final

import msgspec

from penstock.wire.openai import ANTHROPIC, CHAT
from penstock.wire.resume.answer_text import AnswerText
from penstock.wire.resume.events import object_in, split_events

_LOGPROBS: Final = b'"logprobs"'
_NAMES: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


class Splicer:
    """Of one attempt that goes on with an answer, of which ``answered`` tokens came before it.
    ``wants_usage``: its client asked for that."""

    def __init__(
        self,
        api: int,
        begun: AnswerText,
        answered: int,
        rest_api: int,
        wants_usage: bool = True,
    ) -> None:
        self._api: int = api
        self._wants_usage: bool = wants_usage
        self._completes: bool = rest_api != api  # a chat goes on as a text completion
        self._begun: AnswerText = begun
        self._answered: int = answered

    def change(self, data: bytes) -> bytes:
        """What the client gets of whole events."""
        return b"".join([self._changed(event) for event in split_events(data)])

    def _changed(self, event: bytes) -> bytes:
        told = object_in(event)
        if told is None or told.get("error"):
            return event
        if self._api == ANTHROPIC:
            return self._changed_message(event, told)
        choices = told.get("choices")
        if self._completes and not self._wants_usage:
            told.pop("usage", None)  # llama.cpp tells it in every completion
            if not choices:
                return b""
        usage = told.get("usage")
        if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict):
            choice = choices[0]
            if self._completes:
                choice = {
                    "index": choice.pop("index", 0),
                    "delta": {"content": choice.pop("text", "")},
                    **choice,
                }
                begun = self._begun
                if begun.prefix and _LOGPROBS not in begun.prefix + begun.suffix:
                    choice.pop("logprobs", None)  # llama.cpp tells it in completions alone
                told["choices"] = [choice]
                told["object"] = "chat.completion.chunk"
            if self._api == CHAT:
                delta = choice.get("delta")
                if isinstance(delta, dict):
                    delta.pop("role", None)  # it was told
            if not usage and not choice.get("finish_reason"):
                text = self._text_alone(choice)
                if text == "":
                    return b""
                if text is not None and self._begun.prefix:
                    shown = msgspec.json.encode(text)[1:-1]
                    return b"%b%b%b" % (self._begun.prefix, shown, self._begun.suffix)
        if isinstance(usage, dict):
            self._add_answered(usage)
            if self._completes:
                told["object"] = "chat.completion.chunk"
                if choices:  # chats tell it in an event of its own
                    told.pop("usage")
                    return self._event(dict(told)) + self._event(
                        {**told, "choices": [], "usage": usage}
                    )
        return self._event(told)

    def _event(self, told: dict[str, Any]) -> bytes:
        """Under the names of the stream that began."""
        names = self._begun.names
        for name in _NAMES:
            if name in names:
                told[name] = names[name]
            else:
                told.pop(name, None)
        return b"data: %b\n\n" % msgspec.json.encode(told)

    def _changed_message(self, event: bytes, told: dict[str, Any]) -> bytes:
        kind = told.get("type")
        if kind in ("message_start", "content_block_start"):
            return b""  # they were told
        if kind == "content_block_delta":
            delta = told.get("delta")
            text = delta.get("text") if isinstance(delta, dict) else None
            if text == "":
                return b""
            if isinstance(text, str) and self._begun.prefix:
                shown = msgspec.json.encode(text)[1:-1]
                return b"%b%b%b" % (self._begun.prefix, shown, self._begun.suffix)
        usage = told.get("usage")
        if kind == "message_delta" and isinstance(usage, dict):
            self._add_answered_tokens(usage)
            return b"event: message_delta\ndata: %b\n\n" % msgspec.json.encode(told)
        return event

    def _add_answered_tokens(self, usage: dict[str, Any]) -> None:
        """What was cached is counted apart from ``input_tokens``."""
        left = self._answered
        for name in ("cache_read_input_tokens", "input_tokens"):
            count = usage.get(name)
            if isinstance(count, int):
                usage[name] = max(count - left, 0)
                left = max(left - count, 0)
        output = usage.get("output_tokens")
        if isinstance(output, int):
            usage["output_tokens"] = output + self._answered

    def _text_alone(self, choice: dict[str, Any]) -> str | None:
        """The text that a choice brings, where it brings nothing else; None where it does."""
        if self._api != CHAT:
            text = choice.get("text")
            return text if isinstance(text, str) else None
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return None
        if any([value and name != "content" for name, value in delta.items()]):
            return None
        text = delta.get("content") or ""
        return text if isinstance(text, str) else None

    def _add_answered(self, usage: dict[str, Any]) -> None:
        """As if one engine had answered: what was answered before was no prompt."""
        answered = self._answered
        prompt = usage.get("prompt_tokens")
        output = usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(output, int):
            usage["prompt_tokens"] = max(prompt - answered, 0)
            usage["completion_tokens"] = output + answered
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            cached = details.get("cached_tokens")
            if isinstance(cached, int) and isinstance(prompt, int):
                details["cached_tokens"] = min(cached, max(prompt - answered, 0))
