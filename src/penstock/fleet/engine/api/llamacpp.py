"""llama.cpp's own completions."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from penstock.fleet.engine.api.base import Answer, Asked, Identity, Usage, Writer, decoded, event
from penstock.fleet.engine.api.openai import OpenAiApi
from penstock.fleet.engine.frame import MARK, NUMBER, TOKEN_ID, Frame, split_at_token
from penstock.fleet.engine.protocol import CompletionRequest


class _CompletionRequest(msgspec.Struct):
    prompt: str | list[Any]
    n_predict: int | None = None
    stream: bool | None = None
    return_tokens: bool = False


class NativeWriter(Writer):
    """Of ``/completion``, whose events count tokens."""

    first_number: ClassVar[int] = 1
    tells_ids: ClassVar[bool] = False

    def __init__(self, identity: Identity, answer: Answer) -> None:
        super().__init__(identity, answer)
        self._counts = {"tokens_predicted": NUMBER, "tokens_evaluated": answer.prompt_tokens}

    def opening(self) -> bytes:
        return b""

    def frame(self) -> Frame:
        tokens = [TOKEN_ID] if self.tells_ids else []
        told = {"index": 0, "content": MARK, "tokens": tokens, "stop": False, "id_slot": 0}
        before, after = split_at_token(event({**told, **self._counts}))
        return Frame(before, after, after)

    def closing(self, usage: Usage) -> bytes:
        return event(self._end("", usage))

    def whole(self, usage: Usage) -> bytes:
        return msgspec.json.encode(self._end(self.answer.text, usage))

    def _end(self, text: str, usage: Usage) -> dict[str, Any]:
        counts = {"tokens_predicted": usage.output, "tokens_evaluated": usage.prompt}
        cached = usage.cached or 0
        timings = {"cache_n": cached, "prompt_n": usage.prompt - cached}
        return {
            "index": 0,
            "content": text,
            "tokens": [],
            "id_slot": 0,
            "stop": True,
            "model": self.identity.model,
            **counts,
            "stop_type": "limit" if self.answer.reason == "length" else "eos",
            "timings": {**timings, "predicted_n": usage.output},
        }


class _IdsWriter(NativeWriter):
    tells_ids: ClassVar[bool] = True


class NativeApi(OpenAiApi):
    def read(self, body: bytes) -> Asked:
        asked = decoded(body, _CompletionRequest)
        limit = asked.n_predict if asked.n_predict and asked.n_predict > 0 else None
        prompt = CompletionRequest(prompt=asked.prompt, max_tokens=limit)
        return Asked(
            prompt, _IdsWriter if asked.return_tokens else NativeWriter, bool(asked.stream)
        )
