"""OpenAI's API as engines serve it: what requests say, and the bytes of answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock.fleet.engine.generation import Generation
from penstock.fleet.engine.text import ChatMessage

Kind = Literal["chat", "completion"]


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct, kw_only=True):
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    cache_salt: str = ""

    def output_limit(self) -> int | None:
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens
        return self.max_tokens

    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Request, kw_only=True):
    """Of ``/v1/chat/completions``; other fields are taken and have no effect."""

    messages: list[ChatMessage]
    tools: list[Any] | None = None
    tool_choice: Any = None
    continue_final_message: bool = False

    def called_tool(self) -> str:
        """The tool that the request insists on; empty when it leaves it open."""
        names = [tool["function"]["name"] for tool in self.tools or () if "function" in tool]
        if isinstance(self.tool_choice, dict):
            return str(self.tool_choice.get("function", {}).get("name", ""))
        return str(names[0]) if self.tool_choice == "required" and names else ""


class CompletionRequest(_Request, kw_only=True):
    """Of ``/v1/completions``."""

    prompt: str | list[Any]


class EmbeddingRequest(msgspec.Struct):
    """Of ``/v1/embeddings``."""

    input: str | list[Any]
    model: str = ""

    def inputs(self) -> list[str | list[int]]:
        """One or several texts, or one or several lists of token ids."""
        if isinstance(self.input, str) or (self.input and isinstance(self.input[0], int)):
            return [self.input]
        return self.input


class AnswerWriter:
    """The JSON of one answer: chat or completion, text or the call of a tool."""

    def __init__(
        self, kind: Kind, identifier: str, created: int, model: str, tool: str = ""
    ) -> None:
        self._kind = kind
        self._tool = tool
        self._identity = {
            "id": identifier,
            "object": "chat.completion.chunk" if kind == "chat" else "text_completion",
            "created": created,
            "model": model,
        }

    def opening(self) -> bytes:
        """The event before the first token; a completion has none."""
        if self._kind == "completion":
            return b""
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        events = _event({**self._identity, "choices": [_choice(delta=delta)]})
        if self._tool:
            call = {
                "index": 0,
                "id": self._call_id(),
                "type": "function",
                "function": {"name": self._tool, "arguments": '{"text":"'},
            }
            delta = {"tool_calls": [call]}
            events += _event({**self._identity, "choices": [_choice(delta=delta)]})
        return events

    def token_frame(self, finish_reason: str) -> tuple[bytes, bytes, bytes]:
        """What stands before the text of a token, after it, and after that of the last."""
        before, after = self._token_event(_MARK, None)
        _, after_last = self._token_event(_MARK + ('"}' if self._tool else ""), finish_reason)
        return before, after, after_last

    def closing(self, usage: dict[str, Any] | None) -> bytes:
        """What follows the last token."""
        events = b""
        if usage is not None:
            events = _event({**self._identity, "choices": [], "usage": usage})
        return events + b"data: [DONE]\n\n"

    def whole(self, text: str, finish_reason: str, usage: dict[str, Any]) -> bytes:
        """An answer that is not streamed."""
        if self._kind == "completion":
            choice = _choice(text=text, finish_reason=finish_reason)
            return msgspec.json.encode({**self._identity, "choices": [choice], "usage": usage})
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self._tool:
            arguments = msgspec.json.encode({"text": text}).decode()
            function = {"name": self._tool, "arguments": arguments}
            call = {"id": self._call_id(), "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        body = {
            **self._identity,
            "object": "chat.completion",
            "choices": [_choice(message=message, finish_reason=finish_reason)],
            "usage": usage,
        }
        return msgspec.json.encode(body)

    def _token_event(self, text: str, finish_reason: str | None) -> tuple[bytes, bytes]:
        if self._kind == "completion":
            choice = _choice(text=text, finish_reason=finish_reason)
        elif self._tool:
            call = {"index": 0, "function": {"arguments": text}}
            choice = _choice(delta={"tool_calls": [call]}, finish_reason=finish_reason)
        else:
            choice = _choice(delta={"content": text}, finish_reason=finish_reason)
        before, _, after = _event({**self._identity, "choices": [choice]}).partition(_MARK_BYTES)
        return before, after

    def _call_id(self) -> str:
        return "call-" + str(self._identity["id"]).rpartition("-")[2]


# Where the text of a token goes. Tokens are words, so need no escapes in JSON.
_MARK = "\N{REPLACEMENT CHARACTER}"
_MARK_BYTES = _MARK.encode()


def finish_reason(generation: Generation, tool: str) -> str:
    if tool:
        return "tool_calls"
    return "stop" if generation.stopped else "length"


def usage_of(generation: Generation, report_cached: bool) -> dict[str, Any]:
    """Tokens of a finished request."""
    usage: dict[str, Any] = {
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": generation.generated,
        "total_tokens": generation.prompt_tokens + generation.generated,
    }
    if report_cached:
        usage["prompt_tokens_details"] = {"cached_tokens": generation.cached_tokens}
    return usage


def error_body(message: str, kind: str, status: int) -> bytes:
    """An error as OpenAI's clients read it."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return msgspec.json.encode({"error": error})


def _choice(finish_reason: str | None = None, **content: Any) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
