"""Laws that hold for every policy, whatever its idea."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.endpoint import Endpoint
from penstock.core.health.health import DOWN, UP
from penstock.core.policy import policies
from penstock.core.pool.pool import Pool
from penstock.core.ticket import ABANDONED, DONE, OUTCOMES, Ticket
from tests.contract.pools import endpoints_of_weights, env, keyed, made, picks

every_policy = pytest.mark.parametrize("name", policies())
weights = st.lists(
    st.one_of(st.just(1.0), st.floats(0.01, 100.0)),  # equal weights take other paths
    min_size=1,
    max_size=40,
)


@every_policy
def test_nothing_is_picked_from_nothing(name: str) -> None:
    policy = made(name)
    assert policy.pick(keyed(1), [], env()) is None
    policy.rebuild([])
    assert policy.pick(keyed(1), [], env()) is None
    policy.rebuild(endpoints_of_weights([1.0, 2.0]))
    assert policy.pick(keyed(1), [], env()) is None


@every_policy
def test_something_is_picked_from_a_list_never_seen_before(name: str) -> None:
    endpoints = endpoints_of_weights([1.0, 2.0, 3.0])
    assert made(name).pick(keyed(1), endpoints, env()) in endpoints


@every_policy
@settings(deadline=None, max_examples=15)
@given(weights=weights, seed=st.integers(0, 2**32), data=st.data())
def test_only_members_of_the_list_given_are_picked(
    name: str, weights: list[float], seed: int, data: st.DataObject
) -> None:
    """The list may be the one last built for, or any part of it."""
    policy = made(name)
    endpoints = endpoints_of_weights(weights)
    chance = env(seed)
    policy.rebuild(endpoints)
    for i in range(20):
        chance.now += 0.01
        part = endpoints
        if data.draw(st.booleans()):
            part = data.draw(
                st.lists(st.sampled_from(endpoints), min_size=1, unique_by=lambda e: e.name)
            )
        picked = policy.pick(keyed(seed + i), part, chance)
        assert picked is not None
        assert picked in part
        Ticket(picked, policy, keyed(i), chance.now)


@every_policy
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_a_pool_that_changes_all_the_time_picks_the_eligible_and_ends_empty(
    name: str, seed: int
) -> None:
    """Membership, health, drain, weights and room change between picks; tickets end in every
    way there is; whatever is picked was eligible, and at the end no load is left."""
    chance = env(seed)
    dice = Random(seed)
    policy = made(name)
    pool = Pool("p", policy)
    members = [Endpoint(f"e{i}", max_in_flight=dice.choice([0, 3])) for i in range(12)]
    pool.replace_endpoints(members[:6])
    ever = set(members[:6])
    open_tickets: list[Ticket] = []
    for i in range(150):
        chance.now += dice.expovariate(10.0)
        step = dice.random()
        if step < 0.08:
            pool.replace_endpoints(dice.sample(members, dice.randint(0, 12)))
            ever.update(pool.endpoints)
        elif step < 0.25 and pool.endpoints:
            changed = dice.choice(pool.endpoints)
            changed.health = dice.choice([UP, DOWN])
            changed.draining = dice.random() < 0.2
            changed.ejected = dice.random() < 0.2
            changed.weight = dice.choice([0.0, 0.5, 1.0, 1.0, 3.0])
            pool.refresh()
        elif step < 0.45 and open_tickets:
            end(open_tickets.pop(dice.randrange(len(open_tickets))), dice, chance.now)
        else:
            tried = dice.sample(pool.endpoints, min(len(pool.endpoints), dice.randint(0, 2)))
            request = keyed(i)
            picked = pool.pick(request, chance, tried)
            with_room = [e for e in pool.eligible if e.has_room()]
            if picked is None:
                untried = [e for e in with_room if e not in tried]
                assert not untried
            else:
                assert picked in with_room
                open_tickets.append(Ticket(picked, policy, request, chance.now))
    for ticket in open_tickets:
        end(ticket, dice, chance.now)
    assert {e.load() for e in ever} == {0}


@every_policy
def test_the_same_seed_gives_the_same_picks(name: str) -> None:
    def run(seed: int) -> list[str]:
        policy = made(name)
        endpoints = endpoints_of_weights([1.0, 1.0, 2.0, 5.0] * 6)
        policy.rebuild(endpoints)
        chance = env(seed)
        names = []
        running: list[Ticket] = []
        for i in range(300):
            chance.now += 0.01
            picked = policy.pick(keyed(i % 50), endpoints, chance)
            assert picked is not None
            names.append(picked.name)
            running.append(Ticket(picked, policy, keyed(i), chance.now))
            if i % 3:
                running.pop(0).settle(DONE, chance.now)
        return names

    assert run(7) == run(7)


@pytest.mark.parametrize("name", [name for name, cls in policies().items() if cls.spreads])
def test_equal_endpoints_all_get_work(name: str) -> None:
    """None is forgotten, alone or in a crowd."""
    policy = made(name)
    for count in (1, 2, 3, 17, 50):
        endpoints = endpoints_of_weights([1.0] * count)
        policy.rebuild(endpoints)
        assert {e.name for e in picks(policy, endpoints, 100 * count)} == {
            e.name for e in endpoints
        }


def end(ticket: Ticket, dice: Random, now: float) -> None:
    """Settle it in one of the ways a request can end."""
    outcome = dice.randrange(len(OUTCOMES))
    if outcome != ABANDONED and dice.random() < 0.7:
        ticket.first_byte(now)
        ticket.status = dice.choice([200, 200, 404, 503])
    ticket.settle(outcome, now + dice.random())
