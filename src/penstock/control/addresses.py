"""Addresses of endpoints that are configured by name: found before a snapshot is published.

A look-up can take seconds. Workers would stand still for as long, so they are told addresses, and
so are health checks, which then test what requests go to. Names are looked up with every reload.
"""

import asyncio
import socket
from ipaddress import ip_address
from typing import Final

import msgspec

from penstock.core.snapshot import Snapshot

_LOOK_UP_S: Final = 10.0  # for all names together; a resolver gives up at 5 s with one server down
_AT_ONCE: Final = 32  # look-ups


class NoAddressError(Exception):
    """A name has no address, or its look-up takes too long. The text is for people."""


async def with_addresses(spec: Snapshot) -> Snapshot:
    """The snapshot with an address for each endpoint named by a host that is none itself.

    Endpoints that have one keep it. Raises NoAddressError.
    """
    wanted = {
        (endpoint.host, endpoint.port)
        for pool in spec.pools
        for endpoint in pool.endpoints
        if not endpoint.address and not _is_address(endpoint.host)
    }
    if not wanted:
        return spec
    found = await _look_up(sorted(wanted))
    return msgspec.structs.replace(
        spec,
        pools=tuple(
            msgspec.structs.replace(
                pool,
                endpoints=tuple(
                    msgspec.structs.replace(
                        endpoint,
                        address=found.get((endpoint.host, endpoint.port), endpoint.address),
                    )
                    for endpoint in pool.endpoints
                ),
            )
            for pool in spec.pools
        ),
    )


async def _look_up(wanted: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
    free = asyncio.Semaphore(_AT_ONCE)
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            found = await asyncio.gather(*(_address_of(*each, free) for each in wanted))
    except TimeoutError:
        names = ", ".join(sorted({host for host, _ in wanted}))
        raise NoAddressError(f"looking up {names} took over {_LOOK_UP_S:g} s") from None
    return dict(zip(wanted, found, strict=True))


async def _address_of(host: str, port: int, free: asyncio.Semaphore) -> str:
    """The first address, as the system prefers them (RFC 6724)."""
    loop = asyncio.get_running_loop()
    async with free:
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NoAddressError(f"endpoint {host}:{port} has no address: {error}") from error
    return str(found[0][4][0])


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
