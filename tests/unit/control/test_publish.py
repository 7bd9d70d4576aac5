"""Publishing: every worker runs the new world, or all stay with the one before."""

import os
import signal
from collections.abc import AsyncIterator

import pytest

from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.resolver import SystemResolver
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.workers import StartError, Workers
from penstock.control.world.certificates import CertificateFiles
from penstock.control.world.publish import Publisher, PublishError
from penstock.control.world.rows import Rows
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.layout import H_GENERATION, S_WEIGHT_PPM, W_REQUESTS
from penstock.dataplane.board.memory import Board
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until
from tests.unit.control.worlds import endpoint, listener, world

A = {"a": ["x"]}
AB = {"a": ["x"], "b": ["y"]}


class Site:
    def __init__(
        self,
        board: Board,
        clock: Clock,
        sockets: ListeningSockets,
        workers: Workers,
        events: Events,
    ) -> None:
        self.board = board
        self.clock = clock
        self.sockets = sockets
        self.workers = workers
        self.states = EndpointStates(board, events, clock, clock)
        self.followed: list[Snapshot] = []
        rows = Rows(board, clock)
        self.publisher = Publisher(
            board,
            rows,
            sockets,
            workers,
            self.states,
            CertificateFiles(),
            Addresses(SystemResolver(), events),
            events,
        )
        self.publisher.followers.append(self.followed.append)

    def names(self) -> list[str]:
        return [pool.name for pool in self.publisher.running.pools]


@pytest.fixture
async def site(
    board: Board, clock: Clock, sockets: ListeningSockets, workers: Workers, events: Events
) -> AsyncIterator[Site]:
    made = Site(board, clock, sockets, workers, events)
    await made.publisher.start(world(A, listeners=[listener()]))
    yield made
    await workers.stop(0.0)


async def test_what_is_published_runs_everywhere_under_a_higher_number(site: Site) -> None:
    before = site.publisher.running.generation
    await site.publisher.publish(world(AB, listeners=[listener()]))
    assert site.publisher.running.generation > before
    assert site.workers.acknowledged == site.publisher.running.generation
    assert site.board.cells[H_GENERATION] == site.publisher.running.generation
    assert site.names() == ["a", "b"]
    assert site.followed[-1] is site.publisher.running


async def test_when_one_worker_refuses_all_return_to_the_world_before(site: Site) -> None:
    running = site.publisher.running
    port = site.sockets.address(listener())
    with pytest.raises(PublishError, match="it does not please"):
        await site.publisher.publish(
            world({"a": ["x"], "refused-by-1": ["y"]}, listeners=[listener(), listener("more")])
        )
    assert site.names() == ["a"]
    assert site.publisher.running.pools == running.pools, "also the rows are the same"
    assert site.workers.acknowledged == site.publisher.running.generation
    assert site.sockets.address(listener()) == port
    with pytest.raises(KeyError):
        site.sockets.address(listener("more"))
    assert [state.name for state in site.states.all()] == ["x"]


async def test_an_address_in_use_changes_nothing(site: Site) -> None:
    taken = listener("taken", site.sockets.address(listener())[1])
    with pytest.raises(PublishError, match="cannot listen on"):
        await site.publisher.publish(world(AB, listeners=[listener(), taken]))
    assert site.names() == ["a"]


async def test_a_full_board_changes_nothing(site: Site) -> None:
    names = [f"e{number}" for number in range(site.board.endpoint_rows)]
    with pytest.raises(PublishError, match="no room"):
        await site.publisher.publish(world({"a": ["x", *names]}, listeners=[listener()]))
    assert [each.name for each in site.publisher.running.pools[0].endpoints] == ["x"]
    await site.publisher.publish(world(AB, listeners=[listener()]))


async def test_rows_of_removed_endpoints_return_when_all_have_acknowledged(site: Site) -> None:
    """Ever new endpoints, many more than the board has rows."""
    for number in range(3 * site.board.endpoint_rows):
        await site.publisher.publish(world({"a": [f"e{number}"]}, listeners=[listener()]))
        site.clock.now += 60.0
        site.publisher.reclaim_rows()


async def test_a_new_weight_is_on_the_board_after_publishing(site: Site) -> None:
    heavy = Pool(name="a", endpoints=(endpoint("x", weight=4.0),))
    await site.publisher.publish(world([heavy], listeners=[listener()]))
    row = site.publisher.running.pools[0].endpoints[0].row
    assert site.board.cells[site.board.state(row) + S_WEIGHT_PPM] == 4_000_000


async def test_too_many_listeners_are_refused(site: Site) -> None:
    many = [listener(f"l{number}") for number in range(65)]
    with pytest.raises(PublishError, match="65 listeners are configured; at most 64"):
        await site.publisher.publish(world(A, listeners=many))


async def test_what_cannot_be_listened_on_fails_the_start(
    board: Board, clock: Clock, sockets: ListeningSockets, workers: Workers, events: Events
) -> None:
    site = Site(board, clock, sockets, workers, events)
    with pytest.raises(StartError, match="this machine has no such address"):
        await site.publisher.start(world(A, listeners=[listener("a", 8080, "192.0.2.1")]))


def changes_told(site: Site) -> int:
    """How often workers were told changes of endpoints in place of a snapshot."""
    return site.board.worker_sum(W_REQUESTS)


async def test_where_only_endpoints_change_workers_are_told_those_alone(site: Site) -> None:
    for names in (["x", "y"], ["y"], ["y", "z", "x"]):
        told = changes_told(site)
        await site.publisher.publish(world({"a": names}, listeners=[listener()]))
        assert changes_told(site) == told + 2
        assert site.workers.acknowledged == site.publisher.running.generation


async def test_where_anything_else_changes_workers_get_the_whole(site: Site) -> None:
    await site.publisher.publish(world(AB, listeners=[listener()]))
    await site.publisher.publish(world({"a": ["x", "y"]}, listeners=[listener()]))
    await site.publisher.publish(world({"a": ["y", "x"]}, listeners=[listener()]))
    assert changes_told(site) == 0
    assert site.workers.acknowledged == site.publisher.running.generation


async def test_a_worker_that_was_lost_gets_the_whole_and_changes_from_then_on(site: Site) -> None:
    lost = site.workers.all[0].pid
    os.kill(lost, signal.SIGKILL)
    await until(lambda: site.workers.all[0].pid not in (0, lost), "it is started again")
    await site.publisher.publish(world({"a": ["x", "y"]}, listeners=[listener()]))
    generation = site.publisher.running.generation
    await until(lambda: site.workers.acknowledged == generation, "it runs the newest")
    await until(lambda: site.workers.all[0].state == "ready", "it serves")
    told = changes_told(site)
    await site.publisher.publish(world({"a": ["y"]}, listeners=[listener()]))
    assert changes_told(site) == told + 2
    assert site.workers.acknowledged == site.publisher.running.generation


async def test_after_a_refusal_all_run_the_same_again_and_are_told_changes_of_it(
    site: Site,
) -> None:
    with pytest.raises(PublishError):
        await site.publisher.publish(
            world({"a": ["x"], "refused-by-1": ["y"]}, listeners=[listener()])
        )
    await site.publisher.publish(world({"a": ["x", "y"]}, listeners=[listener()]))
    assert changes_told(site) == 2
    assert site.workers.acknowledged == site.publisher.running.generation


async def test_members_join_and_leave_and_the_others_keep_their_rows(site: Site) -> None:
    found: list[Endpoint] = []
    site.publisher.members = lambda pool, fixed: (*fixed, *found)

    def running() -> dict[str, int]:
        [pool] = site.publisher.running.pools
        return {each.name: each.row for each in pool.endpoints}

    first = running()
    found.append(endpoint("found", host="10.0.0.1"))
    await site.publisher.refresh()
    assert running().keys() == {"x", "found"}
    assert running()["x"] == first["x"]
    await site.publisher.publish(world({"a": ["x", "y"]}, listeners=[listener()]))
    assert list(running()) == ["x", "y", "found"]  # it stays over a reload
    found.clear()
    await site.publisher.refresh()
    assert list(running()) == ["x", "y"]


async def test_a_refused_snapshot_leaves_the_members_of_the_one_that_runs(site: Site) -> None:
    found = [endpoint("found", host="10.0.0.1")]
    site.publisher.members = lambda pool, fixed: (*fixed, *found)
    await site.publisher.refresh()
    with pytest.raises(PublishError):
        await site.publisher.publish(world({"a": ["y"], "refused-by-1": []}, listeners=[]))
    await site.publisher.refresh()
    [pool] = site.publisher.running.pools
    assert [each.name for each in pool.endpoints] == ["x", "found"]
