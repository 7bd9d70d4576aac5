"""First available: endpoints are filled in the pool's order.

The first endpoint with fewer than ``fill`` requests per unit of weight in flight is picked, so that
the last ones stay free to be switched off. With ``fill`` 0 the endpoints' own ``max_in_flight``
is the only bound, and without that the first endpoint gets everything until it fails. When all
are filled, the least loaded is picked. Source: HAProxy, ``balance first``.

O(n) per pick by definition, in practice as many steps as endpoints are full.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option, Policy
from penstock.core.policy.support.least import least_score
from penstock.core.request import Request


class FirstAvailable(Policy):
    name: ClassVar[str] = "first-available"
    weighted: ClassVar[bool] = False
    spreads: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("fill", 0, "requests in flight per unit of weight; 0: max_in_flight", minimum=0),
    )

    def __init__(self, fill: int = 0) -> None:
        self._fill: int = fill

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        for endpoint in eligible:
            if self._fill > 0:
                if endpoint.load() < self._fill * endpoint.weight:
                    return endpoint
            elif endpoint.has_room():
                return endpoint
        return least_score(eligible, 1.0, 0, env)
