"""Endpoints that operators add, change and remove while the balancer runs."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.admin.view import UnknownNameError
from penstock.control.discovery.api_endpoints import ApiEndpoints
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.source import API, provider_source
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Endpoint, Snapshot
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import pool, world

DNS = provider_source(0, "dns app")


class Site:
    def __init__(self, events: Events, clock: Clock, directory: Path | None) -> None:
        self.fixed: tuple[Endpoint, ...] = (Endpoint(name="fixed", host="10.0.0.1", port=80),)
        self.membership = Membership(clock)
        self.membership.configure({"main": [DNS]}, {"main": self.fixed})
        self.membership.set(DNS, "main", [Endpoint(name="", host="10.0.0.2", port=80, zone="a")])
        self.refused = ""
        self.running: Snapshot = world([])
        self.files = StateFiles(directory, events)
        self.api = ApiEndpoints(
            self.membership, lambda: self.running, self._refresh, self.files, events
        )
        self.api.load()
        self.publish()

    def publish(self) -> None:
        members = self.membership.members("main", self.fixed)
        self.running = world([replace(pool("main"), endpoints=members)])
        self.membership.configure({"main": [DNS]}, {"main": self.fixed})
        self.api.configure({"main": self.fixed})

    async def _refresh(self) -> None:
        if self.refused:
            raise PublishError(self.refused)
        self.publish()

    @property
    def weights(self) -> dict[str, float]:
        return {each.name: each.weight for each in self.running.pools[0].endpoints}


@pytest.fixture
def site(events: Events, clock: Clock, tmp_path: Path) -> Site:
    return Site(events, clock, tmp_path)


async def test_one_is_added_changed_and_removed(site: Site) -> None:
    await site.api.add("main", "http://10.0.0.3:80", {"weight": 2.0}, save=False)
    assert site.weights == {"fixed": 1.0, "10.0.0.2:80": 1.0, "10.0.0.3:80": 2.0}
    await site.api.change("main", "http://10.0.0.3:80", {"weight": 3.0}, save=False)
    assert site.weights["10.0.0.3:80"] == 3.0
    await site.api.remove("main", "http://10.0.0.3:80", save=False)
    assert "10.0.0.3:80" not in site.weights


async def test_what_a_provider_finds_can_be_changed_and_kept_away(site: Site) -> None:
    await site.api.change("main", "10.0.0.2:80", {"weight": 0.5}, save=False)
    [_, found] = site.running.pools[0].endpoints
    assert (found.weight, found.zone) == (0.5, "a")
    assert site.membership.source_of("main", found) == API
    await site.api.remove("main", "10.0.0.2:80", save=False)
    assert site.weights == {"fixed": 1.0}
    await site.api.add("main", "10.0.0.2:80", {}, save=False)
    assert site.weights == {"fixed": 1.0, "10.0.0.2:80": 1.0}


async def test_it_holds_until_the_configuration_lists_it(site: Site) -> None:
    await site.api.add("main", "10.0.0.3:80", {"weight": 2.0}, save=True)
    site.fixed = (*site.fixed, Endpoint(name="10.0.0.3:80", host="10.0.0.3", port=80, weight=7.0))
    site.publish()
    assert site.weights["10.0.0.3:80"] == 7.0
    site.fixed = site.fixed[:1]
    site.publish()
    assert "10.0.0.3:80" not in site.weights


async def test_what_is_saved_is_there_after_a_restart(
    site: Site, events: Events, clock: Clock, tmp_path: Path
) -> None:
    await site.api.add("main", "10.0.0.3:80", {"weight": 2.0}, save=True)
    await site.api.add("main", "10.0.0.4:80", {}, save=False)
    await site.api.remove("main", "10.0.0.2:80", save=True)
    assert Site(events, clock, tmp_path).weights == {"fixed": 1.0, "10.0.0.3:80": 2.0}
    await site.api.remove("main", "10.0.0.3:80", save=True)
    assert Site(events, clock, tmp_path).weights == {"fixed": 1.0}


@pytest.mark.parametrize(
    ("action", "url", "said", "told"),
    [
        ("add", "10.0.0.1:80", {}, "main has fixed already (file): it is changed in the config"),
        ("add", "10.0.0.2:80", {}, r"main has 10.0.0.2:80 already (dns app): use `change`"),
        ("change", "10.0.0.1:80", {}, "the configuration lists fixed: change it there and reload"),
        ("remove", "10.0.0.1:80", {}, "the configuration lists fixed"),
        ("change", "10.0.0.9:80", {}, "pool 'main' has no endpoint at 10.0.0.9:80"),
        ("remove", "10.0.0.9:80", {}, "pool 'main' has no endpoint at 10.0.0.9:80"),
        ("add", "unix:/run/secret.sock", {}, "can only be given in the configuration"),
        ("add", "tcp://10.0.0.9:80", {}, "pool 'main' has http:// endpoints"),
        ("add", "http://me:pw@10.0.0.9:80", {}, "cannot hold a user name or password"),
        ("add", "10.0.0.9:80", {"weight": -1.0}, "weight: a number from 0 to 1000000"),
        ("add", "10.0.0.9:80", {"models": "a,,b"}, "models: every model has a name"),
    ],
)
async def test_what_is_refused(
    site: Site, action: str, url: str, said: dict[str, Any], told: str
) -> None:
    before = site.weights
    doing = {
        "add": lambda: site.api.add("main", url, said, save=False),
        "change": lambda: site.api.change("main", url, said, save=False),
        "remove": lambda: site.api.remove("main", url, save=False),
    }
    with pytest.raises((ValueError, UnknownNameError)) as caught:
        await doing[action]()
    assert told in str(caught.value)
    assert site.weights == before


async def test_an_unknown_pool_is_told(site: Site) -> None:
    with pytest.raises(UnknownNameError, match="no pool is called 'mian'; did you mean 'main'"):
        await site.api.add("mian", "10.0.0.3:80", {}, save=False)


async def test_what_workers_refuse_is_taken_back(site: Site) -> None:
    site.refused = "no room"
    with pytest.raises(ValueError, match="workers do not take it: no room"):
        await site.api.add("main", "10.0.0.3:80", {}, save=True)
    with pytest.raises(ValueError, match="workers do not take it"):
        await site.api.remove("main", "10.0.0.2:80", save=True)
    site.refused = ""
    site.publish()
    assert site.weights == {"fixed": 1.0, "10.0.0.2:80": 1.0}


async def test_without_a_state_directory_nothing_can_be_saved(events: Events, clock: Clock) -> None:
    site = Site(events, clock, None)
    with pytest.raises(ValueError, match="set `state: DIRECTORY`"):
        await site.api.add("main", "10.0.0.3:80", {}, save=True)
    assert "10.0.0.3:80" not in site.weights
