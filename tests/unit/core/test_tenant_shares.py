"""Who goes first of those who wait: classes, tenants by their weights, deadlines, arrival."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.admission.preemption import Holder, who_yields
from penstock.core.admission.queue import AdmissionQueue
from penstock.core.admission.scheduler import QueueEntry
from penstock.core.admission.tenant_shares import TenantShares, account_of


def request(
    tenant: str,
    *,
    importance: int = 0,
    weight: float = 1.0,
    cost: float = 1.0,
    cached: float = 0.0,
    deadline: float = 1e9,
) -> QueueEntry:
    entry = QueueEntry(tenant, deadline, importance)
    entry.tenant = tenant
    entry.weight = weight
    entry.cost = cost
    entry.cached = cached
    return entry


def fair_queue(*, patience_s: float = inf, credit: float = 0.0) -> AdmissionQueue:
    return AdmissionQueue(10_000, patience_s=patience_s, shares=TenantShares(credit=credit))


def serve(queue: AdmissionQueue, now: float = 1.0) -> QueueEntry:
    """Who goes on next, where there is room for one."""
    first = queue.next_in_line(now)[0]
    assert queue.take(first, now)
    return first


def given_to(served: list[QueueEntry]) -> dict[str, float]:
    found: dict[str, float] = {}
    for entry in served:
        found[entry.tenant] = found.get(entry.tenant, 0.0) + entry.cost
    return found


def test_tenants_that_wait_get_their_weights_shares() -> None:
    queue = fair_queue()
    weights = {"a": 1.0, "b": 2.0, "c": 5.0}
    for tenant, weight in weights.items():
        for _ in range(900):
            queue.push(request(tenant, weight=weight), 1.0)
    served = given_to([serve(queue) for _ in range(800)])
    for tenant, weight in weights.items():
        assert served[tenant] == pytest.approx(800 * weight / 8.0, abs=2)


def test_shares_are_of_what_is_used_and_not_of_requests() -> None:
    """One asks for ten times as much with each request, so it is served a tenth as often."""
    queue = fair_queue()
    for _ in range(1000):
        queue.push(request("long", cost=1000.0), 1.0)
        queue.push(request("short", cost=100.0), 1.0)
    served = given_to([serve(queue) for _ in range(550)])
    assert served["long"] == pytest.approx(served["short"], abs=1000.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.integers(0, 80)),
        min_size=30,
        max_size=150,
    ),
    st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_counters_of_those_who_wait_stay_within_the_credit_and_one_request(
    requests: list[tuple[str, int, int]], credit: int
) -> None:
    """Whatever caches hold; weights 1, 2 and 4."""
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    queue = fair_queue(credit=float(credit))
    for tenant, cost, cached in requests:
        queue.push(
            request(tenant, weight=weights[tenant], cost=float(cost), cached=float(cached)), 1.0
        )
    left = {tenant: sum(each[0] == tenant for each in requests) for tenant in weights}
    while min(left.values()) > 0:
        left[serve(queue).tenant] -= 1
        counters = [queue.shares.counter(account_of(0, tenant)) for tenant in weights]
        assert max(counters) - min(counters) <= credit + 50.0


def test_what_a_cache_holds_goes_first_within_the_credit() -> None:
    queue = fair_queue(credit=10.0)
    for _ in range(4):
        queue.push(request("cold", cost=4.0), 1.0)
        queue.push(request("warm", cost=4.0, cached=8.0), 1.0)
    order = [serve(queue).tenant for _ in range(4)]
    assert order[:2] == ["warm", "warm"]
    assert "cold" in order[2:]


def test_who_did_not_wait_has_saved_nothing() -> None:
    """One that comes after a thousand of another's is first, and then gets its share, no more."""
    queue = fair_queue()
    for _ in range(1500):
        queue.push(request("early"), 1.0)
    for _ in range(1000):
        serve(queue)
    for _ in range(200):
        queue.push(request("late"), 1.0)
    served = given_to([serve(queue) for _ in range(200)])
    assert served["late"] == pytest.approx(100, abs=2)


def test_of_a_tenant_the_earliest_deadline_goes_first_then_who_came_first() -> None:
    queue = fair_queue()
    for name, deadline in (("a", 50.0), ("b", 20.0), ("c", 50.0), ("d", 20.0)):
        entry = request("t", deadline=deadline)
        entry.item = name
        queue.push(entry, 1.0)
    assert [serve(queue).item for _ in range(4)] == ["b", "d", "a", "c"]


def test_a_class_goes_before_those_below_it_whatever_it_was_given() -> None:
    queue = fair_queue()
    for _ in range(5):
        queue.push(request("low", importance=1), 1.0)
        queue.push(request("high", importance=0), 1.0)
    assert [serve(queue).tenant for _ in range(10)] == ["high"] * 5 + ["low"] * 5


@given(st.floats(0.5, 5.0), st.integers(1, 3), st.floats(0.05, 0.4))
@settings(deadline=None, max_examples=30)
def test_no_class_waits_longer_than_the_patience_without_being_served(
    patience_s: float, below: int, between_s: float
) -> None:
    """A place comes free every ``between_s``, and the class above would take all of them."""
    queue = fair_queue(patience_s=patience_s)
    last = dict.fromkeys(range(1, below + 1), 0.0)
    now = 0.001
    for importance in last:
        for _ in range(100):
            queue.push(request("low", importance=importance), now)
    while now < 40.0:
        queue.push(request("high", importance=0), now)
        served = serve(queue, now)
        if served.importance > 0:
            # No more than one in that time either: those above keep the rest.
            assert now - last[served.importance] > patience_s - 0.01
            last[served.importance] = now
        # Several classes may have to be served one after the other.
        assert all(now - at <= patience_s + below * between_s + 0.01 for at in last.values())
        now += between_s


def test_a_light_tenant_is_not_told_to_wait_behind_a_heavy_ones_queue() -> None:
    queue = fair_queue()
    for _ in range(100):
        queue.push(request("heavy"), 1.0)
    for i in range(20):
        queue.take(queue.next_in_line(1.0)[0], 1.0 + i)
        queue.served("", 1.0 + i)
    assert queue.expected_wait_s(0, "", "heavy") == pytest.approx(80.0)
    assert queue.expected_wait_s(0, "", "light") == pytest.approx(1.0)


def test_a_full_queue_lets_in_a_light_tenant_and_the_heavy_one_gives_way() -> None:
    queue = AdmissionQueue(10)
    for _ in range(10):
        queue.push(request("heavy"), 1.0)
    gives_way = queue.push(request("light"), 1.0)
    assert gives_way is not None
    assert gives_way.tenant == "heavy"
    newcomer = request("heavy")
    assert queue.push(newcomer, 1.0) is newcomer


def test_a_place_is_taken_from_the_least_important_whose_answer_has_not_begun() -> None:
    begun = Holder(9, 1.0, begun=True)
    older = Holder(5, 1.0, counter=3.0)
    newer = Holder(5, 2.0, counter=3.0)
    less = Holder(5, 3.0, counter=1.0)
    important = Holder(1, 9.0)
    holders = [begun, older, newer, less, important]
    assert who_yields(holders, 0) is newer
    assert who_yields(holders, 5) is None
    assert who_yields([begun, important], 1) is None
