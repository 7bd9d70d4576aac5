"""Prefix-sticky: stays with the endpoints that hold the prefix until they are saturated.

    sticky endpoints: cached / prompt ≥ affinity
    left when   (pending of the best sticky − pending of the best other) / peak_rate > max_delay_s
    then        argmin  pending + prompt · (1 − hit)     over the sticky, or over all

``pending`` are uncached prompt tokens in flight. Source: llm-d's default scheduler since August
2026, with its constants. Equal ones are drawn by weight. O(blocks + endpoints) per pick.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import PREFIX_BLOCKS, ServingPolicy, pending
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.request import Request


class PrefixSticky(ServingPolicy):
    name: ClassVar[str] = "prefix-sticky"
    options: ClassVar[tuple[Option, ...]] = (
        Option("affinity", 0.8, "least share cached to stay", minimum=0.0, maximum=1.0),
        Option("peak_rate", 15928.0, "prompt tokens an endpoint computes in a second", minimum=1.0),
        Option("max_delay_s", 18.0, "seconds of prefill that staying may cost", minimum=0.0),
        PREFIX_BLOCKS,
    )

    def __init__(
        self,
        affinity: float = 0.8,
        peak_rate: float = 15928.0,
        max_delay_s: float = 18.0,
        prefix_blocks: int = DEFAULT_BLOCKS,
    ) -> None:
        super().__init__(prefix_blocks)
        self._affinity: float = affinity
        self._max_tokens: float = peak_rate * max_delay_s

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        needed = self._affinity * request.prompt_tokens
        best_sticky = -1
        best_other = -1
        for index, endpoint in enumerate(eligible):
            waiting = pending(endpoint)
            if hits[index] >= needed:
                if best_sticky < 0 or waiting < best_sticky:
                    best_sticky = waiting
            elif best_other < 0 or waiting < best_other:
                best_other = waiting
        stay = best_sticky >= 0 and (best_other < 0 or best_sticky - best_other <= self._max_tokens)
        scores = []
        for index, endpoint in enumerate(eligible):
            if stay and hits[index] < needed:
                scores.append(float("inf"))
            else:
                scores.append(float(pending(endpoint) + request.prompt_tokens - hits[index]))
        return least_of(eligible, scores, env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        """``holds``: enough of the prefix to stay, unless the queue there is too long."""
        needed = self._affinity * request.prompt_tokens
        explained = []
        for index, endpoint in enumerate(eligible):
            explained.append(
                {
                    "holds": float(hits[index] >= needed),
                    "queued_tokens": float(pending(endpoint)),
                    "uncached_tokens": float(request.prompt_tokens - hits[index]),
                }
            )
        return explained
