"""A policy of one's own: of two endpoints drawn at random, the less loaded."""

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy
from penstock.core.request import Request


class TwoChoices(Policy):
    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        first = eligible[env.below(len(eligible))]
        second = eligible[env.below(len(eligible))]
        return min(first, second, key=lambda endpoint: endpoint.load() / endpoint.weight)
