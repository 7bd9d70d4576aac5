"""Changes of members go out together, at a pace, and a refusal is tried again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.control.discovery.flapping import FIRST_S
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.publishing import MembersPublisher
from penstock.control.discovery.source import provider_source
from penstock.control.events import Events
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Endpoint
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until

DNS = provider_source(0, "dns")


class Site:
    """A membership that is published into a list; time passes as it is slept."""

    def __init__(self, events: Events, clock: Clock) -> None:
        self.clock = clock
        self.membership = Membership(clock)
        self.membership.configure({"main": [DNS]}, {})
        self.published: list[list[str]] = []
        self.takes_s = 0.0
        self.refused = ""
        self.slept: list[float] = []
        self.publisher = MembersPublisher(
            self.membership, self._refresh, events, self._sleep, look_s=0.01, cpu_clock=clock
        )

    async def _refresh(self) -> None:
        self.clock.now += self.takes_s
        if self.refused:
            reason, self.refused = self.refused, ""
            raise PublishError(reason)
        self.published.append([each.host for each in self.membership.members("main", ())])

    async def _sleep(self, seconds: float) -> None:
        self.clock.now += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def find(self, *hosts: str) -> None:
        self.membership.set(DNS, "main", [Endpoint(name="", host=each, port=80) for each in hosts])


@pytest.fixture
async def site(events: Events, clock: Clock) -> AsyncIterator[Site]:
    made = Site(events, clock)
    task = asyncio.create_task(made.publisher.run())
    yield made
    task.cancel()


async def test_changes_that_come_together_are_published_as_one(site: Site) -> None:
    for number in range(1, 6):
        site.find(*[f"10.0.0.{each}" for each in range(number)])
    await until(lambda: bool(site.published), "they are published")
    assert [len(each) for each in site.published] == [5]


async def test_the_pause_after_one_grows_with_what_it_took(site: Site) -> None:
    site.takes_s = 0.01
    site.find("a")
    await until(lambda: len(site.slept) == 2, "it paused")
    assert site.slept[1] == pytest.approx(0.2)
    site.takes_s = 3.0
    site.find("a", "b")
    await until(lambda: len(site.slept) == 4, "it paused")
    assert sum(site.slept[2:]) < 1.0  # the next change is with the workers within a second


async def test_a_refusal_is_logged_once_and_tried_again(site: Site, events: Events) -> None:
    site.refused = "there is no room"
    site.find("a")
    await until(lambda: bool(site.published), "it is published")
    assert site.published == [["a"]]
    [event] = [each for each in events.recent(10) if each.kind == "discovery.refused"]
    assert "there is no room" in event.message


async def test_one_that_was_kept_goes_when_its_time_is_over(site: Site) -> None:
    for hosts in (("a", "b"), ("a",), ("a", "b"), ("a",)):
        site.find(*hosts)
    await until(lambda: site.published == [["a", "b"]], "it is kept")
    site.clock.now += FIRST_S
    await until(lambda: site.published[-1] == ["a"], "it goes")
