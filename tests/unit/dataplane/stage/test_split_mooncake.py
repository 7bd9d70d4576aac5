"""Halves of Mooncake's: asked at once and told of one transfer; they can do without each other."""

from typing import Any

from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of
from tests.unit.dataplane.stage.test_split import D1, D2, P1, P2, ask, asked_of, halves


def mooncake(**split: Any) -> Stage:
    return Stage(halves(connector="mooncake", engine_ids={f"e{P2}": "second"}, **split))


def both(stage: Stage, computing: int, answering: int, engine: str) -> tuple[End, End, str]:
    """Their ends, and the transfer that both were told of."""
    one, asked = asked_of(stage, computing)
    other, answers = asked_of(stage, answering)
    told = answers["kv_transfer_params"]
    assert asked["kv_transfer_params"]["transfer_id"] == told["transfer_id"]
    assert told["remote_engine_id"] == engine
    assert told["remote_bootstrap_addr"].endswith(":8998")
    assert (asked["max_tokens"], answers["max_tokens"]) == (1, 9)
    return one, other, str(told["transfer_id"])


def test_both_are_asked_at_once_and_told_of_one_transfer_each_time() -> None:
    with mooncake() as stage:
        transfers = set()
        for computing, answering, engine in ((P1, D1, f"e{P1}"), (P2, D2, "second")):
            client = ask(stage, stream=True, max_tokens=9)
            first, second, transfer = both(stage, computing, answering, engine)
            transfers.add(transfer)
            stage.send(first, answer_of(b"{}"))
            stage.send(second, answer_of(b"{}"))
            assert b"200 OK" in stage.received(client)
            assert stage.in_flight() == 0
        assert len(transfers) == 2


def test_short_prompts_run_whole() -> None:
    with mooncake(threshold=10_000) as stage:
        ask(stage)
        assert "kv_transfer_params" not in asked_of(stage, D1)[1]


def test_where_nobody_computes_it_runs_whole() -> None:
    with mooncake() as stage:
        stage.servers[P1].manner = stage.servers[P2].manner = "refuse"
        client = ask(stage)
        end, asked = asked_of(stage, D1)
        assert "kv_transfer_params" not in asked
        stage.send(end, answer_of(b"{}"))
        assert b"200 OK" in stage.received(client)
        assert stage.in_flight() == 0


def test_a_computing_half_that_dies_moves_both_to_another_transfer() -> None:
    with mooncake() as stage:
        client = ask(stage, max_tokens=9)
        first, second, before = both(stage, P1, D1, f"e{P1}")
        first.reset()
        stage.settle()
        assert second.ended or second.dead
        first, second, after = both(stage, P2, D1, "second")
        assert after != before
        stage.send(first, answer_of(b"{}"))
        stage.send(second, answer_of(b"{}"))
        assert b"200 OK" in stage.received(client)
        assert stage.in_flight() == 0


def test_a_client_that_leaves_frees_both() -> None:
    with mooncake() as stage:
        client = ask(stage)
        ends = [asked_of(stage, row)[0] for row in (P1, D1)]
        client.reset()
        stage.settle()
        assert stage.in_flight() == 0
        assert all(end.ended or end.dead for end in ends)
