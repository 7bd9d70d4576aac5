"""Maglev hashing: a look-up table that endpoints fill in turns, each by its own permutation.

Endpoint i prefers the slots ``(offset_i + j·skip_i) mod M``; in turns, and as often as its weight
says, each takes its most preferred slot that is still free. Shares differ by one slot (under 1%
for M > 100·n), which is better than a ring's. A change moves keys of others too: about half as many
as its own at M = 600·n, five times as many at 100·n (docs/reproductions.md).
Source: D. Eisenbud et al., "Maglev: a fast and reliable software network load balancer", NSDI
2016, section 3.4; M = 65537 and the weighted turns as in Envoy.

O(1) per pick; the table is filled when it is first needed after a change, in O(M log M).
"""

from array import array
from typing import ClassVar

from mypy_extensions import i64

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Option
from penstock.core.policy.support.hashing import BOUNDED_LOAD, HashPolicy, hash_of


class Maglev(HashPolicy):
    name: ClassVar[str] = "maglev"
    consistent: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "table_size",
            65537,
            "M, a prime: over 100 times the endpoints for shares within 1%",
            minimum=2,
            maximum=5_000_011,
        ),
        BOUNDED_LOAD,
    )

    def __init__(self, table_size: int = 65537, bounded_load: float = 0.0) -> None:
        super().__init__(bounded_load)
        if not _is_prime(table_size):
            raise ValueError(f"option 'table_size' is a prime number, not {table_size}")
        self._size: int = table_size
        self._members: list[Endpoint] = []
        self._table: array[int] = array("I")  # slot → index into ``_members``
        self._stale: bool = True

    def build(self, endpoints: list[Endpoint]) -> None:
        self._members = sorted(endpoints, key=_name)  # whatever their order in the pool
        self._stale = True

    def owner(self, key: int) -> Endpoint:
        if self._stale:
            self._table = array("I", _filled(self._members, self._size))
            self._stale = False
        return self._members[self._table[key % self._size]]

    def size_bytes(self) -> int:
        """Memory of the table."""
        return self._size * self._table.itemsize


def _name(endpoint: Endpoint) -> str:
    return endpoint.name


def _filled(members: list[Endpoint], table_size: int) -> list[int]:
    """The table: for each slot, whose it is."""
    size: i64 = table_size
    count: i64 = len(members)
    heaviest = max([endpoint.weight for endpoint in members])
    at: list[int] = []  # each endpoint's next preferred slot
    skips: list[int] = []
    for endpoint in members:
        at.append(hash_of(endpoint.name, 0) % table_size)
        skips.append(hash_of(endpoint.name, 1) % (table_size - 1) + 1)
    shares = [endpoint.weight / heaviest for endpoint in members]
    earned = [0.0] * len(members)
    table = [-1] * table_size
    free: i64 = size
    while True:
        for index in range(count):
            earned[index] += shares[index]
            if earned[index] < 1.0:
                continue
            earned[index] -= 1.0
            slot: i64 = at[index]
            skip: i64 = skips[index]
            while table[slot] >= 0:
                slot += skip
                if slot >= size:
                    slot -= size
            table[slot] = index
            at[index] = slot
            free -= 1
            if free == 0:
                return table


def _is_prime(number: int) -> bool:
    if number < 2:
        return False
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            return False
        divisor += 1
    return True
