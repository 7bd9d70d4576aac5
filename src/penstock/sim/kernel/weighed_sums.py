"""Control variates for rare events: gaps and work, weighted by what one more request then costs.

The solution of Poisson's equation says how much one more customer raises all future cost, given how
many are present (``theory.marginal_costs``). Where few of all requests count, as in the tail of a
queue, it grows exponentially, and with these weights chance in the arrivals explains most of the
variance. Wrong weights explain less; the expectation stays 0.
"""

from typing import NamedTuple

from mypy_extensions import i64


class Weights(NamedTuple):
    """By how many requests are there, when one arrives and when its work comes: each a table whose
    last entry goes for all numbers above."""

    arrivals: list[float]
    work: list[float]


class WeighedSums:
    """Sums over requests that count, of gaps and of work less their means, weighed.

    How full it is is told twice: by the number of requests that run, and by the work that is left,
    in mean works. By the number, the gap to an arrival is weighed as it passes: Σ w(number found)
    less λ∫w(number) dt, which has no drift, since Poisson's arrivals know nothing of the past.
    """

    def __init__(self, weights: Weights, mean_work_s: float, mean_gap_s: float) -> None:
        self._arrivals: list[float] = weights.arrivals
        self._work: list[float] = weights.work
        self._mean_work_s: float = mean_work_s
        self._mean_gap_s: float = mean_gap_s
        self._since_arrival: float = 0.0  # λ∫w(number) dt
        self._arrivals_by_running: float = 0.0
        self._work_by_running: float = 0.0
        self._gap_by_left: float = 0.0
        self._work_by_left: float = 0.0
        self._left_at_first_s: float = -1.0
        self._left_s: float = 0.0

    def pass_time(self, running: i64, elapsed_s: float) -> None:
        """So many ran for so long."""
        self._since_arrival += _at(self._arrivals, running) * elapsed_s / self._mean_gap_s

    def note(
        self, running: i64, work_s: float, gap_s: float, left_s: float, left_then_s: float
    ) -> None:
        """A request that counts has come, ``gap_s`` after the one before, which left
        ``left_then_s`` to do; ``running`` and ``left_s`` are what this one finds."""
        more_work = work_s - self._mean_work_s
        found = i64(left_s / self._mean_work_s)
        then = i64(left_then_s / self._mean_work_s)
        self._arrivals_by_running += _at(self._arrivals, running) - self._since_arrival
        self._work_by_running += more_work * _at(self._work, running)
        self._gap_by_left += (gap_s - self._mean_gap_s) * _at(self._work, then)
        self._work_by_left += more_work * _at(self._work, found)
        if self._left_at_first_s < 0.0:
            self._left_at_first_s = left_then_s
        self._left_s = left_s + work_s

    def turn(self) -> None:
        """An arrival, counted or not, begins a new gap."""
        self._since_arrival = 0.0

    def values(self) -> list[float]:
        """The sums, those by work first. The last is of the ends only, and its expectation is 0 in
        a steady state."""
        return [
            self._work_by_left,
            self._gap_by_left,
            self._integral(self._left_s) - self._integral(max(0.0, self._left_at_first_s)),
            self._arrivals_by_running,
            self._work_by_running,
        ]

    def _integral(self, left_s: float) -> float:
        """Of the weights of work, from 0 to ``left_s``."""
        number = left_s / self._mean_work_s
        whole = i64(number)
        table = self._work
        last: i64 = len(table) - 1
        total = 0.0
        place: i64 = 0
        while place < whole and place < last:
            total += table[place]
            place += 1
        return total + (number - float(place)) * table[place]


def _at(table: list[float], number: i64) -> float:
    last: i64 = len(table) - 1
    return table[min(last, number)]
