"""What one borrower may give out without asking: slices of allowances, lent by their owner.

``take`` is all or nothing over all limits of a request. Where a slice is too small it says so, and
``asks`` has what the owner is to be asked for; its answer goes to ``lent``.
"""

from typing import Final

from penstock.core.limits.allowances import NEVER, OVERFLOW
from penstock.core.limits.owner import Asked, Lent
from penstock.core.limits.rules import CONCURRENT, Rule

TAKEN: Final = 0
LACKS: Final = 1  # ask, and try again
DENIED: Final = 2

MOST_HOLDINGS: Final = 16384
_FORGOTTEN_S: Final = 5.0  # a holding that nobody used
_RENEWED_BELOW: Final = 0.25  # of a slice: more is asked for ahead
_RENEW_S: Final = 0.05  # between two such questions
_PLACE_S: Final = 0.25  # that one which came free stays here
_DENIED_S: Final = 0.2  # so long a refusal is believed, at most
_ENOUGH: Final = 1.0 - 1e-9  # sums of floats may be that much off


class Holding:
    """A slice of one allowance."""

    held: float = 0.0
    until: float = 0.0  # afterwards it is the owner's again
    slice: float = 0.0  # as it was lent
    back: float = 0.0  # to be given back
    untold: float = 0.0  # was given back while its owner could not be told
    used_at: float = 0.0
    running: int = 0  # requests that took of it and are not settled
    asked: bool = False  # the owner is, or will be
    ahead: bool = False  # for more than is needed
    need: float = 0.0  # of those that wait
    least: float = 0.0  # that any of them needs
    ask_at: float = 0.0  # not again before
    denied: float = 0.0  # so much is not there
    may_at: float = 0.0  # until then
    left: float = 0.0  # with the owner, when it answered
    whole_at: float = 0.0
    by_share: float = 0.0  # was given out without its owner, who is to be told
    places: float = 0.0  # of concurrent requests: in use or not, all that was lent and not returned

    def __init__(self, rule: Rule, subject: str) -> None:
        self.rule: Rule = rule
        self.subject: str = subject

    def seen_left(self) -> float:
        """What there is, as far as it is known here."""
        return max(self.held, 0.0) + self.left


class Charge:
    """What one request took of one allowance."""

    def __init__(self, holding: Holding, amount: float) -> None:
        self.holding: Holding = holding
        self.amount: float = amount
        self.until: float = NEVER  # a budget's window ends: afterwards nothing of it is given back


class Slices:
    """Of all limits, by rule and subject. Times are seconds on any clock that does not go back."""

    def __init__(self) -> None:
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._to_ask: list[Holding] = []
        self.denied_by: Holding | None = None  # of the last ``take`` that was denied
        self.wait_s: float = 0.0  # how long until that may be asked again

    def __len__(self) -> int:
        return len(self._holdings)

    def holding(self, rule: Rule, subject: str) -> Holding:
        """The slice of that allowance; one of nothing at first."""
        key = (rule.name, subject)
        found = self._holdings.get(key)
        if found is None:
            if len(self._holdings) >= MOST_HOLDINGS and rule.apart:
                key = (rule.name, OVERFLOW)
                return self._holdings.get(key) or self._made(key, rule)
            found = self._made(key, rule)
        elif found.rule is not rule:
            found.rule = rule
        return found

    def _made(self, key: tuple[str, str], rule: Rule) -> Holding:
        found = self._holdings[key] = Holding(rule, key[1])
        return found

    def take(self, charges: list[Charge], now: float) -> int:
        """TAKEN, or nothing is: LACKS where the owner is to be asked, or DENIED."""
        verdict = TAKEN
        for charge in charges:
            holding = charge.holding
            if holding.until <= now and holding.held > 0.0:
                self._lay_down(holding, now)
            if holding.held >= charge.amount * _ENOUGH:
                continue
            if charge.amount > holding.rule.most or (
                now < holding.ask_at and charge.amount >= holding.denied > 0.0
            ):
                self.denied_by = holding
                never = charge.amount > holding.rule.most
                self.wait_s = NEVER if never else max(holding.may_at - now, 0.0)
                return DENIED
            verdict = LACKS
        for charge in charges:
            holding = charge.holding
            if verdict == TAKEN:
                holding.held -= charge.amount
                holding.running += 1
                if holding.rule.budget:
                    charge.until = holding.whole_at
                holding.used_at = now
                if holding.held < holding.slice * _RENEWED_BELOW and now >= holding.ask_at:
                    self._ask(holding, 0.0, now)
                    holding.ahead = True
            elif holding.held < charge.amount * _ENOUGH:
                self._ask(holding, charge.amount, now)
        return verdict

    def settle(self, charge: Charge, used: float, now: float) -> None:
        """It took so much in the end, and not what was reserved; of a place nothing is left."""
        holding = charge.holding
        holding.running -= 1
        self._correct(charge, 0.0 if holding.rule.counts == CONCURRENT else used, now)

    def _correct(self, charge: Charge, used: float, now: float) -> None:
        """More may be owed to the owner than there is."""
        holding = charge.holding
        if used > charge.amount or now < charge.until:
            holding.held += charge.amount - used
        if holding.rule.counts == CONCURRENT:
            holding.until = now + _PLACE_S  # for the next request, which is near where it is busy
        charge.amount = used
        if holding.held < 0.0:
            self._ask(holding, 0.0, now)

    def grow(self, charge: Charge, used: float, now: float) -> None:
        """What is under way took more than was reserved."""
        if used > charge.amount:
            self._correct(charge, used, now)

    def asks(self, now: float) -> list[Asked]:
        """What the owner is to be asked for; each is answered by ``lent``, in any order."""
        asked: list[Asked] = []
        for holding in self._to_ask:
            owed = 0.0
            if holding.held < 0.0:
                owed = -holding.held
                holding.held = 0.0
            need = max(holding.need - max(holding.held, 0.0), 0.0)
            least = max(holding.least - max(holding.held, 0.0), 0.0)
            rule = holding.rule
            by_share = holding.by_share
            each = Asked(
                rule.name,
                holding.subject,
                need,
                least,
                holding.back + holding.untold,
                owed + by_share,
                holding.ahead,
            )
            each.by_share = by_share
            asked.append(each)
            holding.by_share = 0.0
            if rule.counts == CONCURRENT:
                holding.places -= holding.back
            holding.back = 0.0
            holding.untold = 0.0
            holding.ahead = False
        self._to_ask = []
        return asked

    def not_told(self, asked: Asked) -> None:
        """The owner cannot be asked: it is to be told later what was given out by share, but for
        what was given back by now, and what it gets back of its own, and is owed of a budget."""
        holding = self._holdings.get((asked.limit, asked.subject))
        by_share = asked.by_share
        asked.owed -= by_share
        if holding is None:
            return
        holding.by_share += max(by_share - asked.back, 0.0)
        own = max(asked.back - by_share, 0.0)
        holding.untold += own
        asked.back -= own
        if holding.rule.budget:
            holding.held -= asked.owed
            asked.owed = 0.0

    def is_asking(self) -> bool:
        """Whether ``asks`` has anything."""
        return len(self._to_ask) > 0

    def lent(self, limit: str, subject: str, lent: Lent, now: float) -> None:
        """The owner answered."""
        holding = self._holdings.get((limit, subject))
        if holding is None:
            return  # it was forgotten meanwhile, with all that it had
        holding.asked = False
        holding.left = lent.left
        holding.whole_at = now + lent.whole_s
        if lent.amount > 0.0:
            holding.held += lent.amount
            if holding.rule.counts == CONCURRENT:
                holding.places += lent.amount
            holding.slice = lent.amount
            keeps_s = lent.keeps_s
            if holding.rule.budget:  # and not beyond its window
                keeps_s = min(keeps_s, lent.whole_s)
            holding.until = now + keeps_s
            holding.denied = 0.0
            holding.ask_at = now + min(_RENEW_S, lent.keeps_s)
        elif holding.least > 0.0 and lent.wait_s > 0.0:
            holding.denied = holding.least
            holding.may_at = now + lent.wait_s
            holding.ask_at = now + min(lent.wait_s, _DENIED_S)
        else:
            holding.ask_at = now + _RENEW_S
        holding.need = 0.0
        holding.least = 0.0

    def share(self, limit: str, subject: str, lent: Lent, now: float) -> None:
        """This much is given out though its owner does not answer, who is told of it when it may
        be."""
        holding = self._holdings.get((limit, subject))
        if holding is not None and lent.amount > 0.0:
            holding.by_share += lent.amount
        self.lent(limit, subject, lent, now)

    def places(self, limit: str, subject: str) -> Holding | None:
        """The holding of that allowance, if it is of concurrent requests."""
        holding = self._holdings.get((limit, subject))
        return holding if holding is not None and holding.rule.counts == CONCURRENT else None

    def hand_back(self, holding: Holding, count: float, now: float) -> None:
        """Others have these places too: of those that are not in use so many go back."""
        count = min(count, holding.held)
        if count > 0.0:
            holding.held -= count
            holding.back += count
            self._ask(holding, 0.0, now)

    def sweep(self, now: float) -> None:
        """Give back what nobody used in time, and forget what nobody uses."""
        gone: list[tuple[str, str]] = []
        for key, holding in self._holdings.items():
            if holding.until <= now and holding.held > 0.0:
                self._lay_down(holding, now)
            to_tell = holding.back + holding.untold + holding.by_share
            if to_tell > 0.0 or holding.held < 0.0:
                self._ask(holding, 0.0, now)
            elif (
                not holding.asked
                and holding.running == 0
                and holding.held == 0.0
                and now - max(holding.used_at, holding.ask_at) > _FORGOTTEN_S
            ):
                gone.append(key)
        for key in gone:
            del self._holdings[key]

    def _lay_down(self, holding: Holding, now: float) -> None:
        """Give back what is held, unless it was of a budget's window that is over."""
        if not holding.rule.budget or now < holding.whole_at:
            holding.back += holding.held
            self._ask(holding, 0.0, now)
        holding.held = 0.0

    def all_back(self) -> None:
        """Nobody uses any of it any more: the worker ends."""
        for holding in self._holdings.values():
            if holding.held > 0.0:
                holding.back += holding.held
                holding.held = 0.0
                self._ask(holding, 0.0, 0.0)

    def _ask(self, holding: Holding, amount: float, now: float) -> None:
        if amount > 0.0:
            holding.ahead = True
            holding.need += amount
            holding.least = min(holding.least, amount) if holding.least > 0.0 else amount
        if not holding.asked:
            holding.asked = True
            self._to_ask.append(holding)
