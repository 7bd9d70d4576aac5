"""Token load: the endpoint that will have the fewest prompt tokens to compute.

    argmin  pending prefill + max(0, prompt − hit)

Source: LPWL, least prefill work left. Equal ones are drawn by weight. O(blocks + endpoints).
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import PREFIX_BLOCKS, ServingPolicy, pending
from penstock.core.request import Request


class TokenLoad(ServingPolicy):
    name: ClassVar[str] = "token-load"
    options: ClassVar[tuple[Option, ...]] = (PREFIX_BLOCKS,)

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        scores = []
        for index, endpoint in enumerate(eligible):
            scores.append(float(pending(endpoint) + max(request.prompt_tokens - hits[index], 0)))
        return least_of(eligible, scores, env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        explained = []
        for index, endpoint in enumerate(eligible):
            waiting = float(pending(endpoint))
            uncached = float(max(request.prompt_tokens - hits[index], 0))
            explained.append(
                {"queued_tokens": waiting, "uncached_tokens": uncached, "cost": waiting + uncached}
            )
        return explained
