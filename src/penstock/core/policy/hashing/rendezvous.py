"""Rendezvous hashing: every endpoint draws a lot for the key, the best lot wins.

With u = hash(key, endpoint) uniform in (0, 1) the endpoint of greatest ``−w / ln u`` is picked.
Shares follow the weights exactly (but for the keys' own chance), and a change of membership or of
one weight moves no key that does not have to move. No table.
Sources: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN
1998; J. Resch, "New hashing algorithms for data storage", SNIA 2015, for the weights.

The lots come from a 32-bit mixing function over halves of xxh3 hashes. O(n) per pick by
definition.
"""

from math import log
from typing import ClassVar, Final

from mypy_extensions import i64

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Option
from penstock.core.policy.support.hashing import BOUNDED_LOAD, HashPolicy, hash_of
from penstock.core.policy.support.sampler import equal_weights

_WORD: Final = 0xFFFFFFFF


def mixed(word: i64) -> i64:
    """A 32-bit word, mixed: ``lowbias32`` of C. Wellons' hash-prospector.

    The second multiplier, 0x846ca68b, is used without its top bit, whose product is added apart:
    so no product leaves 63 bits, and machine words do what Python's integers do.
    """
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _WORD
    word ^= word >> 15
    word = (word * 0x046CA68B + ((word & 1) << 31)) & _WORD
    return word ^ (word >> 16)


class Rendezvous(HashPolicy):
    name: ClassVar[str] = "rendezvous"
    consistent: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (BOUNDED_LOAD,)

    def __init__(self, bounded_load: float = 0.0) -> None:
        super().__init__(bounded_load)
        self._members: list[Endpoint] = []
        self._high: list[int] = []  # halves of the hash of each name
        self._low: list[int] = []
        self._weights: list[float] = []
        self._equal: bool = True

    def build(self, endpoints: list[Endpoint]) -> None:
        self._members = endpoints
        hashes = [hash_of(endpoint.name) for endpoint in endpoints]
        self._high = [name_hash >> 32 for name_hash in hashes]
        self._low = [name_hash & _WORD for name_hash in hashes]
        self._weights = [endpoint.weight for endpoint in endpoints]
        self._equal = equal_weights(endpoints)

    def owner(self, key: int) -> Endpoint:
        high: i64 = key >> 32
        low: i64 = key & _WORD
        at = self._greatest(high, low) if self._equal else self._greatest_weighted(high, low)
        return self._members[at]

    def owner_among(self, eligible: list[Endpoint], key: int) -> Endpoint:
        left = Rendezvous()
        left.build(eligible)
        return left.owner(key)

    def _greatest(self, high: i64, low: i64) -> i64:
        best: i64 = 0
        most: i64 = -1
        count: i64 = len(self._members)
        for index in range(count):
            name_low: i64 = self._low[index]
            name_high: i64 = self._high[index]
            lot = mixed(mixed(low ^ name_low) ^ high ^ name_high)
            if lot > most:
                most = lot
                best = index
        return best

    def _greatest_weighted(self, high: i64, low: i64) -> i64:
        best: i64 = 0
        least = float("inf")
        count: i64 = len(self._members)
        for index in range(count):
            name_low: i64 = self._low[index]
            name_high: i64 = self._high[index]
            lot = mixed(mixed(low ^ name_low) ^ high ^ name_high)
            time = -log((float(lot) + 0.5) * 2.0**-32) / self._weights[index]
            if time < least:
                least = time
                best = index
        return best
