"""What was given to whom, over all who let requests in: sums and highest values, by key.

One who lets in alone keeps it to itself; where several do, each writes its own part and reads those
of all, so a subclass says where the parts of the others are found.
"""

from typing import Final

from mypy_extensions import mypyc_attr

_MOST_KEYS: Final = 4096


@mypyc_attr(allow_interpreted_subclasses=True)
class Ledger:
    """Own part only. A key that nobody wrote has a sum and a highest value of 0.

    Of at most so many keys: beyond them those written longest ago are forgotten.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._highest: dict[str, float] = {}

    def total(self, key: str) -> float:
        """The sum of all that was added."""
        return self._sums.get(key, 0.0)

    def add(self, key: str, amount: float) -> None:
        """Count it."""
        self._sums[key] = self._sums.pop(key, 0.0) + amount
        if len(self._sums) > _MOST_KEYS:
            del self._sums[next(iter(self._sums))]

    def highest(self, key: str) -> float:
        """The highest value that was told."""
        return self._highest.get(key, 0.0)

    def tell(self, key: str, value: float) -> None:
        """One more value, of which the highest counts."""
        self._highest[key] = max(self._highest.pop(key, 0.0), value)
        if len(self._highest) > _MOST_KEYS:
            del self._highest[next(iter(self._highest))]
