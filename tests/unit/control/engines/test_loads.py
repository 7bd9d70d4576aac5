"""Reading engines: what they say reaches the board, and one that says nothing is seen."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest
from msgspec.structs import replace

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.engines.loads import EngineLoads
from penstock.control.events import Events
from penstock.core.snapshot import Engine, Pool
from penstock.dataplane.board.layout import (
    H_REPORTS,
    L_IN_FLIGHT,
    R_AT_US,
    R_FAILED,
    R_FOREIGN,
    R_KV_CAPACITY,
    R_KV_TOKENS,
    R_LOADED,
    R_MOST_RUNNING,
    R_READ,
    R_RUNNING,
    R_SLOTS,
    R_WAITING,
)
from penstock.dataplane.board.memory import Board
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.world import at
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until
from tests.unit.control.worlds import world
from tests.unit.wire.engines import expositions

GET_LOAD = expositions.SGLANG_GET_LOAD
OFTEN = Engine(interval_s=0.02, timeout_s=5.0, silent_after_s=5.0)


class Site:
    """One endpoint in a pool whose engines are read."""

    def __init__(self, board: Board, events: Events, clock: Clock, place: HttpEndpoint) -> None:
        self.board = board
        self.events = events
        self.clock = clock
        self.place = place
        self.pages: dict[str, bytes] = {}
        self.loads = EngineLoads(board, events, EndpointContexts(), clock)
        place.answer = lambda request: (
            Answer(body=self.pages[request.target])
            if request.target in self.pages
            else Answer(status=404)
        )

    def run(self, engine: Engine | None) -> None:
        endpoints = (at(self.place, row=3),)
        self.loads.configure(world([Pool(name="a", endpoints=endpoints, engine=engine)]))

    def cell(self, cell: int) -> int:
        return self.board.cells[self.board.report(3) + cell]

    @property
    def kind(self) -> str:
        """The engine that it is taken for."""
        view = self.loads.view("a", self.place.name)
        assert view is not None
        return view.kind

    async def reads(self, more: int) -> None:
        """Wait until so many more reports came."""
        wanted = self.cell(R_READ) + more
        await until(lambda: self.cell(R_READ) >= wanted, "it is read")

    async def fails(self, more: int) -> None:
        wanted = self.cell(R_FAILED) + more
        await until(lambda: self.cell(R_FAILED) >= wanted, "reading it fails")

    def said(self, kind: str) -> list[str]:
        return [event.message for event in self.events.recent(100) if event.kind == kind]


@pytest.fixture
async def site(
    board: Board, events: Events, clock: Clock, endpoint: HttpEndpoint
) -> AsyncIterator[Site]:
    made = Site(board, events, clock, endpoint)
    yield made
    await made.loads.stop()


async def test_what_an_engine_says_is_on_the_board_with_its_time(site: Site) -> None:
    site.pages["/metrics"] = expositions.VLLM
    site.run(OFTEN)
    await site.reads(1)
    assert site.kind == "vllm"
    assert (site.cell(R_RUNNING), site.cell(R_WAITING)) == (10, 2)
    assert (site.cell(R_KV_TOKENS), site.cell(R_KV_CAPACITY)) == (9000, 24_000)
    assert site.cell(R_LOADED) == 2
    assert site.cell(R_AT_US) == round(site.clock.now * 1e6)
    assert site.board.cells[H_REPORTS] > 0
    assert site.said("engine.read") == [f"endpoint a/{site.place.name} is vllm; reading its load"]


async def test_requests_that_are_not_the_balancers_own_are_others(site: Site) -> None:
    site.pages["/metrics"] = expositions.VLLM  # 12 there
    site.board.cells[site.board.load(3, 0) + L_IN_FLIGHT] = 3
    site.board.cells[site.board.load(3, 1) + L_IN_FLIGHT] = 4
    site.run(OFTEN)
    await site.reads(1)
    assert site.cell(R_FOREIGN) == 5
    site.board.cells[site.board.load(3, 0) + L_IN_FLIGHT] = 30
    await site.reads(2)
    assert site.cell(R_FOREIGN) == 0


async def test_a_silent_engine_is_seen_and_heard_again(site: Site) -> None:
    site.pages["/metrics"] = expositions.TGI
    site.run(OFTEN)
    await site.reads(1)
    site.pages.clear()
    await site.fails(2)
    assert not site.said("engine.silent")  # not yet: it may be a moment
    site.clock.now += 6.0
    await until(lambda: bool(site.said("engine.silent")), "it is called silent")
    assert "/metrics answers 404" in site.said("engine.silent")[0]
    view = site.loads.view("a", site.place.name)
    assert view is not None
    assert view.silent


async def test_a_silent_engine_that_comes_back_is_read_again(site: Site) -> None:
    site.pages["/metrics"] = expositions.TGI
    engine = Engine(kind="tgi", interval_s=0.02, timeout_s=5.0)
    site.run(engine)
    await site.reads(1)
    del site.pages["/metrics"]
    site.clock.now += 6.0
    await until(lambda: bool(site.said("engine.silent")), "it is called silent")
    site.pages["/metrics"] = expositions.TGI
    await until(lambda: len(site.said("engine.read")) == 2, "it is read again")
    view = site.loads.view("a", site.place.name)
    assert view is not None
    assert (view.silent, view.problem) == (False, "")


async def test_a_server_without_metrics_is_sought_where_engines_have_theirs(site: Site) -> None:
    site.pages["/api/ps"] = b'{"models": [{"name": "llama3:8b"}]}'
    site.run(OFTEN)
    await site.reads(1)
    assert site.kind == "ollama"
    assert site.cell(R_RUNNING) == -1
    assert site.cell(R_LOADED) == 1


@pytest.mark.parametrize(("status", "settled"), [(404, True), (401, True), (503, False)])
async def test_a_server_that_is_no_known_engine_is_asked_ever_less_often(
    site: Site, monkeypatch: pytest.MonkeyPatch, status: int, settled: bool
) -> None:
    """But one that is starting, as a server that answers 503 is, may turn out to be one."""
    monkeypatch.setattr("penstock.control.engines.loads._UNKNOWN_S", 1e-4)
    site.place.answer = lambda _: Answer(status=status)
    site.run(replace(OFTEN, silent_after_s=0.0, interval_s=1e-3))
    await site.fails(3)
    [(_, watched)] = site.loads._watched.states()
    assert (watched.in_vain >= 2) is settled
    assert settled or watched.in_vain == 0


async def test_an_engine_is_read_where_it_was_found(site: Site) -> None:
    site.pages["/metrics"] = expositions.TENSORRT_LLM  # usually at another path
    site.run(OFTEN)
    await site.reads(2)
    assert site.kind == "tensorrt-llm"
    assert {request.target for request in site.place.requests} == {"/metrics"}


async def test_the_size_of_the_cache_is_learned_beside_the_metrics_or_configured(
    site: Site,
) -> None:
    site.pages["/metrics"] = expositions.TGI
    site.pages["/info"] = b'{"max_batch_total_tokens": 5000}'
    site.run(OFTEN)
    await site.reads(1)
    assert site.cell(R_KV_CAPACITY) == 5000
    site.run(Engine(interval_s=0.02, timeout_s=5.0, kv_tokens=700))
    await until(lambda: site.cell(R_KV_CAPACITY) == 700, "the configured size counts")


async def test_headers_and_places_are_those_configured(site: Site) -> None:
    site.pages["/custom"] = expositions.TGI
    headers = (("Authorization", "Bearer x"),)
    site.run(Engine(kind="tgi", interval_s=0.02, timeout_s=5.0, path="/custom", headers=headers))
    await site.reads(1)
    asked = [each for each in site.place.requests if each.target == "/custom"]
    assert asked[0].headers["authorization"] == "Bearer x"


async def test_an_answer_without_bound_is_given_up(site: Site) -> None:
    site.pages["/metrics"] = expositions.VLLM + b"# more\n" * 700_000
    site.run(OFTEN)
    await site.fails(1)
    view = site.loads.view("a", site.place.name)
    assert view is not None
    assert "/metrics answers more than 4 MiB" in view.problem


async def test_pools_that_do_not_want_it_are_not_asked(site: Site) -> None:
    site.pages["/metrics"] = expositions.VLLM
    site.run(OFTEN)
    await site.reads(1)
    site.run(None)
    assert site.loads.view("a", site.place.name) is None


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info"])
async def test_sglang_tells_the_size_of_its_cache_at_the_newer_or_the_older_path(
    site: Site, path: str
) -> None:
    site.pages["/metrics"] = b"sglang:num_running_reqs 1.0\n"
    site.pages[path] = b'{"max_total_num_tokens": 1000}'
    site.run(OFTEN)
    await site.reads(1)
    assert site.cell(R_KV_CAPACITY) == 1000


@pytest.mark.parametrize("kind", ["auto", "sglang"])
@pytest.mark.parametrize(
    ("path", "body", "load"),
    [("/v1/loads", expositions.SGLANG_LOADS, (10, 7)), ("/get_load", GET_LOAD, (3, 2))],
)
async def test_sglang_without_metrics_tells_its_load_elsewhere(
    site: Site, kind: Literal["auto", "sglang"], path: str, body: bytes, load: tuple[int, int]
) -> None:
    site.pages[path] = body
    site.pages["/server_info"] = b'{"max_total_num_tokens": 1000}'
    site.run(replace(OFTEN, kind=kind))
    await site.reads(2)
    assert site.kind == "sglang"
    assert (site.cell(R_RUNNING), site.cell(R_WAITING)) == load
    assert site.cell(R_KV_CAPACITY) == 1000


async def test_metrics_that_do_not_tell_requests_are_replaced_by_what_does(site: Site) -> None:
    site.pages["/metrics"] = b"sglang:gen_throughput 1.0\n"
    site.pages["/get_load"] = GET_LOAD
    site.run(OFTEN)
    await site.reads(1)
    assert (site.cell(R_RUNNING), site.cell(R_WAITING)) == (3, 2)
    site.pages["/metrics"] = expositions.SGLANG  # it has them after its first request
    site.clock.now += 61.0
    await until(lambda: site.cell(R_RUNNING) == 5, "its metrics are read")


async def test_a_configured_kind_without_metrics_is_still_read_where_it_tells_its_load(
    site: Site,
) -> None:
    site.pages["/slots"] = b'[{"id": 0, "is_processing": true}]'
    site.run(replace(OFTEN, kind="llamacpp"))
    await site.reads(1)
    assert site.cell(R_RUNNING) == 1


async def test_the_slots_of_llamacpp_are_counted_and_counted_anew_after_it_was_away(
    site: Site,
) -> None:
    site.pages["/metrics"] = expositions.LLAMACPP
    site.pages["/props"] = b'{"total_slots": 4}'
    site.run(replace(OFTEN, slots="pin"))
    await site.reads(1)
    assert site.cell(R_SLOTS) == 4
    metrics = site.pages.pop("/metrics")
    await site.fails(1)
    site.pages.update({"/metrics": metrics, "/props": b'{"total_slots": 2}'})
    await until(lambda: site.cell(R_SLOTS) == 2, "they are counted anew")


async def test_slots_that_the_engine_is_to_choose_are_not_given_but_bound_what_it_serves(
    site: Site,
) -> None:
    site.pages["/metrics"] = expositions.LLAMACPP
    site.pages["/props"] = b'{"total_slots": 4}'
    site.run(OFTEN)
    await site.reads(1)
    assert (site.cell(R_SLOTS), site.cell(R_MOST_RUNNING)) == (0, 4)


async def test_engines_without_slots_tell_no_bound(site: Site) -> None:
    site.pages["/metrics"] = expositions.VLLM
    site.run(OFTEN)
    await site.reads(1)
    assert site.cell(R_MOST_RUNNING) == 0
