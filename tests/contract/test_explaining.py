"""What a policy says that it weighs is what it picks by, and saying it changes nothing."""

from random import Random
from typing import Any

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.policy import create, policies
from penstock.core.policy.base import Policy
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import env, made

EVERY = list(policies())
# Those that look at all endpoints and leave little to chance, as they are set here.
DECIDED: dict[str, dict[str, Any]] = {
    "least-request": {},
    "kv-cost": {},
    "lmetric": {},
    "marginal-cost": {"explore": 0.0, "noise": 0.0},
    "scored": {},
    "token-load": {},
    "ttft": {},
}
EXPLAINED = (*DECIDED, "peak-ewma", "power-of-two", "cache-aware", "consistent-hash")


def busy_pool(policy: Policy, dice: Random) -> list[Endpoint]:
    """Endpoints of different weights with requests under way and a past."""
    endpoints = [Endpoint(f"e{i}", weight=1.0 + i % 3) for i in range(6)]
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    for number in range(60):
        endpoint = dice.choice(endpoints)
        ticket = Ticket(endpoint, policy, prompt(dice), number * 0.01)
        ticket.status = 200
        if number % 3:
            ticket.first_byte(number * 0.01 + dice.random())
            ticket.output_tokens = 30
            ticket.settle(DONE, number * 0.01 + 2.0)
    return endpoints


def prompt(dice: Random) -> Request:
    blocks = list(range(dice.randrange(1, 30)))
    return Request(
        blocks=blocks,
        block_tokens=16,
        prompt_tokens=16 * len(blocks) + 5,
        output_tokens=50,
        key_hash=dice.getrandbits(63) + 1,
    )


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_candidate_is_told_with_its_terms_in_order(name: str) -> None:
    dice = Random(1)
    policy = create(name)
    endpoints = busy_pool(policy, dice)
    explained = policy.explain(prompt(dice), endpoints, env())
    assert [endpoint for endpoint, _ in explained] == endpoints
    assert all(terms for _, terms in explained)


@pytest.mark.parametrize("name", DECIDED)
@pytest.mark.parametrize("seed", range(10))
def test_the_pick_has_the_least_cost_or_the_greatest_score(name: str, seed: int) -> None:
    dice = Random(seed)
    policy = create(name, DECIDED[name])
    endpoints = busy_pool(policy, dice)
    request = prompt(dice)
    picked = policy.pick(request, endpoints, env(seed))
    assert picked is not None
    explained = dict(policy.explain(request, endpoints, env(seed)))
    values = [terms.get("cost", -terms.get("score", 0.0)) for terms in explained.values()]
    chosen = explained[picked]
    assert chosen.get("cost", -chosen.get("score", 0.0)) == pytest.approx(min(values))


@pytest.mark.parametrize("name", EVERY)
def test_explaining_changes_no_later_pick_and_draws_nothing(name: str) -> None:
    """Two equal policies, one of which is asked to explain itself all the time."""
    picked: list[list[str]] = []
    for asked in (False, True):
        dice = Random(3)
        policy = made(name)
        endpoints = busy_pool(policy, dice)
        chance = env(7)
        picks = []
        for _ in range(40):
            chance.now += 0.05
            request = prompt(dice)
            if asked:
                before = chance.rng.getstate()
                assert len(policy.explain(request, endpoints, chance)) == len(endpoints)
                assert chance.rng.getstate() == before
            endpoint = policy.pick(request, endpoints, chance)
            assert endpoint is not None
            Ticket(endpoint, policy, request, chance.now)
            picks.append(endpoint.name)
        picked.append(picks)
    assert picked[0] == picked[1]


def test_a_hash_tells_whose_the_key_is() -> None:
    dice = Random(5)
    policy = create("consistent-hash", {"bounded_load": 1.25})
    endpoints = busy_pool(policy, dice)
    request = prompt(dice)
    owners = [e for e, terms in policy.explain(request, endpoints, env()) if terms["owner"]]
    assert len(owners) == 1
    plain = create("consistent-hash")
    plain.rebuild(endpoints)
    assert plain.pick(request, endpoints, env()) is owners[0]


def test_an_endpoint_that_was_never_measured_is_explained_too() -> None:
    policy = create("peak-ewma")
    endpoints = [Endpoint("new", weight=2.0), Endpoint("none", weight=0.0)]
    (_, new), (_, weightless) = policy.explain(Request(), endpoints, env())
    assert new == {"latency_s": 0.0, "load": 0.0, "weight": 2.0, "cost": 0.0}
    assert weightless["cost"] == float("inf")
