"""Endpoints as gateways know them: by ``ip:port``."""

from collections.abc import Sequence
from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.request import Request
from penstock.core.snapshot.address import SOCKET_FILE
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool

_MOST_FALLBACKS: Final = 2  # behind the one that was picked


def destination_of(endpoint: LiveEndpoint) -> str:
    """Where it is reached; "" where that is no IP address."""
    addresses = endpoint.connector.in_order()
    shown = addresses[0].shown.decode() if addresses else ""
    return "" if shown.startswith(SOCKET_FILE) else shown


def destinations_of(endpoints: Sequence[LiveEndpoint]) -> list[str]:
    """Of each that has one."""
    found = [destination_of(endpoint) for endpoint in endpoints]
    return [each for each in found if each]


def named(destination: str, members: Sequence[LiveEndpoint]) -> LiveEndpoint | None:
    """Who is reached there."""
    for endpoint in members:
        if destination_of(endpoint) == destination:
            return endpoint
    return None


def elsewhere(members: Sequence[LiveEndpoint], subset: Sequence[str]) -> list[Endpoint]:
    """Those that are at none of these places."""
    places = frozenset(subset)
    return [endpoint for endpoint in members if destination_of(endpoint) not in places]


def fallbacks(
    pool: LivePool, request: Request, picked: Endpoint, excluded: Sequence[Endpoint]
) -> list[LiveEndpoint]:
    """Who comes next if the gateway cannot reach the one that was picked: those with the least to
    do. The policy is not asked: it would take each for a request."""
    tried = [*excluded, picked]
    found = [
        endpoint
        for endpoint in pool.candidates(request, tried)
        if isinstance(endpoint, LiveEndpoint) and endpoint not in tried and endpoint.has_room()
    ]
    found.sort(key=_load_of)
    return found[:_MOST_FALLBACKS]


def _load_of(endpoint: LiveEndpoint) -> int:
    return endpoint.load()
