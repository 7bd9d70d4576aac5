"""Anthropic's messages, as vLLM and others serve them beside OpenAI's API."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.fleet.engine.api.base import (
    Api,
    Asked,
    Usage,
    Writer,
    decoded,
    event,
)
from penstock.fleet.engine.frame import MARK, Frame, split_at_token
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.text import ChatMessage

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}
_ERRORS = {400: "invalid_request_error", 404: "not_found_error", 413: "request_too_large"}


class _Tool(msgspec.Struct):
    name: str
    description: str = ""
    input_schema: Any = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[Any]


class _Choice(msgspec.Struct):
    type: str = "auto"
    name: str = ""


class _MessagesRequest(msgspec.Struct):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | list[Any] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    stream: bool | None = None


class MessagesWriter(Writer):
    def opening(self) -> bytes:
        usage = {"input_tokens": self.answer.prompt_tokens, "output_tokens": 1}
        message = {**self._message(), "content": [], "stop_reason": None, "usage": usage}
        block: dict[str, Any] = {"type": "text", "text": ""}
        if self.answer.tool:
            block = {**self._call(), "input": {}}
        events = _named({"type": "message_start", "message": message})
        events += _named({"type": "content_block_start", "index": 0, "content_block": block})
        return events + (self._delta('{"text":"') if self.answer.tool else b"")

    def frame(self) -> Frame:
        before, after = split_at_token(self._delta(MARK))
        _, after_last = split_at_token(self._delta(MARK + ('"}' if self.answer.tool else "")))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        delta = {"stop_reason": _REASONS[self.answer.reason], "stop_sequence": None}
        return (
            _named({"type": "content_block_stop", "index": 0})
            + _named({"type": "message_delta", "delta": delta, "usage": _told(usage)})
            + _named({"type": "message_stop"})
        )

    def whole(self, usage: Usage) -> bytes:
        block: dict[str, Any] = {"type": "text", "text": self.answer.text}
        if self.answer.tool:
            block = {**self._call(), "input": {"text": self.answer.text}}
        reason = _REASONS[self.answer.reason]
        return msgspec.json.encode(
            {
                **self._message(),
                "content": [block],
                "stop_reason": reason,
                "usage": _told(usage),
            }
        )

    def _message(self) -> dict[str, Any]:
        return {
            "id": f"msg_{self.identity.number}",
            "type": "message",
            "role": "assistant",
            "model": self.identity.model,
            "stop_sequence": None,
        }

    def _call(self) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"toolu_{self.identity.number}", "name": self.answer.tool}

    def _delta(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        if self.answer.tool:
            delta = {"type": "input_json_delta", "partial_json": text}
        return _named({"type": "content_block_delta", "index": 0, "delta": delta})


class MessagesApi(Api):
    def read(self, body: bytes) -> Asked:
        asked = decoded(body, _MessagesRequest)
        messages = [ChatMessage(message.role, message.content) for message in asked.messages]
        if asked.system:
            messages.insert(0, ChatMessage("system", asked.system))
        prompt = ChatRequest(
            model=asked.model,
            max_tokens=asked.max_tokens,
            messages=messages,
            tools=[_function(tool) for tool in asked.tools or ()] or None,
            tool_choice=_chosen(asked.tool_choice),
            # An assistant's message at the end is gone on with.
            continue_final_message=messages[-1:] != [] and messages[-1].role == "assistant",
        )
        return Asked(prompt, MessagesWriter, bool(asked.stream))

    def refusal(self, refused: RequestRefusedError) -> bytes:
        kind = _ERRORS.get(refused.status, "api_error")
        return msgspec.json.encode(
            {"type": "error", "error": {"type": kind, "message": str(refused)}}
        )


def _function(tool: _Tool) -> dict[str, Any]:
    return {"type": "function", "function": msgspec.to_builtins(tool)}


def _chosen(choice: _Choice | None) -> Any:
    if choice is None or choice.type in ("auto", "none"):
        return choice.type if choice else None
    return "required" if choice.type == "any" else {"function": {"name": choice.name}}


def _told(usage: Usage) -> dict[str, int]:
    """What was cached is counted apart from ``input_tokens``."""
    cached = usage.cached or 0
    told = {"input_tokens": usage.prompt - cached, "output_tokens": usage.output}
    if usage.cached is not None:
        told |= {"cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    return told


def _named(body: dict[str, Any]) -> bytes:
    return event(body, body["type"])
