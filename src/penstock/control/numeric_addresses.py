"""Addresses that are known already, in the form that aiohttp's connectors take them."""

import socket
from collections.abc import Iterable

from aiohttp.abc import ResolveResult


def numeric_addresses(host: str, addresses: Iterable[str], port: int) -> list[ResolveResult]:
    """Of a host whose name need not be looked up any more."""
    return [
        ResolveResult(
            hostname=host,
            host=address,
            port=port,
            family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_NUMERICHOST,
        )
        for address in addresses
    ]
