"""Names of endpoints become addresses, and no name holds up another."""

import asyncio
import threading

import pytest

from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.resolver import Answer, NoAddressError, SystemResolver, interleaved
from penstock.control.events import Events
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until

pytestmark = pytest.mark.asyncio


def world(*hosts: str) -> Snapshot:
    endpoints = tuple(
        Endpoint(name=f"e{number}", host=host, port=80) for number, host in enumerate(hosts)
    )
    pool = Pool(name="a", endpoints=endpoints)
    return Snapshot(generation=0, listeners=(), routes=(), pools=(pool,))


def found(spec: Snapshot) -> list[tuple[str, ...]]:
    return [endpoint.addresses for pool in spec.pools for endpoint in pool.endpoints]


def problems(spec: Snapshot) -> list[str]:
    return [endpoint.no_address for pool in spec.pools for endpoint in pool.endpoints]


class Names:
    """A resolver; ``asked`` are the names, in order. Of one that hangs nothing is heard."""

    def __init__(self) -> None:
        self.known: dict[str, Answer] = {
            "one": Answer(("192.0.2.1", "2001:db8::1")),
            "two": Answer(("192.0.2.2",), ttl_s=60.0),
        }
        self.hanging: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []

    async def look_up(self, host: str) -> Answer:
        self.asked.append(host)
        if host in self.hanging:
            await self.hanging[host].wait()
        if host not in self.known:
            raise NoAddressError(f"{host} has no address: unknown")
        return self.known[host]


class Site:
    """``at`` passes the time; what is due by then has been looked up."""

    def __init__(self, clock: Clock, events: Events) -> None:
        self.names = Names()
        self.clock = clock
        self.events = events
        self.addresses = Addresses(self.names, events, clock)
        self.running = world()

    async def publish(self, spec: Snapshot) -> Snapshot:
        self.running = await self.addresses.resolve(spec)
        self.addresses.configure(self.running)
        return self.running

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.addresses.look_up_due()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def told(self, kind: str) -> list[str]:
        return [event.message for event in self.events.recent(99) if event.kind == kind]


@pytest.fixture
def site(clock: Clock, events: Events) -> Site:
    return Site(clock, events)


async def test_names_get_all_their_addresses_and_addresses_are_not_looked_up(site: Site) -> None:
    spec = await site.publish(world("one", "127.0.0.1", "::1", "one"))
    assert found(spec) == [("192.0.2.1", "2001:db8::1"), (), (), ("192.0.2.1", "2001:db8::1")]
    assert problems(spec) == ["", "", "", ""]
    assert site.names.asked == ["one"], "once for all its endpoints"


async def test_a_name_without_an_address_stops_nothing_and_is_told_with_its_reason(
    site: Site,
) -> None:
    spec = await site.publish(world("one", "gone"))
    assert found(spec) == [("192.0.2.1", "2001:db8::1"), ()]
    assert problems(spec) == ["", "gone has no address: unknown"]
    assert site.told("name.not_found") == ["gone has no address: unknown"]


async def test_a_name_whose_look_up_hangs_holds_up_nobody_for_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.control.endpoints.addresses._FIRST_WAIT_S", 0.01)
    site.names.hanging["two"] = asyncio.Event()
    spec = await site.publish(world("one", "two"))
    assert problems(spec) == ["", "its name is being looked up"]
    refreshed: list[list[tuple[str, ...]]] = []

    async def refresh() -> None:
        refreshed.append(found(await site.publish(site.running)))

    running = asyncio.create_task(site.addresses.run(refresh))
    site.names.hanging["two"].set()
    await until(lambda: refreshed != [], "what came later is published")
    running.cancel()
    assert refreshed == [[("192.0.2.1", "2001:db8::1"), ("192.0.2.2",)]]


async def test_a_reload_looks_names_up_again_and_a_refresh_does_not(site: Site) -> None:
    await site.publish(world("one"))
    site.names.known["one"] = Answer(("192.0.2.9",))
    assert found(await site.publish(site.running)) == [("192.0.2.1", "2001:db8::1")]
    assert found(await site.publish(world("one"))) == [("192.0.2.9",)]
    assert site.told("name.found") == ["one is at 192.0.2.9, not 192.0.2.1, 2001:db8::1"]


async def test_names_are_looked_up_when_their_addresses_no_longer_hold(site: Site) -> None:
    await site.publish(world("one", "two"))
    await site.pass_time(31.0)
    assert site.names.asked == ["one", "two", "one"]
    await site.pass_time(30.0)
    assert sorted(site.names.asked[3:]) == ["one", "two"]


async def test_a_name_whose_endpoint_went_down_is_looked_up_soon(site: Site) -> None:
    spec = await site.publish(world("one"))
    site.addresses.expire(spec.pools[0].endpoints[0])
    await site.pass_time(1.0)
    assert site.names.asked == ["one"], "not at every turn"
    await site.pass_time(5.0)
    assert site.names.asked == ["one", "one"]


async def test_what_was_found_is_used_while_a_name_cannot_be_looked_up(site: Site) -> None:
    await site.publish(world("one"))
    del site.names.known["one"]
    spec = await site.publish(world("one"))
    assert found(spec) == [("192.0.2.1", "2001:db8::1")]
    assert problems(spec) == [""]
    assert site.told("name.not_found") == [
        "one has no address: unknown; 192.0.2.1, 2001:db8::1 is used as before"
    ]


async def test_addresses_in_another_order_are_no_change(site: Site) -> None:
    await site.publish(world("one"))
    site.names.known["one"] = Answer(("2001:db8::1", "192.0.2.1"))
    assert found(await site.publish(world("one"))) == [("192.0.2.1", "2001:db8::1")]


async def test_families_take_turns_beginning_with_the_preferred_one() -> None:
    assert interleaved(["::1", "::2", "127.0.0.1", "127.0.0.2", "::1", "127.0.0.3"]) == (
        *("::1", "127.0.0.1", "::2", "127.0.0.2", "127.0.0.3"),
    )


async def test_the_system_s_resolver_answers_and_says_why_it_does_not() -> None:
    assert "127.0.0.1" in (await SystemResolver().look_up("localhost")).addresses
    with pytest.raises(NoAddressError, match=r"engine\.invalid has no address: "):
        await SystemResolver().look_up("engine.invalid")


async def test_a_look_up_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: hang.wait(60.0) and [])
    looking = asyncio.create_task(SystemResolver().look_up("slow"))
    await until(lambda: any(each.name == "look-up" for each in threading.enumerate()), "it asks")
    assert all(each.daemon for each in threading.enumerate() if each.name == "look-up")
    looking.cancel()
    hang.set()
