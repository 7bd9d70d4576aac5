"""What the supervisor keeps of tenants over restarts: budgets, and what they used."""

from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.tenants.limits import WorkerLimits
from penstock.control.tenants.tenancy import tenancy
from penstock.control.tenants.usage import Usage
from penstock.core.snapshot import Limit, Pool, Snapshot, Tenant

DAY_S = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def snapshot(amount: float = 100.0, per: str = "day") -> Snapshot:
    spec = Limit("it", "requests", amount, per, budget=True)  # type: ignore[arg-type]
    return Snapshot(1, (), (), (Pool("main", (), limits=(spec,)),))


def limits(directory: Path, clock: Clock) -> WorkerLimits:
    made = WorkerLimits(StateFiles(directory, Events()), Events(), lambda: 1, clock, clock)
    made.configure(snapshot())
    return made


def take(owner: WorkerLimits, amount: float) -> float:
    (told,) = owner.lend(0, [["it", "", amount, amount, 0.0, 0.0, False]])
    return float(str(told[2]))


def test_a_budget_is_what_it_was_after_a_restart_and_a_change_of_its_amount(
    tmp_path: Path,
) -> None:
    clock = Clock()
    owner = limits(tmp_path, clock)
    assert take(owner, 60.0) == 60.0
    owner.save()
    again = limits(tmp_path, clock)
    assert take(again, 60.0) == 0.0
    assert take(again, 40.0) == 40.0
    again.configure(snapshot(amount=150.0))
    assert take(again, 60.0) == 0.0
    assert take(again, 50.0) == 50.0
    clock.now += DAY_S
    assert take(again, 150.0) == 150.0


def test_a_limit_that_is_there_no_more_lends_nothing(tmp_path: Path) -> None:
    owner = limits(tmp_path, Clock())
    assert owner.lend(0, [["other", "", 1.0, 1.0, 0.0, 0.0, True]]) == [
        ["other", "", 0.0, 0.0, 0.0, 0.0, 0.0]
    ]


def test_usage_is_kept_by_day(tmp_path: Path) -> None:
    clock = Clock()
    counted = Usage(StateFiles(tmp_path, Events()), clock)
    for _ in range(2):
        counted.take([["acme", "ci", "big", 1, 10, 2, 5, 0.25]])
    clock.now += DAY_S
    counted.take([["acme", "ci", "big", 1, 10, 2, 5, 0.25]])
    counted.save()
    again = Usage(StateFiles(tmp_path, Events()), clock)
    assert [(row.day, row.requests, row.cost) for row in again.rows(2)] == [
        ("1970-01-13", 1, 0.25),
        ("1970-01-12", 2, 0.5),
    ]
    assert len(again.rows(1)) == 1
    again.take([["acme", "ci", "big", 1, 10, 2, 5, 0.25]])
    again.save()
    counted.save()  # the version before, at its end
    third = Usage(StateFiles(tmp_path, Events()), clock)
    assert sum(row.requests for row in third.rows(1)) == 2


def test_what_tenants_used_today_is_a_sum_over_keys_models_and_earlier_runs(tmp_path: Path) -> None:
    clock = Clock()
    before = Usage(StateFiles(tmp_path, Events()), clock)
    before.take([["acme", "ci", "big", 1, 10, 2, 5, 0.25]])
    before.save()
    counted = Usage(StateFiles(tmp_path, Events()), clock)
    counted.take(
        [["acme", "ci", "small", 1, 10, 2, 5, 0.25], ["acme", "other", "big", 1, 1, 0, 1, 0.5]]
    )
    found = counted.today()
    assert {name: (row.requests, row.prompt_tokens, row.cost) for name, row in found.items()} == {
        "acme": (3, 21, 1.0)
    }
    assert counted.today() == found, "asking counts nothing"
    clock.now += DAY_S
    assert counted.today() == {}


def test_tenancy_says_who_is_full_and_who_was_refused(tmp_path: Path) -> None:
    clock = Clock()
    spec = Limit("tenant acme budget requests/day", "requests", 100.0, "day", budget=True)
    running = Snapshot(1, (), (), (), tenants=(Tenant("acme", limits=(spec,)), Tenant("idle")))
    owner = WorkerLimits(StateFiles(tmp_path, Events()), Events(), lambda: 1, clock, clock)
    owner.configure(running)
    owner.lend(0, [[spec.name, "", 80.0, 80.0, 0.0, 0.0, False]])
    owner.note_refused({spec.name: 3})
    used = Usage(StateFiles(tmp_path, Events()), clock)
    used.take([["acme", "ci", "big", 7, 10, 2, 5, 0.25], ["left", "ci", "big", 1, 1, 0, 1, 0.0]])
    told = tenancy(running, owner, used)
    assert {each.name: (each.requests, each.refused, each.fullest) for each in told.tenants} == {
        "acme": (7, 3, 0.8),
        "idle": (0, 0, None),
        "left": (1, 0, None),
    }
    (limit,) = told.limits
    assert (limit.amount, limit.refused, limit.fullest[0].taken) == (100.0, 3, 80.0)


@pytest.mark.parametrize("damaged", ["{", '{"form": "budgets", "version": 1, "value": 3}'])
def test_a_damaged_file_begins_anew(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "budgets.json").write_text(damaged)
    assert take(limits(tmp_path, Clock()), 100.0) == 100.0
