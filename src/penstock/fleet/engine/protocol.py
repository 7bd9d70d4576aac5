"""What requests to an engine say, in the terms of OpenAI's API; other APIs' are put into them."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.fleet.engine.text import ChatMessage


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct, kw_only=True):
    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    cache_salt: str = ""
    return_token_ids: bool | None = None  # vLLM's
    logprobs: bool | int | None = None  # of which llama.cpp's emulation alone tells any
    kv_transfer_params: dict[str, Any] | None = None
    bootstrap_host: str = ""
    bootstrap_port: int = 0
    bootstrap_room: int = -1

    def output_limit(self) -> int | None:
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens
        return self.max_tokens

    def answer_briefly(self) -> None:
        """With one token, whatever is asked for."""
        self.max_tokens = self.max_completion_tokens = 1
        self.min_tokens = 0

    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage is True


class ChatRequest(_Request, kw_only=True):
    """Of ``/v1/chat/completions``; other fields are taken and have no effect."""

    messages: list[ChatMessage]
    tools: list[Any] | None = None
    tool_choice: Any = None
    continue_final_message: bool = False

    def called_tool(self) -> str:
        """The tool that is called: the one insisted on, else one the last user message names."""
        names = [name for name in map(_name, self.tools or ()) if name]
        choice = self.tool_choice
        if isinstance(choice, dict):
            return _name(choice)
        if choice == "required" and names:
            return names[0]
        last = self.messages[-1] if self.messages else None
        if choice == "none" or last is None or last.role != "user":
            return ""
        asked = text_of(last)
        return next((name for name in names if name in asked), "")


def _name(tool: object) -> str:
    """The name of the function that a tool or a choice of one is; empty where it is none."""
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def text_of(message: ChatMessage) -> str:
    """The text of a message, without what else is in it."""
    content = message.content
    if isinstance(content, str):
        return content
    parts = [part.get("text", "") for part in content or () if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


class CompletionRequest(_Request, kw_only=True):
    """Of ``/v1/completions``."""

    prompt: str | list[Any]


class EmbeddingRequest(msgspec.Struct):
    """Of ``/v1/embeddings``."""

    input: str | list[str | int | list[int]]
    model: str = ""

    def inputs(self) -> list[str | list[int]]:
        """One or several texts, or one or several lists of token ids."""
        if isinstance(self.input, str):
            return [self.input]
        ids = [each for each in self.input if isinstance(each, int)]
        others = [each for each in self.input if not isinstance(each, int)]
        return [ids, *others] if ids else others
