"""Least request: the endpoint with the fewest requests in flight for its weight.

Up to 16 endpoints all are looked at; beyond, two are drawn by weight and the better one is taken,
which keeps nearly all of the gain (see ``power-of-two``) at O(1) and does not herd on stale counts.

Equal weights compare ``load``, and equal loads take turns. Unequal weights compare
``load^bias / weight`` and draw among equals by weight: an idle pool is shared by weight, and a
busy one holds requests in proportion to it. Sources: Envoy's least_request balancer, which draws
with probability proportional to ``weight / (load + 1)^bias`` (``active_request_bias``), where this
takes the best; ``anticipate`` compares just that, ``(load + 1)^bias / weight``: the shortest
expected delay (IPVS ``sed``), under which a light endpoint idles until the heavy ones are busy.
"""

from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Explained, Option, Policy
from penstock.core.policy.support.least import fewest_from, least_score, load_terms, score
from penstock.core.policy.support.sampler import Sampler
from penstock.core.request import Request

SCAN_LIMIT: Final = 16  # endpoints


class LeastRequest(Policy):
    name: ClassVar[str] = "least-request"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "bias",
            1.0,
            "power of the load against the weight; above 1 load counts for more, below 1 for less",
            minimum=0.1,
            maximum=10.0,
        ),
        Option(
            "anticipate",
            False,
            "with unequal weights, count the request to be placed as load: shortest expected delay",
        ),
    )

    def __init__(self, bias: float = 1.0, anticipate: bool = False) -> None:
        self._bias: float = bias
        self._ahead: int = 1 if anticipate else 0
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])
        self._turn: int = 0

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._sampler = Sampler(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            return least_score(eligible, self._bias, self._ahead, env)
        if len(eligible) > SCAN_LIMIT:
            return self._better_of_two(eligible, env)
        if self._sampler.equal:
            index = fewest_from(eligible, self._turn)
            self._turn = index + 1
            return eligible[index]
        return least_score(eligible, self._bias, self._ahead, env)

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        return [(e, load_terms(e, self._bias, self._ahead)) for e in eligible]

    def _better_of_two(self, eligible: list[Endpoint], env: Env) -> Endpoint:
        at = self._sampler.one(env)
        first = eligible[at]
        second = eligible[self._sampler.another(at, env)]
        if self._sampler.equal:
            return second if second.load() < first.load() else first
        if score(second, self._bias, self._ahead) < score(first, self._bias, self._ahead):
            return second
        return first
