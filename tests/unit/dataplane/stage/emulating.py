"""What an emulated engine answers, as bytes: for stages, where nothing takes time."""

import json
from typing import Any

import msgspec

from penstock.fleet.engine.api.anthropic import MessagesApi
from penstock.fleet.engine.api.base import Answer, Api, Identity, Usage
from penstock.fleet.engine.api.completions import ChatApi, CompletionApi
from penstock.fleet.engine.api.llamacpp import NativeApi
from penstock.fleet.engine.api.ollama import ChatApi as OllamaChatApi
from penstock.fleet.engine.api.ollama import GenerateApi as OllamaGenerateApi
from penstock.fleet.engine.api.responses import ResponsesApi
from penstock.fleet.engine.api.sglang import GenerateApi
from penstock.fleet.engine.dialect import dialect_named
from penstock.fleet.engine.frame import NUMBER_BYTES, with_token
from penstock.fleet.engine.intake import Intake, RequestRefusedError, prompt_of
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.engine.text import TOKEN_BYTES, token_ids

MODEL = "emulated-model"
APIS: dict[str, Api] = {
    "/v1/chat/completions": ChatApi("fields"),
    "/v1/completions": CompletionApi("fields"),
    "/v1/messages": MessagesApi(),
    "/v1/responses": ResponsesApi(),
    "/completion": NativeApi(),
    "/generate": GenerateApi(),
    "/api/chat": OllamaChatApi(),
    "/api/generate": OllamaGenerateApi(),
}


class PlayedEngine:
    """Answers as an emulated engine of that name does. ``asked`` are the requests that it got."""

    def __init__(self, name: str, created: int = 1, dialect: str = "vllm") -> None:
        self._name = name
        kind = dialect_named(dialect)
        self._apis = APIS | {
            "/v1/chat/completions": ChatApi(kind.ids_in_chats),
            "/v1/completions": CompletionApi(kind.ids_in_completions),
        }
        self._created = created
        self._intake = Intake(EngineSpec(name=name, mean_answer_tokens=40))
        self.asked: list[dict[str, Any]] = []

    def takes(self, target: str, body: bytes) -> bool:
        """Whether it does not refuse that."""
        try:
            self._apis[target].read(body)
        except RequestRefusedError:
            return False
        return True

    def template(self, body: bytes) -> bytes:
        """What llama.cpp's tells of a chat's prompt."""
        prompt = prompt_of(msgspec.json.decode(body, type=ChatRequest))
        return json.dumps({"prompt": prompt.decode()}).encode()

    def usage(self, target: str, body: bytes) -> tuple[int, int]:
        """Tokens of that prompt, and of the answer to it."""
        generation = self._intake.generation(self._apis[target].read(body).prompt)
        return generation.prompt_tokens, len(generation.answer) // TOKEN_BYTES

    def events(self, target: str, body: bytes) -> list[bytes]:
        """Of the stream with which it answers."""
        self.asked.append(json.loads(body))
        asked = self._apis[target].read(body)
        assert asked.stream
        generation = self._intake.generation(asked.prompt)
        text = generation.answer
        identity = Identity(f"{self._name}{len(self.asked):04d}", self._created, MODEL)
        tool = asked.tool()
        ended = "tool" if tool else "stop" if generation.stopped else "length"
        ids = token_ids(generation.data[: generation.prompt_tokens * TOKEN_BYTES])
        answer = Answer(text.decode(), ended, tool, generation.prompt_tokens, ids)  # type: ignore[arg-type]
        writer = asked.writer(identity, answer)
        before, after, after_last = writer.frame()
        tokens = [text[at : at + TOKEN_BYTES] for at in range(0, len(text), TOKEN_BYTES)]
        if writer.cumulative:
            counts = range(1, len(tokens) + 1)
            closing = writer.closing(Usage(generation.prompt_tokens, None, len(tokens)))
            return [*[writer.event_of(each, each == len(tokens)) for each in counts], closing]
        found = [_event(before, token, after) for token in tokens[:-1]]
        found.append(_event(before, tokens[-1], after_last))
        if writer.first_number >= 0:
            numbers = range(writer.first_number, writer.first_number + len(found))
            found = [
                each.replace(NUMBER_BYTES, b"%d" % number)
                for each, number in zip(found, numbers, strict=True)
            ]
        found[0] = writer.opening() + found[0]
        closing = writer.closing(Usage(generation.prompt_tokens, None, len(tokens)))
        return [*found, closing]


def _event(before: bytes, token: bytes, after: bytes) -> bytes:
    return before + token + with_token(after, token)
