"""Join the shortest queue: the least loaded of all endpoints, whatever their number.

Optimal in mean response time among policies that know only queue lengths, for equal servers and
exponential work. Sources: W. Winston, "Optimality of the shortest line discipline", 1977;
V. Gupta et al., "Analysis of join-the-shortest-queue routing for web server farms", 2007.

Equal weights compare load and take turns when it is equal; unequal ones compare
``load / weight``, or ``(load + 1) / weight`` with ``anticipate``. O(n) per pick by definition;
``least-request`` is the same up to 16 endpoints and O(1) beyond.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option, Policy
from penstock.core.policy.support.least import fewest_from, least_score
from penstock.core.policy.support.sampler import equal_weights
from penstock.core.request import Request


class JoinShortestQueue(Policy):
    name: ClassVar[str] = "join-shortest-queue"
    options: ClassVar[tuple[Option, ...]] = (
        Option("anticipate", False, "with unequal weights, count the request to be placed as load"),
    )

    def __init__(self, anticipate: bool = False) -> None:
        self._ahead: int = 1 if anticipate else 0
        self._endpoints: list[Endpoint] = []
        self._equal: bool = True
        self._turn: int = 0

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._equal = equal_weights(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if self._equal and eligible is self._endpoints:
            index = fewest_from(eligible, self._turn)
            self._turn = index + 1
            return eligible[index]
        return least_score(eligible, 1.0, self._ahead, env)
