"""Which attempts are recorded, how many are kept, and what they say."""

import json
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core import snapshot
from penstock.core.env import Env
from penstock.core.request import Request
from penstock.core.ticket import CLIENT_GONE, DONE, Ticket
from penstock.dataplane.board.layout import P_REQUESTS, P_SHADOWS, SH_DECISIONS
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.address_race import addresses_of
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.pool.setup import PoolSetup
from penstock.dataplane.record.decision import MAX_CANDIDATES
from penstock.dataplane.record.recorder import NEVER
from tests.unit.config.policy import Keyed

POLICY = snapshot.PolicyChoice("least-request")


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(2, endpoint_rows=128, pool_rows=2)
    yield made
    os.close(made.fd)


class PoolAtWork:
    """A pool whose requests are played by the test; all its endpoints are up."""

    def __init__(self, board: Board, endpoints: int = 3, **settings: Any) -> None:
        members = tuple(
            snapshot.Endpoint(f"e{i}", "127.0.0.1", 9000 + i, row=i) for i in range(endpoints)
        )
        self.spec = snapshot.Pool("main", members, row=0, **{"policy": POLICY, **settings})
        self.env = Env(Random(1), 100.0)
        self.pool = LivePool(PoolSetup(self.spec, board.workers), board, 0, Loop(self.env))
        self.members = [
            LiveEndpoint(each, "main", self.pool.settings, board, 0, Loop(self.env))
            for each in members
        ]
        for live, each in zip(self.members, members, strict=True):
            addresses = addresses_of(each)
            live.configure(each, self.pool.settings, addresses, None, self.spec.tls)
            live.weight = 1.0
        self.pool.replace_endpoints(list(self.members))
        self._workers = board.workers

    def reload(self, **settings: Any) -> None:
        self.spec = replace(self.spec, **settings)
        self.pool.configure(PoolSetup(self.spec, self._workers))
        self.pool.replace_endpoints(list(self.members))

    def request(self, request: Request | None = None, request_id: bytes = b"id") -> Ticket:
        """As ``Exchange`` does it."""
        pool = self.pool
        asked = request or Request()
        pool.counters.came()
        watch = None
        if pool.counters.requests >= pool.recorder.sample_at:
            watch = pool.recorder.watch(asked, self.env, (), request_id)
        chosen = pool.pick(asked, self.env)
        assert chosen is not None
        if watch is None:
            return Ticket(chosen, pool.policy, asked, self.env.now)
        return watch.ticket(chosen, pool.policy, asked, "policy", 1)

    def records(self, request_id: str = "", limit: int = 10_000) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.pool.recorder.find(request_id, limit)]


def decisions(sample: float, **more: Any) -> snapshot.Decisions:
    return snapshot.Decisions(sample=sample, **{"max_per_s": 1e9, **more})


def test_without_decisions_nothing_is_ever_watched(board: Board) -> None:
    at_work = PoolAtWork(board)
    assert at_work.pool.recorder.sample_at == NEVER
    assert type(at_work.request()) is Ticket


def test_the_share_of_requests_is_recorded_and_the_others_get_a_plain_ticket(board: Board) -> None:
    at_work = PoolAtWork(board, decisions=decisions(0.1, keep=10_000))
    plain = 0
    for _ in range(5000):
        ticket = at_work.request()
        plain += type(ticket) is Ticket
        ticket.settle(DONE, at_work.env.now)
    recorded = len(at_work.records())
    assert plain + recorded == 5000
    assert recorded == pytest.approx(500, abs=100)  # 4.7 standard deviations


def test_a_worker_that_goes_on_with_old_counts_samples_no_more_than_its_share(
    board: Board,
) -> None:
    at = board.pool(0, 0) + P_REQUESTS
    board.cells[at] = 1_000_000
    at_work = PoolAtWork(board, decisions=decisions(0.01, keep=10_000))
    for _ in range(500):
        at_work.request()
    assert len(at_work.records()) < 30


def test_the_newest_are_kept(board: Board) -> None:
    at_work = PoolAtWork(board, decisions=decisions(1.0, keep=3))
    for number in range(7):
        at_work.request(request_id=b"r%d" % number)
    assert [record["id"] for record in at_work.records()] == ["r6", "r5", "r4"]
    assert [record["id"] for record in at_work.records("r5")] == ["r5"]
    assert len(at_work.records(limit=2)) == 2
    at_work.reload(decisions=decisions(1.0, keep=2))
    assert [record["id"] for record in at_work.records()] == ["r6", "r5"]


def test_a_rate_bounds_them_whatever_the_share(board: Board) -> None:
    """Ten a second of two workers are five for this one."""
    at_work = PoolAtWork(board, decisions=decisions(1.0, max_per_s=10.0))
    for _ in range(1000):
        at_work.env.now += 0.01
        at_work.request()
    assert len(at_work.records()) == pytest.approx(50, abs=6)


def test_a_record_tells_what_was_seen_and_what_came_true(board: Board) -> None:
    policy = snapshot.PolicyChoice("marginal-cost", {"explore": 0.0})
    at_work = PoolAtWork(board, kind="llm", policy=policy, decisions=decisions(1.0))
    request = Request(
        model="m", prompt_tokens=40, output_tokens=7, blocks=[1, 2**64 - 1], block_ends=[16, 32]
    )
    ticket = at_work.request(request)
    assert "came_true" not in at_work.records()[0]
    ticket.status = 200
    ticket.first_byte(100.5)
    ticket.output_tokens, ticket.cached_tokens = 5, 32
    ticket.settle(CLIENT_GONE, 102.0)
    record = at_work.records()[0]
    assert record["request"]["blocks"] == "0000000000000001ffffffffffffffff"
    assert [each["endpoint"] for each in record["candidates"]] == ["e0", "e1", "e2"]
    picked = next(e for e in record["candidates"] if e["endpoint"] == record["picked"])
    assert record["predicted"] == {
        "ttft_s": picked["terms"]["ttft_s"],
        "total_s": picked["terms"]["ttft_s"] + picked["terms"]["decode_s"],
        "prompt_tokens": 40,
        "cached_tokens": 0,
        "output_tokens": 7,
    }
    assert record["came_true"] == {
        "first_byte_s": 0.5,
        "ttft_s": 0.5,
        "total_s": 2.0,
        "prompt_tokens": None,
        "cached_tokens": 32,
        "output_tokens": 5,
        "status": 200,
        "end": "client_gone",
        "address": f"127.0.0.1:900{record['picked'][1]}",
    }


def test_an_answer_that_comes_whole_is_held_against_the_time_predicted_for_all_of_it(
    board: Board,
) -> None:
    policy = snapshot.PolicyChoice("marginal-cost", {"explore": 0.0})
    at_work = PoolAtWork(board, kind="llm", policy=policy, decisions=decisions(1.0))
    ticket = at_work.request(Request(prompt_tokens=40, output_tokens=700, streams=False))
    ticket.status = 200
    ticket.first_byte(114.0)
    ticket.settle(DONE, 114.5)
    record = at_work.records()[0]
    terms = next(e for e in record["candidates"] if e["endpoint"] == record["picked"])["terms"]
    assert "ttft_s" not in record["predicted"]
    assert record["predicted"]["total_s"] == terms["ttft_s"] + terms["decode_s"]
    true = record["came_true"]
    assert (true["first_byte_s"], true["ttft_s"], true["total_s"]) == (14.0, None, 14.5)


def test_a_record_of_a_large_pool_keeps_the_best_and_the_one_picked(board: Board) -> None:
    at_work = PoolAtWork(board, endpoints=100, decisions=decisions(1.0))
    for member in at_work.members[:50]:
        member.acquire()
    at_work.request()
    record = at_work.records()[0]
    assert len(record["candidates"]) == MAX_CANDIDATES
    assert record["left_out"] == 100 - MAX_CANDIDATES
    names = [each["endpoint"] for each in record["candidates"]]
    assert record["picked"] in names
    assert sum(int(name[1:]) >= 50 for name in names) >= 49


def test_a_shadow_is_told_of_all_and_asked_about_the_recorded(board: Board) -> None:
    shadow = (snapshot.PolicyChoice("peak-ewma"),)
    at_work = PoolAtWork(board, shadow=shadow, decisions=decisions(0.2, keep=1000))
    for _ in range(200):
        at_work.env.now += 0.1
        ticket = at_work.request()
        ticket.status = 200
        ticket.first_byte(at_work.env.now + 0.05)
        ticket.settle(DONE, at_work.env.now + 0.05)
    asked = at_work.pool.counters.values[P_SHADOWS + SH_DECISIONS]
    assert asked == len(at_work.records())
    assert 10 < asked < 90
    believed = at_work.pool.recorder.shadows[0].policy.beliefs()
    assert all(each["latency_s"] > 0.0 for each in believed.values())
    at_work.reload(shadow=())
    assert at_work.pool.recorder.sample_at > 0
    assert at_work.pool.counters.values[P_SHADOWS + SH_DECISIONS] == 0


class Faulty(Keyed):
    """Fails when it is asked."""

    def pick(self, request: Any, eligible: Any, env: Any) -> Any:
        raise ZeroDivisionError


def test_a_bug_in_a_shadow_harms_no_request(
    board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    shadow = (snapshot.PolicyChoice(f"{__name__}:Faulty"),)
    at_work = PoolAtWork(board, shadow=shadow, decisions=decisions(1.0))
    at_work.request().settle(DONE, 101.0)
    assert "ZeroDivisionError" in capsys.readouterr().err
    at_work.request().settle(DONE, 101.0)
    assert capsys.readouterr().err == ""
    assert len(at_work.records()) == 2


def test_what_a_shadow_counted_is_forgotten_with_it_though_it_was_given_up(
    board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    shadow = (snapshot.PolicyChoice("random"), snapshot.PolicyChoice(f"{__name__}:Faulty"))
    at_work = PoolAtWork(board, shadow=shadow, decisions=decisions(1.0))
    values = at_work.pool.counters.values
    values[P_SHADOWS + SH_DECISIONS] = 7
    at_work.request().settle(DONE, 101.0)
    assert "ZeroDivisionError" in capsys.readouterr().err
    at_work.reload(shadow=(snapshot.PolicyChoice("least-request"),))
    assert values[P_SHADOWS + SH_DECISIONS] == 0


def test_a_shadow_that_hashes_gets_a_key(board: Board) -> None:
    at_work = PoolAtWork(board, shadow=(snapshot.PolicyChoice("consistent-hash"),))
    assert at_work.pool.key == "configured"


def test_a_file_that_cannot_be_written_is_refused_before_anything_changes(board: Board) -> None:
    spec = snapshot.Pool("main", (), decisions=decisions(1.0, file="/nowhere/at/all.jsonl"))
    with pytest.raises(OSError, match=r"all\.jsonl"):
        PoolSetup(spec, 1)
