"""Deadlines of tokens: who has none in time is given up, and its client hears nothing of it."""

from typing import Any

import pytest

from penstock.core.snapshot import FirstTokenHeader, Retry
from penstock.dataplane.board.layout import P_LATE_TOKENS, P_RETRIES, P_VAIN_TOKENS
from tests.harness.fake.stage import Stage
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

LATE_S = 2.0


def counted(stage: Stage, cell: int) -> int:
    return stage.pool().counters.values[cell]


@pytest.mark.parametrize("came", [b"", HEAD, HEAD + chunk(ROLE), HEAD + chunk(b": wait\n\n")])
def test_who_has_no_token_in_time_is_given_up_and_another_asked(came: bytes) -> None:
    """A head that came at once is no progress, nor are a role and a comment."""
    with Stage(world(watched(engines(0, 1, first_token_s=LATE_S)))) as stage:
        client, first = asking(stage)
        answered = Answered(stage, client)
        stage.send(first, came) if came else None
        stage.pass_time(LATE_S / 2)
        assert not answered.begun
        stage.pass_time(LATE_S)
        assert first.dead or first.ended
        _, second, _ = newest(stage)
        stage.send(second, HEAD + chunk(ROLE) + chunk(token("yes", "b")) + chunk(DONE) + LAST)
        assert (answered.status, answered.text, answered.complete) == (200, "yes", True)
        assert counted(stage, P_LATE_TOKENS) == 1
        assert counted(stage, P_RETRIES) == 1
        assert counted(stage, P_VAIN_TOKENS) > 0
        assert outcomes() == ["timeout", "done"]


def test_what_passes_is_what_the_engine_sent_byte_for_byte() -> None:
    sent = [ROLE, token("a"), token("b"), b": comment\n\n", token("c"), DONE]
    with Stage(world(engines(0, 1, first_token_s=LATE_S, token_s=LATE_S))) as stage:
        client, engine = asking(stage)
        answered = Answered(stage, client)
        stage.send(engine, HEAD)
        for number, each in enumerate(sent):
            stage.send(engine, chunk(each))
            assert answered.begun == (number >= 1)
        assert not answered.complete
        stage.send(engine, LAST)
        assert (answered.body, answered.complete) == (b"".join(sent), True)


def test_a_token_in_time_ends_the_deadline() -> None:
    with Stage(world(engines(0, 1, first_token_s=LATE_S))) as stage:
        client, engine = asking(stage)
        stage.send(engine, HEAD + chunk(token("a")))
        stage.pass_time(5 * LATE_S)
        stage.send(engine, chunk(token("b")) + chunk(DONE) + LAST)
        assert Answered(stage, client).text == "ab"
        assert counted(stage, P_LATE_TOKENS) == 0


@pytest.mark.parametrize("settings", [{"rows": (0,)}, {"retry": Retry(budget_min_per_s=0.0)}])
def test_waiting_goes_on_where_nobody_else_may_be_asked(settings: dict[str, Any]) -> None:
    """Giving up would only lose what was computed."""
    rows = settings.pop("rows", (0, 1))
    with Stage(world(engines(*rows, first_token_s=LATE_S, **settings))) as stage:
        client, engine = asking(stage)
        stage.pass_time(3 * LATE_S)
        stage.send(engine, HEAD + chunk(token("a")) + chunk(DONE) + LAST)
        assert Answered(stage, client).text == "a"
        assert counted(stage, P_RETRIES) == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"stream": False},
        {"store": True},
        {"tools": [{"type": "web_search"}]},
        {"web_search_options": {}},
    ],
)
def test_what_may_not_be_asked_twice_is_waited_for(asked: dict[str, Any]) -> None:
    with Stage(world(engines(0, 1, first_token_s=LATE_S))) as stage:
        client, engine = asking(stage, chat(**asked))
        stage.pass_time(3 * LATE_S)
        stage.send(engine, HEAD + chunk(token("a")) + chunk(DONE) + LAST)
        assert Answered(stage, client).text == "a"


def test_the_answer_of_an_attempt_that_failed_before_its_first_token_is_never_seen() -> None:
    with Stage(world(engines(0, 1, first_token_s=LATE_S))) as stage:
        client, first = asking(stage)
        stage.send(first, HEAD + chunk(ROLE))
        first.reset()
        stage.settle()
        _, second, _ = newest(stage)
        stage.send(second, HEAD + chunk(token("yes", "b")) + chunk(DONE) + LAST)
        answered = Answered(stage, client)
        assert (answered.body, answered.complete) == (token("yes", "b") + DONE, True)


@pytest.mark.parametrize(("asked", "given"), [("0.5", 1.0), ("3", 3.0), ("99", 4.0), ("x", 2.0)])
def test_clients_may_ask_for_a_deadline_within_bounds(asked: str, given: float) -> None:
    header = FirstTokenHeader("x-first-token", floor_s=1.0, ceiling_s=4.0)
    pool = watched(engines(0, 1, first_token_s=2.0, first_token_header=header))
    with Stage(world(pool)) as stage:
        asking(stage, chat(f"X-First-Token: {asked}"))
        stage.pass_time(given - 0.3)
        assert counted(stage, P_LATE_TOKENS) == 0
        stage.pass_time(0.6)
        assert counted(stage, P_LATE_TOKENS) == 1
        # A client in a hurry says nothing of the endpoint.
        assert outcomes()[0] == ("abandoned" if given < 2.0 else "timeout")


def test_a_stream_whose_tokens_stop_is_cut_though_other_bytes_come() -> None:
    with Stage(world(engines(0, 1, token_s=LATE_S))) as stage:
        client, engine = asking(stage)
        answered = Answered(stage, client)
        stage.send(engine, HEAD + chunk(token("a")))
        for _ in range(8):
            if engine.dead or engine.ended:
                break
            stage.send(engine, chunk(b": still here\n\n"))
            stage.pass_time(LATE_S / 4)
        assert engine.dead or engine.ended
        assert answered.text == "a"
        assert not answered.complete
        assert client.dead or client.ended


def test_a_client_that_takes_nothing_does_not_make_its_engine_late() -> None:
    with Stage(world(engines(0, 1, token_s=LATE_S))) as stage:
        client = stage.client(room=400)
        stage.send(client, chat())
        _, engine, _ = newest(stage)
        stage.send(engine, HEAD + chunk(token("a")))
        engine.offer(chunk(token("b" * 5000)))
        stage.settle()
        stage.pass_time(3 * LATE_S)
        assert counted(stage, P_LATE_TOKENS) == 0
        assert not engine.dead
