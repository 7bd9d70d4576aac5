"""What engines say corrects a worker's own counts, and stops counting when they fall silent."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.control.engines.reports import ReportCells
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.request import Request
from penstock.core.snapshot import (
    Connections,
    Endpoint,
    Engine,
    PolicyChoice,
    Pool,
    PoolTimeouts,
)
from penstock.core.ticket import DONE, Ticket
from penstock.dataplane.board.layout import L_JUDGED_CACHED, L_JUDGED_PREDICTED, L_JUDGED_PROMPT
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.pool.setup import PoolSetup
from penstock.wire.engines.reading import Reading
from penstock.wire.http1 import ResponseHead

VLLM = Reading(running=4, waiting=1, kv_usage=0.5, kv_capacity=1000)


class Site:
    """One worker of two, its endpoint, and whoever writes reports."""

    def __init__(self, board: Board, worker: int = 0) -> None:
        self.board = board
        self.env = Env(Random(1), now=100.0)
        self.reports = ReportCells(board)
        spec = Endpoint(name="e", host="127.0.0.1", port=9, row=0)
        settings = ConnectionSettings(PoolTimeouts(), Connections())
        self.endpoint = LiveEndpoint(spec, "a", settings, board, worker, Loop(self.env))
        policy = create("token-load", {})
        assert isinstance(policy, ServingPolicy)
        self.policy = policy

    def engine_says(self, reading: Reading) -> None:
        in_flight = self.reports.in_flight(0)
        self.reports.write(0, reading, self.env.now, in_flight)
        self.env.now += 1.0
        report = self.endpoint.take_report()
        assert report is not None
        self.policy.on_report(self.endpoint, report)

    def send(self, tokens: int) -> Ticket:
        request = Request(prompt_tokens=tokens, blocks=list(range(tokens)), block_tokens=1)
        return Ticket(self.endpoint, self.policy, request, self.env.now)


@pytest.fixture
def site() -> Iterator[Site]:
    board = create_board(2, endpoint_rows=2, pool_rows=1)
    yield Site(board)
    os.close(board.fd)


def test_a_report_is_taken_once_and_carries_its_time(site: Site) -> None:
    assert site.endpoint.take_report() is None
    site.engine_says(VLLM)
    assert site.endpoint.take_report() is None
    assert site.endpoint.reported.at == 100.0
    assert site.endpoint.reported.kv_capacity == 1000


def test_requests_and_tokens_of_others_count_and_own_ones_only_once(site: Site) -> None:
    own = site.send(100)
    site.engine_says(VLLM)
    assert site.endpoint.load() == 5  # four of others and its own
    assert site.endpoint.tokens_elsewhere.held == 400  # of 500 held there 100 are its own
    own.settle(DONE, 101.0)
    assert site.endpoint.load() == 4


def test_a_bound_on_requests_counts_the_balancers_own_only(site: Site) -> None:
    site.endpoint.max_in_flight = 2
    site.engine_says(VLLM)
    assert site.endpoint.has_room()


def test_a_silent_engine_leaves_own_counts_and_what_does_not_change(site: Site) -> None:
    own = site.send(10)
    site.engine_says(VLLM)
    site.endpoint.expire_report(104.0, 5.0)
    assert site.endpoint.load() == 5
    site.endpoint.expire_report(105.5, 5.0)
    assert site.endpoint.load() == 1
    assert (site.endpoint.tokens_elsewhere.held, site.endpoint.reported.at) == (0, -1.0)
    assert site.endpoint.reported.kv_capacity == 1000
    assert site.endpoint.take_report() is None  # the old one does not come back
    own.settle(DONE, 106.0)


def test_the_prefix_index_holds_no_more_than_the_engines_cache(site: Site) -> None:
    site.send(600).settle(DONE, 100.5)
    assert site.policy.index.blocks_of(site.endpoint) == 600
    site.engine_says(Reading(running=0, waiting=0, kv_usage=0.0, kv_capacity=400))
    site.send(600).settle(DONE, 101.0)
    assert site.policy.index.blocks_of(site.endpoint) == 400


def test_the_load_in_a_responses_head_reaches_the_policy(site: Site) -> None:
    spec = Pool(
        name="a",
        endpoints=(Endpoint(name="e", host="127.0.0.1", port=9, row=0),),
        kind="llm",
        policy=PolicyChoice("token-load"),
        engine=Engine(orca=True),
        row=0,
    )
    pool = LivePool(PoolSetup(spec, 1), site.board, 0, Loop(site.env))
    site.endpoint.reported.kv_capacity = 1000
    head = ResponseHead(b"", 200, b"OK", 1)
    value = b"TEXT named_metrics.kv_cache_usage_perc=0.25, named_metrics.num_requests_waiting=1"
    head.fields = [(b"endpoint-load-metrics", b"Endpoint-Load-Metrics", value)]
    pool.take_orca(site.endpoint, head, 123.0)
    assert site.endpoint.reported.at == 123.0
    assert site.endpoint.tokens_elsewhere.held == 250


def test_an_engine_that_was_restarted_holds_nothing(site: Site) -> None:
    def told(queries: int) -> Reading:
        return Reading(0, 0, 0.0, 1000, prefix_queries=queries)

    site.engine_says(told(500))
    site.send(600).settle(DONE, 100.5)
    site.engine_says(told(900))
    assert site.policy.index.blocks_of(site.endpoint) == 600
    site.engine_says(told(100))
    assert site.policy.index.blocks_of(site.endpoint) == 0


def answered(site: Site, prompt: int, cached: int) -> None:
    ticket = site.send(600)
    ticket.prompt_tokens, ticket.cached_tokens = prompt, cached
    ticket.settle(DONE, 101.0)


def test_what_was_predicted_and_what_was_found_is_counted_in_the_engines_tokens(
    site: Site,
) -> None:
    answered(site, 1200, 0)  # nothing predicted, nothing found
    answered(site, 1200, 900)  # all predicted
    answered(site, 1200, -1)  # not told: not judged
    site.endpoint.publish()
    cells = (L_JUDGED_PROMPT, L_JUDGED_PREDICTED, L_JUDGED_CACHED)
    assert [site.board.load_sum(0, cell) for cell in cells] == [2400, 1200, 900]


def test_predictions_count_by_the_share_that_came_true(site: Site) -> None:
    site.send(600).settle(DONE, 100.5)
    request = Request(prompt_tokens=600, blocks=list(range(600)), block_tokens=1)
    assert site.policy.index.matches(request, [site.endpoint]) == [600]
    site.endpoint.hit_distrust = 0.75
    assert site.policy.index.matches(request, [site.endpoint]) == [150]


def test_what_an_engine_evicted_is_not_believed_to_be_there(site: Site) -> None:
    site.send(600).settle(DONE, 100.5)
    site.reports.cached(0, 200)
    site.engine_says(VLLM)
    assert site.policy.index.blocks_of(site.endpoint) == 200
    running = site.send(300)  # remembered before the engine has stored it
    site.reports.cached(0, 0)
    site.engine_says(VLLM)
    assert site.policy.index.blocks_of(site.endpoint) == 300
    running.settle(DONE, 101.0)
    site.engine_says(VLLM)
    assert site.policy.index.blocks_of(site.endpoint) == 0


def test_tokens_that_other_workers_sent_count_at_once(site: Site) -> None:
    other = Site(site.board, worker=1)
    mine = site.send(100)
    theirs = other.send(300)
    site.endpoint.read_tokens_elsewhere()
    assert (
        site.endpoint.tokens_elsewhere.pending_prefill,
        site.endpoint.tokens_elsewhere.held,
    ) == (300, 300)
    theirs.first_byte(100.5)
    site.endpoint.read_tokens_elsewhere()
    assert (
        site.endpoint.tokens_elsewhere.pending_prefill,
        site.endpoint.tokens_elsewhere.held,
    ) == (0, 300)
    assert (site.endpoint.tokens_elsewhere.decoding, site.endpoint.tokens_elsewhere.prefilled) == (
        1,
        300,
    )
    other.endpoint.publish()  # of all counts at once changes nothing about it
    theirs.settle(DONE, 101.0)
    mine.settle(DONE, 101.0)
    site.endpoint.read_tokens_elsewhere()
    assert (
        site.endpoint.tokens_elsewhere.pending_prefill,
        site.endpoint.tokens_elsewhere.held,
    ) == (0, 0)
    assert (site.endpoint.tokens_elsewhere.decoding, site.endpoint.tokens_elsewhere.prefilled) == (
        0,
        300,
    )


def test_of_tokens_elsewhere_the_report_may_know_more_than_the_workers(site: Site) -> None:
    other = Site(site.board, worker=1)
    theirs = other.send(300)
    site.engine_says(VLLM)  # 500 held, 200 of them by nobody's request of ours
    site.endpoint.report_taken()
    site.endpoint.read_tokens_elsewhere()
    assert site.endpoint.tokens_elsewhere.held == 500
    theirs.settle(DONE, 101.0)


def test_a_worker_that_starts_anew_holds_nothing(site: Site) -> None:
    Site(site.board, worker=1).send(300)  # it dies with this
    Site(site.board, worker=1)
    site.endpoint.read_tokens_elsewhere()
    assert site.endpoint.tokens_elsewhere.pending_prefill == 0


def test_a_pool_looks_at_other_workers_before_it_picks(site: Site) -> None:
    endpoints = tuple(
        Endpoint(name=f"e{row}", host="127.0.0.1", port=9, row=row) for row in range(2)
    )
    spec = Pool(name="a", endpoints=endpoints, kind="llm", policy=PolicyChoice("token-load"), row=0)
    other = Site(site.board, worker=1)
    pool = LivePool(PoolSetup(spec, 2), site.board, 0, Loop(site.env))
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    pool.members = [
        LiveEndpoint(each, "a", settings, site.board, 0, Loop(site.env)) for each in endpoints
    ]
    pool.replace_endpoints(list(pool.members))
    other.send(300)  # to the endpoint in row 0
    request = Request(prompt_tokens=10)
    picked = {pool.pick(request, site.env) for _ in range(10)}
    assert picked == {pool.members[1]}
