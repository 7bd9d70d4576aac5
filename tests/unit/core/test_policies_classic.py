"""What the policies without measurements do beyond the laws that hold for all."""

from collections import Counter

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.policy import Policy, create
from penstock.core.policy.composite.subset import ordered
from penstock.core.policy.composite.zone_aware import ZoneAware, parsed, shares_of_zones
from penstock.core.policy.hashing.jump_hash import jump
from penstock.core.policy.hashing.rendezvous import mixed
from penstock.core.pool.pool import Pool
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env, keyed, made, picks
from tests.contract.user_policy import Nth


def built(name: str, endpoints: list[Endpoint], **options: object) -> Policy:
    policy = made(name, **options)
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    return policy


def names(picked: list[Endpoint]) -> str:
    return " ".join(endpoint.name for endpoint in picked)


def owners(name: str, endpoints: list[Endpoint], keys: int, **options: object) -> list[str]:
    return [e.name for e in picks(built(name, endpoints, **options), endpoints, keys)]


def moved(before: list[str], after: list[str]) -> int:
    return sum(1 for old, new in zip(before, after, strict=True) if old != new)


class TestStaticEdf:
    def test_weights_are_honoured_within_one_pick_at_any_time(self) -> None:
        endpoints = endpoints_of_weights([3.0, 2.0, 1.0])
        policy = built("static-edf", endpoints)
        counts = Counter({e.name: 0 for e in endpoints})
        for i, picked in enumerate(picks(policy, endpoints, 600), start=1):
            counts[picked.name] += 1
            for endpoint in endpoints:
                assert abs(counts[endpoint.name] - i * endpoint.weight / 6.0) <= 1.0

    def test_a_change_of_weight_counts_from_then_on(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0])
        policy = built("static-edf", endpoints)
        picks(policy, endpoints, 101)
        endpoints[0].weight = 9.0
        policy.rebuild(endpoints)
        assert Counter(names(picks(policy, endpoints, 100)).split())["e0"] in (89, 90, 91)

    def test_an_endpoint_that_comes_back_is_not_flooded(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0, 1.0])
        policy = built("static-edf", endpoints)
        policy.rebuild(endpoints[:2])
        picks(policy, endpoints[:2], 1)
        two = endpoints[:2]
        policy.rebuild(two)
        picks(policy, two, 1000)
        policy.rebuild(endpoints)
        counts = Counter(names(picks(policy, endpoints, 30)).split())
        assert all(9 <= count <= 11 for count in counts.values())

    def test_picks_from_a_shorter_list_are_paid_for(self) -> None:
        endpoints = endpoints_of_weights([1.0, 1.0, 1.0])
        policy = built("static-edf", endpoints)
        picks(policy, endpoints[:2], 10)
        assert Counter(names(picks(policy, endpoints, 5)).split())["e2"] == 5


class TestJoinShortestQueue:
    def test_the_least_loaded_of_a_large_pool_is_picked(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 300)
        for endpoint in endpoints:
            endpoint.in_flight = 3
        endpoints[211].in_flight = 2
        assert names(picks(built("join-shortest-queue", endpoints), endpoints, 1)) == "e211"


class TestJoinIdleQueue:
    def test_the_endpoint_idle_longest_comes_first(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 3)
        policy = built("join-idle-queue", endpoints)
        tickets = {}
        for i in range(3):
            picked = policy.pick(keyed(i), endpoints, env())
            assert picked is not None
            tickets[picked.name] = Ticket(picked, policy, keyed(i), 0.0)
        assert list(tickets) == ["e0", "e1", "e2"]
        for name in ("e1", "e0"):
            tickets[name].settle(DONE, 1.0)
        assert names([e for e in (policy.pick(keyed(1), endpoints, env()),) if e]) == "e1"
        assert names([e for e in (policy.pick(keyed(1), endpoints, env()),) if e]) == "e0"

    def test_no_request_waits_while_an_endpoint_is_idle(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 50)
        policy = built("join-idle-queue", endpoints)
        chance = env()
        for i in range(50):
            picked = policy.pick(keyed(i), endpoints, chance)
            assert picked is not None
            Ticket(picked, policy, keyed(i), 0.0)
        assert {e.load() for e in endpoints} == {1}

    def test_an_endpoint_busy_elsewhere_is_not_idle(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 3)
        policy = built("join-idle-queue", endpoints)
        endpoints[0].elsewhere = 1
        assert names(picks(policy, endpoints, 1)) == "e1"

    def test_the_better_of_two_may_be_asked_for_when_none_is_idle(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 10)
        for endpoint in endpoints:
            endpoint.in_flight = 1
        endpoints[4].in_flight = 9
        policy = built("join-idle-queue", endpoints, otherwise="power-of-two")
        assert "e4" not in names(picks(policy, endpoints, 500)).split()


class TestFirstAvailable:
    def test_endpoints_are_filled_in_order(self) -> None:
        endpoints = endpoints_of_weights([1.0, 2.0, 1.0])
        policy = built("first-available", endpoints, fill=2)
        filled = []
        for i in range(9):
            picked = policy.pick(keyed(i), endpoints, env())
            assert picked is not None
            Ticket(picked, policy, keyed(i), 0.0)
            filled.append(picked.name)
        assert filled[:8] == ["e0"] * 2 + ["e1"] * 4 + ["e2"] * 2

    def test_max_in_flight_is_the_bound_by_default(self) -> None:
        endpoints = [Endpoint("a", max_in_flight=1), Endpoint("b")]
        policy = built("first-available", endpoints)
        assert names(picks(policy, endpoints, 2)) == "a a"
        endpoints[0].in_flight = 1
        assert names(picks(policy, endpoints, 1)) == "b"


class TestMaglev:
    def test_a_table_over_a_hundred_times_the_endpoints_is_even_within_one_percent(self) -> None:
        """Over the table itself: every slot is one key."""
        endpoints = endpoints_of_weights([1.0] * 40)
        policy = built("maglev", endpoints, table_size=4099)
        request = keyed(1)
        slots: Counter[str] = Counter()
        for slot in range(4099):
            request.key_hash = slot + 4099
            picked = policy.pick(request, endpoints, env())
            assert picked is not None
            slots[picked.name] += 1
        assert max(slots.values()) / min(slots.values()) <= 1.01

    def test_weights_set_the_number_of_slots(self) -> None:
        endpoints = endpoints_of_weights([1.0, 2.0, 5.0])
        policy = built("maglev", endpoints, table_size=8009)
        request = keyed(1)
        slots: Counter[str] = Counter()
        for slot in range(8009):
            request.key_hash = slot + 8009
            picked = policy.pick(request, endpoints, env())
            assert picked is not None
            slots[picked.name] += 1
        assert [slots[f"e{i}"] / 8009 * 8 for i in range(3)] == pytest.approx(
            [1.0, 2.0, 5.0], rel=0.01
        )

    def test_the_order_of_the_pool_does_not_matter(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 10)
        assert owners("maglev", endpoints, 500) == owners("maglev", endpoints[::-1], 500)

    def test_a_table_size_that_is_no_prime_is_refused(self) -> None:
        with pytest.raises(ValueError, match="prime"):
            create("maglev", {"table_size": 65536})


class TestRendezvous:
    def test_only_the_keys_of_the_one_that_goes_move(self) -> None:
        endpoints = endpoints_of_weights([1.0, 2.0, 3.0] * 5)
        before = owners("rendezvous", endpoints, 2000)
        after = owners("rendezvous", endpoints[:7] + endpoints[8:], 2000)
        assert moved(before, after) == before.count("e7")

    def test_a_weight_that_grows_only_attracts(self) -> None:
        endpoints = endpoints_of_weights([1.0, 2.0, 3.0] * 3)
        before = owners("rendezvous", endpoints, 2000)
        endpoints[4].weight = 4.0
        after = owners("rendezvous", endpoints, 2000)
        assert {new for old, new in zip(before, after, strict=True) if old != new} == {"e4"}

    def test_words_are_mixed_as_published(self) -> None:
        """Against lowbias32 written with whole products."""

        def published(word: int) -> int:
            word = ((word ^ word >> 16) * 0x7FEB352D) % 2**32
            word = ((word ^ word >> 15) * 0x846CA68B) % 2**32
            return word ^ word >> 16

        words = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, *range(12345, 2**32, 2**25 + 1)]
        assert [mixed(word) for word in words] == [published(word) for word in words]


class TestJumpHash:
    @pytest.mark.parametrize(
        ("key", "buckets", "bucket"),
        [(1, 1, 0), (42, 57, 43), (0xDEAD10CC, 1, 0), (0xDEAD10CC, 666, 361), (256, 1024, 520)],
    )
    def test_keys_land_where_other_implementations_put_them(
        self, key: int, buckets: int, bucket: int
    ) -> None:
        assert jump(key, buckets) == bucket

    def test_keys_jump_as_published(self) -> None:
        """Against the paper's loop with whole products."""

        def published(key: int, buckets: int) -> int:
            bucket, target = -1, 0
            while target < buckets:
                bucket = target
                key = (key * 2862933555777941757 + 1) % 2**64
                target = int((bucket + 1) * (2.0**31 / ((key >> 33) + 1)))
            return bucket

        for i in range(500):
            key = keyed(i).key_hash
            for buckets in (1, 2, 3, 1000, 10**6):
                assert jump(key, buckets) == published(key, buckets)

    def test_an_endpoint_more_takes_only_its_share(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 20)
        before = owners("jump-hash", endpoints[:-1], 4000)
        after = owners("jump-hash", endpoints, 4000)
        assert {new for old, new in zip(before, after, strict=True) if old != new} == {"e19"}
        assert 100 < moved(before, after) < 300  # 200 expected


class TestSubset:
    def test_every_endpoint_has_as_many_balancers(self) -> None:
        """Sixty balancers, three rounds of twenty: within one of each other."""
        endpoints = endpoints_of_weights([1.0] * 100)
        used = Counter(
            endpoint.name
            for balancer in range(60)
            for endpoint in ordered(endpoints, 5, balancer)[:5]
        )
        assert set(used.values()) == {3}
        assert len(used) == 100

    def test_only_the_subset_is_used(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 30)
        policy = built("subset", endpoints, size=4, balancer=3)
        assert len(set(names(picks(policy, endpoints, 200)).split())) == 4

    def test_the_next_in_order_stands_in_for_one_that_may_not_be_picked(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 30)
        policy = built("subset", endpoints, size=4)
        subset = set(picks(policy, endpoints, 200))
        lost = next(iter(subset))
        left = [e for e in endpoints if e is not lost]
        policy.rebuild(left)
        now = set(picks(policy, left, 200))
        assert len(now) == 4
        assert now > subset - {lost}
        policy.rebuild(endpoints)
        assert set(picks(policy, endpoints, 200)) == subset

    def test_a_change_of_membership_moves_a_subset_by_little(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 101)
        for balancer in range(20):
            before = set(ordered(endpoints[:100], 10, balancer)[:10])
            after = set(ordered(endpoints, 10, balancer)[:10])
            assert len(before - after) <= 2

    def test_any_policy_may_pick_within(self) -> None:
        endpoints = endpoints_of_weights([1.0] * 30)
        policy = built("subset", endpoints, size=3, policy="round-robin")
        counts = Counter(names(picks(policy, endpoints, 30)).split())
        assert list(counts.values()) == [10, 10, 10]


def zoned(counts: dict[str, int]) -> list[Endpoint]:
    return [
        Endpoint(f"{zone}{i}", zone=zone) for zone, count in counts.items() for i in range(count)
    ]


class TestZoneAware:
    def test_all_stays_local_where_the_zone_has_its_share(self) -> None:
        endpoints = zoned({"a": 4, "b": 4})
        policy = built("zone-aware", endpoints, zone="a")
        assert {e.zone for e in picks(policy, endpoints, 200)} == {"a"}

    def test_a_zone_that_is_short_spills_over_to_those_with_capacity_to_spare(self) -> None:
        """Envoy's example in numbers: u = (1/6, 2/6, 3/6), o = 1/3 each."""
        shares = shares_of_zones("a", {}, {"a": 2.0, "b": 4.0, "c": 6.0})
        assert shares == pytest.approx({"a": 0.5, "c": 0.5})
        endpoints = zoned({"a": 2, "b": 4, "c": 6})
        policy = built("zone-aware", endpoints, zone="a")
        zones = Counter(e.zone for e in picks(policy, endpoints, 4000))
        assert set(zones) == {"a", "c"}
        assert zones["a"] == pytest.approx(2000, abs=200)  # 6 σ

    def test_balancers_that_are_spread_unevenly_are_taken_into_account(self) -> None:
        shares = shares_of_zones("a", {"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 1.0})
        assert shares == pytest.approx({"a": 2.0 / 3.0, "b": 1.0 / 3.0})
        assert shares_of_zones("b", {"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 1.0}) == {"b": 1.0}

    def test_capacity_that_is_lost_in_the_zone_is_sought_in_others(self) -> None:
        endpoints = zoned({"a": 4, "b": 4})
        pool = Pool("p", create("zone-aware", {"zone": "a"}))
        pool.replace_endpoints(endpoints)
        for endpoint in endpoints[:2]:
            endpoint.draining = True
        pool.refresh()
        assert isinstance(pool.policy, ZoneAware)
        assert pool.policy.shares() == pytest.approx({"a": 2.0 / 3.0, "b": 1.0 / 3.0})

    def test_a_retry_stays_local_while_it_can_and_then_goes_anywhere(self) -> None:
        endpoints = zoned({"a": 4, "b": 4})
        policy = built("zone-aware", endpoints, zone="a")
        assert {e.name for e in picks(policy, endpoints[3:], 50)} == {"a3"}
        assert {e.zone for e in picks(policy, endpoints[4:], 50)} == {"b"}

    def test_small_pools_and_balancers_without_a_zone_ignore_zones(self) -> None:
        small = zoned({"a": 2, "b": 2})
        assert {e.zone for e in picks(built("zone-aware", small, zone="a"), small, 50)} == {
            "a",
            "b",
        }
        large = zoned({"a": 4, "b": 4})
        assert {e.zone for e in picks(built("zone-aware", large), large, 50)} == {"a", "b"}

    @pytest.mark.parametrize("text", ["a", "a=x", "a=1,b", "a=-1", "a=0"])
    def test_a_list_of_balancers_that_cannot_be_read_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="balancers"):
            parsed(text)


def test_a_pool_tells_its_policy_only_what_changed() -> None:
    """Tables are dear, and one change on the board makes every pool look again."""
    policy = Nth()
    pool = Pool("p", policy)
    endpoints = endpoints_of_weights([1.0, 1.0])
    pool.replace_endpoints(endpoints)
    eligible = pool.eligible
    pool.replace_endpoints(list(endpoints))
    pool.refresh()
    assert policy.told == ["rebuild"]
    assert pool.eligible is eligible
    endpoints[0].weight = 2.0
    pool.refresh()
    endpoints[0].draining = True
    pool.refresh()
    other = Nth()
    pool.policy = other
    pool.refresh()
    assert policy.told == ["rebuild"] * 3
    assert other.told == ["rebuild"]
