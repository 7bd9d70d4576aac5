"""A pool: its endpoints, which of them are eligible, and the policy that picks among them."""

from collections.abc import Sequence

from penstock.core.eligible import eligible_endpoints
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.request import Request


class Pool:
    """Owns the list of eligible endpoints; ``refresh`` after any change of state or weight."""

    def __init__(self, name: str, policy: Policy, *, panic_threshold: float = 0.0) -> None:
        self.name: str = name
        self.policy: Policy = policy
        self.panic_threshold: float = panic_threshold
        self.endpoints: list[Endpoint] = []
        self.eligible: list[Endpoint] = []
        self._bounded: bool = False

    def replace_endpoints(self, endpoints: list[Endpoint]) -> None:
        """The pool's members are these, in this order."""
        self.endpoints = endpoints
        for order, endpoint in enumerate(endpoints):
            endpoint.order = order
        self._bounded = any([endpoint.max_in_flight > 0 for endpoint in endpoints])
        self.refresh()

    def refresh(self) -> None:
        """Work out again who is eligible, and tell the policy."""
        self.eligible = eligible_endpoints(self.endpoints, self.panic_threshold)
        self.policy.rebuild(self.eligible)

    def pick(
        self, request: Request, env: Env, tried: Sequence[Endpoint] | None = None
    ) -> Endpoint | None:
        """An endpoint with room that is not among ``tried``; None when there is none.

        When every eligible endpoint was tried already, they are tried again rather than none.
        """
        eligible = self.eligible
        if tried:
            eligible = [e for e in eligible if e not in tried] or eligible
        endpoint = self.policy.pick(request, eligible, env)
        if endpoint is None or not self._bounded or endpoint.has_room():
            return endpoint
        return self.policy.pick(request, [e for e in eligible if e.has_room()], env)
