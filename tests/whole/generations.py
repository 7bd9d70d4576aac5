"""Prompts and answers of language models, by emulated engines that say the same to the same prompt.

So it is known what a client is to have, byte for byte, though its answer was cut and another engine
went on with it: all that the engine which began would have sent, and nothing of what only the
balancer asked for.
"""

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import Any

from penstock.fleet.engine.text import TOKEN_BYTES
from tests.unit.dataplane.stage.emulating import MODEL, PlayedEngine

TENANTS = ("acme", "bolt", "corn")
_PATHS = ("/v1/chat/completions", "/v1/chat/completions", "/v1/completions", "/v1/messages")
_WORDS = ("the", "water", "flows", "through", "gate", "and", "turns", "wheel")
_IDS = re.compile(rb',"(prompt_)?token_ids":\[[^\]]*\]')
_STREAM = "text/event-stream"


def key_of(tenant: str) -> str:
    """Its clients' secret."""
    return f"{tenant}-{'k' * 40}"


def digest_of(tenant: str) -> str:
    return sha256(key_of(tenant).encode()).hexdigest()


class Question:
    """A request for an answer of a model, whole or streamed."""

    def __init__(self, rng: Random, number: int) -> None:
        self.target = rng.choice(_PATHS)
        words = " ".join(rng.choice(_WORDS) for _ in range(rng.choice((3, 30, 300))))
        prompt = f"{number}: {words}"
        prompt += "." * (-len(prompt) % TOKEN_BYTES)  # in whole tokens, or ids tell another one
        asked: dict[str, Any] = {"model": MODEL, "max_tokens": rng.choice((1, 5, 40, 200))}
        if self.target == "/v1/completions":
            asked["prompt"] = prompt
        else:
            asked["messages"] = [{"role": "user", "content": prompt}]
        # Anthropic's streams tell their end apart from the last token: there an emulated engine
        # that goes on would say more.
        asked["stream"] = rng.random() < 0.85 and self.target != "/v1/messages"
        if asked["stream"] and rng.random() < 0.3:
            asked["stream_options"] = {"include_usage": True}
        self.body = json.dumps(asked).encode()
        self.tenant = tenant = rng.choice(TENANTS)
        name, value = rng.choice(
            (("Authorization", f"Bearer {key_of(tenant)}"), ("X-API-Key", key_of(tenant)))
        )
        self.fields: Sequence[tuple[str, str]] = [
            (name, value),
            ("Content-Type", "application/json"),
        ]


def check_prompt(asked: bytes, given: bytes) -> None:
    """An engine got what the client asked, with no more than what the balancer asks for itself."""
    if asked == given:
        return
    wanted, got = json.loads(asked), json.loads(given)
    assert got["model"] == wanted["model"]
    assert got["stream"] == wanted["stream"]
    assert got["max_tokens"] <= wanted["max_tokens"]
    if "messages" in got:
        assert got["messages"][:1] == wanted["messages"]
        assert len(got["messages"]) <= 2, "more was said than question and answer"
    elif "prompt" in wanted and isinstance(got["prompt"], str):
        assert got["prompt"].startswith(wanted["prompt"])


def whole_answer(number: int, target: str, body: bytes) -> tuple[bytes, str]:
    """To that prompt, as an engine sends it, and of which type. Who numbers it otherwise calls
    itself otherwise in it."""
    if not json.loads(body)["stream"]:
        return _all_at_once(target, body, number), "application/json"
    return b"".join(PlayedEngine(f"a{number}-").events(target, body)), _STREAM


def heard_answer(number: int, target: str, asked: bytes, given: bytes) -> bytes:
    """What a client that asked the one is to have of the answer to the other, if that is the first
    that it hears."""
    wish = json.loads(asked)
    if not wish["stream"]:
        return whole_answer(number, target, given)[0]
    if "return_token_ids" in json.loads(given):
        wish["return_token_ids"] = True
    return _IDS.sub(b"", whole_answer(number, target, json.dumps(wish).encode())[0])


def tokens_of(target: str, body: bytes) -> int:
    """Of that prompt and its answer."""
    return sum(PlayedEngine("a").usage(target, body))


def _all_at_once(target: str, body: bytes, number: int) -> bytes:
    """An answer that is not streamed."""
    told = PlayedEngine("a").usage(target, body)
    if target == "/v1/messages":
        usage = {"input_tokens": told[0], "output_tokens": told[1]}
        said: dict[str, Any] = {"content": [{"type": "text", "text": f"answer {number}"}]}
        return json.dumps({**said, "stop_reason": "end_turn", "usage": usage}).encode()
    usage = {"prompt_tokens": told[0], "completion_tokens": told[1], "total_tokens": sum(told)}
    choice = {"index": 0, "text": f"answer {number}", "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": usage}).encode()
