"""Time to first token: the endpoint from which it is expected soonest.

    argmin  T_queue + T_prefill(prompt, hit)

Source: Mooncake's cache-aware scheduling (FAST 2025), without the transfer of KV cache between
endpoints. Both times come from a model fitted to each endpoint; one of which too little was seen
counts as the fastest that is known, or it would never be tried while that one is idle. One that has
owed a token for too long is later by as much (``support.belief``). Equal ones are drawn by weight.
O(blocks + endpoints) per pick.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import PREFIX_BLOCKS, pending
from penstock.core.request import Request


class TimeToFirstToken(FittedPolicy):
    name: ClassVar[str] = "ttft"
    options: ClassVar[tuple[Option, ...]] = (PREFIX_BLOCKS,)

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        return least_of(eligible, self._times(request, eligible, hits), env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        prompt = request.prompt_tokens
        times = self._times(request, eligible, hits)
        explained = []
        for index, endpoint in enumerate(eligible):
            model = self.model(endpoint)
            queue_s = model.queue_s(pending(endpoint))
            prefill_s = model.prefill_s(max(prompt - hits[index], 0), prompt)
            explained.append(
                {
                    "queue_s": queue_s,
                    "prefill_s": prefill_s,
                    "ttft_s": queue_s + prefill_s,
                    "cost": times[index],
                }
            )
        return explained

    def _times(self, request: Request, eligible: list[Endpoint], hits: list[int]) -> list[float]:
        """What the first token would take on each, in seconds."""
        prompt = request.prompt_tokens
        paces = self.hoped_paces(eligible)
        times = []
        models = self.models(eligible)
        for index, endpoint in enumerate(eligible):
            uncached = max(prompt - hits[index], 0)
            average_s = self.fleet.first_token_s(pending(endpoint), uncached, prompt)
            times.append(paces[index] * average_s + models[index].overdue_s)
        return times
