"""OpenAI's chat and text completions."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.fleet.engine.api.base import (
    Answer,
    Api,
    Asked,
    Identity,
    Usage,
    Writer,
    decoded,
    event,
)
from penstock.fleet.engine.frame import MARK, TOKEN_ID, Frame, split_at_token
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest, CompletionRequest

_REASONS = {"stop": "stop", "length": "length", "tool": "tool_calls"}


class ChatWriter(Writer):
    """Of ``/v1/chat/completions``: text or the call of a tool."""

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self._head = _head(identity, "chatcmpl-", "chat.completion.chunk")
        self._call = {"id": f"call-{identity.number}", "type": "function"}

    def opening(self) -> bytes:
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        events = event({**self._head, "choices": [_choice(delta=delta)]})
        if self.answer.tool:
            function = {"name": self.answer.tool, "arguments": '{"text":"'}
            call = {"index": 0, **self._call, "function": function}
            choice = _choice(delta={"tool_calls": [call]})
            events += event({**self._head, "choices": [choice]})
        return events

    def frame(self) -> Frame:
        before, after = split_at_token(self._token(MARK, None))
        last = MARK + ('"}' if self.answer.tool else "")
        _, after_last = split_at_token(self._token(last, _REASONS[self.answer.reason]))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        return event({**self._head, "choices": [], "usage": _told(usage)}) + b"data: [DONE]\n\n"

    def whole(self, usage: Usage) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": self.answer.text}
        if self.answer.tool:
            function = {"name": self.answer.tool, "arguments": self.answer.arguments}
            calls = [{**self._call, "function": function}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = _choice(message=message, finish_reason=_REASONS[self.answer.reason])
        body = {**self._head, "object": "chat.completion", "choices": [choice]}
        return msgspec.json.encode({**body, "usage": _told(usage)})

    def _token(self, text: str, finish_reason: str | None) -> bytes:
        delta: dict[str, Any] = {"content": text}
        if self.answer.tool:
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        choice = _choice(delta=delta, finish_reason=finish_reason)
        return event({**self._head, "choices": [choice]})


class CompletionWriter(Writer):
    """Of ``/v1/completions``."""

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self._head = _head(identity, "cmpl-", "text_completion")

    def opening(self) -> bytes:
        return b""

    def frame(self) -> Frame:
        before, after = split_at_token(self._token(None))
        _, after_last = split_at_token(self._token(_REASONS[self.answer.reason]))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        return event({**self._head, "choices": [], "usage": _told(usage)}) + b"data: [DONE]\n\n"

    def whole(self, usage: Usage) -> bytes:
        reason = _REASONS[self.answer.reason]
        choice = _choice(text=self.answer.text, finish_reason=reason)
        return msgspec.json.encode({**self._head, "choices": [choice], "usage": _told(usage)})

    def _token(self, finish_reason: str | None) -> bytes:
        choice = _choice(text=MARK, finish_reason=finish_reason)
        return event({**self._head, "choices": [choice]})


class SilentChatWriter(ChatWriter):
    """A stream whose client did not ask for the usage."""

    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class SilentCompletionWriter(CompletionWriter):
    """A stream whose client did not ask for the usage."""

    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class _IdsChatWriter(ChatWriter):
    """A stream that tells the ids of its tokens, and of its prompt's in the first event."""

    def opening(self) -> bytes:
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        told = {**self._head, "choices": [_choice(delta=delta)]}
        return event({**told, "prompt_token_ids": self.answer.prompt_ids})

    def _token(self, text: str, finish_reason: str | None) -> bytes:
        choice = _choice(delta={"content": text}, finish_reason=finish_reason)
        return event({**self._head, "choices": [{**choice, "token_ids": [TOKEN_ID]}]})


class _SilentIdsChatWriter(_IdsChatWriter):
    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class _IdsCompletionWriter(CompletionWriter):
    def opening(self) -> bytes:
        choice = {**_choice(text=""), "prompt_token_ids": self.answer.prompt_ids}
        return event({**self._head, "choices": [choice]})

    def _token(self, finish_reason: str | None) -> bytes:
        choice = _choice(text=MARK, finish_reason=finish_reason)
        return event({**self._head, "choices": [{**choice, "token_ids": [TOKEN_ID]}]})


class _SilentIdsCompletionWriter(_IdsCompletionWriter):
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


class ChatApi(OpenAiApi):
    """``tells_ids``: of tokens, to who asks for them."""

    def __init__(self, tells_ids: bool = False) -> None:
        self._tells_ids = tells_ids

    def read(self, body: bytes) -> Asked:
        asked = decoded(body, ChatRequest)
        writer = ChatWriter if asked.wants_usage() else SilentChatWriter
        if self._tells_ids and asked.return_token_ids:
            writer = _IdsChatWriter if asked.wants_usage() else _SilentIdsChatWriter
        return Asked(asked, writer, bool(asked.stream))


class CompletionApi(OpenAiApi):
    """``tells_ids``: of tokens, to who asks for them."""

    def __init__(self, tells_ids: bool = False) -> None:
        self._tells_ids = tells_ids

    def read(self, body: bytes) -> Asked:
        asked = decoded(body, CompletionRequest)
        writer = CompletionWriter if asked.wants_usage() else SilentCompletionWriter
        if self._tells_ids and asked.return_token_ids:
            writer = _IdsCompletionWriter if asked.wants_usage() else _SilentIdsCompletionWriter
        return Asked(asked, writer, bool(asked.stream))


def _head(identity: Identity, prefix: str, kind: str) -> dict[str, Any]:
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


def _choice(finish_reason: str | None = None, **content: Any) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}
