"""Prequal: what it probes, how long it believes answers, and whom it picks by them."""

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import Policy, create
from penstock.core.policy.latency.prequal import uses_per_answer
from tests.contract.pools import endpoints_of_weights, env, keyed


def asked(endpoints: list[Endpoint], **options: object) -> Policy:
    policy = create("prequal", {"answers": "asked", **options})
    policy.rebuild(endpoints)
    return policy


def told(
    rule: str, answers: list[tuple[float, float]], **options: object
) -> tuple[Policy, list[Endpoint]]:
    """A pool of one answer, RIF and latency, of each of the first endpoints."""
    endpoints = endpoints_of_weights([1.0] * 40)
    policy = asked(endpoints, rule=rule, **options)
    for endpoint, (rif, latency_s) in zip(endpoints, answers, strict=False):
        policy.on_report(endpoint, LoadReport(0.0, in_flight=rif, latency_s=latency_s))
    return policy, endpoints


@pytest.mark.parametrize(
    ("probe_rate", "remove_rate", "uses"),
    [(3.0, 1.0, 1.3158), (1.0, 0.25, 3.3898), (0.5, 0.25, 11.7647)],
)
def test_answers_are_reused_as_often_as_published(
    probe_rate: float, remove_rate: float, uses: float
) -> None:
    assert uses_per_answer(16, 100, probe_rate, remove_rate) == pytest.approx(uses, abs=5e-5)


def test_a_pool_that_no_probe_can_fill_keeps_answers_until_they_age() -> None:
    assert uses_per_answer(16, 10, 3.0, 1.0) > 1e5


def test_three_different_endpoints_are_probed_for_each_request() -> None:
    endpoints = endpoints_of_weights([1.0] * 20)
    policy = asked(endpoints)
    chance = env()
    for _ in range(50):
        assert len(set(policy.probes_wanted(chance))) == 3


def test_fractional_rates_are_kept_on_average() -> None:
    policy = asked(endpoints_of_weights([1.0] * 20), probe_rate=0.3)
    chance = env()
    assert sum(len(policy.probes_wanted(chance)) for _ in range(100)) in (29, 30)


def test_the_cold_endpoint_of_least_latency_is_picked() -> None:
    endpoints = endpoints_of_weights([1.0] * 40)
    policy = asked(endpoints, remove_rate=0.0)
    for endpoint, rif, latency_s in zip(
        endpoints, (1.0, 2.0, 3.0, 9.0), (0.3, 0.1, 0.2, 0.01), strict=False
    ):
        policy.on_report(endpoint, LoadReport(0.0, in_flight=rif, latency_s=latency_s))
    # The 0.84 quantile of 1, 2, 3, 9 is 9 by rank; with more answers it is 3.
    for _ in range(8):
        policy.on_report(endpoints[0], LoadReport(0.0, in_flight=1.0, latency_s=0.3))
    assert policy.pick(keyed(1), endpoints, env()) is endpoints[1]


def test_when_all_are_hot_the_least_loaded_is_picked() -> None:
    endpoints = endpoints_of_weights([1.0] * 40)
    policy = asked(endpoints, probe_age_s=1.0, q_rif=0.5)
    for _ in range(100):
        policy.on_report(endpoints[9], LoadReport(0.0, in_flight=1.0, latency_s=0.1))
    for endpoint, rif in zip(endpoints, (5.0, 4.0, 6.0), strict=False):
        policy.on_report(endpoint, LoadReport(2.0, in_flight=rif, latency_s=0.1))
    assert policy.pick(keyed(1), endpoints, env(now=2.5)) is endpoints[1]


def test_old_answers_are_dropped_and_fewer_than_two_are_not_trusted() -> None:
    endpoints = endpoints_of_weights([1.0] * 40)
    policy = asked(endpoints)
    for endpoint in endpoints[:2]:
        policy.on_report(endpoint, LoadReport(0.0, in_flight=0.0, latency_s=0.1))
    chance = env(now=1.5)
    assert len({policy.pick(keyed(i), endpoints, chance) for i in range(50)}) > 10


def test_a_pick_counts_as_a_request_in_flight_there() -> None:
    endpoints = endpoints_of_weights([1.0] * 2)
    policy = asked(endpoints, remove_rate=0.0, q_rif=0.0)
    for endpoint in endpoints:
        policy.on_report(endpoint, LoadReport(0.0, in_flight=0.0, latency_s=0.1))
    first = policy.pick(keyed(1), endpoints, env())
    assert policy.pick(keyed(1), endpoints, env()) is not first


@pytest.mark.parametrize(
    ("rif_share", "picked"),
    [
        (0.0, 3),  # latency alone
        (0.5, 1),  # 0.5 x 0.1 + 0.5 x 0.075 x 2 = 0.125 is the least
        (1.0, 0),  # RIF alone
    ],
)
def test_the_linear_rule_weighs_latency_and_requests_in_flight(
    rif_share: float, picked: int
) -> None:
    answers = [(1.0, 0.3), (2.0, 0.1), (4.0, 0.09), (9.0, 0.01)]
    policy, endpoints = told("linear", answers, rif_share=rif_share)
    assert policy.pick(keyed(1), endpoints, env()) is endpoints[picked]


def test_the_rule_that_picks_the_best_also_removes_the_worst() -> None:
    answers = [(1.0, 0.3), (2.0, 0.1), (4.0, 0.09), (9.0, 0.01)]
    policy, endpoints = told("linear", answers, remove_rate=2.0, probe_rate=30.0)
    policy.pick(keyed(1), endpoints, env())
    # The best is used up, the oldest goes and, at 0.343, the worst.
    assert set(policy.beliefs()) == {endpoints[2].name}


def test_c3_ranks_the_pool_by_the_cube_of_the_queue() -> None:
    # (1 + RIF)^3 x latency: 2.7, 1.28, 64 x 0.09; the client has seen no response itself.
    policy, endpoints = told("c3", [(2.0, 0.1), (3.0, 0.02), (3.0, 0.09)])
    assert policy.pick(keyed(1), endpoints, env()) is endpoints[1]


def test_c3_takes_its_own_requests_for_those_of_every_client() -> None:
    policy, endpoints = told("c3", [(2.0, 0.1), (9.0, 0.1)], balancers=100)
    endpoints[0].in_flight = 1
    assert policy.pick(keyed(1), endpoints, env()) is endpoints[1]


def test_c3_does_not_take_an_unknown_latency_for_speed() -> None:
    policy, endpoints = told("c3", [(2.0, 0.1), (50.0, 0.1)])
    for _ in range(5):
        policy.on_report(endpoints[1], LoadReport(0.0, in_flight=50.0, latency_s=-1.0))
    assert policy.pick(keyed(1), endpoints, env()) is endpoints[0]
