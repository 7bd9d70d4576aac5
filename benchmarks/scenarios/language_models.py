"""A request to a language model: what it costs beside the same that nobody understands."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import ClassVar, Final

from benchmarks.backends import start_static
from benchmarks.balancers import BEFORE, Balancer, Penstock
from benchmarks.cores import split
from benchmarks.scenarios.request import request_sample, run_load
from benchmarks.scenarios.scenario import (
    PENSTOCK,
    Bench,
    Case,
    Sample,
    Scenario,
    Target,
    make_site,
    temporary_directory,
)

_LLM: Final = " as language models"
_ENGINES: Final = [f"127.0.0.{last}" for last in range(1, 9)]
_PARTS: Final = {"id": "chatcmpl-0123456789abcdef", "created": 1764515000, "model": "m"}
_TEXT: Final = "The quick brown fox jumps over the lazy dog, and then it rests for a while. "


def _answer() -> str:
    """A whole answer of some 80 tokens, as vLLM gives it."""
    message: dict[str, object] = {
        "role": "assistant",
        "content": 4 * _TEXT,
        "refusal": None,
        "tool_calls": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 34, "total_tokens": 114, "completion_tokens": 80}
    told = {**_PARTS, "object": "chat.completion", "choices": [choice], "usage": usage}
    return json.dumps(told)


def _stream() -> str:
    """An answer of four tokens, in one piece."""
    told = {**_PARTS, "object": "chat.completion.chunk"}
    events = []
    for token in range(5):
        delta = {"content": " word"} if token < 4 else {}
        choice = {"index": 0, "delta": delta, "finish_reason": None if token < 4 else "stop"}
        events.append({**told, "choices": [choice]})
    usage = {"prompt_tokens": 12_034, "total_tokens": 12_038, "completion_tokens": 4}
    events.append({**told, "choices": [], "usage": usage})
    lines = [f"data: {json.dumps(event)}" for event in events]
    return "".join([line + "\n\n" for line in [*lines, "data: [DONE]"]])


class ShortChat(Scenario):
    name: ClassVar[str] = "chat"
    title: ClassVar[str] = "Short request to a language model"
    unit: ClassVar[str] = "µs of CPU per request"
    method: ClassVar[str] = (
        "64 keep-alive connections of wrk send a chat of 40 tokens each as soon as the last one is "
        "answered; an nginx behind, which stands for 8 engines, answers 80 tokens with their "
        "usage, not streamed. Penstock once as for any HTTP, and once as for language models: both "
        "bodies are read, and the policy is `marginal-cost`."
    )
    prompt_tokens: ClassVar[int] = 0
    answer: ClassVar[str] = _answer()

    def cases(self, balancers: Sequence[Balancer]) -> list[Case]:
        return [Case(balancer) for balancer in [*balancers, *_for_models(balancers)]]

    def baselines(self, case: Case) -> dict[str, str]:
        return {name: name for name in ("nginx", PENSTOCK)}

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK + _LLM, (PENSTOCK,), 1.5)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            process, endpoints = start_static(
                directory,
                cores.load,
                "engines",
                _ENGINES,
                body=self.answer,
                events=self.prompt_tokens > 0,
            )
            stack.enter_context(process)
            site = make_site(endpoints, directory, streaming=self.prompt_tokens > 0)
            balancer = stack.enter_context(case.balancer.start(site, cores.balancer))
            account, done = run_load(
                balancer, site, cores, bench.seconds, prompt_tokens=self.prompt_tokens
            )
            return request_sample(account, done)


class LongPrompt(ShortChat):
    name = "prompt"
    title = "Prompt of 12,000 tokens"
    method = (
        "As above, with prompts of 12,000 tokens of which no two begin alike; four tokens are "
        "streamed, in one piece."
    )
    prompt_tokens = 12_000
    answer = _stream()

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK + _LLM, ("nginx",), 1.5)]


def _for_models(balancers: Sequence[Balancer]) -> list[Balancer]:
    """The same Penstocks, compiled, as for language models."""
    return [
        Penstock(
            balancer.python,
            kind="llm",
            policy="marginal-cost",
            variant=balancer.name.removeprefix(PENSTOCK) + _LLM,
            named=False,
        )
        for balancer in balancers
        if isinstance(balancer, Penstock) and balancer.name in (PENSTOCK, PENSTOCK + BEFORE)
    ]
