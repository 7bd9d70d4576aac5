"""Who may say which endpoints a pool has, and whose word goes before whose."""

from dataclasses import dataclass
from typing import Final

from penstock.core.snapshot import Endpoint

Place = tuple[str, int]  # the address and port: who has the same is the same endpoint

_API: Final = 1
_PROVIDER: Final = 2
_SCALER: Final = 3


@dataclass(frozen=True, order=True)
class Source:
    """One of them; the lesser goes first. What the configuration lists goes before all.

    ``holds``: an answer without endpoints is taken for a failure, and what leaves and comes back
    again and again is kept for longer each time. Else every word counts at once.
    """

    rank: int
    order: int  # among those of one rank
    name: str
    holds: bool = False


FILE: Final = Source(0, 0, "file")
API: Final = Source(_API, 0, "api")
SCALER: Final = Source(_SCALER, 0, "scale")


def provider_source(order: int, name: str) -> Source:
    """Of the provider that stands at that place of its pool's `discover`."""
    return Source(_PROVIDER, order, name, holds=True)


def place_of(endpoint: Endpoint) -> Place:
    """Where it is."""
    return (endpoint.host, endpoint.port)
