"""A prompt that one endpoint computes and another answers: both halves or neither, by the clock."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core.snapshot import PolicyChoice, Pool, Retry, Snapshot, Split
from penstock.core.snapshot.split import BY_COST
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of
from tests.harness.world import world

_TOLD = {"do_remote_prefill": True, "remote_host": "192.0.2.9", "remote_block_ids": [4, 5]}
_COMPUTED = json.dumps({"choices": [], "kv_transfer_params": _TOLD}).encode()
_RETRY = Retry(attempts=3, on_statuses=(429, 500, 503))
D1, D2, P1, P2 = 0, 1, 2, 3


def halves(**split: Any) -> Snapshot:
    answering = pool_of(D1, D2, kind="llm", usage="off", retry=_RETRY)
    computing = pool_of(P1, P2, kind="llm", usage="off", retry=_RETRY)
    named: Pool = replace(computing, name="main-prefill", row=1, prefills_for="main")
    spec = Split(prefill="main-prefill", **{"threshold": 1, **split})
    return world(replace(answering, split=spec), named)


def ask(stage: Stage, **fields: Any) -> End:
    client = stage.client()
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi " * 50}], **fields}
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    stage.send(client, head.encode() + body)
    return client


def asked_of(stage: Stage, row: int) -> tuple[End, dict[str, Any]]:
    """The newest request there."""
    end, data = stage.asked(row)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head, "nothing was asked of it"
    return end, json.loads(body)


def is_asked(stage: Stage, row: int) -> bool:
    return bool(stage.servers[row].accepted) and bool(stage.servers[row].accepted[-1].inbox)


def test_the_answering_one_holds_its_place_while_the_other_computes() -> None:
    with Stage(halves()) as stage:
        client = ask(stage, stream=False, max_tokens=50)
        loads = {each.name: each.in_flight for each in stage.endpoints()}
        assert loads == {"e0": 1, "e1": 0, "e2": 1, "e3": 0}
        assert not stage.servers[D1].accepted
        computing, asked = asked_of(stage, P1)
        assert (asked["max_tokens"], asked["stream"]) == (1, False)
        assert asked["kv_transfer_params"]["do_remote_decode"] is True
        stage.send(computing, answer_of(_COMPUTED))
        answering, asked = asked_of(stage, D1)
        assert asked["kv_transfer_params"] == _TOLD
        assert asked["max_tokens"] == 50
        assert {each.name for each in stage.endpoints() if each.in_flight} == {"e0"}
        stage.send(answering, answer_of(b"{}"))
        assert b"200 OK" in stage.received(client)
        assert stage.in_flight() == 0
        pools = stage.running().pools
        assert [each.counters.requests for each in pools.values()] == [1, 1]


def test_a_client_that_leaves_while_it_is_computed_frees_both() -> None:
    with Stage(halves()) as stage:
        client = ask(stage)
        computing, _ = asked_of(stage, P1)
        client.reset()
        stage.settle()
        assert stage.in_flight() == 0
        assert computing.ended or computing.dead
        assert not stage.servers[D1].accepted


@pytest.mark.parametrize("status", [429, 500, 503])
def test_another_computes_where_one_cannot(status: int) -> None:
    with Stage(halves()) as stage:
        ask(stage)
        computing, _ = asked_of(stage, P1)
        stage.send(computing, answer_of(b"{}", status=f"{status} No"))
        computing, _ = asked_of(stage, P2)
        stage.send(computing, answer_of(_COMPUTED))
        _, asked = asked_of(stage, D1)
        assert asked["kv_transfer_params"] == _TOLD


@pytest.mark.parametrize(
    "answer", [answer_of(b"{}"), answer_of(b"no", status="400 No"), answer_of(b"no JSON")]
)
def test_where_nothing_is_handed_over_it_runs_whole(answer: bytes) -> None:
    with Stage(halves()) as stage:
        ask(stage)
        computing, _ = asked_of(stage, P1)
        stage.send(computing, answer)
        _, asked = asked_of(stage, D1)
        assert "kv_transfer_params" not in asked


def test_what_is_computed_goes_to_the_next_one_where_the_first_cannot_be_reached() -> None:
    with Stage(halves()) as stage:
        stage.servers[D1].manner = "refuse"
        ask(stage)
        computing, _ = asked_of(stage, P1)
        stage.send(computing, answer_of(_COMPUTED))
        _, asked = asked_of(stage, D2)
        assert asked["kv_transfer_params"] == _TOLD
        assert len(stage.servers[P1].accepted) + len(stage.servers[P2].accepted) == 1


def test_what_one_may_have_pulled_is_computed_again() -> None:
    with Stage(halves()) as stage:
        ask(stage)
        computing, _ = asked_of(stage, P1)
        stage.send(computing, answer_of(_COMPUTED))
        answering, _ = asked_of(stage, D1)
        answering.reset()
        stage.settle()
        computing, _ = asked_of(stage, P2)
        stage.send(computing, answer_of(_COMPUTED))
        _, asked = asked_of(stage, D2)
        assert asked["kv_transfer_params"] == _TOLD


def test_short_prompts_and_several_answers_run_whole() -> None:
    with Stage(halves(threshold=10_000)) as stage:
        ask(stage)
        assert is_asked(stage, D1)
    with Stage(halves()) as stage:
        ask(stage, n=2)
        assert is_asked(stage, D1)


def test_without_a_threshold_the_policies_decide_by_what_either_way_costs() -> None:
    """Where nobody waits, a transfer is all that differs; where prompts wait, it is less."""
    policy = PolicyChoice("marginal-cost")
    made = halves(threshold=BY_COST)
    made = replace(made, pools=tuple(replace(each, policy=policy) for each in made.pools))
    with Stage(made) as stage:
        ask(stage)
        ask(stage)
        assert is_asked(stage, D1)
        assert is_asked(stage, D2)
        assert not is_asked(stage, P1)
        for _ in range(6):
            ask(stage)
        assert is_asked(stage, P1)
        loads = {each.name: each.in_flight for each in stage.endpoints()}
        assert loads["e2"] + loads["e3"] > 0


def test_a_prompt_that_another_computes_is_not_waited_for_where_it_is_answered() -> None:
    policy = PolicyChoice("marginal-cost")
    made = halves()
    made = replace(made, pools=tuple(replace(each, policy=policy) for each in made.pools))
    with Stage(made) as stage:
        ask(stage, stream=False, max_tokens=5)
        waiting = {each.name: each.tokens.pending_prefill for each in stage.endpoints()}
        (answering,) = [each for each in stage.endpoints() if each.in_flight and each.row < P1]
        (computing,) = [each for each in stage.endpoints() if each.in_flight and each.row >= P1]
        assert waiting[answering.name] == 0
        assert waiting[computing.name] > 0
        asked, _ = asked_of(stage, computing.row)
        stage.send(asked, answer_of(_COMPUTED))
        asked, _ = asked_of(stage, answering.row)
        stage.send(asked, answer_of(b"{}"))
        assert {each.tokens.pending_prefill for each in stage.endpoints()} == {0}
        assert {each.tokens.held for each in stage.endpoints()} == {0}
