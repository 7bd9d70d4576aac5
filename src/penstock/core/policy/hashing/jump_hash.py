"""Jump consistent hash: the bucket a key has reached after its last jump below n.

    b = −1; j = 0
    while j < n:  b = j;  key = key·2862933555777941757 + 1;  j = (b + 1)·2^31 / ((key >> 33) + 1)

No table; shares are even to the keys' own chance; adding an endpoint at the end of the pool moves
1/(n + 1) of the keys, and no more than that in theory could do. Anything else (an endpoint in the
middle that goes) renumbers those behind it: for pools whose endpoints come and go use
``rendezvous``, ``maglev`` or ``consistent-hash``.
Source: J. Lamping, E. Veach, "A fast, minimal memory, consistent hash algorithm", 2014.

Unequal weights are dealt in buckets of 1/128 unit of weight. O(log n) per pick.
"""

from typing import ClassVar, Final

from mypy_extensions import i64

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Option
from penstock.core.policy.support.hashing import BOUNDED_LOAD, HashPolicy
from penstock.core.policy.support.sampler import equal_weights

# The multiplier's halves; the lower without its top bit, whose product is added apart: so no
# product leaves 63 bits, and machine words do what Python's integers do.
_HIGH: Final = 0x27BB2EE6
_LOW: Final = 0x87B0B0FD
_LOW_31: Final = 0x07B0B0FD
_WORD: Final = 0xFFFFFFFF
_BUCKETS_PER_WEIGHT: Final = 128.0
_MAX_BUCKETS: Final = 1 << 20


def jump(key: int, buckets: int) -> int:
    """The bucket, 0..buckets-1, of a 64-bit key."""
    high: i64 = key >> 32
    low: i64 = key & _WORD
    count: i64 = buckets
    bucket: i64 = 0
    target: i64 = 0
    while target < count:
        bucket = target
        lower = (low & 0xFFFF) * _LOW + 1
        upper = (low >> 16) * _LOW + (lower >> 16)
        high = ((upper >> 16) + low * _HIGH + high * _LOW_31 + ((high & 1) << 31)) & _WORD
        low = ((upper & 0xFFFF) << 16) | (lower & 0xFFFF)
        target = i64(float(bucket + 1) * (2147483648.0 / float((high >> 1) + 1)))
    return bucket


class JumpHash(HashPolicy):
    name: ClassVar[str] = "jump-hash"
    options: ClassVar[tuple[Option, ...]] = (BOUNDED_LOAD,)

    def __init__(self, bounded_load: float = 0.0) -> None:
        super().__init__(bounded_load)
        self._buckets: list[Endpoint] = []

    def build(self, endpoints: list[Endpoint]) -> None:
        if equal_weights(endpoints):
            self._buckets = endpoints
            return
        scale = _BUCKETS_PER_WEIGHT
        total = 0.0
        for endpoint in endpoints:
            total += endpoint.weight
        while total * scale > _MAX_BUCKETS:
            scale /= 2.0
        self._buckets = []
        for endpoint in endpoints:
            self._buckets.extend([endpoint] * max(1, round(endpoint.weight * scale)))

    def owner(self, key: int) -> Endpoint:
        return self._buckets[jump(key, len(self._buckets))]
