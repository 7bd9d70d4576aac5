"""A prefix is computed once more where a choice of endpoints saves that much."""

from itertools import count

from penstock.core.endpoint import Endpoint
from penstock.core.policy.serving.marginal_cost import MarginalCost
from penstock.core.policy.support.copies import Copies
from penstock.core.request import Request
from tests.contract.pools import endpoints_of_weights, env
from tests.contract.test_serving import prompt

SHARED = list(range(1, 126))  # 2,000 tokens
_number = count(1000)


def beginning() -> Request:
    """A prompt that begins with what all share."""
    return prompt([*SHARED, *(next(_number) for _ in range(6))])


def policy_whose_first_holds_it(endpoints: list[Endpoint], copies: float) -> MarginalCost:
    """It knows that the first endpoint has the prefix."""
    policy = MarginalCost(explore=0.0, copies=copies)
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    policy.index.insert(prompt(SHARED), endpoints[0])
    return policy


def picks_until_copied(copies: float, waiting: int, at_most: int) -> int:
    """How many prompts find this much ahead of them at the holder until one goes elsewhere."""
    endpoints = endpoints_of_weights([1.0, 1.0, 1.0])
    policy = policy_whose_first_holds_it(endpoints, copies)
    policy.copies.pays(0, 0.0, 9.0)  # of the first none is one
    endpoints[0].tokens.pending_prefill = waiting
    chance = env()
    for picked in range(at_most):
        if policy.pick(beginning(), endpoints, chance) is not endpoints[0]:
            return picked
    return at_most


def test_a_copy_is_made_once_waiting_has_cost_as_much() -> None:
    """Each prompt waits for 500 tokens that are ahead of it and would not elsewhere; 2,000 are to
    be computed again, less the 500."""
    assert 2 <= picks_until_copied(1.0, 500, 100) <= 5
    assert picks_until_copied(1.0, 100, 100) > picks_until_copied(1.0, 500, 100)


def test_what_a_copy_would_have_saved_is_told_where_the_prefix_is_missing() -> None:
    endpoints = endpoints_of_weights([1.0, 1.0, 1.0])
    policy = policy_whose_first_holds_it(endpoints, 1.0)
    endpoints[0].tokens.pending_prefill = 500
    chance = env()
    policy.pick(beginning(), endpoints, chance)
    told = [terms for _, terms in policy.explain(beginning(), endpoints, chance)]
    assert "saved_so_far_s" not in told[0]
    assert 0.0 < told[1]["saved_so_far_s"] == told[2]["saved_so_far_s"] < told[1]["cost"]


def test_where_nobody_waits_nothing_is_copied() -> None:
    assert picks_until_copied(1.0, 0, 1000) == 1000


def test_without_a_share_nothing_is_copied() -> None:
    assert picks_until_copied(0.0, 500, 1000) == 1000


def test_a_conversation_alone_is_not_copied() -> None:
    """What its turns save belongs to another block each time, and never adds up."""
    endpoints = endpoints_of_weights([1.0, 1.0])
    policy = policy_whose_first_holds_it(endpoints, 1.0)
    endpoints[0].tokens.pending_prefill = 500
    chance = env()
    for turns in range(1, 200):
        request = prompt([*SHARED, *range(2000, 2000 + turns)])
        assert policy.pick(request, endpoints, chance) is endpoints[0]
        policy.index.insert(request, endpoints[0])


def test_of_many_prompts_a_small_share_makes_copies_and_of_the_first_none() -> None:
    copies = Copies(0.001)
    made = [copies.pays(number % 7, 1.0, 0.5) for number in range(10_000)]
    assert not any(made[:990])
    assert 9 <= sum(made) <= 10


def test_no_more_is_spent_on_copies_than_they_would_have_saved() -> None:
    copies = Copies(1.0)
    saved = spent = 0.0
    for turn in range(1000):
        saved += 0.125 * (turn % 5)
        if copies.pays(1, 0.125 * (turn % 5), 0.75):
            spent += 0.75
        assert spent <= saved
    assert saved - spent < 0.75


def test_what_is_remembered_is_bounded() -> None:
    copies = Copies(1.0)
    for block in range(10_000):
        copies.pays(block, 0.1, 1.0)
    assert len(copies) == 4096
