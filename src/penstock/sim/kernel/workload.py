"""Requests with facts that policies decide by."""

from bisect import bisect_right
from random import Random
from typing import Final

from penstock.core.request import Request
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.source import Workload

_MASK: Final = (1 << 64) - 1


class KeyedWorkload(Workload):
    """Each request is from one of ``count`` clients; the i-th is asked for in proportion to
    1/i^``skew`` (Zipf's law), evenly at 0. A client has a key and an address.
    """

    def __init__(self, work: Law, rng: Random, keys: Random, count: int, skew: float) -> None:
        super().__init__(work, rng)
        self._keys: Random = keys
        self._count: int = count
        self._below: list[float] = []
        if skew > 0.0:
            total = sum([float(i) ** -skew for i in range(1, count + 1)])
            seen = 0.0
            for i in range(1, count + 1):
                seen += float(i) ** -skew / total
                self._below.append(seen)
        self._hashes: list[int] = [key_hash(i) for i in range(count)]
        self._sources: list[str] = [address(i) for i in range(count)]

    def next_job(self, number: int, now: float) -> Job:
        chance = self._keys.random()
        if self._below:
            key = min(bisect_right(self._below, chance), self._count - 1)
        else:
            key = int(chance * self._count)
        request = Request(key_hash=self._hashes[key], source=self._sources[key])
        return self.made(number, request, self._work.draw(self._rng), now)


def key_hash(number: int) -> int:
    """A well-mixed 64-bit number (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    mixed = (number + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def address(number: int) -> str:
    """An IPv4 address of 10.0.0.0/8."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
