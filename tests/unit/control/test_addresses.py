"""Names of endpoints become addresses before any worker hears of them."""

import asyncio
import socket
from typing import Any

import pytest

from penstock.control.addresses import NoAddressError, with_addresses
from penstock.core.snapshot import Endpoint, Pool, Snapshot


def world(*hosts: str) -> Snapshot:
    endpoints = tuple(
        Endpoint(name=f"e{number}", host=host, port=80) for number, host in enumerate(hosts)
    )
    pool = Pool(name="a", endpoints=endpoints)
    return Snapshot(generation=0, listeners=(), routes=(), pools=(pool,))


def addresses(spec: Snapshot) -> list[str]:
    return [endpoint.address for pool in spec.pools for endpoint in pool.endpoints]


class Resolver:
    """Answers in place of the system's; ``asked`` are the names, in order."""

    def __init__(self) -> None:
        self.known = {"one": "192.0.2.1", "two": "192.0.2.2", "six": "2001:db8::6"}
        self.asked: list[str] = []

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.known[host], port))]


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


def resolved(spec: Snapshot, resolver: Resolver) -> Snapshot:
    async def work() -> Snapshot:
        asyncio.get_running_loop().getaddrinfo = resolver.getaddrinfo  # type: ignore[assignment]
        return await with_addresses(spec)

    return asyncio.run(work())


def test_names_get_addresses(resolver: Resolver) -> None:
    spec = resolved(world("one", "two", "six"), resolver)
    assert addresses(spec) == ["192.0.2.1", "192.0.2.2", "2001:db8::6"]


def test_addresses_are_not_looked_up(resolver: Resolver) -> None:
    spec = world("127.0.0.1", "::1")
    assert resolved(spec, resolver) is spec
    assert resolver.asked == []


def test_a_name_is_looked_up_once_for_all_its_endpoints(resolver: Resolver) -> None:
    resolved(world("one", "one", "two"), resolver)
    assert sorted(resolver.asked) == ["one", "two"]


def test_what_has_an_address_keeps_it(resolver: Resolver) -> None:
    spec = resolved(world("one"), resolver)
    resolver.known["one"] = "192.0.2.9"
    assert addresses(resolved(spec, resolver)) == ["192.0.2.1"]


def test_a_name_without_an_address_is_named(resolver: Resolver) -> None:
    with pytest.raises(NoAddressError, match=r"endpoint gone:80 has no address: .*not known"):
        resolved(world("one", "gone"), resolver)
