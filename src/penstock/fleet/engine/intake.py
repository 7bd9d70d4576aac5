"""From a request to the work that it is: prompt, answer and blocks."""

from __future__ import annotations

from typing import Any

import xxhash

from penstock.fleet.engine.generation import Generation
from penstock.fleet.engine.protocol import ChatRequest, CompletionRequest
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.engine.text import (
    TOKEN_BYTES,
    answer,
    block_hashes,
    padded,
    render_chat,
    render_tokens,
)


class RequestRefusedError(Exception):
    """A request that an engine answers with ``status`` and the message."""

    def __init__(
        self, message: str, status: int = 400, kind: str = "BadRequestError", code: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code  # for programs, where there is one


class Intake:
    """Makes generations of requests to one engine."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec

    def generation(self, body: ChatRequest | CompletionRequest) -> Generation:
        """The work that a request asks for. Raises RequestRefusedError."""
        adapter = self.adapter(body.model)
        if body.n not in (None, 1):
            raise RequestRefusedError("an emulated engine gives one choice: n must be 1")
        raw = prompt_of(body)
        prompt = padded(raw)
        asked = body.output_limit()
        room = self._room(len(prompt) // TOKEN_BYTES, asked)
        text, stopped = answer(
            raw,
            at_most=asked or room,
            at_least=body.min_tokens,
            mean_tokens=None if body.ignore_eos and asked else self._spec.mean_answer_tokens,
        )
        salt = f"{self._spec.model}\0{adapter}\0{body.cache_salt}".encode()
        block_tokens = self._spec.block_tokens
        blocks = block_hashes(prompt + text, block_tokens, xxhash.xxh3_64_intdigest(salt))
        return Generation(
            prompt, text, blocks, block_tokens=block_tokens, stopped=stopped, adapter=adapter
        )

    def adapter(self, model: str) -> str:
        """The adapter that ``model`` names, empty for the base model."""
        if model in self._spec.adapters:
            return model
        if model in ("", self._spec.model):
            return ""
        message = f"The model `{model}` does not exist."
        raise RequestRefusedError(message, 404, "NotFoundError")

    def _room(self, prompt_tokens: int, asked: int | None) -> int:
        """How many tokens an answer may have."""
        if asked is not None and asked < 1:
            raise RequestRefusedError(f"max_tokens must be at least 1, got {asked}.")
        room = self._spec.max_model_tokens - prompt_tokens
        if room < (asked or 1):
            raise RequestRefusedError(
                f"This model's maximum context length is {self._spec.max_model_tokens} tokens. "
                f"However, you requested {asked or 1} output tokens and your prompt contains "
                f"{prompt_tokens}."
            )
        return room


def prompt_of(body: ChatRequest | CompletionRequest) -> bytes:
    """The prompt as the model sees it, not yet padded. Raises RequestRefusedError."""
    if isinstance(body, ChatRequest):
        if not body.messages:
            raise RequestRefusedError("messages must not be empty")
        return render_chat(body.messages, body.tools, body.continue_final_message)
    prompt = body.prompt
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt.encode()
    if isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
        return render_tokens(prompt)
    if _is_text_with_ids(prompt):
        return padded(prompt[0].encode()) + render_tokens(prompt[1:])
    raise RequestRefusedError("an emulated engine takes one prompt at a time")


def _is_text_with_ids(prompt: str | list[Any]) -> bool:
    """Whether it is a text with token ids behind it, as llama.cpp takes it."""
    return isinstance(prompt[0], str) and all(isinstance(token, int) for token in prompt[1:])
