"""Names of endpoints: /etc/hosts, then DNS with its TTL, then the system."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.control.endpoints.dns_client import DnsClient
from penstock.control.endpoints.hosts_file import HostsFile
from penstock.control.endpoints.name_resolver import NameResolver
from penstock.control.endpoints.resolver import Answer, NoAddressError
from tests.harness.dns_server import DnsServer


class System:
    """What the system would say."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def look_up(self, host: str) -> Answer:
        self.asked.append(host)
        if host == "printer":
            return Answer(("10.9.9.9",))
        raise NoAddressError(f"{host} has no address")


class Site:
    def __init__(self, server: DnsServer, directory: Path) -> None:
        self.server = server
        self.system = System()
        self.hosts = directory / "hosts"
        self.nsswitch = directory / "nsswitch.conf"
        self.resolver = NameResolver(
            DnsClient([("127.0.0.1", server.port)], timeout_s=0.5),
            self.system,
            HostsFile(self.hosts),
            self.nsswitch,
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with DnsServer() as server:
        yield Site(server, tmp_path)


async def test_dns_tells_all_addresses_and_how_long_they_hold(site: Site) -> None:
    site.server.ttl_s = 17
    site.server.say("gpu", "A", "127.0.0.2", "127.0.0.3")
    answer = await site.resolver.look_up("gpu")
    assert sorted(answer.addresses) == ["127.0.0.2", "127.0.0.3"]
    assert answer.ttl_s == 17.0
    assert site.system.asked == []
    site.server.ttl_s = 86_400
    assert (await site.resolver.look_up("gpu")).ttl_s == 300.0


async def test_an_address_to_which_there_is_no_route_goes_last(site: Site) -> None:
    site.server.say("gpu", "AAAA", "4000::1")  # not assigned: no route but a default one
    site.server.say("gpu", "A", "127.0.0.2")
    answer = await site.resolver.look_up("gpu")
    assert set(answer.addresses) == {"127.0.0.2", "4000::1"}


async def test_the_hosts_file_goes_before_dns(site: Site) -> None:
    site.hosts.write_text("127.0.0.9 gpu\n")
    site.server.say("gpu", "A", "127.0.0.2")
    assert (await site.resolver.look_up("gpu")).addresses == ("127.0.0.9",)


async def test_who_dns_does_not_know_is_asked_of_the_system(site: Site) -> None:
    assert (await site.resolver.look_up("printer")).addresses == ("10.9.9.9",)
    with pytest.raises(NoAddressError):
        await site.resolver.look_up("nobody")


async def test_where_dns_is_dead_the_system_is_asked(site: Site) -> None:
    site.server.mood = "failing"
    assert (await site.resolver.look_up("printer")).addresses == ("10.9.9.9",)


async def test_a_family_that_failed_is_looked_up_again_soon(site: Site) -> None:
    site.server.ttl_s = 60
    site.server.say("gpu", "A", "127.0.0.2")
    site.server.failing_types.add("AAAA")
    answer = await site.resolver.look_up("gpu")
    assert answer == Answer(("127.0.0.2",), 0.0)


async def test_where_the_system_does_not_ask_dns_neither_do_we(site: Site) -> None:
    site.nsswitch.write_text("passwd: files\nhosts: files myhostname # dns\n")
    assert (await site.resolver.look_up("printer")).addresses == ("10.9.9.9",)
    assert site.server.asked == []


async def test_localhost_is_never_asked_of_dns(site: Site) -> None:
    with pytest.raises(NoAddressError):
        await site.resolver.look_up("localhost")
    assert site.server.asked == []
