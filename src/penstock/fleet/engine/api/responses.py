"""OpenAI's responses. Nothing is stored: ``previous_response_id`` is not known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any, ClassVar

import msgspec

from penstock.fleet.engine.api.base import (
    Answer,
    Asked,
    Identity,
    Usage,
    Writer,
    decoded,
    event,
)
from penstock.fleet.engine.api.openai import OpenAiApi
from penstock.fleet.engine.frame import MARK, NUMBER, Frame, split_at_token
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.text import ChatMessage


class _Item(msgspec.Struct):
    """A message, the call of a tool or what came of it."""

    type: str = "message"
    role: str = "user"
    content: str | list[Any] | None = None
    name: str = ""
    arguments: str = ""
    output: Any = None
    status: str = ""


class _ResponsesRequest(msgspec.Struct):
    input: str | list[_Item]
    model: str = ""
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    stream: bool | None = False
    previous_response_id: str | None = None


class ResponsesWriter(Writer):
    """Every event has a number; those of tokens stand between the opening's and the closing's."""

    first_number: ClassVar[int] = 4  # as many events open the stream

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self._numbers = count()
        self._item_id = f"{'fc' if answer.tool else 'msg'}_{identity.number}"
        self._place = {"item_id": self._item_id, "output_index": 0}
        self._part_place = {**self._place, "content_index": 0}

    def opening(self) -> bytes:
        begun = self._response("in_progress", [], None)
        events = self._event("response.created", response=begun)
        events += self._event("response.in_progress", response=begun)
        item = self._item("in_progress", "", "")
        events += self._event("response.output_item.added", output_index=0, item=item)
        if self.answer.tool:
            opened = {**self._place, "delta": '{"text":"'}
            return events + self._event("response.function_call_arguments.delta", **opened)
        return events + self._event(
            "response.content_part.added", **self._part_place, part=_part("")
        )

    def frame(self) -> Frame:
        before, after = split_at_token(self._token(MARK))
        _, after_last = split_at_token(self._token(MARK + ('"}' if self.answer.tool else "")))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        answer = self.answer
        for _ in range(usage.output):
            next(self._numbers)
        item = self._item("completed", answer.text, answer.arguments)
        if answer.tool:
            done = {**self._place, "arguments": answer.arguments, "name": answer.tool}
            events = self._event("response.function_call_arguments.done", **done)
        else:
            told = {**self._part_place, "text": answer.text, "logprobs": []}
            events = self._event("response.output_text.done", **told)
            part = {**self._part_place, "part": _part(answer.text)}
            events += self._event("response.content_part.done", **part)
        events += self._event("response.output_item.done", output_index=0, item=item)
        kind = "incomplete" if answer.reason == "length" else "completed"
        return events + self._event(
            f"response.{kind}", response=self._response(kind, [item], usage)
        )

    def whole(self, usage: Usage) -> bytes:
        kind = "incomplete" if self.answer.reason == "length" else "completed"
        item = self._item("completed", self.answer.text, self.answer.arguments)
        return msgspec.json.encode(self._response(kind, [item], usage))

    def _response(self, status: str, output: list[Any], usage: Usage | None) -> dict[str, Any]:
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": f"resp_{self.identity.number}",
            "object": "response",
            "created_at": self.identity.created,
            "model": self.identity.model,
            "status": status,
            "incomplete_details": cut,
            "error": None,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _told(usage) if usage else None,
        }

    def _item(self, status: str, text: str, arguments: str) -> dict[str, Any]:
        if self.answer.tool:
            return {
                "id": self._item_id,
                "type": "function_call",
                "status": status,
                "call_id": f"call_{self.identity.number}",
                "name": self.answer.tool,
                "arguments": arguments,
            }
        return {
            "id": self._item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(text)] if text else [],
        }

    def _token(self, text: str) -> bytes:
        if self.answer.tool:
            kind, fields = "response.function_call_arguments.delta", dict(self._place)
        else:
            kind, fields = "response.output_text.delta", {**self._part_place, "logprobs": []}
        return event({"type": kind, "sequence_number": NUMBER, **fields, "delta": text}, kind)

    def _event(self, kind: str, **fields: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(self._numbers), **fields}, kind)


class ResponsesApi(OpenAiApi):
    def read(self, body: bytes) -> Asked:
        return self.read_after(body, {})

    def read_after(self, body: bytes, known: Mapping[str, list[ChatMessage]]) -> Asked:
        """Of a request that may go on from one of those answers. Raises RequestRefusedError."""
        asked = decoded(body, _ResponsesRequest)
        earlier: list[ChatMessage] = []
        if asked.previous_response_id:
            if asked.previous_response_id not in known:
                missing = f"Response with id '{asked.previous_response_id}' not found."
                code = "previous_response_not_found"
                raise RequestRefusedError(missing, 404, "invalid_request_error", code)
            earlier = known[asked.previous_response_id]
        given = asked.input if isinstance(asked.input, list) else [_Item(content=asked.input)]
        items = given or [_Item(content="")]
        messages = [*earlier, *[_message(item) for item in items]]
        is_open = items[-1].role == "assistant" and items[-1].status == "in_progress"
        if asked.instructions:
            messages.insert(0, ChatMessage("system", asked.instructions))
        prompt = ChatRequest(
            model=asked.model,
            max_tokens=asked.max_output_tokens,
            messages=messages,
            tools=[_function(tool) for tool in asked.tools or () if "name" in tool] or None,
            tool_choice=_chosen(asked.tool_choice),
            continue_final_message=is_open,
        )
        return Asked(prompt, ResponsesWriter, bool(asked.stream))


def _message(item: _Item) -> ChatMessage:
    if item.type == "function_call":
        return ChatMessage("assistant", None, {"name": item.name, "arguments": item.arguments})
    if item.type == "function_call_output":
        return ChatMessage("tool", msgspec.json.encode(item.output).decode())
    return ChatMessage(item.role, item.content)


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": tool}


def _chosen(choice: Any) -> Any:
    if isinstance(choice, dict) and "name" in choice:
        return {"function": {"name": choice["name"]}}
    return choice if isinstance(choice, str) else None


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _told(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached or 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.output,
    }
