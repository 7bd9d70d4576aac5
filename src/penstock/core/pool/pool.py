"""A pool: its endpoints, which of them are eligible, and the policy that picks among them."""

from collections.abc import Sequence
from math import inf
from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.pool.eligible import eligible_endpoints, is_available
from penstock.core.pool.model_names import DEFAULT_TAG
from penstock.core.pool.models import ModelNames, with_it_loaded
from penstock.core.request import Request
from penstock.core.retry import RetryBudget, RetryRules
from penstock.core.snapshot import Retry

# What the endpoints have for a request.
ROOM: Final = 0
NO_ROOM: Final = 1  # those that it can use are full
NOBODY: Final = 2  # none that it can use is eligible

_NO_RETRIES: Final = Retry(attempts=1)
_MOST_NAMES: Final = 1024  # remembered; clients choose them


class Pool:
    """Owns the list of eligible endpoints; ``refresh`` after any change of state or weight."""

    def __init__(self, name: str, policy: Policy, *, panic_threshold: float = 0.0) -> None:
        self.name: str = name
        self.policy: Policy = policy
        self.panic_threshold: float = panic_threshold
        self.rules: RetryRules = RetryRules(_NO_RETRIES)
        self.budget: RetryBudget = RetryBudget(0.0, inf)
        self.catches_up: bool = False
        self.endpoints: list[Endpoint] = []
        self.eligible: list[Endpoint] = []
        self.names: ModelNames = ModelNames({}, {})
        self.knows_models: bool = False  # of any endpoint
        self.knows_loaded: bool = False
        self._serving: dict[str, list[Endpoint]] = {}
        self._bounded: bool = False
        self._told: Policy | None = None  # the policy that knows what is below
        self._weights: list[float] = []  # of the eligible
        self._zones: list[str] = []

    def replace_endpoints(self, endpoints: list[Endpoint]) -> None:
        """The pool's members are these, in this order."""
        changed = endpoints != self.endpoints or self.policy is not self._told
        self.endpoints = endpoints
        for order, endpoint in enumerate(endpoints):
            endpoint.order = order
        self._bounded = any([e.max_in_flight > 0 or e.guarded for e in endpoints])
        if changed:
            self.policy.replace_members(endpoints)
        self.refresh()

    def refresh(self) -> None:
        """Work out again who is eligible, and tell the policy if that changed anything for it.

        One change on the board makes every pool of a worker do this, and a policy's tables are
        dear.
        """
        self._serving = {}
        self.knows_models = any([e.models is not None or e.models_awaited for e in self.endpoints])
        eligible = eligible_endpoints(self.endpoints, self.panic_threshold)
        weights = [endpoint.weight for endpoint in eligible]
        zones = [endpoint.zone for endpoint in eligible]
        if (
            self.policy is self._told
            and eligible == self.eligible
            and weights == self._weights
            and zones == self._zones
        ):
            return
        self._told = self.policy
        self._weights = weights
        self._zones = zones
        self.eligible = eligible
        self.policy.rebuild(eligible)

    def pick(
        self, request: Request, env: Env, tried: Sequence[Endpoint] | None = None
    ) -> Endpoint | None:
        """An endpoint with room that is not among ``tried``; None when there is none."""
        if self.catches_up:
            self.catch_up(env)
        eligible = self.eligible  # most requests are spared the call
        if tried or (request.model and self.knows_models):
            eligible = self.candidates(request, tried)
        endpoint = self.policy.pick(request, eligible, env)
        if endpoint is None or not self._bounded or endpoint.has_room():
            return endpoint
        roomy = [e for e in eligible if e.has_room()]
        if not roomy and self.knows_loaded:  # one that has to load the model is better than none
            roomy = [e for e in self._usable(request, tried) if e.has_room()]
        return self.policy.pick(request, roomy, env)

    def room(self, request: Request, tried: Sequence[Endpoint] | None = None) -> int:
        """Whether an endpoint takes the request now: ROOM, NO_ROOM or NOBODY."""
        usable = self._usable(request, tried)
        if not usable:
            return NOBODY
        if not self._bounded or any([endpoint.has_room() for endpoint in usable]):
            return ROOM
        return NO_ROOM

    def cached(self, request: Request, tried: Sequence[Endpoint] | None = None) -> int:
        """Most tokens of its prompt that an endpoint with room for it is believed to hold."""
        index = self.policy.prefix_index
        if index is None or not request.blocks:
            return 0
        roomy = [endpoint for endpoint in self._usable(request, tried) if endpoint.has_room()]
        return max(index.matches(request, roomy), default=0)

    def catch_up(self, env: Env) -> None:
        """Learn what others have under way there. Called before each pick if ``catches_up``."""

    def candidates(
        self, request: Request, tried: Sequence[Endpoint] | None = None
    ) -> list[Endpoint]:
        """Among whom the policy picks: those eligible that serve the model and were not tried.

        When every one of them was tried already, those of the next group that has any; when there
        is none, they are tried again.
        """
        eligible = self._usable(request, tried)
        if request.model and self.knows_loaded and self.knows_models:
            eligible = with_it_loaded(request.model, eligible)
        return eligible

    def usable(self, request: Request, tried: Sequence[Endpoint] | None = None) -> list[Endpoint]:
        """The eligible that serve its model and were not tried, with room or without."""
        return self._usable(request, tried)

    def _usable(self, request: Request, tried: Sequence[Endpoint] | None) -> list[Endpoint]:
        """The eligible that serve the model and were not tried."""
        model = request.model if self.knows_models else ""
        eligible = self.serving(model) if model else self.eligible
        if tried:
            untried = [e for e in eligible if e not in tried]
            eligible = untried or eligible_endpoints(self._left(model, tried), 0.0) or eligible
        return eligible

    def serving(self, model: str) -> list[Endpoint]:
        """The eligible endpoints that serve that model, as far as is known.

        Where none of the first group does, those of the first that has any: for this model there
        are no others.
        """
        found = self._serving.get(model)
        if found is None:
            found = [endpoint for endpoint in self.eligible if endpoint.serves(model)]
            if len(found) == len(self.eligible):
                found = self.eligible  # the list that the policy knows
            elif not found:
                serve = [endpoint for endpoint in self.endpoints if endpoint.serves(model)]
                found = eligible_endpoints(serve, 0.0)
            if len(self._serving) < _MOST_NAMES:
                self._serving[model] = found
        return found

    def tells_models_apart(self) -> bool:
        """Whether the model that a request asks for makes any difference."""
        return self.knows_models or len(self.names.shares) > 0

    def model_for(self, asked: str, env: Env) -> str:
        """The name to send for a request that asks for a model; "" when nobody serves it.

        The first that an eligible endpoint serves, or else the first that any would.
        """
        if not asked or not self.tells_models_apart():
            return asked
        chance = env.random() if self.names.shares else 0.0
        names = self.names.chains(asked, chance)
        for name in names:
            if self.serving(name):
                return name
        for name in names:
            if any([endpoint.serves(name) for endpoint in self.endpoints]):
                return name
        return ""

    def takes_retry(self, now: float) -> bool:
        """Take the right to retry once from the budget; False when there is none left."""
        return self.budget.take(now)

    def is_left(self, model: str, tried: Sequence[Endpoint]) -> bool:
        """Whether one not among ``tried`` may be picked for that model ("": for any)."""
        return any([is_available(e) or e in self.eligible for e in self._left(model, tried)])

    def _left(self, model: str, tried: Sequence[Endpoint]) -> list[Endpoint]:
        return [e for e in self.endpoints if (not model or e.serves(model)) and e not in tried]

    def stand_in(
        self, asked: str, env: Env, tried: Sequence[Endpoint], given_up: Sequence[str] = ()
    ) -> str:
        """The first model for such a request that is left when those endpoints and models failed.

        "" when there is none.
        """
        chance = env.random() if asked in self.names.shares else 0.0
        for name in self.names.chains(asked, chance):
            if name not in given_up and self.is_left(name, tried):
                return name
        return ""

    def awaited(self) -> Endpoint | None:
        """An endpoint of which it is not known yet what it serves; None when all are known."""
        for endpoint in self.endpoints:
            if endpoint.models is None and endpoint.models_awaited:
                return endpoint
        return None

    def known_models(self) -> list[str]:
        """All names that requests may ask for, as far as is known."""
        names = set(self.names.shares)
        for endpoint in self.endpoints:
            if endpoint.models is not None:
                names |= set(endpoint.models)
        return sorted([n for n in names if n + DEFAULT_TAG not in names])
