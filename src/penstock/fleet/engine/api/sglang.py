"""SGLang's own API, ``/generate``."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from penstock.fleet.engine.api.base import Answer, Asked, Identity, Usage, Writer, decoded, event
from penstock.fleet.engine.api.openai import OpenAiApi
from penstock.fleet.engine.frame import Frame
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import CompletionRequest
from penstock.fleet.engine.text import TOKEN_BYTES, token_ids


class _Sampling(msgspec.Struct):
    max_new_tokens: int | None = 128


class _GenerateRequest(msgspec.Struct):
    text: str | None = None
    input_ids: list[int] | None = None
    sampling_params: _Sampling | None = None
    stream: bool = False


class GenerateWriter(Writer):
    """Each event tells all that came so far."""

    cumulative: ClassVar[bool] = True

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self._text = answer.text.encode()
        self._ids = token_ids(self._text)

    def opening(self) -> bytes:
        return b""

    def frame(self) -> Frame:
        return Frame(b"", b"", b"")  # no event is that of one token alone

    def event_of(self, tokens: int, last: bool) -> bytes:
        return event(self._told(tokens, last, None))

    def closing(self, usage: Usage) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self, usage: Usage) -> bytes:
        return msgspec.json.encode(self._told(usage.output, True, usage.cached))

    def _told(self, tokens: int, last: bool, cached: int | None) -> dict[str, Any]:
        reason: dict[str, Any] = {"type": "stop", "matched": 2}
        if self.answer.reason == "length":
            reason = {"type": "length", "length": tokens}
        meta = {
            "id": self.identity.number,
            "finish_reason": reason if last else None,
            "prompt_tokens": self.answer.prompt_tokens,
            "completion_tokens": tokens,
            "cached_tokens": cached or 0,
        }
        text = self._text[: tokens * TOKEN_BYTES].decode()
        return {"text": text, "output_ids": self._ids[:tokens], "meta_info": meta}


class GenerateApi(OpenAiApi):
    def read(self, body: bytes) -> Asked:
        asked = decoded(body, _GenerateRequest)
        sampling = asked.sampling_params or _Sampling()
        prompt: str | list[int] | None = asked.text
        if (asked.text is None) == (asked.input_ids is None):
            raise RequestRefusedError("Either text, input_ids or input_embeds should be provided.")
        if prompt is None:
            prompt = asked.input_ids or []
        limit = sampling.max_new_tokens
        return Asked(
            CompletionRequest(prompt=prompt, max_tokens=limit), GenerateWriter, asked.stream
        )
