"""Draws endpoints at random in proportion to their weights, in O(1) each.

Unequal weights use an alias table: every column of height 1/n holds at most two endpoints, so a
draw is one column and one comparison. Source: A. J. Walker 1977; built in O(n) as in M. D. Vose,
"A linear algorithm for generating random numbers with a given distribution", IEEE TSE 1991.
"""

from math import fsum

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env


def equal_weights(endpoints: list[Endpoint]) -> bool:
    """Whether all weights are the same."""
    if not endpoints:
        return True
    first = endpoints[0].weight
    return all([endpoint.weight == first for endpoint in endpoints])


class Sampler:
    """Draws indices of the endpoints it was made with. Weights that sum to 0 count as equal."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.count: int = len(endpoints)
        self.equal: bool = equal_weights(endpoints)
        self._keep: list[float] = []  # share of a column that is its own endpoint's
        self._alias: list[int] = []  # whose the rest is
        if not self.equal:
            self._build([endpoint.weight for endpoint in endpoints])

    def one(self, env: Env) -> int:
        """An index drawn by weight. There must be at least one endpoint."""
        if self.equal:
            return env.below(self.count)
        point = env.random() * self.count
        column = int(point)
        return column if point - column < self._keep[column] else self._alias[column]

    def another(self, first: int, env: Env) -> int:
        """A second index: never ``first`` when the weights are equal and there are two."""
        if not self.equal or self.count == 1:
            return self.one(env)
        index = env.below(self.count - 1)
        return index if index < first else index + 1

    def _build(self, weights: list[float]) -> None:
        scale = self.count / fsum(weights)
        heights = [weight * scale for weight in weights]
        self._keep = [1.0] * self.count
        self._alias = list(range(self.count))
        short = [i for i in range(self.count) if heights[i] < 1.0]
        tall = [i for i in range(self.count) if heights[i] >= 1.0]
        while short and tall:
            low = short.pop()
            high = tall[-1]
            self._keep[low] = heights[low]
            self._alias[low] = high
            heights[high] -= 1.0 - heights[low]
            if heights[high] < 1.0:
                short.append(tall.pop())
