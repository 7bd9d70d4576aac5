"""Generated weeks of load, and measured ones read from files.

What is generated was fixed before any rule was tuned, and is not to be changed to please one: who
wants other days adds a kind.
"""

import csv
from bisect import bisect_right
from datetime import datetime
from itertools import pairwise
from math import cos, exp, pi
from pathlib import Path
from random import Random
from typing import Final

DAY_S: Final = 86400.0
WEEK_S: Final = 7 * DAY_S
KINDS: Final = ("seasons", "flash-crowds", "outages")
PEAK: Final = 500.0  # requests per second on an ordinary day

_GRID_S: Final = 60.0
_LOW: Final = 0.25  # of the peak, at night
_PEAK_HOUR: Final = 14.0
_LUNCH: Final = 0.12  # of the peak, missing at noon
_WEEKEND: Final = 0.6
_DAY_TO_DAY: Final = 0.06  # deviation of a day's level
_MINUTE_TO_MINUTE: Final = 0.03  # of the level, wandering back within ten minutes
_MEMORY: Final = exp(-_GRID_S / 600.0)
_CROWDS_A_DAY: Final = 1.0
_OUTAGES_A_DAY: Final = 0.5


class Load:
    """A rate for every time, by lines between the points of a grid."""

    def __init__(self, rates: list[float], grid_s: float) -> None:
        self.rates = rates
        self._grid_s = grid_s

    def at(self, now: float) -> float:
        """Requests per second; ``now`` lies in the grid."""
        place = now / self._grid_s
        index = min(int(place), len(self.rates) - 2)
        share = place - index
        return self.rates[index] * (1.0 - share) + self.rates[index + 1] * share

    @property
    def length_s(self) -> float:
        """Until when it goes."""
        return (len(self.rates) - 1) * self._grid_s

    def minutes(self, until_s: float) -> list[float]:
        """The rate of every minute before then."""
        return [self.at(60.0 * minute + 30.0) for minute in range(int(until_s // 60.0))]


def generated(kind: str, seed: int, weeks: int) -> Load:
    """So many weeks of ``kind``, the first day a Monday."""
    rng = Random(f"{kind}/{seed}")
    minutes = int(weeks * WEEK_S / _GRID_S) + 2
    levels = [exp(rng.gauss(0.0, _DAY_TO_DAY)) for _ in range(7 * weeks + 2)]
    rates = []
    wander = 0.0
    for minute in range(minutes):
        now = minute * _GRID_S
        wander = _MEMORY * wander + (1.0 - _MEMORY**2) ** 0.5 * rng.gauss(0.0, _MINUTE_TO_MINUTE)
        day = now / DAY_S
        share = day % 1.0
        level = levels[int(day)] * (1.0 - share) + levels[int(day) + 1] * share
        rates.append(PEAK * _shape(now) * level * exp(wander))
    if kind == "flash-crowds":
        _add_crowds(rates, rng)
    elif kind == "outages":
        _add_outages(rates, rng)
    elif kind != "seasons":
        raise ValueError(f"there are no days of kind {kind!r}; known: {', '.join(KINDS)}")
    return Load(rates, _GRID_S)


def measured(path: Path, begin: str = "") -> Load:
    """A CSV of times and counts as the shape of a load, from ``begin`` on, its peak ``PEAK``."""
    times, counts = [], []
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["timestamp"] >= begin:
                times.append(datetime.fromisoformat(row["timestamp"]).timestamp())
                counts.append(float(row["value"]))
    grid_s = sorted(b - a for a, b in pairwise(times))[len(times) // 2]
    highest = sorted(counts)[int(0.995 * len(counts))]
    rates = []
    for index in range(int((times[-1] - times[0]) / grid_s) + 1):
        found = max(bisect_right(times, times[0] + index * grid_s) - 1, 0)
        rates.append(PEAK * counts[found] / highest)
    return Load(rates, grid_s)


def _shape(now: float) -> float:
    hour = now / 3600.0 % 24.0
    swing = (1.0 + cos(2.0 * pi * (hour - _PEAK_HOUR) / 24.0)) / 2.0
    lunch = _LUNCH * exp(-(((hour - 12.5) / 0.7) ** 2))
    weekend = _WEEKEND if int(now / DAY_S) % 7 >= 5 else 1.0
    return (_LOW + (1.0 - _LOW) * swing - lunch) * weekend


def _add_crowds(rates: list[float], rng: Random) -> None:
    """Up to two to five times as much within one to five minutes, fading over ten to forty."""
    for start in _times(len(rates), _CROWDS_A_DAY, rng):
        factor, rise = rng.uniform(1.0, 4.0), rng.uniform(1.0, 5.0)
        stay, fade = rng.uniform(2.0, 15.0), rng.uniform(10.0, 40.0)
        for minute in range(start, min(start + int(rise + stay + 5.0 * fade), len(rates))):
            passed = minute - start
            high = min(passed / rise, 1.0) * exp(-max(passed - rise - stay, 0.0) / fade)
            rates[minute] += rates[minute] * factor * high


def _add_outages(rates: list[float], rng: Random) -> None:
    """A twentieth of the load for ten to forty minutes, then all that come back at once."""
    for start in _times(len(rates), _OUTAGES_A_DAY, rng):
        end = start + int(rng.uniform(10.0, 40.0))
        surge, stay = rng.uniform(1.2, 1.8), int(rng.uniform(5.0, 15.0))
        for minute in range(start, min(end + stay, len(rates))):
            rates[minute] *= 0.05 if minute < end else surge


def _times(minutes: int, a_day: float, rng: Random) -> list[int]:
    found: list[int] = []
    at = 0.0
    while True:
        at += rng.expovariate(a_day / (DAY_S / _GRID_S))
        if at >= minutes:
            return found
        found.append(int(at))
