"""A limit on requests in flight, which its subclasses move by what requests experience."""

from typing import ClassVar

from mypy_extensions import mypyc_attr

from penstock.core.admission.peers import Peers
from penstock.core.policy.base import Option


@mypyc_attr(allow_interpreted_subclasses=True)
class ConcurrencyLimit:
    """Counts requests in flight against ``limit``. Every ``acquire`` that said yes is ended by
    exactly one ``release`` or ``forget``.

    With ``peers`` it is one limit for all of them: those under way at any of them count, and each
    learns on from what was learned last, wherever that was.
    """

    peers: Peers | None = None

    name: ClassVar[str] = ""
    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, initial: float, minimum: float, maximum: float) -> None:
        self.limit: float = initial
        self.in_flight: int = 0
        self._minimum: float = minimum
        self._maximum: float = maximum

    def acquire(self) -> bool:
        """Let one request in, unless as many as ``limit`` are."""
        if self.is_full():
            return False
        self.in_flight += 1
        peers = self.peers
        if peers is not None:
            peers.run(self.in_flight)
            most = int(self.limit)
            if self.in_flight + peers.running() + peers.count() > most:
                peers.meet()
                if self.in_flight + peers.running() > most:
                    self.forget()
                    return False
        return True

    def is_full(self) -> bool:
        """Whether as many as ``limit`` are under way."""
        peers = self.peers
        if peers is None:
            return self.in_flight >= int(self.limit)
        self.catch_up()
        return self.in_flight + peers.running() >= int(self.limit)

    def release(self, latency_s: float, now: float, dropped: bool = False) -> None:
        """A request ended after ``latency_s``; ``dropped``: it timed out or was refused."""
        in_flight = self.in_flight
        self.in_flight = in_flight - 1
        peers = self.peers
        if peers is not None:
            peers.run(self.in_flight)
            in_flight += peers.running()
            self.catch_up()
        limit = self.update(latency_s, in_flight, dropped, now)
        self.limit = min(max(limit, self._minimum), self._maximum)
        if peers is not None:
            peers.teach(self.state())

    def catch_up(self) -> None:
        """Go on from what was learned last, if that was at a peer."""
        state = self.peers.learned() if self.peers is not None else None
        if state is not None:
            self.take_state(state)
            self.limit = min(max(self.limit, self._minimum), self._maximum)

    def forget(self) -> None:
        """A request ended in a way that says nothing: its client left."""
        self.in_flight -= 1
        if self.peers is not None:
            self.peers.run(self.in_flight)

    def state(self) -> list[float]:
        """What was learned, apart from samples of which no conclusion was drawn yet; at most five
        numbers."""
        return [self.limit]

    def take_state(self, state: list[float]) -> None:
        """Go on from what a peer learned."""
        self.limit = state[0]

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
