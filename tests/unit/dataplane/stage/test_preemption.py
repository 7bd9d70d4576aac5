"""A prompt without a token yet gives its place to a more important one; its client waits longer,
and hears nothing of it."""

from typing import Any

import pytest

from penstock.core.snapshot import Admission, Queue, Snapshot
from penstock.dataplane.board.layout import P_PREEMPTED, P_VAIN_TOKENS
from tests.harness.fake.stage import Stage, member
from tests.harness.world import world
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

URGENT = "X-Priority: 0"
BATCH = "X-Priority: 100"
ANSWER = HEAD + chunk(ROLE) + chunk(token("yes")) + chunk(DONE) + LAST


def crowded(preemptions: int = 1, **settings: Any) -> Snapshot:
    """One engine that takes one prompt at a time."""
    queue = Queue(length=9, timeout_s=60.0, preemptions=preemptions)
    admission = Admission(
        queue=queue, priority_header="x-priority", priority_clients=("0.0.0.0/0", "::/0")
    )
    engine = member(0, max_in_flight=1)
    return world(watched(engines(engine, admission=admission, **settings)))


def counted(stage: Stage, cell: int) -> int:
    return stage.pool().counters.values[cell]


@pytest.mark.parametrize("came", [b"", HEAD, HEAD + chunk(ROLE)])
def test_a_prompt_without_a_token_is_ended_at_its_engine_and_asked_again_later(came: bytes) -> None:
    with Stage(crowded()) as stage:
        batch, first = asking(stage, chat(BATCH))
        stage.send(first, came) if came else None
        urgent = stage.client(room=1 << 20)
        stage.send(urgent, chat(URGENT))
        assert first.dead or first.ended
        _, second, asked = newest(stage)
        assert b"X-Priority: 0" in asked
        stage.send(second, ANSWER)
        assert Answered(stage, urgent).text == "yes"
        _, third, asked = newest(stage)
        assert b"X-Priority: 100" in asked
        stage.send(third, HEAD + chunk(token("late", "b")) + chunk(DONE) + LAST)
        answered = Answered(stage, batch)
        assert (answered.status, answered.text, answered.complete) == (200, "late", True)
        assert counted(stage, P_PREEMPTED) == 1
        assert counted(stage, P_VAIN_TOKENS) > 0
        assert outcomes() == ["abandoned", "done", "done"]


def test_one_that_has_a_token_goes_on() -> None:
    with Stage(crowded()) as stage:
        batch, engine = asking(stage, chat(BATCH))
        stage.send(engine, HEAD + chunk(token("a")))
        urgent = stage.client(room=1 << 20)
        stage.send(urgent, chat(URGENT))
        stage.send(engine, chunk(token("b")) + chunk(DONE) + LAST)
        assert Answered(stage, batch).text == "ab"
        stage.send(newest(stage)[1], ANSWER)
        assert Answered(stage, urgent).text == "yes"
        assert counted(stage, P_PREEMPTED) == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"stream": False},  # an engine may not notice that nobody waits any more
        {"store": True},
        {"tools": [{"type": "web_search"}]},
    ],
)
def test_what_may_not_be_asked_twice_keeps_its_place(asked: dict[str, Any]) -> None:
    with Stage(crowded()) as stage:
        _, engine = asking(stage, chat(BATCH, **asked))
        urgent = stage.client(room=1 << 20)
        stage.send(urgent, chat(URGENT))
        assert not engine.dead
        assert not engine.ended
        assert counted(stage, P_PREEMPTED) == 0
        stage.send(engine, ANSWER)
        stage.send(newest(stage)[1], ANSWER)
        assert Answered(stage, urgent).text == "yes"


def test_a_client_that_leaves_while_its_prompt_waits_again_is_forgotten() -> None:
    with Stage(crowded()) as stage:
        batch, _ = asking(stage, chat(BATCH))
        urgent = stage.client(room=1 << 20)
        stage.send(urgent, chat(URGENT))
        batch.reset()
        stage.settle()
        stage.send(newest(stage)[1], ANSWER)
        assert Answered(stage, urgent).text == "yes"
        assert not any(end.inbox for end in stage.servers[0].accepted)
        assert outcomes() == ["abandoned", "done"]


def test_one_that_waits_again_is_refused_when_its_time_is_over() -> None:
    with Stage(crowded()) as stage:
        batch, _ = asking(stage, chat(BATCH))
        urgent = stage.client(room=1 << 20)
        stage.send(urgent, chat(URGENT))
        stage.pass_time(61.0)
        assert Answered(stage, batch).status == 503
        stage.send(newest(stage)[1], ANSWER)
        assert Answered(stage, urgent).text == "yes"


def test_a_deadline_for_the_first_token_begins_anew_with_the_next_attempt() -> None:
    with Stage(crowded(first_token_s=2.0)) as stage:
        batch, _ = asking(stage, chat(BATCH))
        urgent = stage.client(room=1 << 20)
        stage.send(urgent, chat(URGENT))
        _, engine, _ = newest(stage)
        stage.send(engine, HEAD + chunk(token("y")))
        stage.pass_time(5.0)
        stage.send(engine, chunk(DONE) + LAST)
        assert Answered(stage, urgent).text == "y"
        stage.send(newest(stage)[1], ANSWER)
        assert Answered(stage, batch).text == "yes"


def look_around(*workers: Stage) -> None:
    """Workers look at each other four times a second, where none is woken."""
    for _ in range(4):
        for worker in workers:
            worker.pass_time(0.25)


def test_a_prompt_that_another_worker_let_in_gives_its_place_too() -> None:
    with Stage(crowded(), workers=2) as one, Stage(crowded(), beside=one) as other:
        batch, first = asking(one, chat(BATCH))
        urgent = other.client(room=1 << 20)
        other.send(urgent, chat(URGENT))
        assert not any(end.inbox for end in other.servers[0].accepted)
        look_around(one, other)
        assert first.dead or first.ended
        other.send(newest(other)[1], ANSWER)
        assert Answered(other, urgent).text == "yes"
        look_around(one, other)
        one.send(newest(one)[1], ANSWER)
        assert Answered(one, batch).text == "yes"
        assert (counted(one, P_PREEMPTED), counted(other, P_PREEMPTED)) == (1, 0)
        assert outcomes() == ["abandoned", "done", "done"]


def test_one_of_another_worker_that_has_a_token_goes_on() -> None:
    with Stage(crowded(), workers=2) as one, Stage(crowded(), beside=one) as other:
        batch, engine = asking(one, chat(BATCH))
        one.send(engine, HEAD + chunk(token("a")))
        urgent = other.client(room=1 << 20)
        other.send(urgent, chat(URGENT))
        look_around(one, other)
        one.send(engine, chunk(token("b")) + chunk(DONE) + LAST)
        assert Answered(one, batch).text == "ab"
        look_around(one, other)
        other.send(newest(other)[1], ANSWER)
        assert Answered(other, urgent).text == "yes"
        assert counted(one, P_PREEMPTED) == 0
