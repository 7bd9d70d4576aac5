"""Source hash: a client address keeps its endpoint as long as the pool does not change.

With equal weights the endpoint at ``hash mod n``; with unequal ones the endpoint into whose
stretch of ``[0, Σ w)`` the hash falls. Exact shares and no table, but nearly all clients move when
an endpoint comes or goes; ``consistent`` uses the ring of ``consistent-hash`` instead.
Source: nginx ``ip_hash``, HAProxy ``balance source``. O(1) per pick, O(log n) with unequal weights.
"""

from bisect import bisect_right
from math import fsum
from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Option
from penstock.core.policy.support.hashing import BOUNDED_LOAD, HashPolicy
from penstock.core.policy.support.ring import HashRing
from penstock.core.policy.support.sampler import equal_weights


class SourceHash(HashPolicy):
    name: ClassVar[str] = "source-hash"
    key: ClassVar[str] = "source"
    options: ClassVar[tuple[Option, ...]] = (
        Option("consistent", False, "hash on a ring, so that few clients move"),
        BOUNDED_LOAD,
    )

    def __init__(self, consistent: bool = False, bounded_load: float = 0.0) -> None:
        super().__init__(bounded_load)
        self._ring: HashRing | None = HashRing(160) if consistent else None
        self._members: list[Endpoint] = []
        self._ends: list[float] = []  # where each stretch ends, as a share of 1; empty if equal

    def build(self, endpoints: list[Endpoint]) -> None:
        self._members = endpoints
        if self._ring is not None:
            self._ring.build(endpoints)
        elif equal_weights(endpoints):
            self._ends = []
        else:
            total = fsum([endpoint.weight for endpoint in endpoints])
            reached = 0.0
            self._ends = []
            for endpoint in endpoints:
                reached += endpoint.weight / total
                self._ends.append(reached)

    def owner(self, key: int) -> Endpoint:
        if self._ring is not None:
            return self._ring.owner(key)
        if not self._ends:
            return self._members[key % len(self._members)]
        at = bisect_right(self._ends, (key >> 11) * 2.0**-53)
        return self._members[min(at, len(self._members) - 1)]
