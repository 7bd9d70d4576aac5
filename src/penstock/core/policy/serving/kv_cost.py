"""KV cost: prefill to do and KV cache in use, in blocks.

    cost = prefill_weight · max(0, pending prefill + prompt − overlap_credit · cached)
           + KV blocks in use + request_weight · requests in flight
    p ∝ exp(−(cost − min) / ((max − min) · temperature)),      temperature 0: the least cost

with all tokens counted in blocks.

Source: NVIDIA Dynamo's KV router. Equal ones are drawn by weight. O(blocks + endpoints) per pick.
"""

from math import exp
from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import PREFIX_BLOCKS, ServingPolicy, held, pending
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.request import Request


class KvCost(ServingPolicy):
    name: ClassVar[str] = "kv-cost"
    options: ClassVar[tuple[Option, ...]] = (
        Option("prefill_weight", 1.0, "weight of the prefill blocks", minimum=0.0),
        Option("overlap_credit", 1.0, "what a cached block saves, in blocks", minimum=0.0),
        Option("request_weight", 0.0, "blocks that a request in flight counts for", minimum=0.0),
        Option("temperature", 0.0, "how random the choice is; 0: the least cost", minimum=0.0),
        Option("block_tokens", 16, "tokens in a block of the engine's cache", minimum=1),
        PREFIX_BLOCKS,
    )

    def __init__(
        self,
        prefill_weight: float = 1.0,
        overlap_credit: float = 1.0,
        request_weight: float = 0.0,
        temperature: float = 0.0,
        block_tokens: int = 16,
        prefix_blocks: int = DEFAULT_BLOCKS,
    ) -> None:
        super().__init__(prefix_blocks)
        self._prefill_weight: float = prefill_weight
        self._credit: float = overlap_credit
        self._request_weight: float = request_weight
        self._temperature: float = temperature
        self._block_tokens: int = block_tokens

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        costs = []
        for index, endpoint in enumerate(eligible):
            prefill = pending(endpoint) + request.prompt_tokens - self._credit * hits[index]
            cost = (self._prefill_weight * max(prefill, 0.0) + held(endpoint)) / self._block_tokens
            costs.append(cost + self._request_weight * endpoint.load())
        if self._temperature > 0.0:
            return eligible[self._drawn(costs, env)]
        return least_of(eligible, costs, env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        """In blocks."""
        explained = []
        for index, endpoint in enumerate(eligible):
            tokens = pending(endpoint) + request.prompt_tokens - self._credit * hits[index]
            prefill = self._prefill_weight * max(tokens, 0.0) / self._block_tokens
            kv = held(endpoint) / self._block_tokens
            requests = self._request_weight * endpoint.load()
            explained.append(
                {
                    "prefill_blocks": prefill,
                    "kv_blocks": kv,
                    "request_blocks": requests,
                    "cost": prefill + kv + requests,
                }
            )
        return explained

    def _drawn(self, costs: list[float], env: Env) -> int:
        least = min(costs)
        spread = (max(costs) - least) * self._temperature
        if spread <= 0.0:
            return env.below(len(costs))
        chances = [exp((least - cost) / spread) for cost in costs]
        left = env.random() * sum(chances)
        for index, chance in enumerate(chances):
            left -= chance
            if left < 0.0:
                return index
        return costs.index(least)
