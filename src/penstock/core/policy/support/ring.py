"""A hash ring: points on a circle, each owned by an endpoint; a key belongs to the next point.

An endpoint that drops out keeps its points, and they are stepped over: the outcome is that of a
ring without it, for the price of a flag instead of a sort. Points are laid again only when
membership grows or weights change, and swept once they are mostly unused.

A look-up starts from a guide table with one entry per point on average (a bucket index into the
sorted points, as in bucket search) and is O(1). 12 bytes per point.
"""

from array import array
from bisect import bisect_left
from struct import Struct
from typing import Final

from xxhash import xxh3_128_digest

from penstock.core.endpoint import Endpoint

POSITION_BITS: Final = 32  # a point is position << SLOT_BITS | slot, and fits a machine word
SLOT_BITS: Final = 24
_SLOT_MASK: Final = (1 << SLOT_BITS) - 1
MAX_POINTS: Final = 1 << 21
_POSITIONS: Final = Struct("<4I")  # of one digest, as in ketama


def rounded(points: float) -> int:
    """``points`` to five significant bits, at least 1.

    So a slow start lays the ring again some dozens of times, not at every step of the weight.
    """
    whole = max(1, round(points))
    spare = whole.bit_length() - 5
    if spare <= 0:
        return whole
    return ((whole + (1 << (spare - 1))) >> spare) << spare


class HashRing:
    """Owns the points of the endpoints it was last given, and of some given earlier."""

    def __init__(self, points_per_weight: int, max_points: int = MAX_POINTS) -> None:
        self._points_per_weight: int = points_per_weight
        self._max_points: int = max_points
        self._owners: list[Endpoint] = []  # by slot
        self._active: list[bool] = []  # by slot
        self._slots: dict[Endpoint, int] = {}
        self._laid: list[int] = []  # number of points, by slot
        self._points: array[int] = array("Q")
        self._guide: array[int] = array("I")
        self._shift: int = POSITION_BITS

    def build(self, endpoints: list[Endpoint]) -> None:
        """The keys belong to these endpoints from here on; an empty list changes nothing."""
        if not endpoints:
            return
        wanted = self._points_of(endpoints)
        fits = sum(self._laid) <= 4 * sum(wanted)
        if fits:
            for endpoint, count in zip(endpoints, wanted, strict=True):
                slot = self._slots.get(endpoint, -1)
                if slot < 0 or self._laid[slot] != count:
                    fits = False
                    break
        if not fits:
            self._lay(endpoints, wanted)
        self._active = [False] * len(self._owners)
        for endpoint in endpoints:
            self._active[self._slots[endpoint]] = True

    def owner(self, key: int) -> Endpoint:
        """The endpoint that owns a 64-bit key. The ring must not be empty."""
        position = key >> (64 - POSITION_BITS)
        points = self._points
        count = len(points)
        at = self._guide[position >> self._shift]
        target = position << SLOT_BITS
        while at < count and points[at] < target:
            at += 1
        while True:
            if at >= count:
                at = 0
            slot = points[at] & _SLOT_MASK
            if self._active[slot]:
                return self._owners[slot]
            at += 1

    def owner_among(self, endpoints: list[Endpoint], key: int) -> Endpoint | None:
        """The owner of a ring of these alone; None where it has points of none of them."""
        points = self._points
        count = len(points)
        at = bisect_left(points, (key >> (64 - POSITION_BITS)) << SLOT_BITS)
        for ahead in range(count):
            owner = self._owners[points[(at + ahead) % count] & _SLOT_MASK]
            if owner in endpoints:
                return owner
        return None

    def size_bytes(self) -> int:
        """Memory of points and guide."""
        return len(self._points) * self._points.itemsize + len(self._guide) * self._guide.itemsize

    def _points_of(self, endpoints: list[Endpoint]) -> list[int]:
        """Points per endpoint; all halved until they fit the most allowed."""
        scale = float(self._points_per_weight)
        total = 0.0
        for endpoint in endpoints:
            total += endpoint.weight
        while total * scale > self._max_points:
            scale /= 2.0
        return [rounded(endpoint.weight * scale) for endpoint in endpoints]

    def _lay(self, endpoints: list[Endpoint], wanted: list[int]) -> None:
        """Sort the points anew, reusing those that stay."""
        slots = {endpoint: slot for slot, endpoint in enumerate(endpoints)}
        moved = [-1] * len(self._owners)  # an old slot's place among the new, if unchanged
        fresh = [True] * len(endpoints)
        for slot, owner in enumerate(self._owners):
            new_slot = slots.get(owner, -1)
            if new_slot >= 0 and self._laid[slot] == wanted[new_slot]:
                moved[slot] = new_slot
                fresh[new_slot] = False
        points: list[int] = []
        for point in self._points:
            new_slot = moved[point & _SLOT_MASK]
            if new_slot >= 0:
                points.append((point >> SLOT_BITS) << SLOT_BITS | new_slot)
        for slot, endpoint in enumerate(endpoints):
            if fresh[slot]:
                for position in _positions(endpoint.name, wanted[slot]):
                    points.append(position << SLOT_BITS | slot)  # noqa: PERF401 (compiled)
        points.sort()
        self._owners = list(endpoints)
        self._slots = slots
        self._laid = wanted
        self._points = array("Q", points)
        self._index_points()

    def _index_points(self) -> None:
        """Fill the guide: for each bucket of positions, the first point not before it."""
        bits = max(1, (len(self._points) - 1).bit_length())
        self._shift = POSITION_BITS - bits
        bucket_shift = SLOT_BITS + self._shift
        guide = array("I", bytes(4 << bits))
        bucket = 0
        at = 0
        for point in self._points:
            first = point >> bucket_shift
            while bucket <= first:
                guide[bucket] = at
                bucket += 1
            at += 1
        for rest in range(bucket, 1 << bits):
            guide[rest] = at
        self._guide = guide


def _positions(name: str, count: int) -> list[int]:
    """The first ``count`` positions of an endpoint; four come from each digest."""
    positions: list[int] = []
    for digest in range((count + 3) // 4):
        positions += _POSITIONS.unpack(xxh3_128_digest(f"{name}#{digest}".encode()))
    return positions[:count]
