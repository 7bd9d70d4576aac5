"""Which cores the balancer has to itself, and which the load and the backends share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class TooFewCoresError(Exception):
    """A measurement needs cores that this machine lacks."""


@dataclass(frozen=True)
class Cores:
    """Disjoint, so that nobody's CPU time is spent waiting for the other's core."""

    balancer: frozenset[int]
    load: frozenset[int]


def available() -> list[int]:
    """Cores that this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def split(balancer_cores: int = 1) -> Cores:
    """The last cores for the balancer, the others for the load. Raises TooFewCoresError."""
    cores = available()
    if len(cores) <= balancer_cores:
        raise TooFewCoresError(
            f"{balancer_cores} for the balancer and one for the load are needed, "
            f"{len(cores)} may be used"
        )
    return Cores(frozenset(cores[-balancer_cores:]), frozenset(cores[:-balancer_cores]))


def together(count: int) -> Cores:
    """Balancer, load and backends on the same ``count`` cores. Raises TooFewCoresError."""
    cores = available()
    if len(cores) < count:
        raise TooFewCoresError(f"{count} cores are needed, {len(cores)} may be used")
    same = frozenset(cores[-count:])
    return Cores(same, same)


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Processes started within are bound to ``cores`` from their first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
