"""Who owns allowances and lends them in slices: to the workers of a balancer, or to balancers.

Whoever borrowed gives out from its slice without asking. What is lent counts as taken, so however
many borrow, no more than the allowance is ever given out; what a borrower does not use it gives
back, and with one that dies its slices are lost to rates and budgets until they flow back.
"""

from typing import Final

from penstock.core.limits.allowances import Allowances
from penstock.core.limits.budgets import BudgetTable
from penstock.core.limits.leased import LeasedTable
from penstock.core.limits.places import PlaceTable
from penstock.core.limits.rates import RateTable
from penstock.core.limits.windows import PERIODS_S
from penstock.core.snapshot import Limit

_LENT_S: Final = 2.0  # by then what others hold unused was given back
_AHEAD: Final = 4.0  # times what is needed of a budget
_LEAST_SLICES: Final = 256  # of a budget, where no more is needed
_LEAST_KEPT_S: Final = 0.02
_MOST_KEPT_S: Final = 1.0
_ALONE_KEPT_S: Final = 10.0  # where there is one borrower, for whom else should it be kept?
WHOLE: Final = frozenset(("requests", "concurrent"))  # lent in whole numbers


class Asked:
    """What a borrower wants of one allowance: ``need``, or at least ``least`` of it, and ``ahead``
    more where there is plenty. ``back`` it had and did not use; ``owed`` it gave out beyond what it
    had."""

    by_share: float = 0.0  # of ``owed``: its own share, given out while the owner did not answer

    def __init__(
        self,
        limit: str,
        subject: str,
        need: float,
        least: float,
        back: float,
        owed: float,
        ahead: bool = True,
    ) -> None:
        self.limit: str = limit
        self.subject: str = subject
        self.need: float = need
        self.least: float = least
        self.back: float = back
        self.owed: float = owed
        self.ahead: bool = ahead


class Lent:
    """``amount`` may be given out within ``keeps_s``. At 0.0 where more was needed, so much may be
    there in ``wait_s``. ``left`` is with the owner, and whole again in ``whole_s``."""

    def __init__(self, amount: float, keeps_s: float, wait_s: float) -> None:
        self.amount: float = amount
        self.keeps_s: float = keeps_s
        self.wait_s: float = wait_s
        self.left: float = 0.0
        self.whole_s: float = 0.0
        self.ahead: float = 0.0  # of ``amount``: more than was needed


class Standing:
    """What is taken of one allowance: of ``most``, and whole again in ``whole_s``."""

    def __init__(
        self, limit: Limit, subject: str, taken: float, most: float, whole_s: float
    ) -> None:
        self.limit: Limit = limit
        self.subject: str = subject
        self.taken: float = taken
        self.most: float = most
        self.whole_s: float = whole_s


class Owner:
    """Of all limits. ``borrowers`` is how many there are. ``leased``: they are leased
    themselves, from a store that others lease of too."""

    def __init__(self, leased: bool = False) -> None:
        self._leased: bool = leased
        self._leases: dict[str, LeasedTable] = {}
        self.borrowers: int = 1
        self._limits: dict[str, Limit] = {}
        self._allowances: dict[str, Allowances] = {}
        # Of places, by borrower: what it holds, and loses when it dies.
        self._held: dict[int, dict[tuple[str, str], float]] = {}
        # What was lent beyond what was needed, and not settled since: it is taken, but not used.
        self._ahead: dict[int, dict[tuple[str, str], float]] = {}
        self.beyond: dict[str, float] = {}  # what was given out beyond what there was, by limit
        self._lent_at: dict[str, float] = {}  # when more was lent than was needed, by limit

    def configure(self, limits: list[Limit], share: float = 1.0) -> None:
        """These from here on; of those that stay, what was taken does. ``share``: of amounts."""
        allowances: dict[str, Allowances] = {}
        for limit in limits:
            known = self._allowances.get(limit.name)
            if known is None or self._limits[limit.name] != limit:
                known = self._made(limit, known, share)
            allowances[limit.name] = known
        self.beyond = {name: over for name, over in self.beyond.items() if name in allowances}
        self._limits = {limit.name: limit for limit in limits}
        self._allowances = allowances
        self._leases = {}
        for name, table in allowances.items():
            if isinstance(table, LeasedTable):
                self._leases[name] = table

    def _made(self, limit: Limit, before: Allowances | None, share: float) -> Allowances:
        if not self._leased:
            return allowances_of(limit, share)
        made = LeasedTable(limit)
        if isinstance(before, LeasedTable):
            made.succeed(before)
        return made

    def allowances(self, limit: str) -> Allowances | None:
        """Of that limit, if there is one of that name."""
        return self._allowances.get(limit)

    def leased(self) -> dict[str, LeasedTable]:
        """Those that are, by limit."""
        return self._leases

    def overflowed(self) -> dict[str, int]:
        """How often subjects had no place of their own, by limit."""
        return {name: each.overflowed for name, each in self._allowances.items() if each.overflowed}

    def lend(self, asked: Asked, borrower: int, now: float, wall_s: float) -> Lent | None:
        """Settle what it gives back and owes, and lend what it wants, as far as it is there.

        None: there is no such limit any more.
        """
        limit = self._limits.get(asked.limit)
        if limit is None:
            return None
        allowances = self._allowances[asked.limit]
        at = wall_s if limit.budget else now
        subject = asked.subject
        if asked.owed > 0.0:
            over = asked.owed - asked.back - max(allowances.remaining(subject, at), 0.0)
            if over > 0.0:
                self.beyond[asked.limit] = self.beyond.get(asked.limit, 0.0) + over
            allowances.spend(subject, asked.owed, at)
        if asked.back > 0.0:  # at last: some of it may be what was owed
            allowances.give_back(subject, asked.back, at)
        lent = self._lend(limit, allowances, asked, now, at)
        if limit.counts == "concurrent":
            self._note_places(asked, lent, borrower)
        self._note_ahead(asked, lent, borrower)
        lent.left = max(allowances.remaining(subject, at), 0.0)
        lent.whole_s = allowances.whole_s(subject, at)
        return lent

    def _lend(
        self, limit: Limit, allowances: Allowances, asked: Asked, now: float, at: float
    ) -> Lent:
        left = allowances.left(asked.subject, at)
        if limit.counts in WHOLE:
            left = float(int(left + 1e-6))
        need = asked.need
        if left < need:
            need = left
        if need < asked.least or (asked.least > 0.0 and need <= 0.0):
            wait_s = allowances.wait_s(asked.subject, asked.least, at)
            if (self.borrowers > 1 or self._leased) and now - self._lent_at.get(
                asked.limit, -1e9
            ) < _LENT_S:
                wait_s = min(wait_s, _LENT_S)
            return Lent(0.0, 0.0, wait_s)
        extra = max(left - need, 0.0) / (2 * self.borrowers) if asked.ahead else 0.0
        if limit.budget:  # what a borrower that dies had of one flows back never
            extra = min(extra, max(_AHEAD * need, limit.amount / _LEAST_SLICES))
        if limit.counts in WHOLE:
            extra = float(int(extra))
        amount = max(need, 0.0) + extra
        if amount <= 0.0:
            return Lent(0.0, 0.0, 0.0)
        if extra > 0.0:
            self._lent_at[asked.limit] = now
        allowances.spend(asked.subject, amount, at)
        alone = self.borrowers == 1 and not self._leased
        longest = _ALONE_KEPT_S if alone else _MOST_KEPT_S
        keeps_s = min(max(allowances.keeps_s(amount), _LEAST_KEPT_S), longest)
        lent = Lent(amount, keeps_s, 0.0)
        lent.ahead = extra
        return lent

    def standings(self, most: int, now: float, wall_s: float) -> list[Standing]:
        """Of each limit the allowances of which most is taken, at most so many, the fullest first.

        What lies unused with a borrower is told as it was when that asked last.
        """
        ahead: dict[tuple[str, str], float] = {}
        for of_one in self._ahead.values():
            for key, amount in of_one.items():
                ahead[key] = ahead.get(key, 0.0) + amount
        found: list[Standing] = []
        for name, limit in self._limits.items():
            allowances = self._allowances[name]
            at = wall_s if limit.budget else now
            whole = allowances.most()
            for subject in allowances.most_taken(most):
                taken = whole - allowances.remaining(subject, at) - ahead.get((name, subject), 0.0)
                whole_s = allowances.whole_s(subject, at)
                found.append(Standing(limit, subject, max(taken, 0.0), whole, whole_s))
        return found

    def _note_ahead(self, asked: Asked, lent: Lent, borrower: int) -> None:
        of_one = self._ahead.setdefault(borrower, {})
        key = (asked.limit, asked.subject)
        if lent.ahead > 0.0:
            of_one[key] = lent.ahead
        else:
            of_one.pop(key, None)

    def rates_taken(self, now: float) -> dict[str, dict[str, float]]:
        """What of rates has not flowed back, by limit and subject; not of those leased."""
        found: dict[str, dict[str, float]] = {}
        for name, limit in self._limits.items():
            if not limit.budget and limit.counts != "concurrent":
                found[name] = self._allowances[name].taken(now)
        return found

    def places_held(self) -> list[tuple[int, str, str, float]]:
        """Borrower, limit, subject, and how many places it has."""
        return [
            (borrower, limit, subject, count)
            for borrower, held in self._held.items()
            for (limit, subject), count in held.items()
        ]

    def take_over(
        self,
        rates: dict[str, dict[str, float]],
        places: list[tuple[int, str, str, float]],
        now: float,
    ) -> None:
        """Of another owner, which lends no more: what is taken of its rates, and who holds which
        places."""
        for name, taken in rates.items():
            table = self._allowances.get(name)
            limit = self._limits.get(name)
            if table is None or limit is None or name in self._leases or limit.budget:
                continue
            if limit.counts != "concurrent":
                for subject, amount in taken.items():
                    table.spend(subject, amount, now)
        for borrower, name, subject, count in places:
            table = self._allowances.get(name)
            limit = self._limits.get(name)
            if table is None or limit is None or limit.counts != "concurrent":
                continue
            if isinstance(table, LeasedTable):
                table.lease(subject, now).spent += count  # it was leased, by another name
            else:
                table.spend(subject, count, now)
            held = self._held.setdefault(borrower, {})
            held[name, subject] = held.get((name, subject), 0.0) + count

    def _note_places(self, asked: Asked, lent: Lent, borrower: int) -> None:
        held = self._held.setdefault(borrower, {})
        key = (asked.limit, asked.subject)
        now_held = held.get(key, 0.0) + lent.amount + asked.owed - asked.back
        if now_held > 0.0:
            held[key] = now_held
        else:
            held.pop(key, None)

    def forget(self, borrower: int, now: float) -> None:
        """It died: the places that it held are free. What it had of rates and budgets may have been
        given out."""
        self._ahead.pop(borrower, None)
        for (limit, subject), held in self._held.pop(borrower, {}).items():
            allowances = self._allowances.get(limit)
            if allowances is not None:
                allowances.give_back(subject, held, now)


def allowances_of(limit: Limit, share: float = 1.0) -> Allowances:
    """For a limit, empty. ``share``: of its amount."""
    amount = limit.amount * share
    if limit.counts == "concurrent":
        return PlaceTable(max(amount, 1.0))
    if limit.budget:
        return BudgetTable(amount, limit.per)
    return RateTable(amount, PERIODS_S[limit.per], limit.burst * share)
