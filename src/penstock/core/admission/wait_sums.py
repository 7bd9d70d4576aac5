"""How long requests waited that went on, by their class and by their tenant."""

from typing import Final

from penstock.core.admission.ledger import Ledger

OTHER: Final = "other"  # priorities that are no class
_OF_CLASS: Final = "w"
_OF_TENANT: Final = "u"
_COUNT: Final = "n"
_SECONDS: Final = "s"


class WaitSum:
    """So many waited so long in all."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count: int = count
        self.seconds: float = seconds


class WaitSums:
    """Of one pool, kept in its ledger. ``priorities`` are its classes."""

    def __init__(self, ledger: Ledger, priorities: dict[str, int]) -> None:
        self._ledger: Ledger = ledger
        self._classes: dict[int, str] = {number: name for name, number in priorities.items()}

    def note(self, importance: int, tenant: str, seconds: float) -> None:
        """One waited, and goes on."""
        if self._classes:
            self._add(_OF_CLASS + self._classes.get(importance, OTHER), seconds)
        if tenant:
            self._add(_OF_TENANT + tenant, seconds)

    def of_class(self, name: str) -> WaitSum:
        """Of a class, or of the ``OTHER`` priorities, in a pool that has classes."""
        return self._sum(_OF_CLASS + name)

    def of_tenant(self, name: str) -> WaitSum:
        """Of one tenant's requests."""
        return self._sum(_OF_TENANT + name)

    def _add(self, key: str, seconds: float) -> None:
        self._ledger.add(_COUNT + key, 1.0)
        self._ledger.add(_SECONDS + key, seconds)

    def _sum(self, key: str) -> WaitSum:
        ledger = self._ledger
        return WaitSum(round(ledger.total(_COUNT + key)), ledger.total(_SECONDS + key))
