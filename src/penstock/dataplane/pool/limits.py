"""The limits of one worker: what its requests reserve, and who waits until the owner answers."""

from typing import Final

from mypy_extensions import mypyc_attr, trait

from penstock.core.env import Env
from penstock.core.limits.owner import Asked, Lent, Owner
from penstock.core.limits.rules import Prices, limits_in
from penstock.core.limits.slices import DENIED, LACKS, TAKEN, Charge, Holding, Slices
from penstock.core.limits.usage import UsageCount
from penstock.core.measure.tokens import Progress
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.held_places import HeldPlaces
from penstock.dataplane.io.loop import Flushable, Loop, report_bug

_PATIENCE_S: Final = 0.5  # for the owner; then a share of each limit is given out without it
_OWNER_AWAY_S: Final = 1.0  # until what nobody can lend is asked for again
_MOST_WAITING: Final = 10_000
_MOST_TRIES: Final = 4  # that others may go before


@mypyc_attr(allow_interpreted_subclasses=True)
class Lender:
    """The way to the owner. This one leads nowhere."""

    def ask(self, asked: list[Asked]) -> bool:
        """Have it answer by ``Limits.take_answer``; False where it cannot be asked."""
        return False


@trait
class LimitsAwaiter:
    """A request that waits until its worker has something to give out."""

    def has_ended(self) -> bool:
        """Whether its client left meanwhile."""
        raise NotImplementedError

    def on_allowed(self) -> None:
        """All that it needs is reserved."""
        raise NotImplementedError

    def on_denied(self, holding: Holding | None, wait_s: float) -> None:
        """So much is not there; it may be in ``wait_s``."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed while it was told: give up, and leave nobody waiting."""
        raise NotImplementedError


class _Waiting:
    def __init__(self, awaiter: LimitsAwaiter, charges: list[Charge], since: float) -> None:
        self.awaiter: LimitsAwaiter = awaiter
        self.charges: list[Charge] = charges
        self.since: float = since
        self.tries: int = 0


class Running:
    """A request that may come to take more than was reserved: its answer, as it is read."""

    def __init__(self, progress: Progress) -> None:
        self.progress: Progress = progress

    def grow(self, now: float) -> None:
        """Reserve what came beyond what was reserved."""


class Limits(Flushable):
    """What is asked of the owner is gathered while a batch of events is handled."""

    def __init__(self, loop: Loop, held: HeldPlaces) -> None:
        """``held``: what workers have of places, as all see it."""
        self.lender: Lender = Lender()
        self.slices: Slices = Slices()
        self.usage: UsageCount = UsageCount()
        self.prices: Prices = Prices({})
        self.running: dict[int, Running] = {}  # by the reservation's own number
        self._held: HeldPlaces = held
        self._loop: Loop = loop
        self._env: Env = loop.env
        self._due: bool = False  # ``flush`` is
        self._waiting: list[_Waiting] = []
        self._share: Owner = Owner()  # that lends while the owner of all does not answer
        self._budgets: frozenset[str] = frozenset()

    def configure(self, spec: Snapshot, sharers: int) -> None:
        """Of the snapshot that runs from here on."""
        self.prices = Prices(spec.prices)
        limits = limits_in(spec)
        self._budgets = frozenset([limit.name for limit in limits if limit.budget])
        self._share.configure(limits, 1.0 / max(sharers, 1))

    def reserve(self, charges: list[Charge], awaiter: LimitsAwaiter) -> int:
        """TAKEN, DENIED, or LACKS: then the awaiter is told when it is known."""
        now = self._env.now
        verdict = self.slices.take(charges, now)
        if verdict == LACKS:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(_Waiting(awaiter, charges, now))
            else:
                verdict = DENIED
                self.slices.denied_by = charges[0].holding
                self.slices.wait_s = _OWNER_AWAY_S
        if self.slices.is_asking():
            self._flush_soon()
        return verdict

    def _flush_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.flush_after_batch(self)

    def flush(self) -> None:
        self._due = False
        slices = self.slices
        if not slices.is_asking():
            return
        now = self._env.now
        asked = slices.asks(now)
        for each in asked:
            if each.back > 0.0:
                self._show(each.limit, each.subject)
        if self.lender.ask(asked):
            for each in asked:
                if each.by_share > 0.0:
                    self._counted(each, now)
        else:
            for each in asked:
                slices.not_told(each)
            self._answer_by_share(asked, now)

    def _counted(self, asked: Asked, now: float) -> None:
        """What was given out by share is its owner's to count from here on. Of rates it flows back
        here too."""
        if self.slices.places(asked.limit, asked.subject) is not None:
            self._share_back(asked.limit, asked.subject, asked.by_share, now)

    def _share_back(self, limit: str, subject: str, amount: float, now: float) -> None:
        """So much of this worker's own share is there again."""
        back = Asked(limit, subject, 0.0, 0.0, amount, 0.0, ahead=False)
        self._share.lend(back, 0, now, now)

    def _show(self, limit: str, subject: str) -> Holding | None:
        """Have others see what this worker has, where it is places."""
        holding = self.slices.places(limit, subject)
        if holding is not None:
            self._held.hold(limit, subject, holding.places)
        return holding

    def take_answer(self, lent: list[tuple[str, str, Lent]]) -> None:
        """The owner's."""
        now = self._env.now
        for limit, subject, each in lent:
            self.slices.lent(limit, subject, each, now)
            if each.amount > 0.0:
                self._use_share(limit, subject, each.amount, now)
                self._give_way(limit, subject, now)
        self._go_on(now)

    def _use_share(self, limit: str, subject: str, amount: float, now: float) -> None:
        """What the owner lends of a rate is of this worker's own share first: of a rate that was
        lent whole, there is nothing left to give out while the owner says no more."""
        if limit not in self._budgets and self.slices.places(limit, subject) is None:
            self._share.lend(Asked(limit, subject, amount, 0.0, 0.0, 0.0, ahead=False), 0, now, now)

    def _give_way(self, limit: str, subject: str, now: float) -> None:
        """Of places that came too late, as another worker gave them out by its share, this one
        keeps none."""
        holding = self._show(limit, subject)
        if holding is not None:
            others = self._held.others(limit, subject)
            if others > 0.0:
                self.slices.hand_back(holding, holding.places + others - holding.rule.most, now)

    def on_sweep(self, now: float) -> None:
        """Four times a second."""
        for running in list(self.running.values()):
            running.grow(now)
        self.slices.sweep(now)
        if self._waiting and now - self._waiting[0].since > _PATIENCE_S:
            self._lend_share(now)
            self._go_on(now)
        self.flush()

    def _lend_share(self, now: float) -> None:
        """Whoever waits too long is served from this worker's own share."""
        for waiting in self._waiting:
            for charge in waiting.charges:
                holding = charge.holding
                if holding.held < charge.amount:
                    asked = Asked(
                        holding.rule.name, holding.subject, charge.amount, charge.amount, 0.0, 0.0
                    )
                    self._answer_by_share([asked], now)

    def _answer_by_share(self, asked: list[Asked], now: float) -> None:
        """Of rates and places; a budget is its owner's alone, or more than it would be spent."""
        for each in asked:
            lent: Lent | None = Lent(0.0, 0.0, _OWNER_AWAY_S)
            if each.limit not in self._budgets:
                lent = self._share.lend(each, 0, now, now)
            if lent is None:
                continue
            holding = self.slices.places(each.limit, each.subject)
            if holding is not None and lent.amount > 0.0:
                lent = self._not_twice(each, lent, holding, now)
            self.slices.share(each.limit, each.subject, lent, now)
            self._show(each.limit, each.subject)
        if self._waiting:
            self._go_on(now)

    def _not_twice(self, asked: Asked, lent: Lent, holding: Holding, now: float) -> Lent:
        """What of a share of places no other worker has."""
        limit, subject = asked.limit, asked.subject
        self._held.hold(limit, subject, holding.places + lent.amount)
        others = self._held.others(limit, subject)
        free = max(min(holding.rule.most - others - holding.places, lent.amount), 0.0)
        if free == lent.amount:
            return lent
        self._share_back(limit, subject, lent.amount - free, now)
        if free > 0.0:
            return Lent(free, lent.keeps_s, 0.0)
        return Lent(0.0, 0.0, _OWNER_AWAY_S)

    def _go_on(self, now: float) -> None:
        """All who wait try again."""
        waiting = self._waiting
        self._waiting = []
        if waiting:
            self._flush_soon()
        for each in waiting:
            if each.awaiter.has_ended():
                continue  # its client left
            verdict = self.slices.take(each.charges, now)
            each.tries += 1
            if verdict == LACKS and each.tries < _MOST_TRIES:
                self._waiting.append(each)
                continue
            try:
                if verdict == TAKEN:
                    each.awaiter.on_allowed()
                else:
                    denied = verdict != LACKS
                    holding = self.slices.denied_by if denied else each.charges[0].holding
                    each.awaiter.on_denied(holding, self.slices.wait_s if denied else 1.0)
            except Exception:  # noqa: BLE001 - that request's bug must not end the others that wait
                report_bug("while a request went on within its limits")
                each.awaiter.on_crash()
