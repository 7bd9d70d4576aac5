"""A limit on requests in flight, which its subclasses move by what requests experience."""

from typing import ClassVar

from mypy_extensions import mypyc_attr

from penstock.core.policy.base import Option


@mypyc_attr(allow_interpreted_subclasses=True)
class ConcurrencyLimit:
    """Counts requests in flight against ``limit``. Every ``acquire`` that said yes is ended by
    exactly one ``release`` or ``forget``."""

    name: ClassVar[str] = ""
    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, initial: float, minimum: float, maximum: float) -> None:
        self.limit: float = initial
        self.in_flight: int = 0
        self._minimum: float = minimum
        self._maximum: float = maximum

    def acquire(self) -> bool:
        """Let one request in, unless as many as ``limit`` are."""
        if self.in_flight >= int(self.limit):
            return False
        self.in_flight += 1
        return True

    def release(self, latency_s: float, now: float, dropped: bool = False) -> None:
        """A request ended after ``latency_s``; ``dropped``: it timed out or was refused."""
        in_flight = self.in_flight
        self.in_flight = in_flight - 1
        limit = self.update(latency_s, in_flight, dropped, now)
        self.limit = min(max(limit, self._minimum), self._maximum)

    def forget(self) -> None:
        """A request ended in a way that says nothing: its client left."""
        self.in_flight -= 1

    def update(self, latency_s: float, in_flight: int, dropped: bool, now: float) -> float:
        """The limit after this sample; ``in_flight`` still counts the request."""
        raise NotImplementedError


def bounds(initial: float, minimum: float, maximum: float) -> tuple[Option, ...]:
    """The three options that every limit has, with its defaults."""
    return (
        Option("initial", initial, "requests in flight at first", minimum=1.0),
        Option("minimum", minimum, "least limit", minimum=1.0),
        Option("maximum", maximum, "greatest limit", minimum=1.0),
    )
