"""What the policies that pick by a key have in common.

Keys and positions are hashed with xxhash only, so that every process and every run agrees.

Bounded loads, over any of them: no endpoint takes a request that would put it above
``bounded_load`` times its fair share of all requests in flight; the key then jumps to another
endpoint, the same one for the same key as long as the loads allow.

    cap_i = ⌈ bounded_load · (m + 1) · w_i / Σ w ⌉        m requests in flight

Source: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent hashing with bounded loads", SODA
2018, for the bound; J. Chen, B. Coleman, A. Shrivastava, "Revisiting consistent hashing with
bounded loads", AAAI 2021, for jumping at random rather than to the neighbour, which would be
flooded in turn. ``m`` is counted again every n/8 picks: O(1) amortised.
"""

from math import ceil
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr
from xxhash import xxh3_64_intdigest

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Explained, Option, Policy
from penstock.core.request import Request

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_JUMPS: Final = 32  # with a bound of 1.25, one key in 1,200 still finds no room after these
_EXCLUDED_JUMPS: Final = 8

BOUNDED_LOAD: Final = Option(
    "bounded_load",
    0.0,
    "most an endpoint may hold, as a multiple of its fair share: 1.25 is common; 0 is no bound",
    minimum=0.0,
)


def hash_of(name: str, index: int = 0) -> int:
    """A 64-bit hash of an endpoint's name; each index gives another one.

    The index is hashed with the name, not given as seed: for inputs of up to three bytes xxh3
    only adds the seed to them, so that short names would share positions.
    """
    return int(xxh3_64_intdigest(f"{name}#{index}".encode()))


def rehash(key: int, jump: int) -> int:
    """The ``jump``-th successor of a 64-bit key (SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    mixed = (key + 0x9E3779B97F4A7C15 * jump) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


@mypyc_attr(allow_interpreted_subclasses=True)
class HashPolicy(Policy):
    """Sends equal keys to the same endpoint. A request without a key goes to a random one.

    A subclass prepares its table in ``build`` and reads it in ``owner``.
    """

    key: ClassVar[str] = "configured"

    def __init__(self, bounded_load: float = 0.0) -> None:
        if 0.0 < bounded_load <= 1.0:
            raise ValueError(
                f"option 'bounded_load' is above 1, or 0 for no bound, not {bounded_load!r}: at 1 "
                "times the fair share there would be no room left to move a key to"
            )
        self._bounded_load: float = bounded_load
        self._endpoints: list[Endpoint] = []
        self._total_weight: float = 0.0
        self._in_flight: int = 0  # of all endpoints, when last counted, and the picks since
        self._picks_until_count: int = 0

    def build(self, endpoints: list[Endpoint]) -> None:
        """Prepare to answer ``owner`` for these endpoints; there may be none."""
        raise NotImplementedError

    def owner(self, key: int) -> Endpoint:
        """Whose this 64-bit key is, among the endpoints last built for (at least one)."""
        raise NotImplementedError

    def key_of(self, request: Request) -> int:
        """What to hash a request by, as 64 bits; 0 when it has no key."""
        return request.key_hash

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._total_weight = 0.0
        for endpoint in endpoints:
            self._total_weight += endpoint.weight
        self._picks_until_count = 0
        self.build(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        key = self.key_of(request)
        if key == 0:
            key = rehash(int(env.random() * 2.0**53), 1)
        if eligible is not self._endpoints:
            return self.owner_among(eligible, key)
        if self._bounded_load > 0.0:
            return self._pick_with_room(eligible, key)
        return self.owner(key)

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        key = self.key_of(request)
        owner = self.owner(key) if key and self._endpoints else None
        explained: list[Explained] = []
        for endpoint in eligible:
            terms = {"owner": float(endpoint is owner), "load": float(endpoint.load())}
            if self._bounded_load > 0.0 and self._total_weight > 0.0:
                fair = self._bounded_load * (self._in_flight + 1) / self._total_weight
                terms["most"] = float(ceil(fair * endpoint.weight))
            explained.append((endpoint, terms))
        return explained

    def owner_among(self, eligible: list[Endpoint], key: int) -> Endpoint:
        """The owner where some are left out, which failed just now: jump until another is hit.

        A policy that can tell who owns the key once they are gone does better: who fails over now,
        and who comes when everybody knows, then meet at one endpoint.
        """
        if self._endpoints:
            for jump in range(_EXCLUDED_JUMPS):
                endpoint = self.owner(rehash(key, jump) if jump else key)
                if endpoint in eligible:
                    return endpoint
        return eligible[rehash(key, _EXCLUDED_JUMPS) % len(eligible)]

    def _pick_with_room(self, eligible: list[Endpoint], key: int) -> Endpoint:
        fair = self._bounded_load * (self._count_in_flight() + 1) / self._total_weight
        for jump in range(_JUMPS):
            endpoint = self.owner(rehash(key, jump) if jump else key)
            if endpoint.load() < ceil(fair * endpoint.weight):
                return endpoint
        best = eligible[0]
        least = float("inf")
        for endpoint in eligible:
            share = (endpoint.load() + 1) / endpoint.weight
            if share < least:
                least = share
                best = endpoint
        return best

    def _count_in_flight(self) -> int:
        if self._picks_until_count > 0:
            self._picks_until_count -= 1
            self._in_flight += 1
            return self._in_flight - 1
        total = 0
        for endpoint in self._endpoints:
            total += endpoint.load()
        self._picks_until_count = len(self._endpoints) // 8
        self._in_flight = total + 1
        return total
