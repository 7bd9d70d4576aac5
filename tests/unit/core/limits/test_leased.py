"""What a balancer holds of allowances that others lease of too."""

from penstock.core.limits.leased import LeasedTable
from penstock.core.limits.owner import Asked, Lent, Owner
from penstock.core.snapshot import Limit

DAY_S = 86400.0
BUDGET = Limit("it", "tokens", 100.0, "day", budget=True, by=("user",))


def lend(owner: Owner, amount: float, wall_s: float = 0.0) -> Lent:
    lent = owner.lend(Asked("it", "a", amount, amount, 0.0, 0.0), 0, 0.0, wall_s)
    assert lent is not None
    return lent


def test_no_more_is_lent_than_is_held_and_clients_are_told_of_all_that_is_left() -> None:
    owner = Owner(leased=True)
    owner.configure([BUDGET])
    table = owner.leased()["it"]
    lease = table.lease("a", 0.0)
    lease.held, lease.left = 10.0, 60.0
    lent = lend(owner, 8.0)
    assert 8.0 <= lent.amount <= 10.0
    assert lent.left == 70.0 - lent.amount
    assert lease.spent == lent.amount
    refused = lend(owner, 20.0)
    assert (refused.amount, refused.wait_s > 0.0) == (0.0, True)


def test_a_new_window_has_nothing_of_the_one_before() -> None:
    table = LeasedTable(BUDGET)
    table.lease("a", 1.0).held = 10.0
    table.spend("a", 4.0, 1.0)
    table.give_back("a", 4.0, DAY_S + 1.0)
    assert (table.left("a", DAY_S + 1.0), table.lease("a", DAY_S + 1.0).spent) == (0.0, 0.0)


def test_another_amount_keeps_what_was_spent() -> None:
    owner = Owner(leased=True)
    owner.configure([BUDGET])
    owner.leased()["it"].lease("a", 0.0).held = 10.0
    lend(owner, 10.0)
    owner.configure([Limit("it", "tokens", 200.0, "day", budget=True, by=("user",))])
    assert owner.leased()["it"].lease("a", 0.0).spent == 10.0


def test_what_finds_no_place_shares_one_allowance() -> None:
    table = LeasedTable(BUDGET, most=2)
    known = [table.lease(subject, 0.0) for subject in ("a", "b")]
    made_up = {table.lease(f"made up {number}", 0.0) for number in range(10)}
    assert len(made_up) == 1
    assert made_up.isdisjoint(known)
    assert table.overflowed == 10


def test_places_that_come_back_are_held_again() -> None:
    owner = Owner(leased=True)
    owner.configure([Limit("it", "concurrent", 3.0, by=("user",))])
    lease = owner.leased()["it"].lease("a", 0.0)
    lease.held = 2.0
    assert lend(owner, 1.0).amount == 1.0
    assert (lease.held, lease.spent) == (1.0, 1.0)
    owner.forget(0, 0.0)
    assert (lease.held, lease.spent) == (2.0, 0.0)
    assert lend(owner, 4.0).wait_s == float("inf")
