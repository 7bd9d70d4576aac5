"""Laws of the policies that pick by a key."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.endpoint import Endpoint
from penstock.core.policy import Policy, policies
from penstock.core.policy.support.hashing import HashPolicy
from penstock.core.request import Request
from tests.contract.pools import endpoints_of_weights, env, keyed, made, picks

KEYED = [name for name, cls in policies().items() if issubclass(cls, HashPolicy)]
CONSISTENT = [name for name, cls in policies().items() if cls.consistent]
KEYS = 5000


def owners(policy: Policy, endpoints: list[Endpoint]) -> list[str]:
    """Where each of the keys goes."""
    policy.rebuild(endpoints)
    return [endpoint.name for endpoint in picks(policy, endpoints, KEYS)]


@pytest.mark.parametrize("name", KEYED)
def test_a_key_keeps_its_endpoint(name: str) -> None:
    policy = made(name)
    endpoints = endpoints_of_weights([1.0, 2.0, 1.0] * 5)
    policy.rebuild(endpoints)
    first = picks(policy, endpoints, 500, seed=1)
    assert picks(policy, endpoints, 500, seed=2) == first


@pytest.mark.parametrize("name", KEYED)
def test_requests_without_a_key_are_spread(name: str) -> None:
    policy = made(name)
    endpoints = endpoints_of_weights([1.0] * 5)
    policy.rebuild(endpoints)
    chance = env()
    picked = {policy.pick(Request(), endpoints, chance) for _ in range(200)}
    assert picked == set(endpoints)


@pytest.mark.parametrize("name", KEYED)
def test_a_key_that_may_not_go_home_still_goes_to_one_place(name: str) -> None:
    """A retry, or a full endpoint: the list is shorter, and the answer is as stable."""
    policy = made(name)
    endpoints = endpoints_of_weights([1.0] * 10)
    policy.rebuild(endpoints)
    for i in range(100):
        home = policy.pick(keyed(i), endpoints, env(1))
        others = [endpoint for endpoint in endpoints if endpoint is not home]
        assert policy.pick(keyed(i), others, env(2)) is policy.pick(keyed(i), others, env(3))


@pytest.mark.parametrize("name", ["rendezvous", "consistent-hash"])
@pytest.mark.parametrize("weights", [[1.0] * 8, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]])
def test_who_fails_over_meets_who_comes_when_the_endpoint_is_known_to_be_gone(
    name: str, weights: list[float]
) -> None:
    endpoints = endpoints_of_weights(weights)
    left = endpoints[:2] + endpoints[3:]
    knows, informed = made(name), made(name)
    knows.rebuild(endpoints)
    informed.rebuild(left)
    failed_over = [each.name for each in picks(knows, left, 500)]
    assert failed_over == [each.name for each in picks(informed, left, 500)]


@pytest.mark.parametrize("name", CONSISTENT)
@pytest.mark.parametrize("gone", [0, 7, 19])
def test_losing_one_endpoint_of_twenty_moves_few_keys(name: str, gone: int) -> None:
    """Its own twentieth must move; as much again of the others' may."""
    endpoints = endpoints_of_weights([1.0] * 20)
    before = owners(made(name), endpoints)
    after = owners(made(name), endpoints[:gone] + endpoints[gone + 1 :])
    moved = sum(1 for old, new in zip(before, after, strict=True) if old != new)
    assert moved <= KEYS * 2.5 / 20


@pytest.mark.parametrize("name", CONSISTENT)
@settings(deadline=None, max_examples=20)
@given(
    weights=st.lists(st.sampled_from([0.1, 0.5, 1.0, 2.0, 7.0]), min_size=2, max_size=12),
    steps=st.lists(st.integers(0, 2**12 - 1), min_size=1, max_size=6),
)
def test_only_the_present_matters(name: str, weights: list[float], steps: list[int]) -> None:
    """Whatever membership went before, the owners are those of a policy made afresh."""
    endpoints = endpoints_of_weights(weights)
    lived = made(name)
    for step in steps:
        present = [e for i, e in enumerate(endpoints) if step >> i & 1]
        lived.rebuild(present)
        fresh = made(name)
        fresh.rebuild(present)
        if present:
            assert picks(lived, present, 200) == picks(fresh, present, 200)


OWNERS = """
from tests.contract.pools import endpoints_of_weights, made, picks
for name in {names!r}:
    policy = made(name)
    endpoints = endpoints_of_weights([1.0, 2.0, 1.0, 3.0])
    policy.rebuild(endpoints)
    print(*[endpoint.name for endpoint in picks(policy, endpoints, 300)])
"""


def test_every_process_agrees_on_the_owners() -> None:
    """Nothing depends on the seed of Python's own hash, which differs between processes."""
    told = [
        subprocess.run(
            [sys.executable, "-c", OWNERS.format(names=KEYED)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count("\n") == len(KEYED)
