"""The owner of limits, which answers at once, later, or for some time not at all."""

from typing import Literal

from penstock.core.limits.owner import Asked, Lent, Owner
from penstock.core.limits.rules import limits_in
from penstock.core.snapshot import Snapshot
from penstock.dataplane.context import Context
from penstock.dataplane.pool.limits import Lender
from tests.whole.kernel import Kernel

Manner = Literal["at once", "later", "not at all", "away"]
_WALL_S = 1e9  # before its clock


class Ledger(Lender):
    """As the supervisor's, over a mailbox in which answers may lie for a while."""

    def __init__(self, kernel: Kernel, context: Context) -> None:
        super().__init__()
        self.kernel = kernel
        self.owner = Owner()
        self.manner: Manner = "at once"
        self._limits = context.limits
        self._waiting: list[Asked] = []
        context.limits.lender = self

    def configure(self, spec: Snapshot) -> None:
        self.owner.configure(limits_in(spec))

    def ask(self, asked: list[Asked]) -> bool:
        if self.manner == "away":
            return False
        self._waiting += asked
        if self.manner == "at once":
            self.answer()
        return True

    def answer(self) -> None:
        """All that is asked so far."""
        now = self.kernel.now
        waiting, self._waiting = self._waiting, []
        told: list[tuple[str, str, Lent]] = []
        for each in waiting:
            lent = self.owner.lend(each, 0, now, now + _WALL_S)
            if lent is not None:
                told.append((each.limit, each.subject, lent))
        self._limits.take_answer(told)

    @property
    def is_asked(self) -> bool:
        return bool(self._waiting) and self.manner != "not at all"

    def taken(self, limit: str) -> dict[str, float]:
        """What is not there of it, by subject."""
        allowances = self.owner.allowances(limit)
        if allowances is None:
            return {}
        now = self.kernel.now
        subjects = allowances.most_taken(100)
        most = allowances.most()
        return {each: most - allowances.left(each, now + _WALL_S) for each in subjects}
