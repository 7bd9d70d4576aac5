"""Hedges: a second endpoint is asked beside one that is late, and the first to speak wins."""

from typing import Any

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.policy import create
from penstock.core.request import Request
from penstock.core.snapshot import Hedge, Pool
from penstock.core.ticket import Ticket
from penstock.dataplane.board.layout import (
    P_HEDGES,
    P_HEDGES_DENIED,
    P_HEDGES_WON,
    P_RETRIES,
    P_VAIN_TOKENS,
)
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer, answer_of, get, post
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import body_of, status_of
from tests.unit.dataplane.stage.streaming import (
    DONE,
    HEAD,
    LAST,
    ROLE,
    Answered,
    asking,
    chat,
    chunk,
    engines,
    newest,
    token,
)
from tests.unit.dataplane.stage.watching import outcomes, watched

AFTER_S = 0.8
HEDGE = Hedge(after_s=AFTER_S, budget_share=1.0)


def hedged(*rows: int, **settings: Any) -> Pool:
    return watched(engines(*rows, **{"hedge": HEDGE, **settings}))


def counted(stage: Stage, cell: int) -> int:
    return stage.pool().counters.values[cell]


def both_asked(stage: Stage, request: bytes = b"") -> tuple[End, End, End]:
    """A client, and the ends of two engines that were asked for it, the late one first."""
    pay_in(stage)
    client, first = asking(stage, request)
    stage.pass_time(AFTER_S - 0.1, 0.1)
    assert stage.in_flight() == 1
    stage.pass_time(0.2, 0.1)
    assert stage.in_flight() == 2  # both are load
    return client, first, newest(stage, first)[1]


def pay_in(stage: Stage) -> None:
    """What was asked before leaves room in the budget."""
    pool = stage.pool()
    assert pool.hedge is not None
    now = stage.context.env.now
    ticket = Ticket(Endpoint("before"), create("round-robin"), Request(prompt_tokens=1000), now)
    pool.hedge.asked(ticket, now)


def gone(end: End) -> bool:
    return end.dead or end.ended


@pytest.mark.parametrize("winner", [0, 1])
def test_the_first_to_speak_wins_and_the_other_is_given_up_at_once(winner: int) -> None:
    with Stage(world(hedged(0, 1))) as stage:
        client, *ends = both_asked(stage)
        stage.send(ends[0], HEAD + chunk(ROLE))
        stage.send(ends[1], HEAD + chunk(ROLE))
        assert not Answered(stage, client).begun
        stage.send(ends[winner], chunk(token("x")))
        assert gone(ends[1 - winner])
        assert stage.in_flight() == 1
        stage.send(ends[winner], chunk(token("y")) + chunk(DONE) + LAST)
        answered = Answered(stage, client)
        assert (answered.body, answered.complete) == (
            ROLE + token("x") + token("y") + DONE,
            True,
        )
        assert sorted(outcomes()) == ["abandoned", "done"]
        assert counted(stage, P_HEDGES) == 1
        assert counted(stage, P_HEDGES_WON) == winner
        assert counted(stage, P_RETRIES) == 0
        assert counted(stage, P_VAIN_TOKENS) > 0


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("how", ["reset", "503", "empty"])
def test_of_two_one_may_fail_unseen(failing: int, how: str) -> None:
    with Stage(world(hedged(0, 1))) as stage:
        client, *ends = both_asked(stage)
        if how == "reset":
            ends[failing].reset()
            stage.settle()
        elif how == "503":
            stage.send(ends[failing], answer("Content-Length: 2", status="503 No", body=b"no"))
        else:
            stage.send(ends[failing], HEAD + LAST)
        other = ends[1 - failing]
        stage.send(other, HEAD + chunk(token("x")) + chunk(DONE) + LAST)
        answered = Answered(stage, client)
        assert (answered.status, answered.body) == (200, token("x") + DONE)


def test_when_both_fail_the_exchange_goes_on_as_any_that_failed() -> None:
    with Stage(world(hedged(0, 1, 2))) as stage:
        client, first, second = both_asked(stage)
        first.reset()
        stage.settle()
        second.reset()
        stage.settle()
        _, third, _ = newest(stage)
        stage.send(third, HEAD + chunk(token("x")) + chunk(DONE) + LAST)
        assert Answered(stage, client).text == "x"
        assert counted(stage, P_RETRIES) == 1


def test_a_client_that_leaves_stops_both() -> None:
    with Stage(world(hedged(0, 1))) as stage:
        client, first, second = both_asked(stage)
        client.reset()
        stage.settle()
        assert gone(first)
        assert gone(second)
        assert outcomes() == ["client_gone", "client_gone"]


def test_no_more_is_spent_than_the_budget_has() -> None:
    hedge = Hedge(after_s=AFTER_S, budget_share=0.5)
    with Stage(world(hedged(0, 1, hedge=hedge))) as stage:
        asking(stage)
        stage.pass_time(2 * AFTER_S)
        assert stage.in_flight() == 1
        assert counted(stage, P_HEDGES_DENIED) == 1


def test_nobody_is_asked_who_is_expected_to_be_later() -> None:
    with Stage(world(hedged(0, 1))) as stage:
        rules = stage.pool().hedge
        assert rules is not None
        pay_in(stage)
        for endpoint in stage.pool().members:
            rules.spoke(endpoint, 2.0, stage.context.env.now)
        asking(stage)
        stage.pass_time(2 * AFTER_S)
        assert stage.in_flight() == 1


@pytest.mark.parametrize(
    "request_",
    [chat(store=True), chat(stream=False), chat(tools=[{"type": "code_interpreter"}])],
)
def test_what_may_not_be_asked_twice_is_asked_once(request_: bytes) -> None:
    with Stage(world(hedged(0, 1))) as stage:
        rules = stage.pool().hedge
        assert rules is not None
        pay_in(stage)
        asking(stage, request_)
        stage.pass_time(4 * AFTER_S)
        assert stage.in_flight() == 1


def test_plain_requests_that_may_be_repeated_are_hedged_by_their_first_byte() -> None:
    with Stage(world(pool_of(0, 1, hedge=HEDGE))) as stage:
        client = stage.client()
        stage.send(client, get())
        _, first, _ = newest(stage)
        stage.pass_time(AFTER_S + 0.1, 0.1)
        _, second, asked = newest(stage, first)
        assert asked.startswith(b"GET / ")
        stage.send(second, answer_of(b"quick"))
        assert gone(first)
        got = stage.received(client)
        assert (status_of(got), body_of(got)) == (200, b"quick")
        stage.send(client, get())  # on the same connection
        _, again, _ = newest(stage)
        stage.send(again, answer_of(b"more"))
        assert body_of(stage.received(client)) == b"more"


def test_plain_requests_that_may_do_something_twice_are_not() -> None:
    with Stage(world(pool_of(0, 1, hedge=HEDGE))) as stage:
        client = stage.client()
        stage.send(client, post("Content-Length: 2", body=b"ok"))
        stage.pass_time(4 * AFTER_S)
        assert stage.in_flight() == 1


def test_errors_tell_nothing_of_how_long_first_tokens_take() -> None:
    with Stage(world(hedged(0, 1))) as stage:
        client, engine = asking(stage)
        stage.send(engine, answer("Content-Length: 2", status="400 Bad", body=b"no"))
        assert Answered(stage, client).status == 400
        rules = stage.pool().hedge
        assert rules is not None
        assert rules.waits.count == 0
