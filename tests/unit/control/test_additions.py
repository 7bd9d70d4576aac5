"""Pools and routes that operators add, change and remove while the balancer runs."""

from pathlib import Path
from typing import Any

import pytest

from penstock.admin.view import AdditionView, UnknownNameError
from penstock.config.compile.snapshot import Configured
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.world.additions import Additions
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Pool
from tests.unit.config.documents import load

FILE = """
listeners: {{{listener}: {{address: "127.0.0.1:8080"}}}}
pools: {{main: {{endpoints: [http://127.0.0.1:9001]}}{pools}}}
routes: [{{name: rest, pool: main}}]
"""
BLUE = {"endpoints": "http://10.0.0.3:80"}
TO_BLUE = {"match": {"path_prefix": "/blue"}, "pool": "blue"}


class Site:
    """A configuration that runs, with what is added to it."""

    def __init__(self, folder: Path, events: Events, directory: Path | None) -> None:
        self.folder = folder
        self.configured = self._read()
        self.refused = ""
        self.additions = Additions(
            lambda: self.configured, self._publish, StateFiles(directory, events), events
        )
        self.additions.load()
        self.running = self.additions.extended(self.configured)

    def _read(self, pools: str = "", listener: str = "main") -> Configured:
        return load(FILE.format(pools=pools, listener=listener), self.folder)

    async def _publish(self) -> None:
        if self.refused:
            raise PublishError(self.refused)
        self.running = self.additions.extended(self.configured)

    def reload(self, pools: str = "", listener: str = "main") -> None:
        self.configured = self._read(pools, listener)
        self.running = self.additions.extended(self.configured)
        self.additions.configure(self.configured)

    @property
    def pools(self) -> list[str]:
        return [pool.name for pool in self.running.snapshot.pools]

    @property
    def routes(self) -> list[str]:
        return [route.name for route in self.running.snapshot.routes]


@pytest.fixture
def site(events: Events, tmp_path: Path) -> Site:
    return Site(tmp_path, events, tmp_path)


async def test_they_are_added_changed_and_removed(site: Site) -> None:
    await site.additions.add("pool", "blue", BLUE)
    await site.additions.add("route", "to-blue", TO_BLUE)
    assert (site.pools, site.routes) == (["main", "blue"], ["to-blue", "rest"])
    await site.additions.change("pool", "blue", {"policy": "random", "panic_threshold": 0.25})
    await site.additions.change("pool", "blue", {"panic_threshold": None})
    blue = site.running.snapshot.pools[1]
    assert (blue.policy.name, blue.panic_threshold) == (
        "random",
        Pool(name="", endpoints=()).panic_threshold,
    )
    assert [endpoint.name for endpoint in blue.endpoints] == ["10.0.0.3:80"]
    with pytest.raises(ValueError, match="route to-blue: pool: no pool is called 'blue'"):
        await site.additions.remove("pool", "blue")
    await site.additions.remove("route", "to-blue")
    await site.additions.remove("pool", "blue")
    assert (site.pools, site.routes) == (["main"], ["rest"])


async def test_routes_have_a_position_among_those_added(site: Site) -> None:
    for name in ("one", "two"):
        await site.additions.add("route", name, {"match": {"path": f"/{name}"}, "pool": "main"})
    said = {"match": {"path": "/three"}, "pool": "main"}
    await site.additions.add("route", "three", said, position=1)
    assert site.routes == ["three", "one", "two", "rest"]
    await site.additions.change("route", "one", {"pool": "main"})
    assert site.routes == ["three", "one", "two", "rest"]
    await site.additions.change("route", "three", {}, position=9)
    assert site.routes == ["one", "two", "three", "rest"]


async def test_they_hold_until_the_configuration_names_the_same(site: Site) -> None:
    await site.additions.add("pool", "blue", BLUE, save=True)
    await site.additions.add("route", "to-blue", TO_BLUE)
    site.reload()
    assert site.pools == ["main", "blue"]
    site.reload(pools=", blue: {endpoints: [http://10.0.0.9:80]}")
    assert site.running.snapshot.pools[1].endpoints[0].host == "10.0.0.9"
    assert site.routes == ["to-blue", "rest"]  # to the configuration's, now
    site.reload()
    assert site.pools == ["main"]


async def test_what_does_not_go_with_a_configuration_waits_and_fails_no_reload(
    site: Site, events: Events
) -> None:
    said = {"match": {"listeners": "main", "path": "/x"}, "respond": 204}
    await site.additions.add("route", "special", said)
    site.reload(listener="other")
    assert site.routes == ["rest"]
    [view] = site.additions.views()
    assert (view.name, view.saved) == ("special", False)
    assert "no listener is called 'main'" in view.problem
    assert [each.kind for each in events.recent(9)].count("route.left_out") == 1
    await site.additions.add("pool", "blue", BLUE)  # others can be added meanwhile
    site.reload()
    assert site.routes == ["special", "rest"]
    assert site.additions.views()[1] == AdditionView("route", "special", False)


async def test_what_is_saved_is_there_after_a_restart(
    site: Site, events: Events, tmp_path: Path
) -> None:
    await site.additions.add("pool", "blue", BLUE, save=True)
    await site.additions.add("route", "to-blue", TO_BLUE, save=True)
    await site.additions.add("pool", "green", BLUE)
    again = Site(tmp_path, events, tmp_path)
    assert (again.pools, again.routes) == (["main", "blue"], ["to-blue", "rest"])
    await again.additions.remove("route", "to-blue", save=True)
    assert Site(tmp_path, events, tmp_path).routes == ["rest"]


async def test_a_predecessor_knows_better_than_what_was_saved(site: Site, events: Events) -> None:
    await site.additions.add("pool", "blue", BLUE, save=True)
    await site.additions.add("pool", "green", BLUE)
    files = StateFiles(site.folder, events)
    successor = Additions(lambda: site.configured, site._publish, files, events)
    successor.restore(site.additions.known())
    successor.load()
    assert successor.known() == site.additions.known()
    assert [each.saved for each in successor.views()] == [True, False]


@pytest.mark.parametrize(
    ("action", "kind", "name", "told"),
    [
        ("add", "pool", "main", "the configuration lists the pool main: change it there"),
        ("change", "route", "rest", "the configuration lists the route rest"),
        ("remove", "pool", "main", "the configuration lists the pool main"),
        ("add", "pool", "blue", "the pool blue was added already: use `change`"),
        ("change", "pool", "blu", "no pool 'blu' was added at run time; did you mean 'blue'"),
        ("remove", "route", "x", "no route 'x' was added at run time; there are: none"),
    ],
)
async def test_what_is_refused(site: Site, action: str, kind: Any, name: str, told: str) -> None:
    await site.additions.add("pool", "blue", BLUE)
    doing = {
        "add": lambda: site.additions.add(kind, name, BLUE),
        "change": lambda: site.additions.change(kind, name, {}),
        "remove": lambda: site.additions.remove(kind, name),
    }
    with pytest.raises((ValueError, UnknownNameError)) as caught:
        await doing[action]()
    assert told in str(caught.value)
    assert site.pools == ["main", "blue"]


async def test_what_workers_refuse_is_taken_back(site: Site) -> None:
    site.refused = "no room"
    with pytest.raises(ValueError, match="workers do not take it: no room"):
        await site.additions.add("pool", "blue", BLUE, save=True)
    site.refused = ""
    site.reload()
    assert site.pools == ["main"]
    assert site.additions.views() == ()


async def test_without_a_state_directory_nothing_can_be_saved(
    events: Events, tmp_path: Path
) -> None:
    site = Site(tmp_path, events, None)
    with pytest.raises(ValueError, match="set `state: DIRECTORY`"):
        await site.additions.add("pool", "blue", BLUE, save=True)
    assert site.pools == ["main"]
