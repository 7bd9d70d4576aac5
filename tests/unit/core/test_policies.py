"""What each policy does beyond the laws that hold for all (``tests/contract``)."""

from collections import Counter
from math import exp

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.policy import Policy, create
from penstock.core.policy.latency.peak_ewma import PENALTY_S, PeakLatency
from penstock.core.policy.support.belief import PoolMean
from penstock.core.policy.support.ring import HashRing, rounded
from penstock.core.policy.support.sampler import Sampler
from penstock.core.ticket import CONNECT_FAILED, DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env, keyed, picks


def built(name: str, endpoints: list[Endpoint], **options: object) -> Policy:
    policy = create(name, options)
    policy.rebuild(endpoints)
    return policy


def names(picked: list[Endpoint]) -> str:
    return " ".join(endpoint.name for endpoint in picked)


class TestRoundRobin:
    def test_equal_endpoints_take_turns(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0, 1.0])
        assert names(picks(built("round-robin", endpoints), endpoints, 7)) == (
            "e0 e1 e2 e0 e1 e2 e0"
        )

    def test_weights_five_one_one_are_spread_smoothly(self) -> None:
        """nginx's own example."""
        endpoints = endpoints_of_weights([5.0, 1.0, 1.0])
        assert names(picks(built("round-robin", endpoints), endpoints, 7)) == (
            "e0 e0 e1 e0 e2 e0 e0"
        )

    def test_credit_survives_a_change_of_eligibility(self) -> None:
        endpoints = endpoints_of_weights([5.0, 1.0, 1.0])
        policy = built("round-robin", endpoints)
        first = picks(policy, endpoints, 3)
        policy.rebuild(list(endpoints))
        policy.rebuild(endpoints)
        assert names(first + picks(policy, endpoints, 4)) == "e0 e0 e1 e0 e2 e0 e0"

    def test_turns_go_on_with_a_shorter_list(self) -> None:
        endpoints = endpoints_of_weights([2.0, 1.0, 1.0])
        policy = built("round-robin", endpoints)
        assert Counter(names(picks(policy, endpoints[1:], 100)).split()) == {"e1": 50, "e2": 50}


class TestLeastRequest:
    def test_the_least_loaded_of_a_small_pool_is_picked(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 16)
        for endpoint in endpoints:
            endpoint.in_flight = 3
        endpoints[11].in_flight = 2
        assert names(picks(built("least-request", endpoints), endpoints, 1)) == "e11"

    def test_equal_loads_take_turns_whichever_they_are(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 16)
        for endpoint in endpoints[1:5] + endpoints[6:]:
            endpoint.in_flight = 1
        policy = built("least-request", endpoints)
        assert names(picks(policy, endpoints, 4)) == "e0 e5 e0 e5"

    def test_load_elsewhere_counts(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        endpoints[0].elsewhere = 1
        assert names(picks(built("least-request", endpoints), endpoints, 2)) == "e1 e1"

    @pytest.mark.parametrize("count", [4, 40])
    def test_a_busy_pool_holds_requests_in_proportion_to_weight(self, count: int) -> None:
        endpoints = endpoints_of_weights([1.0, 3.0] * (count // 2))
        policy = built("least-request", endpoints)
        hold(policy, endpoints, 100 * count)
        assert sum(e.load() for e in endpoints[1::2]) == pytest.approx(75 * count, rel=0.05)

    def test_anticipation_lets_a_light_endpoint_idle(self) -> None:
        """(load + 1) / weight: 1/3 and 2/3 come before the light one's 1."""
        endpoints = endpoints_of_weights([1.0, 3.1])
        policy = built("least-request", endpoints, anticipate=True)
        assert names(hold(policy, endpoints, 4)) == "e1 e1 e1 e0"

    def test_bias_makes_load_count_for_more(self) -> None:
        """load² / weight: 4/1 against 9/2."""
        endpoints = endpoints_of_weights([1.0, 2.0])
        endpoints[0].in_flight, endpoints[1].in_flight = 2, 3
        assert names(picks(built("least-request", endpoints), endpoints, 1)) == "e1"
        assert names(picks(built("least-request", endpoints, bias=2.0), endpoints, 1)) == "e0"


class TestPowerOfTwo:
    def test_the_most_loaded_of_all_is_never_picked(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 20)
        endpoints[7].in_flight = 1
        assert "e7" not in names(picks(built("power-of-two", endpoints), endpoints, 2000)).split()

    def test_many_choices_are_nearly_a_full_scan(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 10)
        for endpoint in endpoints[1:]:
            endpoint.in_flight = 1
        policy = built("power-of-two", endpoints, choices=100)
        assert set(names(picks(policy, endpoints, 100)).split()) == {"e0"}

    def test_one_choice_is_random(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        endpoints[0].in_flight = 100
        policy = built("power-of-two", endpoints, choices=1)
        assert set(names(picks(policy, endpoints, 100)).split()) == {"e0", "e1"}

    def test_two_choices_keep_the_longest_pile_short(self) -> None:
        """n balls into n bins: log log n against log n (Azar et al. 1994)."""
        one, two = endpoints_of_weights([1.0] * 1000), endpoints_of_weights([1.0] * 1000)
        hold(built("random", one), one, 1000)
        hold(built("power-of-two", two), two, 1000)
        assert max(e.load() for e in two) <= 4
        assert max(e.load() for e in one) >= 5


class TestSampler:
    def test_columns_add_up_to_the_weights(self) -> None:
        """Exactly: what each endpoint keeps and what it is given make its share."""
        weights = [0.5, 7.0, 1.0, 1.0, 30.0, 0.01]
        sampler = Sampler(endpoints_of_weights(weights))
        shares = [0.0] * len(weights)
        for column, keep in enumerate(sampler._keep):
            shares[column] += keep / len(weights)
            shares[sampler._alias[column]] += (1.0 - keep) / len(weights)
        assert shares == pytest.approx([weight / sum(weights) for weight in weights])

    def test_a_second_draw_never_repeats_the_first(self) -> None:
        sampler = Sampler(endpoints_of_weights([1.0] * 3))
        chance = env()
        seconds = {(a, sampler.another(a, chance)) for a in range(3) for _ in range(100)}
        assert seconds == {(a, b) for a in range(3) for b in range(3) if a != b}


class TestHashRing:
    def test_five_significant_bits_are_kept(self) -> None:
        assert [rounded(points) for points in (0.2, 1, 31, 33, 160, 163, 165, 1e6)] == [
            1, 1, 31, 34, 160, 160, 168, 1015808,
        ]  # fmt: skip

    def test_shares_vary_by_one_over_the_root_of_the_points(self) -> None:
        """Within a third of it, over 200 endpoints."""
        endpoints = endpoints_of_weights([1.0] * 200)
        policy = built("consistent-hash", endpoints)
        counts = Counter(names(picks(policy, endpoints, 100_000)).split())
        mean = 500.0
        variance = sum((counts[e.name] - mean) ** 2 for e in endpoints) / 200
        of_the_ring = (variance - mean) ** 0.5 / mean  # less the keys' own chance
        assert of_the_ring == pytest.approx(160**-0.5, rel=0.33)

    def test_huge_weights_do_not_make_a_huge_ring(self) -> None:
        ring = HashRing(160, max_points=1000)
        ring.build(endpoints_of_weights([1000.0] * 40))
        assert 8 * 500 <= ring.size_bytes() <= 16 * 1000


class TestSourceHash:
    def test_shares_are_exact_over_the_hash_space(self) -> None:
        endpoints = endpoints_of_weights([1.0, 2.0, 1.0])
        policy = built("source-hash", endpoints)
        request = keyed(1)
        picked = []
        for step in range(400):
            request.key_hash = (step << 64) // 400 + 1
            picked.append(policy.pick(request, endpoints, env()))
        assert Counter(e.name for e in picked if e) == {"e0": 100, "e1": 200, "e2": 100}

    def test_consistent_moves_few_clients(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 20)
        before = picks(built("source-hash", endpoints, consistent=True), endpoints, 2000)
        fewer = endpoints[:-1]
        after = picks(built("source-hash", fewer, consistent=True), fewer, 2000)
        moved = sum(1 for old, new in zip(before, after, strict=True) if old is not new)
        assert moved < 2000 * 2 / 20


class TestPeakEwma:
    def test_a_peak_is_taken_at_once_and_left_slowly(self) -> None:
        latency = PeakLatency(0.0, 10.0, PoolMean(10.0))
        latency.observe(0.1, 0.0)
        assert latency.cost_s == 0.1
        latency.observe(2.0, 1.0)
        assert latency.cost_s == 2.0
        latency.observe(0.1, 6.0)
        assert latency.cost_s == pytest.approx(2.0 * exp(-0.5) + 0.1 * (1 - exp(-0.5)))

    def test_reading_observes_zero_first(self) -> None:
        endpoint = Endpoint("e")
        latency = PeakLatency(0.0, 10.0, PoolMean(10.0))
        latency.observe(1.0, 0.0)
        assert latency.cost(endpoint, env(now=10.0)) == pytest.approx(exp(-1.0))

    def test_an_unknown_endpoint_with_requests_pending_is_penalised(self) -> None:
        endpoint = Endpoint("e")
        assert PeakLatency(0.0, 10.0, PoolMean(10.0)).cost(endpoint, env()) == 0.0
        endpoint.in_flight = 2
        assert PeakLatency(0.0, 10.0, PoolMean(10.0)).cost(endpoint, env()) == PENALTY_S + 2

    def test_a_slow_endpoint_gets_less(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 10)
        policy = built("peak-ewma", endpoints)
        for endpoint in endpoints:
            measure(policy, endpoint, 1.0 if endpoint.name == "e3" else 0.1)
        assert "e3" not in names(picks(policy, endpoints, 1000)).split()

    def test_failing_fast_attracts_no_traffic(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("peak-ewma", endpoints)
        for endpoint in endpoints:
            measure(policy, endpoint, 0.1)
        for _ in range(50):
            Ticket(endpoints[0], policy, keyed(1), 0.0).settle(CONNECT_FAILED, 0.0001)
        counts = Counter(names(picks(policy, endpoints, 1000)).split())
        assert counts["e0"] < 600  # of 1000; chance alone gives more in one of 10^9 runs

    def test_what_is_known_survives_an_ejection(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("peak-ewma", endpoints)
        measure(policy, endpoints[0], 5.0)
        measure(policy, endpoints[1], 0.1)
        policy.rebuild(endpoints[1:])
        policy.rebuild(endpoints)
        assert set(names(picks(policy, endpoints, 100)).split()) == {"e1"}


def measure(policy: Policy, endpoint: Endpoint, first_byte_s: float) -> None:
    """One request whose first byte comes after that time."""
    ticket = Ticket(endpoint, policy, keyed(1), 0.0)
    ticket.first_byte(first_byte_s)
    ticket.settle(DONE, first_byte_s)


def hold(policy: Policy, endpoints: list[Endpoint], count: int) -> list[Endpoint]:
    """Picks for requests that do not end."""
    chance = env()
    picked = []
    for i in range(count):
        endpoint = policy.pick(keyed(i), endpoints, chance)
        assert endpoint is not None
        Ticket(endpoint, policy, keyed(i), chance.now)
        picked.append(endpoint)
    return picked
