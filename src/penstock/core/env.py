"""What a decision may know of the outside world: the time, and a source of chance."""

from collections.abc import Callable
from random import Random


class Env:
    """Handed to every decision, so that tests and the simulator run it exactly.

    ``now`` is in seconds on any monotonic clock; whoever owns the Env moves it.
    """

    def __init__(self, rng: Random, now: float = 0.0) -> None:
        self.now: float = now
        self.rng: Random = rng
        self._random: Callable[[], float] = rng.random  # bound once: half the price of a draw

    def random(self) -> float:
        """Uniform in [0, 1)."""
        return self._random()

    def below(self, n: int) -> int:
        """Uniform in 0..n-1; ``n`` must be at least 1.

        ``int(random()*n)`` has a bias below n/2^53 and costs a quarter of ``randrange``.
        """
        return int(self._random() * n)
