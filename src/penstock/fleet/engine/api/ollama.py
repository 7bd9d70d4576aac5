"""Ollama's own API: lines of JSON, the last of which has the counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from penstock.fleet.engine.api.base import (
    Answer,
    Api,
    Asked,
    Identity,
    Usage,
    Writer,
    decoded,
)
from penstock.fleet.engine.frame import MARK, Frame, split_at_token
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.text import ChatMessage

DEFAULT_TAG = ":latest"


class _Options(msgspec.Struct):
    num_predict: int | None = None


class _Request(msgspec.Struct, kw_only=True):
    model: str
    stream: bool | None = None
    options: _Options | None = None

    def chat(self, messages: list[ChatMessage], tools: list[Any] | None = None) -> ChatRequest:
        """A last message of the assistant is left open, as its templates do."""
        limit = self.options.num_predict if self.options else None
        return ChatRequest(
            model=self.model.removesuffix(DEFAULT_TAG),
            max_tokens=None if limit is None or limit < 0 else limit,
            messages=messages,
            tools=tools,
            continue_final_message=bool(messages) and messages[-1].role == "assistant",
        )

    def streams(self) -> bool:
        return self.stream is not False  # unlike elsewhere, it is the default


class _ChatRequest(_Request, kw_only=True):
    messages: list[ChatMessage]
    tools: list[Any] | None = None


class _GenerateRequest(_Request, kw_only=True):
    prompt: str = ""
    system: str | None = None


class _LineWriter(Writer):
    stream_type: ClassVar[str] = "application/x-ndjson"

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        created = datetime.fromtimestamp(identity.created, UTC)
        self._head = {"model": identity.model, "created_at": created.isoformat()}

    def content(self, text: str) -> dict[str, Any]:
        """A piece of the answer."""
        raise NotImplementedError

    def whole_content(self) -> dict[str, Any]:
        return self.content(self.answer.text)

    def opening(self) -> bytes:
        return b""

    def frame(self) -> Frame:
        before, after = split_at_token(_line({**self._head, **self.content(MARK), "done": False}))
        return Frame(before, after, after)

    def closing(self, usage: Usage) -> bytes:
        return _line({**self._head, **self.content(""), **self._ending(usage)})

    def whole(self, usage: Usage) -> bytes:
        return _line({**self._head, **self.whole_content(), **self._ending(usage)})

    def _ending(self, usage: Usage) -> dict[str, Any]:
        return {
            "done": True,
            "done_reason": "length" if self.answer.reason == "length" else "stop",
            "prompt_eval_count": usage.prompt,
            "eval_count": usage.output,
        }


class ChatWriter(_LineWriter):
    """Of ``/api/chat``. A call comes whole, in its first line; its text is not told again."""

    def content(self, text: str) -> dict[str, Any]:
        if self.answer.tool:
            text = ""
        return {"message": {"role": "assistant", "content": text}}

    def whole_content(self) -> dict[str, Any]:
        if not self.answer.tool:
            return self.content(self.answer.text)
        call = {"function": {"name": self.answer.tool, "arguments": {"text": self.answer.text}}}
        return {"message": {"role": "assistant", "content": "", "tool_calls": [call]}}


class GenerateWriter(_LineWriter):
    """Of ``/api/generate``."""

    def content(self, text: str) -> dict[str, Any]:
        return {"response": text}


class _OllamaApi(Api):
    def refusal(self, refused: RequestRefusedError) -> bytes:
        return msgspec.json.encode({"error": str(refused)})


class ChatApi(_OllamaApi):
    def read(self, body: bytes) -> Asked:
        asked = decoded(body, _ChatRequest)
        prompt = asked.chat(asked.messages, asked.tools)
        return Asked(prompt, ChatWriter, asked.streams() and not prompt.called_tool())


class GenerateApi(_OllamaApi):
    def read(self, body: bytes) -> Asked:
        asked = decoded(body, _GenerateRequest)
        messages = [ChatMessage("user", asked.prompt)]
        if asked.system:
            messages.insert(0, ChatMessage("system", asked.system))
        return Asked(asked.chat(messages), GenerateWriter, asked.streams())


def _line(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body) + b"\n"
