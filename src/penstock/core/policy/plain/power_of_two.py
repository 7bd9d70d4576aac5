"""Power of d choices: the least loaded of ``choices`` endpoints drawn by weight.

Two choices bring the longest queue from log n / log log n to log log n, and spread balancers that
do not see each other. Mean-field response time: E[T] = Σ_{i≥1} λ^((d^i − d)/(d − 1)).
Source: M. Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 2001.

Draws do not repeat for two choices of equal weight. Compares load / weight. O(choices) per pick,
O(n) for a list other than the pool's.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Explained, Option, Policy
from penstock.core.policy.support.least import least_score, load_terms, score
from penstock.core.policy.support.sampler import Sampler
from penstock.core.request import Request


class PowerOfTwo(Policy):
    name: ClassVar[str] = "power-of-two"
    options: ClassVar[tuple[Option, ...]] = (
        Option("choices", 2, "endpoints drawn for each request", minimum=1, maximum=100),
    )

    def __init__(self, choices: int = 2) -> None:
        self._choices: int = choices
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._sampler = Sampler(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            return least_score(eligible, 1.0, 0, env)
        at = self._sampler.one(env)
        best = eligible[at]
        if self._choices == 1:
            return best
        if self._sampler.equal:
            return self._fewest(best, at, eligible, env)
        return self._least(best, eligible, env)

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        return [(e, load_terms(e, 1.0, 0)) for e in eligible]

    def _fewest(self, best: Endpoint, at: int, eligible: list[Endpoint], env: Env) -> Endpoint:
        least = best.load()
        for _ in range(self._choices - 1):
            drawn = eligible[self._sampler.another(at, env)]
            load = drawn.load()
            if load < least:
                least = load
                best = drawn
        return best

    def _least(self, best: Endpoint, eligible: list[Endpoint], env: Env) -> Endpoint:
        least = score(best, 1.0, 0)
        for _ in range(self._choices - 1):
            drawn = eligible[self._sampler.one(env)]
            drawn_score = score(drawn, 1.0, 0)
            if drawn_score < least:
                least = drawn_score
                best = drawn
        return best
