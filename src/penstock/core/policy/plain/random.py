"""Random, in proportion to weight: P(i) = w_i / Σ w.

Needs no state shared between balancers and never herds. Source of the draw: A. J. Walker's alias
table, 1977 (see ``support.sampler``). O(1) per pick, O(n) for a list other than the pool's.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.policy.support.sampler import Sampler
from penstock.core.request import Request


class RandomChoice(Policy):
    name: ClassVar[str] = "random"

    def __init__(self) -> None:
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._sampler = Sampler(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is self._endpoints:
            return eligible[self._sampler.one(env)]
        return draw(eligible, env)


def draw(endpoints: list[Endpoint], env: Env) -> Endpoint:
    """One of ``endpoints`` (at least one) by weight, in O(n) and without a table."""
    total = 0.0
    for endpoint in endpoints:
        total += endpoint.weight
    point = env.random() * total
    for endpoint in endpoints:
        point -= endpoint.weight
        if point < 0.0:
            return endpoint
    return endpoints[-1]
