"""Shares of tenants by virtual counters, which know what caches hold.

A tenant's counter grows by what it was given divided by its weight; the one with the least goes
first. A tenant that begins to wait after it did not is lifted to the least of those who wait, or to
the last that went on: what it did not use is gone, or it would shut the others out for as long.
Source: Y. Sheng et al., "Fairness in serving large language models" (VTC), OSDI 2024.

Tokens that a cache holds are not charged, and count as credit up to ``credit`` tokens: who has
most of its prompt where a place is free may go before others that far ahead of its turn, so that
fairness does not throw prefixes away. Source: S. Cao et al., "Locality-aware fair scheduling in LLM
serving" (DLPM, D2LPM), 2025, whose deficits bound it likewise.

For two tenants that wait all the time, the counters differ by at most the credit and the dearest
request, each divided by the least weight, whatever caches hold.
"""

from typing import Final

from penstock.core.admission.ledger import Ledger

OUTPUT_COST: Final = 2.0  # of a token made, in tokens read (as VTC has it)
_GIVEN: Final = "g"
_LIFT: Final = "l"
_LAST: Final = "v"
_TIME: Final = "t"


def account_of(importance: int, tenant: str) -> str:
    """What a tenant is given is counted for each class by itself."""
    return f"{importance}/{tenant}"


def cost_of(prompt_tokens: int, cached_tokens: int, output_tokens: int) -> float:
    """What a request to a language model uses."""
    return max(prompt_tokens - cached_tokens, 0) + OUTPUT_COST * output_tokens


class TenantShares:
    """Of one pool."""

    def __init__(self, ledger: Ledger | None = None, credit: float = 0.0) -> None:
        self.credit: float = credit  # in tokens
        self._ledger: Ledger = ledger if ledger is not None else Ledger()

    def counter(self, account: str) -> float:
        """What it was given for its weight, and what it was lifted by."""
        ledger = self._ledger
        return ledger.total(_GIVEN + account) + ledger.highest(_LIFT + account)

    def turn(self, account: str, cached: float, weight: float) -> float:
        """The counter less what a cache holds of the next request: the least goes first."""
        counter = self.counter(account)
        return counter - min(cached, self.credit) / weight if cached > 0.0 else counter

    def begins(self, importance: int, account: str, others: list[str]) -> None:
        """It waits after it did not; ``others`` of its class wait already."""
        ledger = self._ledger
        if others:
            floor = min([self.counter(other) for other in others])
        else:
            floor = ledger.highest(_LAST + str(importance))
        given = ledger.total(_GIVEN + account)
        if given + ledger.highest(_LIFT + account) < floor:
            ledger.tell(_LIFT + account, floor - given)

    def goes_on(self, importance: int, account: str, now: float) -> None:
        """One of its requests that waited goes on: no tenant that begins to wait is behind it."""
        self._ledger.tell(_LAST + str(importance), self.counter(account))
        self._ledger.tell(_TIME + str(importance), now)

    def charge(self, account: str, cost: float, weight: float) -> None:
        """It was given this; negative: it gave it back."""
        self._ledger.add(_GIVEN + account, cost / weight)

    def last_of_class(self, importance: int) -> float:
        """When a request of that class that had waited last went on; 0.0: never."""
        return self._ledger.highest(_TIME + str(importance))
