"""Rates, budgets and places: how much passes, and that made-up subjects gain nothing."""

from datetime import UTC, datetime

import pytest

from penstock.core.limits.allowances import NEVER, OVERFLOW
from penstock.core.limits.budgets import BudgetTable
from penstock.core.limits.places import PlaceTable
from penstock.core.limits.rates import RateTable
from penstock.core.limits.subjects import address_subject
from penstock.core.limits.windows import date_of, window_start


def passed(table: RateTable, times: list[float], subject: str = "a") -> int:
    return sum(table.take(subject, 1.0, now) == 0.0 for now in times)


def test_what_was_taken_flows_back_all_the_time() -> None:
    table = RateTable(60.0, 60.0)
    assert passed(table, [0.0] * 100) == 60
    assert passed(table, [10.0] * 100) == 10
    assert table.take("a", 1.0, 10.0) == pytest.approx(1.0)


def test_there_is_no_edge_at_which_twice_as_much_passes() -> None:
    table = RateTable(60.0, 60.0, burst=6.0)
    edge = [59.0 + step / 100.0 for step in range(200)]
    assert passed(table, edge) <= 6 + 2


def test_more_than_the_burst_never_passes_and_the_wait_is_true() -> None:
    table = RateTable(100.0, 10.0, burst=20.0)
    assert table.take("a", 21.0, 0.0) == NEVER
    assert table.take("a", 20.0, 0.0) == 0.0
    wait_s = table.take("a", 5.0, 0.0)
    assert table.take("a", 5.0, wait_s * 0.99) > 0.0
    assert table.take("a", 5.0, wait_s) == 0.0


def test_made_up_subjects_share_one_allowance_and_push_nobody_out() -> None:
    table = RateTable(10.0, 10.0, most=100)
    assert passed(table, [0.0] * 20, "victim") == 10
    gained = sum(passed(table, [0.0], f"made-up {n}") for n in range(1000))
    assert gained == 99 + 10
    assert table.overflowed > 0
    assert passed(table, [0.0], "victim") == 0
    # What is whole again makes place.
    assert table.take("late", 10.0, 20.0) == 0.0
    assert table.left(OVERFLOW, 20.0) == 10.0


def test_addresses_of_one_ipv6_network_are_one() -> None:
    assert address_subject("2001:db8::1") == address_subject("2001:db8::ffff:1")
    assert address_subject("2001:db8::1") != address_subject("2001:db8:0:1::1")
    assert address_subject("::ffff:192.0.2.1") == address_subject("192.0.2.1")


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("per", "now", "until"),
    [
        ("day", at(2026, 11, 30, 23, 59), at(2026, 12, 1)),
        ("week", at(2026, 11, 30), at(2026, 12, 7)),  # a Monday
        ("week", at(2026, 12, 6, 12), at(2026, 12, 7)),
        ("month", at(2026, 12, 31), at(2027, 1, 1)),
        ("month", at(2028, 2, 28), at(2028, 3, 1)),
    ],
)
def test_a_budget_begins_anew_with_the_calendar(per: str, now: float, until: float) -> None:
    budget = BudgetTable(10.0, per)
    budget.spend("a", 10.0, now)
    assert budget.wait_s("a", 1.0, now) == until - now
    assert budget.left("a", until) == 10.0


def test_dates_are_those_of_the_calendar() -> None:
    for day in range(0, 60_000, 13):
        wall_s = day * 86400.0 + 4711.0
        found = datetime.fromtimestamp(wall_s, UTC)
        assert date_of(wall_s) == (found.year, found.month, found.day)
        month = datetime(found.year, found.month, 1, tzinfo=UTC).timestamp()
        assert window_start("month", wall_s) == month


def test_a_budget_for_good_never_does_and_a_clock_set_back_gives_nothing() -> None:
    budget = BudgetTable(10.0, "ever")
    budget.spend("a", 12.0, at(2026, 1, 1))
    assert budget.left("a", at(2040, 1, 1)) == -2.0
    daily = BudgetTable(10.0, "day")
    daily.spend("a", 10.0, at(2026, 1, 2))
    assert daily.left("a", at(2026, 1, 1)) == 0.0


def test_a_budget_is_what_it_was_after_a_restart_unless_its_time_is_over() -> None:
    day = at(2026, 11, 30, 8)
    budget = BudgetTable(10.0, "day")
    budget.spend("a", 7.0, day)
    again = BudgetTable(10.0, "day")
    again.restore(budget.start(day), budget.saved(day), day + 60)
    assert again.left("a", day + 60) == 3.0
    tomorrow = BudgetTable(10.0, "day")
    tomorrow.restore(budget.start(day), budget.saved(day), day + 86400)
    assert tomorrow.left("a", day + 86400) == 10.0


def test_places_come_back_and_their_subjects_leave() -> None:
    places = PlaceTable(2.0)
    places.spend("a", 2.0, 0.0)
    assert places.wait_s("a", 1.0, 0.0) > 0.0
    places.give_back("a", 1.0, 0.0)
    assert places.left("a", 0.0) == 1.0
    places.give_back("a", 1.0, 0.0)
    assert len(places) == 0


def test_places_that_were_had_with_others_and_alone_all_come_back() -> None:
    """Who found no room in the table has an entry of its own later, and gives both back at once."""
    places = PlaceTable(2.0, most=1)
    places.spend("a", 1.0, 0.0)
    places.spend("b", 1.0, 0.0)  # finds no room
    places.give_back("a", 1.0, 0.0)
    places.spend("c", 1.0, 0.0)  # neither
    places.give_back("b", 1.0, 0.0)
    places.give_back("c", 1.0, 0.0)
    assert len(places) == 0
    places = PlaceTable(2.0, most=2)
    for subject in ("a", "b", "c"):
        places.spend(subject, 1.0, 0.0)
    places.give_back("a", 1.0, 0.0)
    places.give_back("b", 1.0, 0.0)
    places.spend("c", 1.0, 0.0)
    places.give_back("c", 2.0, 0.0)
    assert len(places) == 0
