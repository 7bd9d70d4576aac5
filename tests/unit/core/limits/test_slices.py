"""Slices: however many borrow, no more than the allowance is given out, and nothing is lost."""

from random import Random
from typing import Any

import pytest

from penstock.core.limits.allowances import OVERFLOW
from penstock.core.limits.owner import Owner
from penstock.core.limits.rules import Amounts, Prices, Rule
from penstock.core.limits.slices import DENIED, LACKS, MOST_HOLDINGS, TAKEN, Charge, Slices
from penstock.core.snapshot import Limit, Price

WALL = 1_000_000.0


def limit(
    counts: Any = "requests", amount: float = 100.0, per: Any = "minute", **more: Any
) -> Limit:
    return Limit("it", counts, amount, per, **more)


class Borrowers:
    """Some workers and their owner, with as much delay as a test makes."""

    def __init__(self, spec: Limit, count: int) -> None:
        self.owner = Owner()
        self.owner.borrowers = count
        self.owner.configure([spec])
        self.rule = Rule(spec)
        self.all = [Slices() for _ in range(count)]
        self.now = 0.0

    def charge(self, number: int, amount: float = 1.0, subject: str = "a") -> Charge:
        return Charge(self.all[number].holding(self.rule, subject), amount)

    def exchange(self, number: int) -> None:
        """What that one asks for is answered."""
        slices = self.all[number]
        for asked in slices.asks(self.now):
            lent = self.owner.lend(asked, number, self.now, WALL + self.now)
            assert lent is not None
            slices.lent(asked.limit, asked.subject, lent, self.now)

    def take(self, number: int, amount: float = 1.0, subject: str = "a") -> Charge | None:
        """As a request does: once more after the owner answered."""
        charge = self.charge(number, amount, subject)
        verdict = LACKS
        for _ in range(4):
            verdict = self.all[number].take([charge], self.now)
            self.exchange(number)
            if verdict != LACKS:
                break
        return charge if verdict == TAKEN else None


@pytest.mark.parametrize("count", [1, 2, 4, 8])
@pytest.mark.parametrize("per", ["minute", "ever"])
def test_however_many_borrow_no_more_is_given_out_at_once(count: int, per: str) -> None:
    borrowers = Borrowers(limit(amount=100.0, per=per, budget=per == "ever"), count)
    rng = Random(1)
    given = sum(borrowers.take(rng.randrange(count)) is not None for _ in range(1000))
    assert given <= 100
    # What lies unused with one of them is another's once it was given back.
    for _ in range(4):
        borrowers.now += 0.3 if per == "minute" else 1.0
        for number in range(count):
            borrowers.all[number].sweep(borrowers.now)
            borrowers.exchange(number)
    given += sum(borrowers.take(rng.randrange(count)) is not None for _ in range(1000))
    refilled = 100 * borrowers.now / 60 if per == "minute" else 0
    assert 99 - count <= given <= 100 + refilled + 1


def test_over_a_long_time_a_rate_is_held_and_used() -> None:
    borrowers = Borrowers(limit(amount=600.0, per="minute", burst=10.0), 4)
    rng = Random(2)
    given = 0
    while borrowers.now < 60.0:
        borrowers.now += 0.01
        given += borrowers.take(rng.randrange(4)) is not None
        if rng.random() < 0.04:
            for number in range(4):
                borrowers.all[number].sweep(borrowers.now)
                borrowers.exchange(number)
    assert 540 <= given <= 610 + 10


def test_what_was_reserved_and_not_used_can_be_used_and_what_was_used_beyond_is_owed() -> None:
    borrowers = Borrowers(limit("tokens", 1000.0, "ever", budget=True), 1)
    first = borrowers.take(0, 800.0)
    assert first is not None
    assert borrowers.take(0, 300.0) is None
    borrowers.all[0].settle(first, 100.0, borrowers.now)
    second = borrowers.take(0, 300.0)
    assert second is not None
    borrowers.all[0].settle(second, 950.0, borrowers.now)
    borrowers.exchange(0)
    for _ in range(4):
        borrowers.now += 1.0
        borrowers.all[0].sweep(borrowers.now)
        borrowers.exchange(0)
    allowances = borrowers.owner.allowances("it")
    assert allowances is not None
    assert allowances.left("a", WALL) == pytest.approx(-50.0)
    assert borrowers.take(0) is None


def test_a_thousand_requests_at_once_never_pass_a_budget() -> None:
    """Each reserves all that it may have, and uses some of it."""
    borrowers = Borrowers(limit("tokens", 50_000.0, "month", budget=True), 4)
    rng = Random(3)
    spent = 0.0
    running: list[tuple[int, Charge]] = []
    for _ in range(4000):
        borrowers.now += 0.005
        number = rng.randrange(4)
        charge = borrowers.take(number, 600.0)
        if charge is not None:
            running.append((number, charge))
        if running and rng.random() < 0.3:
            number, charge = running.pop(rng.randrange(len(running)))
            used = float(rng.randrange(1, 600))
            borrowers.all[number].settle(charge, used, borrowers.now)
            spent += used
        if rng.random() < 0.02:
            borrowers.all[number].sweep(borrowers.now)
            borrowers.exchange(number)
    spent += sum(charge.amount for _, charge in running)
    assert 48_000 <= spent <= 50_000


def test_places_are_given_out_once_and_a_dead_borrowers_come_back() -> None:
    borrowers = Borrowers(limit("concurrent", 4.0, ""), 2)
    taken = [borrowers.take(number % 2) for number in range(8)]
    held = [charge for charge in taken if charge is not None]
    assert len(held) == 4
    borrowers.owner.forget(1, borrowers.now)
    borrowers.now += 1.0
    assert len([each for each in [borrowers.take(0) for _ in range(4)] if each is not None]) == 2
    for charge in held:
        if charge.holding is borrowers.all[0].holding(borrowers.rule, "a"):
            borrowers.all[0].settle(charge, 1.0, borrowers.now)
    assert borrowers.take(0) is not None


def test_a_refusal_is_believed_for_a_moment_and_asks_nobody() -> None:
    borrowers = Borrowers(limit(amount=1.0), 1)
    assert borrowers.take(0) is not None
    assert borrowers.take(0) is None
    slices = borrowers.all[0]
    slices.asks(borrowers.now)
    for _ in range(100):
        assert slices.take([borrowers.charge(0)], borrowers.now) == DENIED
    assert slices.wait_s == pytest.approx(60.0)
    assert not slices.is_asking()


def test_all_or_nothing_is_taken_of_several_limits() -> None:
    borrowers = Borrowers(limit(amount=10.0), 1)
    other = borrowers.charge(0, 1.0, "b")
    one = borrowers.charge(0, 11.0, "a")
    assert borrowers.all[0].take([other, one], 0.0) == DENIED
    assert borrowers.all[0].wait_s == float("inf")
    assert len(borrowers.all[0].asks(0.0)) == 0


def test_cost_is_by_the_price_of_the_model_and_of_what_was_cached() -> None:
    prices = Prices({"big": Price(2.0, 8.0, 0.5)})
    assert prices.cost("big", 1_000_000, 500_000) == pytest.approx(6.0)
    assert prices.cost("big", 1_000_000, 0, 1_000_000) == pytest.approx(0.5)
    assert prices.cost("other", 1_000_000, 0) == 0.0
    rule = Rule(limit("cost", 1.0, "month", budget=True))
    assert rule.amount_of(Amounts(cost=0.25)) == 0.25


def test_what_was_reserved_in_one_month_is_not_given_back_to_the_next() -> None:
    borrowers = Borrowers(limit("tokens", 1000.0, "day", budget=True), 1)
    borrowers.now = 86400.0 * 12 - WALL % 86400.0 - 1.0
    running = [borrowers.take(0, 400.0) for _ in range(2)]
    borrowers.now += 2.0  # a day began
    for charge in running:
        assert charge is not None
        borrowers.all[0].settle(charge, 10.0, borrowers.now)
    given = sum(100.0 for _ in range(20) if borrowers.take(0, 100.0) is not None)
    assert given == 1000.0


def test_a_borrower_that_dies_takes_little_of_a_budget_along() -> None:
    borrowers = Borrowers(limit("tokens", 100_000.0, "ever", budget=True), 2)
    assert borrowers.take(0, 100.0) is not None
    borrowers.owner.forget(0, borrowers.now)
    allowances = borrowers.owner.allowances("it")
    assert allowances is not None
    assert allowances.left("a", WALL) >= 99_000.0


def test_what_finds_no_room_at_a_borrower_shares_one_slice() -> None:
    """Made-up subjects fill a worker's table, and gain nothing; who stands there has its own."""
    slices = Slices()
    rule = Rule(limit("requests", 100.0, by=("user",)))
    for number in range(MOST_HOLDINGS):
        slices.holding(rule, f"{number}")
    made_up = {slices.holding(rule, f"made up {number}") for number in range(100)}
    assert len(made_up) == 1
    assert made_up.pop().subject == OVERFLOW
    assert slices.holding(rule, "7").subject == "7"
    assert len(slices) == MOST_HOLDINGS + 1
