"""Smooth weighted round robin.

For every endpoint ``current += weight``; the largest ``current`` is picked and pays the sum of
all weights. Weights {5, 1, 1} give a a b a c a a. Source: nginx, ngx_http_upstream_round_robin.c.
O(n) per pick with unequal weights; with equal weights it is a turning index, O(1).
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.request import Request


class RoundRobin(Policy):
    name: ClassVar[str] = "round-robin"

    def __init__(self) -> None:
        self._equal: bool = True
        self._turn: int = 0
        self._current: dict[str, float] = {}

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._equal = all(endpoint.weight == endpoints[0].weight for endpoint in endpoints)
        kept = self._current
        self._current = {endpoint.name: kept.get(endpoint.name, 0.0) for endpoint in endpoints}

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if self._equal:
            turn = self._turn
            self._turn = turn + 1
            return eligible[turn % len(eligible)]
        return self._pick_weighted(eligible)

    def _pick_weighted(self, eligible: list[Endpoint]) -> Endpoint:
        current = self._current
        total = 0.0
        best = eligible[0]
        most = float("-inf")
        for endpoint in eligible:
            credit = current.get(endpoint.name, 0.0) + endpoint.weight
            current[endpoint.name] = credit
            total += endpoint.weight
            if credit > most:
                most = credit
                best = endpoint
        current[best.name] = most - total
        return best
