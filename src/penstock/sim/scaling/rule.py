"""What every rule that scales is asked, and what it sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Fleet:
    """What all rules are told of the endpoints."""

    concurrency: int = 1  # requests that one serves at a time
    service_s: float = 1.0  # that a request takes there
    late_share: float = 0.05  # of requests that may wait for a place
    fewest: int = 1
    most: int = 1000
    start_s: float = 120.0  # as usual; what it is each time is drawn


@dataclass(frozen=True)
class Seen:
    """The fleet at a time: what a metrics pipeline would show."""

    now: float
    rate: float  # requests per second since the last look
    concurrency: float  # requests at endpoints and before them
    queued: float  # of which nobody has taken up
    serving: int
    starting: int

    @property
    def present(self) -> int:
        """That are paid for."""
        return self.serving + self.starting

    def utilisation(self, fleet: Fleet) -> float:
        """The busy share of the places of those that serve; at most 1."""
        if self.serving == 0:
            return 1.0 if self.concurrency > 0.0 else 0.0
        return min(self.concurrency / (self.serving * fleet.concurrency), 1.0)


class ScalingRule:
    """Says how many endpoints there are to be. ``target`` is what its users tune."""

    name: ClassVar[str]
    every_s: ClassVar[float] = 15.0

    def __init__(self, fleet: Fleet, target: float) -> None:
        self.fleet = fleet
        self.target = target

    def desired(self, seen: Seen) -> int:
        """How many there are to be, those that start included."""
        raise NotImplementedError

    def learn(self, rates: Sequence[float], until_s: float) -> None:
        """What was before the beginning: the mean rate of every minute until then."""

    def started(self, seconds: float) -> None:
        """An endpoint took this long until it served."""

    def bounded(self, number: int) -> int:
        """Within the least and the most that are allowed."""
        return min(max(number, self.fleet.fewest), self.fleet.most)
