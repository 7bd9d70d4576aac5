"""Cache-aware: the endpoint that was sent most of the prompt before, while loads are balanced.

    imbalanced  ⇔  max − min > balance_abs  and  max > balance_rel · min       requests in flight
    imbalanced, or matched / prompt ≤ cache_threshold  →  fewest requests
    otherwise                                          →  the longest match

Source: SGLang's router, policy ``cache_aware``, shared by vLLM's. It matches characters in a
radix tree per endpoint; here blocks of the canonical prompt are matched. Equal matches go to the
endpoint with fewer requests. O(blocks + endpoints) per pick.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.least import least_score, load_terms
from penstock.core.policy.support.serving import PREFIX_BLOCKS, ServingPolicy
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.request import Request


class CacheAware(ServingPolicy):
    name: ClassVar[str] = "cache-aware"
    options: ClassVar[tuple[Option, ...]] = (
        Option("cache_threshold", 0.3, "least share matched", minimum=0.0, maximum=1.0),
        Option("balance_abs", 64, "difference of loads that is tolerated, in requests", minimum=0),
        Option("balance_rel", 1.5, "ratio of loads that is tolerated", minimum=1.0),
        PREFIX_BLOCKS,
    )

    def __init__(
        self,
        cache_threshold: float = 0.3,
        balance_abs: int = 64,
        balance_rel: float = 1.5,
        prefix_blocks: int = DEFAULT_BLOCKS,
    ) -> None:
        super().__init__(prefix_blocks)
        self._threshold: float = cache_threshold
        self._absolute: int = balance_abs
        self._relative: float = balance_rel

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        longest = max(hits)
        if self._imbalanced(eligible) or longest <= self._threshold * request.prompt_tokens:
            return least_score(eligible, 1.0, 0, env)
        holders = [e for e, hit in zip(eligible, hits, strict=True) if hit == longest]
        return least_score(holders, 1.0, 0, env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        imbalanced = float(self._imbalanced(eligible))
        explained = []
        for index, endpoint in enumerate(eligible):
            terms = load_terms(endpoint, 1.0, 0)
            del terms["cost"]  # which of two rules decides is told by the other terms
            terms["matched"] = hits[index] / request.prompt_tokens
            terms["imbalanced"] = imbalanced
            explained.append(terms)
        return explained

    def _imbalanced(self, eligible: list[Endpoint]) -> bool:
        loads = [endpoint.load() for endpoint in eligible]
        most = max(loads)
        least = min(loads)
        return most - least > self._absolute and most > self._relative * least
