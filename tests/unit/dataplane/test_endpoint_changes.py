"""Changes of endpoints in a worker: it comes to run what the whole snapshot would have it run."""

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.control.world.rows import Rows
from penstock.core.health.health import UP
from penstock.core.snapshot import Endpoint, PolicyChoice, Pool, ServedModel, Snapshot, Sticky
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import S_HEALTH, S_WEIGHT_PPM, W_GENERATION
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.context import Context
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.worker.live_snapshot import LiveSnapshot
from penstock.dataplane.worker.serving import Worker

NAMES = [f"e{number}" for number in range(5)]
LATER_S = 100.0


class Site:
    """Worker 0 is told changes where there are any; worker 1 always gets the whole."""

    def __init__(self) -> None:
        self.board: Board = create_board(2, endpoint_rows=64, pool_rows=4)
        self.now = 0.0
        self.rows = Rows(self.board, lambda: self.now)
        self.workers = [Worker(Context(self.board, index, os.getpid())) for index in (0, 1)]
        self.running: Snapshot | None = None
        self.generation = 0

    def publish(self, *pools: Pool) -> bool:
        """Whether the change was told alone."""
        self.generation += 1
        spec = Snapshot(generation=self.generation, listeners=(), routes=(), pools=pools)
        placed = self.rows.place(spec)
        self.rows.configure(placed)
        for pool in placed.pools:
            for endpoint in pool.endpoints:
                at = self.board.state(endpoint.row)
                self.board.cells[at + S_HEALTH] = UP
                self.board.cells[at + S_WEIGHT_PPM] = round(endpoint.weight * 1e6)
        changes = None if self.running is None else endpoint_changes(self.running, placed)
        told, whole = self.workers
        if changes is None:
            told.configure(msgspec.to_builtins(placed), [], [])
        else:
            told.configure_endpoints(msgspec.to_builtins(changes))
        whole.configure(msgspec.to_builtins(placed), [], [])
        self.running = placed
        self.now += LATER_S
        self.rows.reclaim(self.generation)
        return changes is not None

    def live(self, index: int) -> LiveSnapshot:
        running = self.workers[index].running
        assert running is not None
        return running

    def planned_anew(self, *pools: Pool) -> bool:
        """Whether plans made before are made anew after a change that is told alone."""
        before = self.workers[0].context.planner.generation
        assert self.publish(*pools)
        return self.workers[0].context.planner.generation != before


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    os.close(made.board.fd)


def endpoint(name: str, **parts: Any) -> Endpoint:
    return replace(Endpoint(name=name, host="127.0.0.1", port=9), **parts)


def seen(endpoint: LiveEndpoint) -> tuple[object, ...]:
    """Everything of an endpoint that a snapshot decides."""
    return (
        endpoint.name,
        endpoint.row,
        [address.shown for address in endpoint.connector.addresses],
        endpoint.host_header,
        endpoint.base_path,
        endpoint.max_in_flight,
        endpoint.weight,
        endpoint.priority,
        endpoint.zone,
        endpoint.models,
        endpoint.models_awaited,
        endpoint.connector.removed,
        endpoint.order,
        endpoint.times_silence,
    )


def state_of(live: LiveSnapshot) -> object:
    return [
        (
            pool.spec,
            [seen(member) for member in pool.members],
            [each.name for each in pool.endpoints],
            [each.name for each in pool.eligible],
            pool.knows_models,
            pool.learning.models.known if pool.learning is not None else None,
            [pool.sticky.values.value_for(each.name) for each in pool.members]
            if pool.sticky
            else None,
        )
        for pool in live.pools.values()
    ]


@st.composite
def pools(draw: st.DrawFn, /, name: str, **parts: Any) -> Pool:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    if draw(st.integers(0, 3)):
        names.sort()
    made = tuple(
        endpoint(
            each,
            weight=draw(st.sampled_from([1.0, 2.0])),
            port=draw(st.sampled_from([9, 10])),
            max_in_flight=draw(st.sampled_from([0, 5])),
            zone=draw(st.sampled_from(["", "z"])),
            backup=draw(st.booleans()),
            base_path=draw(st.sampled_from(["", "/v1"])),
            models=draw(st.sampled_from([(), ("llama",)])),
        )
        for each in names
    )
    discovered: dict[str, tuple[ServedModel, ...]] = {}
    awaited: tuple[str, ...] = ()
    if parts.get("kind") == "llm":
        for each in names:
            if draw(st.booleans()):
                discovered[each] = (ServedModel(draw(st.sampled_from("ab"))),)
        awaited = tuple(each for each in names if each not in discovered and draw(st.booleans()))
    return Pool(name=name, endpoints=made, discovered=discovered, awaited=awaited, **parts)


WORLDS = st.lists(
    st.tuples(
        pools("web", sticky=Sticky(cookie="c", keys=("secret", "older"))),
        pools("llm", kind="llm", policy=PolicyChoice(name="prefix-sticky")),
    ),
    min_size=2,
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(WORLDS)
def test_any_sequence_of_changes_ends_in_what_whole_snapshots_lead_to(
    worlds: list[tuple[Pool, Pool]],
) -> None:
    site = Site()
    try:
        for world in worlds:
            site.publish(*world)
            assert state_of(site.live(0)) == state_of(site.live(1))
            assert site.live(0).spec == site.running
            assert site.board.worker_sum(W_GENERATION) == 2 * site.generation
    finally:
        os.close(site.board.fd)


def test_endpoints_that_stay_keep_their_objects_and_their_load(site: Site) -> None:
    site.publish(Pool(name="a", endpoints=(endpoint("x"), endpoint("y"))))
    pool = site.live(0).pools["a"]
    x = pool.members[0]
    x.acquire()
    assert site.publish(Pool(name="a", endpoints=(endpoint("x", weight=3.0), endpoint("z"))))
    assert pool.members[0] is x
    assert (x.weight, x.in_flight) == (3.0, 1)


def test_an_endpoint_that_is_removed_finishes_what_it_has(site: Site) -> None:
    site.publish(Pool(name="a", endpoints=(endpoint("x"), endpoint("y"))))
    live = site.live(0)
    x, y = live.pools["a"].members
    x.acquire()
    site.publish(Pool(name="a", endpoints=()))
    assert (x.connector.removed, y.connector.removed) == (True, True)
    assert live.finishing == [x]
    assert live.pools["a"].eligible == []
    x.release()
    site.publish(Pool(name="a", endpoints=(endpoint("z"),)))
    assert live.finishing == []


def test_one_that_comes_back_while_it_finishes_goes_on_with_its_counts(site: Site) -> None:
    site.publish(Pool(name="a", endpoints=(endpoint("x"),)))
    live = site.live(0)
    [x] = live.pools["a"].members
    x.acquire()
    before = site.running
    assert before is not None
    site.publish(Pool(name="a", endpoints=()))
    assert site.running is not None
    again = replace(before, generation=site.running.generation + 1)
    changes = endpoint_changes(site.running, again)
    site.workers[0].configure_endpoints(msgspec.to_builtins(changes))
    assert live.pools["a"].members == [x]
    assert (live.finishing, x.connector.removed, x.in_flight) == ([], False, 1)


def test_changes_of_what_does_not_run_are_refused_and_change_nothing(site: Site) -> None:
    site.publish(Pool(name="a", endpoints=(endpoint("x"),)))
    before = state_of(site.live(0))
    changes = {"base": 7, "generation": 8, "pools": [{"pool": "a", "removed": ["x"]}]}
    with pytest.raises(ValueError, match="generation 1 runs"):
        site.workers[0].configure_endpoints(changes)
    assert state_of(site.live(0)) == before


class TestPlans:
    """Those that connections remember are made anew only where they hold what changed."""

    def test_of_plain_pools_stay_whatever_endpoints_do(self, site: Site) -> None:
        site.publish(Pool(name="a", endpoints=(endpoint("x"),)))
        for changed in ((endpoint("x", weight=2.0),), (endpoint("y"), endpoint("x")), ()):
            assert not site.planned_anew(Pool(name="a", endpoints=changed))

    @pytest.mark.parametrize(
        "parts",
        [{"kind": "llm"}, {"sticky": Sticky(cookie="c", keys=("k",))}],
        ids=["that know models", "with sticky cookies"],
    )
    def test_of_pools_are_made_anew(self, site: Site, parts: dict[str, Any]) -> None:
        site.publish(Pool(name="a", endpoints=(endpoint("x"),), **parts))
        assert site.planned_anew(Pool(name="a", endpoints=(endpoint("y"),), **parts))

    @pytest.mark.parametrize("apart", [{"base_path": "/v1"}, {"headers": (("X-Key", "1"),)}])
    def test_are_made_anew_when_heads_for_one_endpoint_may_change(
        self, site: Site, apart: dict[str, Any]
    ) -> None:
        site.publish(Pool(name="a", endpoints=(endpoint("x"),)))
        assert site.planned_anew(Pool(name="a", endpoints=(endpoint("x", **apart),)))
        assert not site.planned_anew(Pool(name="a", endpoints=(endpoint("x"),))), "as all others"
        assert site.planned_anew(Pool(name="a", endpoints=(endpoint("x", **apart),)))
