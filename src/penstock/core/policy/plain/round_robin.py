"""Smooth weighted round robin.

For every endpoint ``current += weight``; the largest ``current`` is picked and pays the sum of
all weights. Weights {5, 1, 1} give a a b a c a a. Source: nginx, ngx_http_upstream_round_robin.c
(without its effective weights: slow start and outlier detection do their work here).

O(1) per pick with equal weights, where it is a turning index; O(n) with unequal ones, by
definition. ``static-edf`` spreads unequal weights in O(log n).
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.policy.support.sampler import equal_weights
from penstock.core.request import Request


class RoundRobin(Policy):
    name: ClassVar[str] = "round-robin"

    def __init__(self) -> None:
        self._endpoints: list[Endpoint] = []
        self._equal: bool = True
        self._turn: int = 0
        self._current: list[float] = []  # beside ``_endpoints``
        self._index: dict[Endpoint, int] = {}  # into both; empty while weights are equal

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        kept = {endpoint: self._current[at] for endpoint, at in self._index.items()}
        self._endpoints = endpoints
        self._equal = equal_weights(endpoints)
        if self._equal:
            self._index = {}
            self._current = []
        else:
            self._index = {endpoint: at for at, endpoint in enumerate(endpoints)}
            self._current = [kept.get(endpoint, 0.0) for endpoint in endpoints]

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if self._equal:
            turn = self._turn
            self._turn = turn + 1
            return eligible[turn % len(eligible)]
        if eligible is self._endpoints:
            return self._pick_from_all()
        return self._pick_from_some(eligible)

    def _pick_from_all(self) -> Endpoint:
        current = self._current
        total = 0.0
        best = 0
        most = float("-inf")
        for index, endpoint in enumerate(self._endpoints):
            credit = current[index] + endpoint.weight
            current[index] = credit
            total += endpoint.weight
            if credit > most:
                most = credit
                best = index
        current[best] = most - total
        return self._endpoints[best]

    def _pick_from_some(self, eligible: list[Endpoint]) -> Endpoint:
        current = self._current
        total = 0.0
        best = eligible[0]
        most = float("-inf")
        for endpoint in eligible:
            total += endpoint.weight
            index = self._index.get(endpoint, -1)
            credit = endpoint.weight
            if index >= 0:
                credit += current[index]
                current[index] = credit
            if credit > most:
                most = credit
                best = endpoint
        index = self._index.get(best, -1)
        if index >= 0:
            current[index] = most - total
        return best
