"""Providers are followed each by itself: slow and dead ones hold up nobody."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from penstock.control.discovery.following import Discoveries
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.control.events import Events
from penstock.core.snapshot import Discovery, Endpoint, Snapshot
from penstock.core.snapshot.discovery import FileDiscovery, Found
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until
from tests.unit.control.worlds import pool, world


class Scripted(Provider):
    """Says what the test put into its queue; an exception is raised."""

    name = ""

    def __init__(self, settings: FileDiscovery) -> None:
        super().__init__(settings)
        self.says: asyncio.Queue[list[str] | Exception] = asyncio.Queue()
        self.closed = False

    async def look(self) -> Answer:
        said = await self.says.get()
        if isinstance(said, Exception):
            raise said
        return Answer(tuple(Found(each, 80) for each in said))

    async def close(self) -> None:
        self.closed = True


class Site:
    def __init__(self, events: Events, clock: Clock) -> None:
        self.made: dict[str, Scripted] = {}
        self.membership = Membership(clock)
        self.events = events
        self.slept: list[float] = []
        self.discoveries = Discoveries(self.membership, events, self._create, self._sleep, clock)

    def _create(self, discovery: Discovery) -> Provider:
        assert isinstance(discovery.settings, FileDiscovery)
        made = self.made[discovery.settings.path] = Scripted(discovery.settings)
        return made

    async def _sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
        await asyncio.sleep(0)

    def configure(self, *paths: str, **settings: object) -> Snapshot:
        discover = tuple(
            Discovery(FileDiscovery(path), **settings)  # type: ignore[arg-type]
            for path in paths
        )
        spec = world([pool("main", discover=discover)])
        self.discoveries.configure(spec, {"main": ()})
        return spec

    async def say(self, path: str, said: list[str] | Exception) -> None:
        await until(lambda: path in self.made, "it is followed")
        self.made[path].says.put_nowait(said)

    @property
    def hosts(self) -> list[str]:
        return sorted(each.host for each in self.membership.members("main", ()))

    def view(self, number: int = 0) -> tuple[str, str]:
        found = self.discoveries.views("main")[number]
        return found.state, found.reason


@pytest.fixture
async def site(events: Events, clock: Clock) -> AsyncIterator[Site]:
    made = Site(events, clock)
    yield made
    await made.discoveries.stop()


async def test_what_is_found_becomes_members(site: Site) -> None:
    site.configure("a", "b")
    assert site.view() == ("waiting", "it has not answered yet")
    await site.say("a", ["10.0.0.1"])
    await site.say("b", ["10.0.0.2"])
    await until(lambda: site.hosts == ["10.0.0.1", "10.0.0.2"], "both are members")
    assert site.view() == ("found", "")
    [first, _] = site.discoveries.views("main")
    assert (first.shown, first.endpoints, first.answered_at) == ("file a", 1, 1000.0)


async def test_who_came_and_left_is_logged(site: Site) -> None:
    found = [f"10.0.0.{n}" for n in range(1, 8)]
    spec = site.configure("a")
    [empty] = spec.pools
    for hosts in (found, found[1:], found[1:]):
        members = tuple(Endpoint(name=host, host=host, port=80) for host in hosts)
        running = world([replace(empty, endpoints=members)])
        site.discoveries.configure(running, {"main": ()})
    site.discoveries.configure(spec, {"main": ()})
    told = [each.message for each in site.events.recent(9)]
    assert told == [
        "pool main: 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5 and 2 more came",
        "pool main: 10.0.0.1 left",
        "pool main: 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6 and 1 more left",
    ]


async def test_a_failure_changes_nothing_and_is_told_once(site: Site) -> None:
    site.configure("a")
    await site.say("a", ["10.0.0.1"])
    for _ in range(3):
        await site.say("a", ProviderError("it broke"))
    await until(lambda: site.discoveries.views("main")[0].failures == 3, "it failed")
    assert site.view() == ("failing", "it broke; the 1 known before are used")
    assert site.hosts == ["10.0.0.1"]
    assert [e.kind for e in site.events.recent(9)] == ["discovery.failed"]
    assert [0.7 < s / e < 1.3 for s, e in zip(site.slept, (1.0, 2.0, 4.0), strict=True)]
    await site.say("a", ["10.0.0.2"])
    await until(lambda: site.hosts == ["10.0.0.2"], "it is found again")
    assert [e.kind for e in site.events.recent(9)][-1] == "discovery.found"


async def test_an_empty_answer_is_held_and_told(site: Site) -> None:
    site.configure("a")
    await site.say("a", ["10.0.0.1"])
    await site.say("a", [])
    await until(lambda: site.view()[0] == "held", "it is held")
    assert site.view()[1] == "it answers with no endpoint; the 1 known before are used"
    assert site.hosts == ["10.0.0.1"]


async def test_too_many_are_refused(site: Site) -> None:
    site.configure("a", max_endpoints=1)
    await site.say("a", ["10.0.0.1"])
    await site.say("a", ["10.0.0.2", "10.0.0.3"])
    await until(lambda: site.view()[0] == "failing", "it is refused")
    assert "2 endpoints were found, and `max_endpoints` is 1" in site.view()[1]
    assert site.hosts == ["10.0.0.1"]


async def test_a_bug_in_one_ends_none(site: Site) -> None:
    site.configure("a", "b")
    await site.say("a", RuntimeError("a bug"))
    await site.say("b", ["10.0.0.2"])
    await site.say("a", ["10.0.0.1"])
    await until(lambda: site.hosts == ["10.0.0.1", "10.0.0.2"], "both are members")


async def test_a_slow_one_holds_up_no_publication_for_long(site: Site) -> None:
    spec = world([pool("main", discover=(Discovery(FileDiscovery("slow")),))])
    searching = asyncio.create_task(site.discoveries.search(spec, wait_s=0.02))
    await until(searching.done, "it is not waited for any longer")
    await site.discoveries.search(spec, wait_s=60.0)  # known already: not waited for at all
    searching = asyncio.create_task(site.discoveries.search(site.configure("slow", "quick"), 60.0))
    await site.say("quick", ["10.0.0.1"])
    await until(lambda: site.hosts == ["10.0.0.1"], "the other is followed")
    await site.say("slow", ["10.0.0.2"])
    await until(lambda: site.hosts == ["10.0.0.1", "10.0.0.2"], "and so is it, once it answers")
    await until(searching.done, "it is over")


async def test_unchanged_ones_go_on_undisturbed_and_others_end(site: Site) -> None:
    site.configure("a", "b")
    await site.say("a", ["10.0.0.1"])
    await site.say("b", ["10.0.0.2"])
    await until(lambda: len(site.hosts) == 2, "both are members")
    kept = site.made["a"]
    site.configure("a")
    await until(lambda: site.made["b"].closed, "the other ended")
    assert site.made["a"] is kept
    assert not kept.closed
    assert site.hosts == ["10.0.0.1"]


async def test_changed_defaults_count_at_the_next_answer_and_nothing_is_lost_until_then(
    site: Site,
) -> None:
    site.configure("a", weight=1.0)
    await site.say("a", ["10.0.0.1"])
    await until(lambda: site.hosts == ["10.0.0.1"], "it is a member")
    before = site.made["a"]
    site.configure("a", weight=2.0)
    await until(lambda: site.made["a"] is not before, "it is asked anew")
    assert site.hosts == ["10.0.0.1"]
    await site.say("a", ["10.0.0.1"])
    await until(
        lambda: [each.weight for each in site.membership.members("main", ())] == [2.0],
        "the new weight counts",
    )
