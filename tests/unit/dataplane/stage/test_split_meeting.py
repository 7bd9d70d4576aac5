"""Halves that meet (SGLang): asked at once, in a room that nobody else has; both or neither."""

from typing import Any

from msgspec.structs import replace

from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.harness.messages import answer, answer_of
from tests.unit.dataplane.stage.test_split import D1, D2, P1, P2, ask, asked_of, halves

_EVENTS = "Content-Type: text/event-stream"


def meeting(**timeouts: float) -> Stage:
    world = halves(connector="sglang", bootstrap_port=8998, bootstrap_ports={f"e{P2}": 9001})
    answering, computing = world.pools
    held = replace(answering, timeouts=replace(answering.timeouts, **timeouts))
    return Stage(replace(world, pools=(held, computing)))


def room_of(asked: dict[str, Any]) -> tuple[str, int, int]:
    return asked["bootstrap_host"], asked["bootstrap_port"], asked["bootstrap_room"]


def both(stage: Stage, computing: int, answering: int, port: int = 0) -> tuple[End, End, int]:
    """Their ends, and the room that both were told."""
    one, asked = asked_of(stage, computing)
    other, told = asked_of(stage, answering)
    assert room_of(asked) == room_of(told)
    assert asked["stream"] is False
    assert port in (0, asked["bootstrap_port"])
    return one, other, room_of(asked)[2]


def test_both_are_asked_at_once_and_told_one_room() -> None:
    with meeting() as stage:
        rooms = set()
        for computing, answering, port in ((P1, D1, 8998), (P2, D2, 9001)):
            client = ask(stage, stream=True, max_tokens=9)
            one, other = stage.servers[computing].accepted, stage.servers[answering].accepted
            assert (len(one), len(other)) == (1, 1)
            first, second, room = both(stage, computing, answering, port)
            assert 0 <= room < 1 << 63
            rooms.add(room)
            stage.send(first, answer_of(b"{}"))
            stage.send(second, answer_of(b"{}"))
            assert b"200 OK" in stage.received(client)
            assert stage.in_flight() == 0
        assert len(rooms) == 2


def test_short_prompts_are_no_exception() -> None:
    with Stage(halves(connector="sglang", threshold=10_000)) as stage:
        ask(stage)
        both(stage, P1, D1)


def test_another_computes_where_the_first_cannot_be_reached() -> None:
    with meeting() as stage:
        stage.servers[P1].manner = "refuse"
        ask(stage)
        both(stage, P2, D1)


def test_a_computing_half_that_dies_moves_both_to_another_room() -> None:
    with meeting() as stage:
        client = ask(stage)
        first, second, room = both(stage, P1, D1)
        first.reset()
        stage.settle()
        assert second.ended or second.dead
        first, second, another = both(stage, P2, D1)
        assert another != room
        stage.send(first, answer_of(b"{}"))
        stage.send(second, answer_of(b"{}"))
        assert b"200 OK" in stage.received(client)
        assert stage.in_flight() == 0


def test_so_does_one_that_dies_while_the_first_token_is_awaited() -> None:
    with meeting(first_token_s=60.0) as stage:
        client = ask(stage, stream=True)
        first, second, room = both(stage, P1, D1)
        stage.send(
            second,
            answer("Content-Type: text/event-stream", "Transfer-Encoding: chunked", body=b""),
        )
        first.reset()
        stage.settle()
        assert second.ended or second.dead
        first, second, another = both(stage, P2, D1)
        assert another != room
        event = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'
        stage.send(
            second,
            answer("Content-Type: text/event-stream", f"Content-Length: {len(event)}", body=event),
        )
        stage.send(first, answer_of(b"{}"))
        assert b"[DONE]" in stage.received(client)
        assert stage.in_flight() == 0


def test_an_answering_half_that_dies_does_too() -> None:
    with meeting() as stage:
        ask(stage)
        first, second, room = both(stage, P1, D1)
        second.reset()
        stage.settle()
        assert first.ended or first.dead
        _, _, another = both(stage, P2, D2)
        assert another != room
        assert stage.in_flight() == 2


def test_an_answer_that_began_needs_its_other_half_no_more() -> None:
    with meeting() as stage:
        client = ask(stage)
        first, second, _ = both(stage, P1, D1)
        whole = answer_of(b"0123456789")
        stage.send(second, whole[:-5])
        first.reset()
        stage.settle()
        stage.send(second, whole[-5:])
        assert stage.received(client).endswith(b"0123456789")
        assert stage.in_flight() == 0


def test_with_nobody_who_computes_it_is_refused() -> None:
    with meeting() as stage:
        for row in (P1, P2):
            stage.servers[row].manner = "refuse"
        client = ask(stage)
        assert b"503" in stage.received(client).partition(b"\r\n")[0]
        assert stage.in_flight() == 0


def test_a_client_that_leaves_frees_both() -> None:
    with meeting() as stage:
        client = ask(stage)
        ends = both(stage, P1, D1)[:2]
        client.reset()
        stage.settle()
        assert stage.in_flight() == 0
        assert all(each.ended or each.dead for each in ends)
