"""The supervisor as the owner of limits: it lends to workers, and keeps budgets over restarts."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Final

import msgspec

from penstock.admin.view import LimitView
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.core.limits.budgets import BudgetTable
from penstock.core.limits.owner import Asked, Owner, Standing
from penstock.core.limits.rules import limits_in
from penstock.core.snapshot import Limit, Snapshot

_SAVE_S: Final = 1.0
_FILE: Final = "budgets"
_VERSION: Final = 1
_Asked = tuple[str, str, float, float, float, float, bool]
_Told = list[object]


class SavedBudget(msgspec.Struct):
    """What was lent in a window: what is not spent of it was given back, if there was time."""

    start: float  # seconds since 1970
    spent: dict[str, float]  # by subject


class HandedLimits(msgspec.Struct):
    """All that a supervisor lent of, at an upgrade."""

    budgets: dict[str, SavedBudget] = {}
    rates: dict[str, dict[str, float]] = {}  # what has not flowed back, by limit and subject
    places: list[tuple[int, str, str, float]] = []  # worker, limit, subject, and how many it has


@dataclass(frozen=True)
class _Handed:
    handed: HandedLimits
    number: Callable[[int], int]
    all_of_it: bool


class WorkerLimits:
    """Lends to the workers of this balancer."""

    def __init__(
        self,
        files: StateFiles,
        events: Events,
        workers: Callable[[], int],
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
        *,
        leased: bool = False,
    ) -> None:
        """``workers``: how many there are. ``leased``: rates and budgets are, from a store."""
        self._files = files
        self._events = events
        self._workers = workers
        self._clock = clock
        self._wall_clock = wall_clock
        self.owner = Owner(leased)
        self._budgets: dict[str, BudgetTable] = {}
        self._saved: dict[str, SavedBudget] | None = None  # as it was read, or written last
        self._refused: dict[str, int] = {}
        self._changed = False
        self.frozen = False  # a successor keeps budgets
        self._handed: _Handed | None = None  # what is to be gone on from

    def configure(self, snapshot: Snapshot) -> None:
        """Own the limits of the snapshot that runs."""
        limits = limits_in(snapshot)
        self.owner.borrowers = max(self._workers(), 1)
        self.owner.configure(limits)
        names = {limit.name for limit in limits}
        self._refused = {name: count for name, count in self._refused.items() if name in names}
        self._restore([limit for limit in limits if limit.budget])
        if self._handed is not None:
            self._apply(self._handed)
            self._handed = None

    def lend(self, worker: int, asked: Sequence[Sequence[object]]) -> list[_Told]:
        """What a worker asked for, as its messages tell both."""
        now, wall_s = self._clock(), self._wall_clock()
        told: list[_Told] = []
        for each in msgspec.convert(asked, list[_Asked]):
            limit, subject = each[:2]
            lent = self.owner.lend(Asked(*each), worker, now, wall_s)
            if lent is None:
                told.append([limit, subject, 0.0, 0.0, 0.0, 0.0, 0.0])
                continue
            self._changed = self._changed or limit in self._budgets
            waits = [None if each == float("inf") else each for each in (lent.wait_s, lent.whole_s)]
            told.append([limit, subject, lent.amount, lent.keeps_s, waits[0], lent.left, waits[1]])
        return told

    def handed(self) -> HandedLimits:
        """All that is spent and held at this moment."""
        owner = self.owner
        saved = self._now_saved() if self._budgets else {}
        return HandedLimits(saved, owner.rates_taken(self._clock()), owner.places_held())

    def take_over(
        self, handed: HandedLimits, number: Callable[[int], int], *, all_of_it: bool
    ) -> None:
        """Go on from there once limits are configured. ``number``: by which a worker of the one
        before is known here. ``all_of_it``: it lends nothing any more; else it died, and what is
        known here may be newer."""
        self._handed = _Handed(handed, number, all_of_it)

    def _apply(self, given: "_Handed") -> None:
        handed, number, all_of_it = given.handed, given.number, given.all_of_it
        places = [(number(each[0]), *each[1:]) for each in handed.places]
        self.owner.take_over(handed.rates, places, self._clock())
        now = self._wall_clock()
        for name, told in handed.budgets.items():
            table = self._budgets.get(name)
            if table is None:
                continue
            spent = dict(told.spent)
            if not all_of_it and table.start(now) == told.start:
                for subject, amount in table.saved(now).items():
                    spent[subject] = max(spent.get(subject, 0.0), amount)
            table.restore(told.start, spent, now)
        self._saved = {**(self._saved or {}), **handed.budgets}
        self._changed = True

    def forget(self, worker: int) -> None:
        """Its process ended."""
        self.owner.forget(worker, self._clock())

    def note_refused(self, refused: dict[str, int]) -> None:
        """A worker tells of requests that it refused, by limit."""
        for limit, count in refused.items():
            self._refused[limit] = self._refused.get(limit, 0) + count

    def views(self) -> tuple[LimitView, ...]:
        """Of the limits of which there is anything to tell."""
        overflowed = self.owner.overflowed()
        beyond = self.owner.beyond
        names = sorted({*self._refused, *overflowed, *beyond})
        return tuple(
            LimitView(
                name, self._refused.get(name, 0), overflowed.get(name, 0), beyond.get(name, 0.0)
            )
            for name in names
        )

    def standings(self, most: int) -> list[Standing]:
        """Of each limit the fullest allowances, at most so many."""
        return self.owner.standings(most, self._clock(), self._wall_clock())

    @property
    def refused(self) -> dict[str, int]:
        """Requests, by the limit that refused them."""
        return self._refused

    async def run(self) -> None:
        """Save budgets once a second, while they change."""
        while True:
            await asyncio.sleep(_SAVE_S)
            if self._changed and not self.frozen:
                self._changed = False
                saved = self._now_saved()
                await asyncio.to_thread(self._files.write, _FILE, _VERSION, saved)

    def save(self) -> None:
        """At the end."""
        if self._budgets and not self.frozen:
            self._files.write(_FILE, _VERSION, self._now_saved())

    def _now_saved(self) -> dict[str, SavedBudget]:
        """Those of limits that are configured no more too, in case they are again."""
        now = self._wall_clock()
        saved = dict(self._saved or {})
        for name, table in self._budgets.items():
            saved[name] = SavedBudget(table.start(now), table.saved(now))
        self._saved = saved
        return saved

    def _restore(self, budgets: list[Limit]) -> None:
        if not budgets:
            self._budgets = {}
            return
        if self._saved is None:
            self._saved = self._files.read(_FILE, _VERSION, dict[str, SavedBudget]) or {}
        found: dict[str, BudgetTable] = {}
        for limit in budgets:
            table = self.owner.allowances(limit.name)
            if not isinstance(table, BudgetTable):
                continue
            found[limit.name] = table
            if self._budgets.get(limit.name) is table:
                continue
            before = self._budgets.get(limit.name)
            now = self._wall_clock()
            known = self._saved.get(limit.name)
            if before is not None:  # its amount is another now
                known = SavedBudget(before.start(now), before.saved(now))
            if known is not None:
                table.restore(known.start, known.spent, now)
        self._budgets = found
