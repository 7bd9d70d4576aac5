"""DNS as a provider, against a server that says what a test wants."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.control.discovery.provider import ProviderError
from penstock.control.discovery.providers.dns import DnsProvider
from penstock.control.endpoints.dns_client import DnsClient
from penstock.control.endpoints.hosts_file import HostsFile
from penstock.core.snapshot.discovery import DnsDiscovery, Found
from tests.harness.dns_server import DnsServer


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as made:
        yield made


def provider(server: DnsServer, name: str = "app.internal", **settings: Any) -> DnsProvider:
    asked = DnsDiscovery(name, servers=(("127.0.0.1", server.port),), timeout_s=30.0, **settings)
    return DnsProvider(asked)


def hosts(found: tuple[Found, ...]) -> list[str]:
    return sorted(each.host for each in found)


async def test_every_address_of_both_families_is_an_endpoint(server: DnsServer) -> None:
    server.say("app.internal", "A", "10.0.0.1", "10.0.0.2")
    server.say("app.internal", "AAAA", "2001:db8::1")
    answer = await provider(server).look()
    assert hosts(answer.found) == ["10.0.0.1", "10.0.0.2", "2001:db8::1"]
    assert hosts((await provider(server, record="AAAA").look()).found) == ["2001:db8::1"]


async def test_aliases_are_followed(server: DnsServer) -> None:
    server.say("app.internal", "CNAME", "there.internal.")
    server.say("there.internal", "A", "10.0.0.1")
    assert hosts((await provider(server).look()).found) == ["10.0.0.1"]


@pytest.mark.parametrize(("ttl_s", "again_s"), [(0, 1.0), (30, 30.0), (86400, 60.0)])
async def test_it_is_looked_up_again_as_the_ttl_says_between_floor_and_ceiling(
    server: DnsServer, ttl_s: int, again_s: float
) -> None:
    server.ttl_s = ttl_s
    server.say("app.internal", "A", "10.0.0.1")
    assert (await provider(server).look()).again_s == again_s


async def test_a_truncated_answer_is_fetched_over_tcp(server: DnsServer) -> None:
    addresses = [f"10.0.{n // 200}.{n % 200}" for n in range(1000)]
    server.say("app.internal", "A", *addresses)
    answer = await provider(server, record="A").look()
    assert hosts(answer.found) == sorted(addresses)
    assert server.asked == [("app.internal", "A", "udp"), ("app.internal", "A", "tcp")]


async def test_servers_have_their_ports_weights_and_priorities(server: DnsServer) -> None:
    server.say(
        "_http._tcp.app.internal",
        "SRV",
        "20 1 82 c.internal.",
        "10 3 80 a.internal.",
        "10 0 81 b.internal.",
    )
    for number, name in enumerate("abc", 1):
        server.say(f"{name}.internal", "A", f"10.0.0.{number}")
    server.say("a.internal", "AAAA", "2001:db8::1")
    found = (await provider(server, "_http._tcp.app.internal", record="SRV").look()).found
    told = {(each.host, each.port): (round(each.weight or 0.0, 3), each.priority) for each in found}
    assert told == {
        ("10.0.0.1", 80): (3.0, 0),
        ("2001:db8::1", 80): (3.0, 0),
        ("10.0.0.2", 81): (0.3, 0),
        ("10.0.0.3", 82): (1.0, 1),
    }


async def test_where_no_server_has_a_weight_all_are_alike(server: DnsServer) -> None:
    server.say("_x._tcp.app", "SRV", "0 0 80 a.internal.", "0 0 81 a.internal.")
    server.say("a.internal", "A", "10.0.0.1")
    found = (await provider(server, "_x._tcp.app", record="SRV").look()).found
    assert [each.weight for each in found] == [1.0, 1.0]


async def test_more_than_a_hundred_servers_are_all_found(server: DnsServer) -> None:
    """haproxy#1160: truncated answers over UDP had servers come and go."""
    server.say("_x._tcp.app", "SRV", *[f"0 1 {n} s{n}.internal." for n in range(1, 151)])
    for n in range(1, 151):
        server.say(f"s{n}.internal", "A", f"10.0.0.{n}")
    found = (await provider(server, "_x._tcp.app", record="SRV").look()).found
    assert len(found) == 150


async def test_a_service_that_is_said_not_to_be_there_is_an_empty_answer(server: DnsServer) -> None:
    server.say("_x._tcp.app", "SRV", "0 0 0 .")
    assert (await provider(server, "_x._tcp.app", record="SRV").look()).found == ()


@pytest.mark.parametrize(
    ("mood", "told"), [("failing", "127.0.0.1:.* says SERVFAIL"), ("mute", "within 0.3 s")]
)
async def test_a_server_that_does_not_answer_is_told(
    server: DnsServer, mood: Any, told: str
) -> None:
    server.mood = mood
    asked = DnsDiscovery("app.internal", servers=(("127.0.0.1", server.port),), timeout_s=0.3)
    with pytest.raises(ProviderError, match=told):
        await DnsProvider(asked).look()


async def test_a_name_that_is_not_there_is_told(server: DnsServer) -> None:
    with pytest.raises(ProviderError, match=r"app\.internal does not exist in DNS"):
        await provider(server).look()
    with pytest.raises(ProviderError, match=r"_x\.app does not exist"):
        await provider(server, "_x.app", record="SRV").look()


async def test_a_family_that_cannot_be_looked_up_keeps_what_it_said(server: DnsServer) -> None:
    server.say("app.internal", "A", "10.0.0.1")
    server.say("app.internal", "AAAA", "2001:db8::1")
    asking = provider(server)
    await asking.look()
    server.failing_types.add("AAAA")
    server.say("app.internal", "A", "10.0.0.2")
    answer = await asking.look()
    assert hosts(answer.found) == ["10.0.0.2", "2001:db8::1"]
    assert answer.again_s == 1.0
    assert "SERVFAIL" in answer.problems[0]
    server.failing_types.clear()
    server.say("app.internal", "AAAA")  # its last address of that family is gone
    assert hosts((await asking.look()).found) == ["10.0.0.2"]


async def test_a_target_that_cannot_be_looked_up_keeps_its_addresses(server: DnsServer) -> None:
    server.say("_x._tcp.app", "SRV", "0 1 80 a.internal.", "0 1 80 b.internal.")
    server.say("a.internal", "A", "10.0.0.1")
    server.say("b.internal", "A", "10.0.0.2")
    asking = provider(server, "_x._tcp.app", record="SRV")
    await asking.look()
    del server.records["b.internal", "A"]
    answer = await asking.look()
    assert hosts(answer.found) == ["10.0.0.1", "10.0.0.2"]
    assert "b.internal does not exist" in answer.problems[0]


async def test_the_hosts_file_goes_before_dns(server: DnsServer, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("10.0.0.9 other app.internal # here\n::1 APP.internal\nnonsense\n")
    server.say("app.internal", "A", "10.0.0.1")
    asking = DnsProvider(
        DnsDiscovery("app.internal"),
        DnsClient([("127.0.0.1", server.port)]),
        HostsFile(file),
    )
    assert hosts((await asking.look()).found) == ["10.0.0.9", "::1"]
    file.write_text("")
    assert hosts((await asking.look()).found) == ["10.0.0.1"]
