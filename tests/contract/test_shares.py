"""Laws on who gets how much. Statistical tests state how often a right policy would fail them."""

import pytest
from scipy.stats import chi2  # type: ignore[import-untyped]

from penstock.core.endpoint import Endpoint
from penstock.core.policy import Policy, create, policies
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env, keyed, made, picks, shares

FALSE_ALARM = 1e-9  # of one test here, were its seed not fixed
weighted_policies = pytest.mark.parametrize(
    "name", [name for name, cls in policies().items() if cls.weighted]
)


def goodness_of_fit(picked: list[Endpoint], endpoints: list[Endpoint]) -> float:
    """Pearson's χ² of the picks against the weights."""
    total_weight = sum(endpoint.weight for endpoint in endpoints)
    share = shares(picked)
    return sum(
        len(picked) * (share.get(e.name, 0.0) - e.weight / total_weight) ** 2
        / (e.weight / total_weight)
        for e in endpoints
    )  # fmt: skip


@weighted_policies
@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0, 4.0], [1.0, 3.0] * 12, [1.0] * 10])
def test_idle_endpoints_get_work_by_weight(name: str, weights: list[float]) -> None:
    """Requests that never overlap are shared by weight. Policies without a table are within
    chance of it (χ², false alarm 1e-9); a table's own unevenness may add a quarter."""
    policy = made(name)
    endpoints = endpoints_of_weights(weights)
    policy.rebuild(endpoints)
    picked = picks(policy, endpoints, 20_000)
    if policy.consistent:
        share = shares(picked)
        for endpoint in endpoints:
            assert share[endpoint.name] * sum(weights) == pytest.approx(endpoint.weight, rel=0.25)
    else:
        limit = float(chi2.isf(FALSE_ALARM, len(weights) - 1))
        assert goodness_of_fit(picked, endpoints) < limit


@weighted_policies
def test_a_canary_of_one_percent_gets_about_one_percent(name: str) -> None:
    policy = made(name)
    endpoints = endpoints_of_weights([1.0, 99.0])
    policy.rebuild(endpoints)
    share = shares(picks(policy, endpoints, 20_000))
    assert 0.002 < share["e0"] < 0.03


@pytest.mark.parametrize("name", [name for name, cls in policies().items() if cls.spreads])
@pytest.mark.parametrize("count", [4, 40])
def test_no_equal_endpoint_holds_more_than_twice_its_share(name: str, count: int) -> None:
    """Requests that never end pile up evenly enough: at most double the mean on any endpoint.

    With 250 expected on each, chance alone passes double with probability below 1e-40.
    """
    policy = made(name)
    endpoints = endpoints_of_weights([1.0] * count)
    policy.rebuild(endpoints)
    chance = env()
    for i in range(250 * count):
        picked = policy.pick(keyed(i), endpoints, chance)
        assert picked is not None
        Ticket(picked, policy, keyed(i), chance.now)
    assert max(endpoint.load() for endpoint in endpoints) <= 500


def test_random_draws_follow_the_weights_after_they_change() -> None:
    """χ², false alarm 1e-9."""
    policy = create("random")
    endpoints = endpoints_of_weights([1.0] * 5)
    policy.rebuild(endpoints)
    endpoints[3].weight = 6.0
    policy.rebuild(endpoints)
    limit = float(chi2.isf(FALSE_ALARM, 4))
    assert goodness_of_fit(picks(policy, endpoints, 20_000), endpoints) < limit


BOUNDED = [
    name for name, cls in policies().items() if "bounded_load" in {o.name for o in cls.options}
]


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("weights", [[1.0] * 8, [1.0, 2.0, 4.0, 1.0] * 10])
def test_one_hot_key_cannot_pass_the_bound(name: str, weights: list[float]) -> None:
    """All requests have one key and most never end; no endpoint passes 1.25 times its share by
    more than the requests placed between two counts of the load."""
    policy = made(name, bounded_load=1.25)
    endpoints = endpoints_of_weights(weights)
    policy.rebuild(endpoints)
    chance = env()
    for i in range(800):
        picked = policy.pick(keyed(1), endpoints, chance)
        assert picked is not None
        ticket = Ticket(picked, policy, keyed(1), chance.now)
        if i % 10 == 0:
            ticket.settle(DONE, chance.now)
        in_flight = sum(endpoint.load() for endpoint in endpoints)
        slack = 1 + 1.25 * len(endpoints) // 8
        assert picked.load() <= 1.25 * in_flight * picked.weight / sum(weights) + slack


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_leaves_keys_at_home_while_there_is_room(name: str) -> None:
    endpoints = endpoints_of_weights([1.0] * 20)
    bounded, free = made(name, bounded_load=1.25), made(name)
    for policy in (bounded, free):
        policy.rebuild(endpoints)
    assert owners(bounded, endpoints) == owners(free, endpoints)


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_of_the_fair_share_itself_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="bounded_load"):
        create(name, {"bounded_load": 1.0})


def owners(policy: Policy, endpoints: list[Endpoint]) -> list[str]:
    """Where 2,000 keys go on an idle pool."""
    return [endpoint.name for endpoint in picks(policy, endpoints, 2000)]
