"""Text Generation Inference's own API."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from penstock.fleet.engine.api.base import (
    Api,
    Asked,
    Usage,
    Writer,
    decoded,
)
from penstock.fleet.engine.frame import MARK, NUMBER, Frame, split_at_token
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import CompletionRequest

_DEFAULT_NEW_TOKENS = 100  # of TGI 3
_UNPROCESSABLE = 422
_REASONS = {"stop": "eos_token", "length": "length", "tool": "eos_token"}


class _Parameters(msgspec.Struct):
    max_new_tokens: int | None = None
    details: bool = False


class _GenerateRequest(msgspec.Struct):
    inputs: str
    parameters: _Parameters | None = None
    stream: bool = False


class GenerateWriter(Writer):
    """The last token of a stream brings the whole text."""

    first_number: ClassVar[int] = 1

    def opening(self) -> bytes:
        return b""

    def frame(self) -> Frame:
        before, after = split_at_token(_event(self._token(None)))
        _, after_last = split_at_token(_event(self._token(self.answer.text)))
        return Frame(before, after, after_last)

    def closing(self, usage: Usage) -> bytes:
        return b""

    def whole(self, usage: Usage) -> bytes:
        details = {
            "finish_reason": _REASONS[self.answer.reason],
            "generated_tokens": usage.output,
            "seed": None,
            "prefill": [],
            "tokens": [],
        }
        return msgspec.json.encode({"generated_text": self.answer.text, "details": details})

    def _token(self, whole_text: str | None) -> dict[str, Any]:
        return {
            "index": NUMBER,
            "token": {"id": 0, "text": MARK, "logprob": 0.0, "special": False},
            "generated_text": whole_text,
            "details": None,
        }


class GenerateApi(Api):
    """``streams``: None where the request itself says."""

    def __init__(self, streams: bool | None) -> None:
        self._streams = streams

    def read(self, body: bytes) -> Asked:
        asked = decoded(body, _GenerateRequest)
        given = asked.parameters
        limit = given.max_new_tokens if given and given.max_new_tokens else _DEFAULT_NEW_TOKENS
        prompt = CompletionRequest(prompt=asked.inputs, max_tokens=limit)
        streams = asked.stream if self._streams is None else self._streams
        return Asked(prompt, GenerateWriter, streams)

    def refusal(self, refused: RequestRefusedError) -> bytes:
        return msgspec.json.encode({"error": str(refused), "error_type": "validation"})

    def status(self, refused: RequestRefusedError) -> int:
        return _UNPROCESSABLE


def _event(body: dict[str, Any]) -> bytes:
    return b"data:" + msgspec.json.encode(body) + b"\n\n"
