"""Policies made of policies that believe in prefix caches: what the pool knows of these is one."""

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.policy import Policy
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import env, made

COMPOSITES: dict[str, dict[str, object]] = {
    "subset": {"policy": "cache-aware", "size": 2},
    "zone-aware": {"policy": "cache-aware", "zone": "a", "min_endpoints": 1},
    "adaptive": {"policies": "cache-aware, least-request"},
}
BLIND: dict[str, dict[str, object]] = {
    "subset": {"policy": "least-request"},
    "zone-aware": {"policy": "least-request", "zone": "a"},
    "adaptive": {"policies": "random, least-request"},
}


def zones(counts: dict[str, int]) -> list[Endpoint]:
    return [Endpoint(f"{zone}{i}", zone=zone) for zone, n in counts.items() for i in range(n)]


def prompt(*blocks: int) -> Request:
    return Request(prompt_tokens=16 * len(blocks), blocks=list(blocks), block_tokens=16)


def over(name: str, endpoints: list[Endpoint], options: dict[str, dict[str, object]]) -> Policy:
    policy = made(name, **options[name])
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    return policy


@pytest.mark.parametrize("name", COMPOSITES)
def test_the_index_of_the_policy_inside_is_the_composites(name: str) -> None:
    endpoints = zones({"a": 3, "b": 3})
    policy = over(name, endpoints, COMPOSITES)
    index = policy.prefix_index
    assert index is not None
    request = prompt(1, 2, 3)
    picked = policy.pick(request, endpoints, env())
    assert picked is not None
    Ticket(picked, policy, request, 0.0)
    assert index.matches(prompt(1, 2, 3, 4), [picked]) == [48]


@pytest.mark.parametrize("name", COMPOSITES)
def test_an_index_that_is_put_in_is_what_the_policy_inside_believes(name: str) -> None:
    """Even where the endpoint that holds the prompt has more to do."""
    endpoints = zones({"a": 3, "b": 3})
    policy = over(name, endpoints, COMPOSITES)
    index = PrefixIndex()
    policy.use_prefix_index(index)
    assert policy.prefix_index is index
    usable = {policy.pick(Request(), endpoints, env()) for _ in range(50)}
    for number, holder in enumerate(usable):
        assert holder is not None
        request = prompt(*range(10 * number + 1, 10 * number + 5))
        index.insert(request, holder)
        holder.in_flight = 1
        assert policy.pick(request, endpoints, env()) is holder
        holder.in_flight = 0


@pytest.mark.parametrize("name", BLIND)
def test_policies_that_believe_nothing_of_caches_have_no_index(name: str) -> None:
    assert over(name, zones({"a": 6}), BLIND).prefix_index is None


@pytest.mark.parametrize("name", COMPOSITES)
def test_the_tokens_of_a_request_count_once(name: str) -> None:
    endpoints = zones({"a": 3, "b": 3})
    policy = over(name, endpoints, COMPOSITES)
    request = prompt(1, 2, 3)
    picked = policy.pick(request, endpoints, env())
    assert picked is not None
    ticket = Ticket(picked, policy, request, 0.0)
    assert (picked.tokens.pending_prefill, picked.tokens.held) == (48, 48)
    ticket.first_byte(1.0)
    ticket.settle(DONE, 2.0)
    assert (picked.tokens.pending_prefill, picked.tokens.held, picked.tokens.decoding) == (0, 0, 0)


@pytest.mark.parametrize("name", ["subset", "zone-aware"])
def test_an_endpoint_that_may_not_be_picked_for_a_while_keeps_what_it_holds(name: str) -> None:
    endpoints = zones({"a": 3, "b": 3})
    policy = over(name, endpoints, COMPOSITES)
    index = policy.prefix_index
    assert index is not None
    request = prompt(1, 2, 3)
    picked = policy.pick(request, endpoints, env())
    assert picked is not None
    Ticket(picked, policy, request, 0.0)
    left = [endpoint for endpoint in endpoints if endpoint is not picked]
    policy.rebuild(left)
    assert index.matches(request, [picked]) == [48]
    policy.replace_members(left)
    policy.rebuild(left)
    assert index.matches(request, [picked]) == [0]


def test_of_several_candidates_that_believe_in_caches_each_keeps_to_its_own() -> None:
    policy = made("adaptive", policies="cache-aware, prefix-sticky")
    assert policy.prefix_index is None
