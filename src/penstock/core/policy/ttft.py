"""Time to first token: the endpoint from which it is expected soonest.

    argmin  T_queue + T_prefill(prompt, hit)

Source: Mooncake's cache-aware scheduling (FAST 2025), without the transfer of KV cache between
endpoints. Both times come from a model fitted to each endpoint. Equal ones are drawn by weight.
O(blocks + endpoints) per pick.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy._fitted import FittedPolicy
from penstock.core.policy._least import least_of
from penstock.core.policy._serving import PREFIX_BLOCKS, pending
from penstock.core.policy.base import Option
from penstock.core.request import Request


class TimeToFirstToken(FittedPolicy):
    name: ClassVar[str] = "ttft"
    options: ClassVar[tuple[Option, ...]] = (PREFIX_BLOCKS,)

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        prompt = request.prompt_tokens
        times = []
        for index, endpoint in enumerate(eligible):
            model = self.model(endpoint)
            uncached = max(prompt - hits[index], 0)
            times.append(model.queue_s(pending(endpoint)) + model.prefill_s(uncached, prompt))
        return least_of(eligible, times, env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        prompt = request.prompt_tokens
        explained = []
        for index, endpoint in enumerate(eligible):
            model = self.model(endpoint)
            queue_s = model.queue_s(pending(endpoint))
            prefill_s = model.prefill_s(max(prompt - hits[index], 0), prompt)
            first_s = queue_s + prefill_s
            explained.append(
                {"queue_s": queue_s, "prefill_s": prefill_s, "ttft_s": first_s, "cost": first_s}
            )
        return explained
