"""The answers of OpenAI's chat and text completions."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.fleet.engine.api.base import Answer, Api, Identity, Usage, Writer, event
from penstock.fleet.engine.frame import MARK, Frame, split_at_token
from penstock.fleet.engine.intake import RequestRefusedError

_REASONS = {"stop": "stop", "length": "length", "tool": "tool_calls"}


class ChatWriter(Writer):
    """Of ``/v1/chat/completions``: text or the call of a tool."""

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self.head = head_of(identity, "chatcmpl-", "chat.completion.chunk")
        self._call = {"id": f"call-{identity.number}", "type": "function"}

    def opening(self) -> bytes:
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        events = event({**self.head, "choices": [choice_of(delta=delta)]})
        if self.answer.tool:
            function = {"name": self.answer.tool, "arguments": '{"text":"'}
            call = {"index": 0, **self._call, "function": function}
            choice = choice_of(delta={"tool_calls": [call]})
            events += event({**self.head, "choices": [choice]})
        return events

    def frame(self) -> Frame:
        before, after = split_at_token(self.token(MARK, None))
        last = MARK + ('"}' if self.answer.tool else "")
        _, after_last = split_at_token(self.token(last, _REASONS[self.answer.reason]))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        return event({**self.head, "choices": [], "usage": _told(usage)}) + b"data: [DONE]\n\n"

    def whole(self, usage: Usage) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": self.answer.text}
        if self.answer.tool:
            function = {"name": self.answer.tool, "arguments": self.answer.arguments}
            calls = [{**self._call, "function": function}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = choice_of(message=message, finish_reason=_REASONS[self.answer.reason])
        body = {**self.head, "object": "chat.completion", "choices": [choice]}
        return msgspec.json.encode({**body, "usage": _told(usage)})

    def token(self, text: str, finish_reason: str | None) -> bytes:
        delta: dict[str, Any] = {"content": text}
        if self.answer.tool:
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        choice = choice_of(delta=delta, finish_reason=finish_reason)
        return event({**self.head, "choices": [choice]})


class CompletionWriter(Writer):
    """Of ``/v1/completions``."""

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self.head = head_of(identity, "cmpl-", "text_completion")

    def opening(self) -> bytes:
        return b""

    def frame(self) -> Frame:
        before, after = split_at_token(self.token(None))
        _, after_last = split_at_token(self.token(_REASONS[self.answer.reason]))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        return event({**self.head, "choices": [], "usage": _told(usage)}) + b"data: [DONE]\n\n"

    def whole(self, usage: Usage) -> bytes:
        reason = _REASONS[self.answer.reason]
        choice = choice_of(text=self.answer.text, finish_reason=reason)
        return msgspec.json.encode({**self.head, "choices": [choice], "usage": _told(usage)})

    def token(self, finish_reason: str | None) -> bytes:
        choice = choice_of(text=MARK, finish_reason=finish_reason)
        return event({**self.head, "choices": [choice]})


class SilentChatWriter(ChatWriter):
    """A stream whose client did not ask for the usage."""

    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class SilentCompletionWriter(CompletionWriter):
    """A stream whose client did not ask for the usage."""

    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class OpenAiApi(Api):
    """What all of OpenAI's have in common: the form of errors."""

    def refusal(self, refused: RequestRefusedError) -> bytes:
        return refusal_body(refused)


def refusal_body(refused: RequestRefusedError) -> bytes:
    """An error as OpenAI's clients read it."""
    error = {"message": str(refused), "type": refused.kind, "param": None, "code": refused.status}
    return msgspec.json.encode({"error": error})


def head_of(identity: Identity, prefix: str, kind: str) -> dict[str, Any]:
    return {
        "id": prefix + identity.number,
        "object": kind,
        "created": identity.created,
        "model": identity.model,
    }


def _told(usage: Usage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
    }
    if usage.cached:  # engines leave out what would be 0
        told["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    return told


def choice_of(finish_reason: str | None = None, **content: Any) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}
