"""What the policies that learn from latency or load reports do, each on its own formula."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import Policy, create
from penstock.core.policy.composite.adaptive import Adaptive
from penstock.core.policy.latency.c3 import C3
from penstock.core.policy.latency.thompson import Belief, logistic
from penstock.core.policy.support.latency import LatencyPolicy
from penstock.core.policy.support.mean import FadingMean
from penstock.core.policy.support.quantile import LARGEST, SlidingQuantile
from penstock.core.ticket import CONNECT_FAILED, DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env, keyed, picks


def built(name: str, endpoints: list[Endpoint], **options: object) -> Policy:
    policy = create(name, options)
    policy.rebuild(endpoints)
    return policy


def answer(policy: Policy, endpoint: Endpoint, latency_s: float, now: float = 0.0) -> None:
    """One request to an endpoint, answered in that time."""
    ticket = Ticket(endpoint, policy, keyed(1), now)
    ticket.first_byte(now + latency_s)
    ticket.settle(DONE, now + latency_s)


def counted(policy: Policy, endpoints: list[Endpoint], count: int = 500) -> Counter[str]:
    return Counter(endpoint.name for endpoint in picks(policy, endpoints, count))


class Speeds:
    """Endpoints that serve one request after another, each at its own pace, on a virtual clock."""

    def __init__(self, policy: Policy, service_s: list[float]) -> None:
        self.policy = policy
        self.endpoints = endpoints_of_weights([1.0] * len(service_s))
        self.service_s = {e.name: s for e, s in zip(self.endpoints, service_s, strict=True)}
        self.free_at = dict.fromkeys(self.service_s, 0.0)
        self.env: Env = env()
        self.running: list[tuple[float, int, Ticket]] = []
        self.picked: Counter[str] = Counter()
        self.latency_s = 0.0
        policy.rebuild(self.endpoints)

    def run(self, requests: int, rate: float) -> None:
        for i in range(requests):
            self.env.now += self.env.rng.expovariate(rate)
            self.finish()
            picked = self.policy.pick(keyed(i), self.endpoints, self.env)
            assert picked is not None
            self.picked[picked.name] += 1
            ticket = Ticket(picked, self.policy, keyed(i), self.env.now)
            starts = max(self.env.now, self.free_at[picked.name])
            ends = starts + self.env.rng.expovariate(1.0 / self.service_s[picked.name])
            self.free_at[picked.name] = ends
            self.latency_s += ends - self.env.now
            self.running.append((ends, i, ticket))

    def finish(self) -> None:
        self.running.sort(key=lambda entry: entry[:2])
        while self.running and self.running[0][0] <= self.env.now:
            ends, _, ticket = self.running.pop(0)
            ticket.first_byte(ends)
            ticket.settle(DONE, ends)


@pytest.mark.parametrize("name", ["least-response-time", "c3", "thompson", "peak-ewma", "prequal"])
def test_a_replica_ten_times_slower_gets_much_less(name: str) -> None:
    """At half load; a fair share would be a fifth."""
    pool = Speeds(create(name, {"measure": "total"}), [0.01, 0.01, 0.01, 0.01, 0.1])
    pool.run(4000, rate=200.0)
    assert pool.picked["e4"] / 4000 < 0.08


@pytest.mark.parametrize(
    "name", ["least-response-time", "c3", "thompson", "peak-ewma", "prequal", "adaptive"]
)
@pytest.mark.parametrize("count", [4, 10, 40])
def test_equal_endpoints_are_not_made_unequal_by_learning(name: str, count: int) -> None:
    """At 80% load a random split waits five service times on average; these wait less than half
    of that."""
    pool = Speeds(create(name, {"measure": "total"}), [0.01] * count)
    pool.run(1000, rate=80.0 * count)
    pool.latency_s = 0.0
    pool.run(3000, rate=80.0 * count)
    assert pool.latency_s / 3000 < 0.025


@pytest.mark.parametrize("name", ["least-response-time", "c3", "thompson", "peak-ewma"])
def test_failing_fast_attracts_no_traffic(name: str) -> None:
    endpoints = endpoints_of_weights([1.0, 1.0])
    policy = built(name, endpoints)
    for i in range(200):
        answer(policy, endpoints[0], 0.1, i * 0.01)
        answer(policy, endpoints[1], 0.1, i * 0.01)
        Ticket(endpoints[0], policy, keyed(1), i * 0.01).settle(CONNECT_FAILED, i * 0.01)
    chance = env(now=2.0)
    picked = Counter(policy.pick(keyed(i), endpoints, chance) for i in range(1000))
    assert picked[endpoints[0]] < 600  # of 1000; chance alone gives more in one of 10^9 runs


class TestFadingMean:
    def test_it_is_the_mean_while_nothing_fades(self) -> None:
        mean = FadingMean()
        for sample in (1.0, 2.0, 6.0):
            mean.add(sample, 0.0, 10.0)
        assert (mean.value, mean.weight) == (3.0, 3.0)

    def test_a_sample_of_age_tau_weighs_one_part_in_e(self) -> None:
        mean = FadingMean()
        mean.add(0.0, 0.0, 10.0)
        mean.add(1.0, 10.0, 10.0)
        assert mean.weight == pytest.approx(1.3678794)
        assert mean.value == pytest.approx(1.0 / 1.3678794)


class TestSlidingQuantile:
    @given(
        values=st.lists(st.integers(0, 30) | st.integers(0, 5000), min_size=1, max_size=60),
        size=st.integers(1, 20),
        q=st.floats(0.0, 1.0),
    )
    def test_it_is_that_of_the_last_values(self, values: list[int], size: int, q: float) -> None:
        recent = SlidingQuantile(size, q)
        for value in values:
            recent.add(value)
        last = sorted(min(value, LARGEST) for value in values[-size:])
        assert recent.value() == last[min(int(q * len(last)), len(last) - 1)]

    def test_without_values_nothing_exceeds_it(self) -> None:
        assert SlidingQuantile(4, 0.5).value() == LARGEST


class TestLeastResponseTime:
    def test_it_is_the_product_of_latency_and_load(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("least-response-time", endpoints)
        answer(policy, endpoints[0], 0.1)
        answer(policy, endpoints[1], 0.25)
        assert set(counted(policy, endpoints)) == {"e0"}
        endpoints[0].in_flight = 1
        assert set(counted(policy, endpoints)) == {"e0"}
        endpoints[0].in_flight = 2
        assert set(counted(policy, endpoints)) == {"e1"}

    def test_whole_responses_may_be_measured_instead(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("least-response-time", endpoints, measure="total")
        for endpoint, total_s in zip(endpoints, (5.0, 0.5), strict=True):
            ticket = Ticket(endpoint, policy, keyed(1), 0.0)
            ticket.first_byte(0.01)
            ticket.settle(DONE, total_s)
        assert set(counted(policy, endpoints)) == {"e1"}

    def test_an_endpoint_never_tried_is_tried(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("least-response-time", endpoints)
        answer(policy, endpoints[0], 0.001)
        assert set(counted(policy, endpoints)) == {"e1"}


class TestC3:
    def test_psi_is_as_published(self) -> None:
        """Ψ = R̄ − 1/μ̄ + q̂³/μ̄ with q̂ = 1 + os·n + q̄."""
        endpoint = Endpoint("e")
        policy = built("c3", [endpoint], balancers=3)
        assert isinstance(policy, C3)
        answer(policy, endpoint, 0.2)
        policy.on_report(endpoint, LoadReport(0.2, queued=2.0, service_s=0.05))
        endpoint.in_flight = 1
        assert policy.ranking(endpoint).cost(endpoint, env()) == pytest.approx(
            0.2 - 0.05 + 6.0**3 * 0.05
        )

    def test_a_long_queue_outweighs_a_fast_server(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("c3", endpoints)
        for endpoint, service_s, queued in zip(endpoints, (0.01, 0.02), (8.0, 1.0), strict=True):
            answer(policy, endpoint, 0.05)
            policy.on_report(endpoint, LoadReport(0.0, queued=queued, service_s=service_s))
        assert set(counted(policy, endpoints)) == {"e1"}


class TestReportedWeight:
    def told(self, *ratios: float) -> tuple[Policy, list[Endpoint]]:
        """Endpoints that have told of themselves for half a minute, once a second."""
        endpoints = endpoints_of_weights([1.0] * len(ratios))
        policy = built("reported-weight", endpoints)
        for second in range(30):
            for endpoint, ratio in zip(endpoints, ratios, strict=True):
                if ratio > 0.0:
                    report = LoadReport(float(second), rate=50.0 * ratio, utilisation=0.5)
                    policy.on_report(endpoint, report)
        return policy, endpoints

    def shares(self, policy: Policy, endpoints: list[Endpoint], now: float) -> list[int]:
        chance = env(now=now)
        picked = Counter(policy.pick(keyed(i), endpoints, chance) for i in range(700))
        return [picked[endpoint] for endpoint in endpoints]

    def test_work_follows_rate_over_utilisation(self) -> None:
        policy, endpoints = self.told(1.0, 2.0, 4.0)
        assert self.shares(policy, endpoints, 30.0) == pytest.approx([100, 200, 400], abs=2)

    def test_an_endpoint_that_tells_nothing_has_the_mean(self) -> None:
        policy, endpoints = self.told(1.0, 4.0, 0.0)
        assert self.shares(policy, endpoints, 30.0) == pytest.approx([93, 373, 233], abs=2)

    def test_configured_weights_count_as_well(self) -> None:
        policy, endpoints = self.told(1.0, 2.0, 4.0)
        endpoints[2].weight = 0.25
        policy.rebuild(endpoints)
        assert self.shares(policy, endpoints, 30.0) == pytest.approx([175, 350, 175], abs=2)

    def test_reports_do_not_count_at_first_nor_when_they_are_old(self) -> None:
        policy, endpoints = self.told(1.0, 2.0, 4.0)
        assert self.shares(policy, endpoints, 9.0) == pytest.approx([233] * 3, abs=2)
        assert self.shares(policy, endpoints, 30.0 + 180.0) == pytest.approx([233] * 3, abs=2)

    def test_one_report_alone_is_compared_with_nothing(self) -> None:
        policy, endpoints = self.told(9.0, 0.0)
        assert self.shares(policy, endpoints, 30.0) == [350, 350]


class TestBelief:
    def test_it_narrows_with_samples_and_widens_with_time(self) -> None:
        belief = Belief(decay_s=10.0)
        widths = []
        for i in range(50):
            belief.add(1.0 if i % 2 else 3.0, 0.0)
            widths.append(belief.deviation(0.0))
        assert widths == sorted(widths, reverse=True)
        assert belief.mean == pytest.approx(2.0)
        assert belief.deviation(0.0) == pytest.approx((1.0 / 50 + 4.0 / 50**2) ** 0.5)
        assert belief.deviation(20.0) > 2.0 * widths[-1]
        assert belief.deviation(200.0) == belief.mean

    def test_a_logistic_draw_has_mean_zero_and_variance_one(self) -> None:
        """Of 20,000 draws; off by more in one of 10^9 runs."""
        chance = env()
        drawn = [logistic(chance) for _ in range(20_000)]
        assert abs(sum(drawn) / 20_000) < 6.1 / 20_000**0.5
        assert sum(x * x for x in drawn) / 20_000 == pytest.approx(1.0, abs=0.1)


class TestThompson:
    def test_it_notices_that_an_endpoint_became_slow(self) -> None:
        pool = Speeds(create("thompson", {"measure": "total", "decay_s": 10.0}), [0.01] * 4)
        pool.run(2000, rate=100.0)
        assert pool.picked["e0"] / 2000 > 0.15
        pool.service_s["e0"] = 0.1
        pool.run(1000, rate=100.0)
        pool.picked.clear()
        pool.run(2000, rate=100.0)
        assert pool.picked["e0"] / 2000 < 0.1

    def test_speed_is_told_apart_from_queue(self) -> None:
        """A request that met four others took five times as long; the endpoint is as fast."""
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("thompson", endpoints)
        for _ in range(100):
            answer(policy, endpoints[0], 0.1)
            endpoints[1].in_flight = 4
            answer(policy, endpoints[1], 0.5)
            endpoints[1].in_flight = 0
        told = policy.beliefs()
        assert told["e0"]["cost_s"] == pytest.approx(told["e1"]["cost_s"])


class TestAdaptive:
    def run(self, policies: str, requests: int) -> Adaptive:
        policy = create(
            "adaptive",
            {"policies": policies, "slot_s": 0.5, "slot_requests": 30, "measure": "total"},
        )
        assert isinstance(policy, Adaptive)
        pool = Speeds(policy, [0.01, 0.01, 0.01, 0.08])
        pool.run(requests, rate=200.0)
        return policy

    def test_it_keeps_to_the_better_policy_and_says_so(self) -> None:
        """One replica is slow: least request copes, round robin does not."""
        policy = self.run("round-robin, least-request", 20_000)
        told = policy.beliefs()
        assert told["least-request"]["share_of_slots"] > 0.75
        assert told["least-request"]["relative_cost"] < told["round-robin"]["relative_cost"]
        assert told["round-robin"]["regret"] > 0.0
        assert sum(each["share_of_slots"] for each in told.values()) == pytest.approx(1.0)

    def test_every_candidate_gets_its_first_slots(self) -> None:
        policy = self.run("random, round-robin, least-request", 1500)
        assert all(each["share_of_slots"] > 0.0 for each in policy.beliefs().values())
        assert policy.chosen() in policy.beliefs()

    @pytest.mark.parametrize("names", ["", "random", "random, adaptive", "random, no-such"])
    def test_candidates_that_make_no_choice_are_refused(self, names: str) -> None:
        with pytest.raises(ValueError):
            create("adaptive", {"policies": names})


class Heard(LatencyPolicy):
    """Notes what it is told."""

    name = "heard"

    def __init__(self, measure: str) -> None:
        super().__init__(measure)
        self.said: list[str] = []

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        self.said.append("answered")

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        self.said.append("disappointed")


@pytest.mark.parametrize("measure", ["first-byte", "total"])
@pytest.mark.parametrize(
    ("status", "said"),
    [(200, ["answered"]), (500, ["disappointed"]), (501, []), (505, []), (600, [])],
)
def test_what_is_not_supported_tells_nothing_of_an_endpoints_pace(
    measure: str, status: int, said: list[str]
) -> None:
    """It is answered in no time, and would draw traffic; it is no failure either."""
    policy = Heard(measure)
    ticket = Ticket(Endpoint("a"), policy, keyed(1), 1.0)
    ticket.status = status
    ticket.first_byte(2.0)
    ticket.settle(DONE, 3.0)
    assert policy.said == said
