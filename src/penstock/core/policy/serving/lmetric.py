"""LMETRIC: least product of the prompt tokens to compute and the requests they will disturb.

    argmin  uncached prompt tokens · (requests in flight + 1)

Source: LMETRIC, arXiv 2603.15202. It has no parameters. A prompt that is cached whole counts as one
token, so that loads still tell its holders apart. Equal ones are drawn by weight.
O(blocks + endpoints) per pick.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import PREFIX_BLOCKS, ServingPolicy
from penstock.core.request import Request


class Lmetric(ServingPolicy):
    name: ClassVar[str] = "lmetric"
    options: ClassVar[tuple[Option, ...]] = (PREFIX_BLOCKS,)

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        scores = []
        for index, endpoint in enumerate(eligible):
            uncached = max(request.prompt_tokens - hits[index], 1)
            scores.append(float(uncached * (endpoint.load() + 1)))
        return least_of(eligible, scores, env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        explained = []
        for index, endpoint in enumerate(eligible):
            uncached = float(max(request.prompt_tokens - hits[index], 1))
            load = float(endpoint.load())
            explained.append(
                {"uncached_tokens": uncached, "load": load, "cost": uncached * (load + 1.0)}
            )
        return explained
