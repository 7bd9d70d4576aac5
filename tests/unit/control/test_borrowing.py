"""Limits over an upgrade are one ledger: what is spent is handed over, and what old workers ask for
or settle afterwards is the successor's to lend and to count."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.tenants.limits import HandedLimits, WorkerLimits
from penstock.control.upgrade.borrowing import Borrowers, Borrowing
from penstock.control.upgrade.channel import Channel, listen_at
from penstock.control.upgrade.messages import Borrow
from penstock.core.snapshot import Limit, Pool, Snapshot

DAY_S = 86400.0
NOW_S = 10.5 * DAY_S
BUDGET = Limit("budget", "tokens", 100.0, "day", budget=True)
RATE = Limit("rate", "requests", 60.0, "minute")
PLACES = Limit("places", "concurrent", 3.0)


def owner(*limits: Limit) -> WorkerLimits:
    made = WorkerLimits(
        StateFiles(None, Events()), Events(), lambda: 1, lambda: 50.0, lambda: NOW_S
    )
    configure(made, *limits)
    return made


def configure(made: WorkerLimits, *limits: Limit) -> None:
    made.configure(Snapshot(1, (), (), (Pool("main", (), limits=limits),)))


def asked(limit: str, need: float, back: float = 0.0, owed: float = 0.0) -> list[list[object]]:
    return [[limit, "", need, need, back, owed, False]]


def given(told: list[list[object]]) -> float:
    return float(str(told[0][2]))


def hand_over(old: WorkerLimits, new: WorkerLimits, *, all_of_it: bool = True) -> Borrowers:
    async def lend(worker: int, told: Sequence[Sequence[object]]) -> list[list[object]]:
        return new.lend(worker, told)

    borrowers = Borrowers(lend, new.forget)
    number = lambda worker: borrowers.number(7, worker)  # noqa: E731
    new.take_over(old.handed(), number, all_of_it=all_of_it)
    configure(new, BUDGET, RATE, PLACES)
    return borrowers


def test_what_was_spent_of_a_budget_is_spent() -> None:
    old, new = owner(BUDGET), owner(BUDGET)
    assert given(old.lend(0, asked("budget", 70.0))) == 70.0
    hand_over(old, new)
    assert given(new.lend(0, asked("budget", 40.0))) == 0.0
    assert given(new.lend(0, asked("budget", 30.0))) == 30.0


def test_what_old_workers_give_back_and_owe_counts_in_the_one_ledger() -> None:
    old, new = owner(BUDGET), owner(BUDGET)
    old.lend(0, asked("budget", 70.0))
    borrowers = hand_over(old, new)
    new.lend(borrowers.number(7, 0), asked("budget", 0.0, back=50.0))
    assert given(new.lend(0, asked("budget", 80.0))) == 80.0
    new.lend(borrowers.number(7, 0), asked("budget", 0.0, owed=5.0))
    assert new.owner.beyond == {"budget": 5.0}


def test_a_rate_that_was_used_up_has_not_flowed_back() -> None:
    old, new = owner(RATE), owner(RATE)
    assert given(old.lend(0, asked("rate", 60.0))) == 60.0
    hand_over(old, new)
    assert given(new.lend(0, asked("rate", 1.0))) == 0.0


def test_places_of_old_workers_are_taken_until_they_come_back_or_end() -> None:
    old, new = owner(PLACES), owner(PLACES)
    old.lend(0, asked("places", 1.0))
    old.lend(1, asked("places", 2.0))
    borrowers = hand_over(old, new)
    assert given(new.lend(0, asked("places", 1.0))) == 0.0
    new.lend(borrowers.number(7, 0), asked("places", 0.0, back=1.0))
    assert given(new.lend(0, asked("places", 1.0))) == 1.0
    assert given(new.lend(0, asked("places", 1.0))) == 0.0
    borrowers.forget(7)
    assert given(new.lend(0, asked("places", 2.0))) == 2.0


def test_of_one_that_died_the_greater_of_what_both_know_is_spent() -> None:
    """Its offer may be older than what it saved."""
    old, new = owner(BUDGET), owner(BUDGET)
    old.lend(0, asked("budget", 20.0))
    offered = old.handed()
    new.lend(0, asked("budget", 60.0))
    new.take_over(offered, lambda worker: -1, all_of_it=False)
    configure(new, BUDGET)
    assert given(new.lend(0, asked("budget", 41.0))) == 0.0
    assert given(new.lend(0, asked("budget", 40.0))) == 40.0


def test_a_window_that_is_over_is_handed_over_in_vain() -> None:
    new = owner(BUDGET)
    old = HandedLimits({"budget": owner(BUDGET).handed().budgets["budget"]})
    old.budgets["budget"].start -= DAY_S
    old.budgets["budget"].spent[""] = 100.0
    new.take_over(old, lambda worker: -1, all_of_it=True)
    configure(new, BUDGET)
    assert given(new.lend(0, asked("budget", 100.0))) == 100.0


@asynccontextmanager
async def successor(path: Path, borrowers: Borrowers, pid: int = 7) -> AsyncIterator[None]:
    """It listens as a supervisor does, and serves one who borrows."""
    sock = listen_at(path)
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        connection, _ = await loop.sock_accept(sock)
        channel = Channel(connection, 20.0)
        first, _ = await asyncio.to_thread(channel.receive)
        assert isinstance(first, Borrow)
        await borrowers.serve(channel, first, pid)

    serving = asyncio.create_task(serve())
    try:
        yield
    finally:
        sock.close()
        await asyncio.wait({serving}, timeout=10.0)
        assert serving.done()


async def test_workers_that_finish_borrow_of_the_successor(tmp_path: Path) -> None:
    old, new = owner(BUDGET, PLACES), owner(BUDGET, PLACES)
    old.lend(0, asked("budget", 70.0))
    old.lend(0, asked("places", 3.0))
    borrowers = hand_over(old, new)
    path = tmp_path / "new.sock"
    borrowing = Borrowing(path, 7, old.lend)
    early = asyncio.create_task(borrowing.lend(0, asked("budget", 0.0, back=10.0)))
    await asyncio.sleep(0)  # before the successor listens
    async with successor(path, borrowers):
        await early
        assert given(await borrowing.lend(1, asked("budget", 40.0))) == 40.0
        assert given(await borrowing.lend(1, asked("budget", 1.0))) == 0.0
        await borrowing.finish()
    assert given(new.lend(0, asked("places", 3.0))) == 3.0, "their places are free at their end"


async def test_a_successor_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    old = owner(BUDGET)
    borrowing = Borrowing(None, 7, old.lend)
    assert given(await borrowing.lend(0, asked("budget", 60.0))) == 60.0
    assert given(await borrowing.lend(0, asked("budget", 60.0))) == 0.0
    await borrowing.finish()


async def test_one_that_goes_away_leaves_them_what_was_known_last(tmp_path: Path) -> None:
    old, new = owner(BUDGET), owner(BUDGET)
    borrowers = hand_over(old, new)
    path = tmp_path / "new.sock"
    borrowing = Borrowing(path, 7, old.lend)
    async with successor(path, borrowers):
        assert given(await borrowing.lend(0, asked("budget", 10.0))) == 10.0
        assert borrowing._channel is not None
        borrowing._channel.close()
    assert given(await borrowing.lend(0, asked("budget", 10.0))) == 10.0
    await borrowing.finish()
