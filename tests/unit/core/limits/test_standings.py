"""How full allowances are, as the dashboard tells it."""

from typing import Any

import pytest

from penstock.core.limits.owner import Asked, Owner, allowances_of
from penstock.core.snapshot import Limit

WALL = 1_000_000.0


def limit(counts: Any = "tokens", amount: float = 100.0, per: Any = "minute", **more: Any) -> Limit:
    return Limit("it", counts, amount, per, **more)


@pytest.mark.parametrize(
    ("spec", "leased"),
    [
        (limit(by=("tenant",)), False),
        (limit(per="day", budget=True, by=("tenant",)), False),
        (limit("concurrent", per="", by=("tenant",)), False),
        (limit(per="day", budget=True, by=("tenant",)), True),
    ],
)
def test_the_fullest_stand_first(spec: Limit, leased: bool) -> None:
    owner = Owner(leased)
    owner.configure([spec])
    for subject, taken in (("a", 10.0), ("b", 40.0), ("c", 20.0)):
        if leased:
            table = owner.allowances("it")
            assert table is not None
            table.spend(subject, taken, WALL)
        else:
            owner.lend(Asked("it", subject, taken, taken, 0.0, 0.0, False), 0, 0.0, WALL)
    found = owner.standings(2, 0.0, WALL)
    assert [(each.subject, round(each.taken)) for each in found] == [("b", 40), ("c", 20)]
    assert {each.most for each in found} == {100.0}


def test_what_was_lent_ahead_is_not_yet_used() -> None:
    owner = Owner()
    owner.configure([limit()])
    lent = owner.lend(Asked("it", "", 10.0, 10.0, 0.0, 0.0), 0, 0.0, WALL)
    assert lent is not None
    assert lent.amount > 10.0
    (standing,) = owner.standings(8, 0.0, WALL)
    assert standing.taken == pytest.approx(10.0)
    # What of it is given back was never used; what is not was.
    owner.lend(Asked("it", "", 0.0, 0.0, lent.ahead - 5.0, 0.0, False), 0, 0.0, WALL)
    (standing,) = owner.standings(8, 0.0, WALL)
    assert standing.taken == pytest.approx(15.0)


def test_what_a_dead_worker_had_ahead_counts_as_used() -> None:
    owner = Owner()
    owner.configure([limit()])
    lent = owner.lend(Asked("it", "", 10.0, 10.0, 0.0, 0.0), 0, 0.0, WALL)
    assert lent is not None
    owner.forget(0, 0.0)
    (standing,) = owner.standings(8, 0.0, WALL)
    assert standing.taken == pytest.approx(lent.amount)


def test_a_limit_of_which_nothing_was_taken_has_no_standing() -> None:
    assert allowances_of(limit()).most_taken(8) == []
