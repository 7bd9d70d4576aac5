"""OpenAI's chat and text completions, and how engines tell the ids of tokens in them."""

from __future__ import annotations

from typing import Any, Literal

from penstock.fleet.engine.api.base import Asked, Usage, decoded, event
from penstock.fleet.engine.api.openai import (
    ChatWriter,
    CompletionWriter,
    OpenAiApi,
    SilentChatWriter,
    SilentCompletionWriter,
    choice_of,
)
from penstock.fleet.engine.frame import MARK, TOKEN_ID, TOKEN_NUMBERS
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest, CompletionRequest

# With fields of their own to who asks by ``return_token_ids`` (vLLM), among the probabilities to
# who asks for those (llama.cpp), not in streams, which are refused then (SGLang's chats), or not.
Ids = Literal["", "fields", "probabilities", "refused"]

# What follows a token whose probability is told, which an emulated engine makes up.
_PROBABILITIES = {
    "content": [{"id": TOKEN_ID, "bytes": [TOKEN_NUMBERS], "logprob": -0.5, "top_logprobs": []}]
}


class _IdsChatWriter(ChatWriter):
    """A stream that tells the ids of its tokens, and of its prompt's in the first event."""

    def opening(self) -> bytes:
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        told = {**self.head, "choices": [choice_of(delta=delta)]}
        return event({**told, "prompt_token_ids": self.answer.prompt_ids})

    def token(self, text: str, finish_reason: str | None) -> bytes:
        choice = choice_of(delta={"content": text}, finish_reason=finish_reason)
        return event({**self.head, "choices": [{**choice, "token_ids": [TOKEN_ID]}]})


class _SilentIdsChatWriter(_IdsChatWriter):
    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class _ProbableChatWriter(ChatWriter):
    """A stream that tells the ids of its tokens among their probabilities."""

    def token(self, text: str, finish_reason: str | None) -> bytes:
        choice = choice_of(delta={"content": text}, finish_reason=finish_reason)
        choice["logprobs"] = _PROBABILITIES
        return event({**self.head, "choices": [choice]})


class _SilentProbableChatWriter(_ProbableChatWriter):
    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class _IdsCompletionWriter(CompletionWriter):
    def opening(self) -> bytes:
        choice = {**choice_of(text=""), "prompt_token_ids": self.answer.prompt_ids}
        return event({**self.head, "choices": [choice]})

    def token(self, finish_reason: str | None) -> bytes:
        choice = choice_of(text=MARK, finish_reason=finish_reason)
        return event({**self.head, "choices": [{**choice, "token_ids": [TOKEN_ID]}]})


class _SilentIdsCompletionWriter(_IdsCompletionWriter):
    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class _ProbableCompletionWriter(CompletionWriter):
    def token(self, finish_reason: str | None) -> bytes:
        choice = choice_of(text=MARK, finish_reason=finish_reason)
        choice["logprobs"] = _PROBABILITIES
        return event({**self.head, "choices": [choice]})


class _SilentProbableCompletionWriter(_ProbableCompletionWriter):
    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"


class ChatApi(OpenAiApi):
    """``ids``: how those of tokens are told."""

    def __init__(self, ids: Ids = "") -> None:
        self._ids = ids

    def read(self, body: bytes) -> Asked:
        asked = decoded(body, ChatRequest)
        writer = ChatWriter if asked.wants_usage() else SilentChatWriter
        if self._ids == "refused" and asked.return_token_ids and asked.stream:
            raise RequestRefusedError("return_token_ids is not supported for streaming chats")
        if self._ids == "fields" and asked.return_token_ids:
            writer = _IdsChatWriter if asked.wants_usage() else _SilentIdsChatWriter
        if self._ids == "probabilities" and asked.logprobs:
            writer = _ProbableChatWriter if asked.wants_usage() else _SilentProbableChatWriter
        return Asked(asked, writer, bool(asked.stream))


class CompletionApi(OpenAiApi):
    """``ids``: how those of tokens are told."""

    def __init__(self, ids: Ids = "") -> None:
        self._ids = ids

    def read(self, body: bytes) -> Asked:
        asked = decoded(body, CompletionRequest)
        silent = not asked.wants_usage()
        writer = SilentCompletionWriter if silent else CompletionWriter
        if self._ids == "fields" and asked.return_token_ids:
            writer = _SilentIdsCompletionWriter if silent else _IdsCompletionWriter
        if self._ids == "probabilities" and asked.logprobs:
            writer = _SilentProbableCompletionWriter if silent else _ProbableCompletionWriter
        return Asked(asked, writer, bool(asked.stream))
