"""Consistent hashing on a ring, optionally with bounded loads.

Every endpoint has ``points`` positions per unit of weight on a circle, at the hashes of its name
and an index; a key goes to the next position. Of n endpoints, one that comes or goes moves only
its own share of keys, about 1/n. Shares vary by 1/√points.
Source: D. Karger et al., "Consistent hashing and random trees", STOC 1997; 160 points are
ketama's (libketama, 2007). Its MD5 is replaced by xxh3.

Points are at most 2^21 in all; above, everybody has half as many. O(1) per pick. For
``bounded_load`` see ``support.hashing``.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Option
from penstock.core.policy.support.hashing import BOUNDED_LOAD, HashPolicy
from penstock.core.policy.support.ring import HashRing


class ConsistentHash(HashPolicy):
    name: ClassVar[str] = "consistent-hash"
    consistent: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("points", 160, "positions per unit of weight", minimum=1, maximum=10_000),
        BOUNDED_LOAD,
    )

    def __init__(self, points: int = 160, bounded_load: float = 0.0) -> None:
        super().__init__(bounded_load)
        self._ring: HashRing = HashRing(points)

    def build(self, endpoints: list[Endpoint]) -> None:
        self._ring.build(endpoints)

    def owner(self, key: int) -> Endpoint:
        return self._ring.owner(key)

    def owner_among(self, eligible: list[Endpoint], key: int) -> Endpoint:
        found = self._ring.owner_among(eligible, key)
        return found if found is not None else super().owner_among(eligible, key)
