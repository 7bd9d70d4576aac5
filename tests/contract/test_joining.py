"""An endpoint that joins a fleet with little to do is used, though all others are known."""

from itertools import count

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env
from tests.contract.test_serving import SERVING, made_serving, prompt

# Requests, each answered before the next comes. Where an endpoint that nothing is known of is
# tried by chance only, it is one of a hundred (``explore`` of marginal-cost).
SOON = 500
APART_S = 1.0
PACES = (0.96, 0.98, 1.02, 1.04)  # times as long as an average endpoint takes

_number = count(1, 1000)


def answered(policy: ServingPolicy, endpoint: Endpoint, pace: float, chance: Env) -> None:
    """A prompt that nobody saw before, computed there at this pace; then nothing, for a while."""
    blocks = next(_number)
    tokens = 100 + 50 * (blocks // 1000 % 7)
    request = prompt(list(range(blocks, blocks + tokens // 16)), tokens)
    ticket = Ticket(endpoint, policy, request, chance.now)
    ticket.status = 200
    ticket.first_byte(chance.now + pace * (0.01 + tokens / 20_000))
    ticket.output_tokens = 11
    ticket.settle(DONE, ticket.first_byte_at + pace * 0.2)
    chance.now += APART_S


def picked(policy: ServingPolicy, endpoints: list[Endpoint], chance: Env) -> Endpoint:
    blocks = next(_number)
    found = policy.pick(prompt(list(range(blocks, blocks + 20))), endpoints, chance)
    assert found is not None
    return found


def uses_of_one_that_joins(name: str, pace: float) -> list[bool]:
    """For each of some requests to a fleet that is well known but for it, whether it got that."""
    known = endpoints_of_weights([1.0] * len(PACES))
    policy = made_serving(name, known)
    chance = env()
    for _ in range(50):
        for endpoint, its_pace in zip(known, PACES, strict=True):
            answered(policy, endpoint, its_pace, chance)
    new = Endpoint("new")
    fleet = [*known, new]
    policy.replace_members(fleet)
    policy.rebuild(fleet)
    paces = dict(zip(fleet, [*PACES, pace], strict=True))
    uses = []
    for _ in range(SOON):
        endpoint = picked(policy, fleet, chance)
        answered(policy, endpoint, paces[endpoint], chance)
        uses.append(endpoint is new)
    return uses


@pytest.mark.parametrize("pace", [1.0, 0.5], ids=["as fast as the others", "faster"])
@pytest.mark.parametrize("name", SERVING)
def test_an_endpoint_that_joins_an_idle_fleet_is_used(name: str, pace: float) -> None:
    assert any(uses_of_one_that_joins(name, pace))


def test_the_time_to_first_token_gives_all_but_trials_to_one_that_proves_to_be_faster() -> None:
    uses = uses_of_one_that_joins("ttft", 0.5)
    assert sum(uses[-100:]) >= 95


def test_the_time_to_first_token_leaves_one_that_proves_to_be_slower_but_for_trials() -> None:
    uses = uses_of_one_that_joins("ttft", 2.0)
    assert 5 < sum(uses) < 20
    assert sum(uses[-100:]) <= 2
