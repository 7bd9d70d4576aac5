"""The APIs whose answers are cut: how each is asked, and what of its answers is compared."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

TOKENS: Final = 48
_LIMITED: Final = {"max_tokens": TOKENS, "temperature": 0}


@dataclass(frozen=True)
class Api:
    """``exact``: engines tell ids in its answers, by which the rest is asked for."""

    name: str
    path: str
    exact: bool
    fields: dict[str, Any] = field(default_factory=dict)

    def body(self, model: str, question: str) -> dict[str, Any]:
        """A request for a streamed answer at temperature 0."""
        asked: dict[str, Any] = {"model": model, "stream": True, **self.fields}
        if self.path in ("/v1/completions", "/completion", "/api/generate"):
            asked["prompt"] = question
        elif self.path == "/v1/responses":
            asked["input"] = question
        else:
            asked["messages"] = [{"role": "user", "content": question}]
        return asked


_OLLAMAS: Final = {"options": {"num_predict": TOKENS, "temperature": 0}}
CHAT: Final = Api("chat", "/v1/chat/completions", True, _LIMITED)
CHAT_USAGE: Final = Api(
    "chat, usage",
    "/v1/chat/completions",
    True,
    _LIMITED | {"stream_options": {"include_usage": True}},
)
COMPLETION: Final = Api("completion", "/v1/completions", True, _LIMITED)
MESSAGES: Final = Api("messages", "/v1/messages", False, _LIMITED)
RESPONSES: Final = Api(
    "responses",
    "/v1/responses",
    False,
    {"max_output_tokens": TOKENS, "temperature": 0, "store": False},
)
NATIVE: Final = Api("llama.cpp's own", "/completion", True, {"n_predict": TOKENS, "temperature": 0})
OLLAMA_CHAT: Final = Api("Ollama chat", "/api/chat", False, _OLLAMAS)
OLLAMA_GENERATE: Final = Api("Ollama generate", "/api/generate", False, _OLLAMAS)
# By the engine that is emulated, or real.
APIS: Final[dict[str, tuple[Api, ...]]] = {
    "vllm": (CHAT, CHAT_USAGE, COMPLETION, MESSAGES, RESPONSES),
    "sglang": (COMPLETION,),
    "llamacpp": (CHAT, CHAT_USAGE, COMPLETION, NATIVE, MESSAGES, RESPONSES),
    "ollama": (OLLAMA_CHAT, OLLAMA_GENERATE),
}


@dataclass
class Told:
    """What a client got: its text, how often and why it ended, what it cost, its names."""

    text: str = ""
    ends: list[str] = field(default_factory=list)
    usage: list[tuple[int, int]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    whole: bool = False  # the end of the stream came


def read(body: bytes) -> Told:
    """Of a streamed answer, of whichever API."""
    told = Told()
    for line in body.split(b"\n"):
        data = line[6:] if line.startswith(b"data: ") else line
        if data == b"[DONE]":
            told.whole = True
        if not data.startswith(b"{"):
            continue
        try:
            _take(told, json.loads(data))
        except json.JSONDecodeError:
            told.whole = False  # cut within an event
    return told


def _take(told: Told, event: dict[str, Any]) -> None:
    kind = event.get("type", "")
    delta = event.get("delta")
    if isinstance(delta, str):
        told.text += delta
    elif isinstance(delta, dict):
        told.text += delta.get("text") or ""
        if delta.get("stop_reason"):
            told.ends.append(delta["stop_reason"])
    for choice in event.get("choices") or ():
        told.text += choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        if choice.get("finish_reason"):
            told.ends.append(choice["finish_reason"])
    told.text += event.get("response", "") if isinstance(event.get("response"), str) else ""
    told.text += (event.get("message") or {}).get("content") or "" if "done" in event else ""
    if isinstance(event.get("id"), str):
        told.names.add(event["id"])
    usage = event.get("usage") or {}
    if kind in ("response.completed", "response.incomplete"):
        told.ends.append(event["response"]["status"])
        usage = event["response"].get("usage") or {}
    if "tokens_predicted" in event:
        told.text += event["content"]
        if event.get("stop"):
            told.whole = True
            told.ends.append(event.get("stop_type", ""))
            told.usage.append((event["tokens_evaluated"], event["tokens_predicted"]))
    if event.get("done") is True:
        told.ends.append(event.get("done_reason", ""))
        usage = {
            "prompt_tokens": event.get("prompt_eval_count"),
            "completion_tokens": event.get("eval_count"),
        }
    if usage and kind != "message_start":
        told.usage.append((_prompt_of(usage), _output_of(usage)))
    ended = ("message_stop", "response.completed", "response.incomplete")
    told.whole = told.whole or kind in ended or event.get("done") is True


def _prompt_of(usage: dict[str, Any]) -> int:
    """Tokens of the prompt; Anthropic counts apart what of it was cached."""
    told = int(usage.get("prompt_tokens", usage.get("input_tokens", -1)))
    return told + int(usage.get("cache_read_input_tokens", 0))


def _output_of(usage: dict[str, Any]) -> int:
    return int(usage.get("completion_tokens", usage.get("output_tokens", -1)))
