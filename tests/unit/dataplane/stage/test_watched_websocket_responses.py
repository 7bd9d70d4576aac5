"""Responses over WebSocket whose attempts are watched: first tokens, hedges, and going on with what
was cut, by the same rules as over HTTP."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from wsproto.events import TextMessage

from penstock.core.health.health import DOWN
from penstock.core.snapshot import (
    Drain,
    Pool,
    PoolTimeouts,
    Resume,
    Retry,
    Snapshot,
    WebSocketResponses,
)
from penstock.dataplane.board.layout import (
    P_CUT,
    P_HEDGES,
    P_HEDGES_WON,
    P_KEPT_BYTES,
    P_LATE_TOKENS,
    P_NOT_RESUMED,
    P_RESUMED,
    P_VAIN_TOKENS,
)
from penstock.wire.resume.events import data_of, split_events
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.world import world
from tests.unit.dataplane.stage.emulating import MODEL, PlayedEngine
from tests.unit.dataplane.stage.event_talk import Caller, Engine
from tests.unit.dataplane.stage.test_hedges import AFTER_S, HEDGE, pay_in
from tests.unit.dataplane.stage.test_limits import KEY as SHOWN
from tests.unit.dataplane.stage.test_limits import Supervisor, budget, keyed
from tests.unit.dataplane.stage.test_websocket_responses import counted as with_sockets
from tests.unit.dataplane.stage.watching import outcomes, watched

CUTS = 15
ENDS = ("response.completed", "response.incomplete")


def pool(*rows: int, **settings: Any) -> Pool:
    given = {"kind": "llm", "websocket_responses": WebSocketResponses(), **settings}
    return watched(pool_of(*(rows or (0, 1)), **given))


def resuming(*rows: int, **settings: Any) -> Snapshot:
    return world(pool(*rows, **{"resume": Resume(), **settings}))


def counted(stage: Stage, cell: int) -> int:
    return stage.pool().counters.values[cell]


def ask(client: Caller, **more: Any) -> None:
    asked = {"model": MODEL, "input": "of rivers and the water", "max_output_tokens": 40}
    client.create(**{**asked, "store": False, **more})


def caller(stage: Stage, *lines: str) -> Caller:
    """A client with room for a whole answer."""
    return Caller(stage, *lines, room=1 << 20)


def newest(stage: Stage) -> Engine:
    """Whoever was asked last, on a fresh WebSocket."""
    asked = [
        row
        for row, server in enumerate(stage.servers)
        if server.accepted and server.accepted[-1].inbox.startswith(b"GET ")
    ]
    assert len(asked) == 1, asked
    return Engine(stage, asked[0])


def asked_of(engine: Engine) -> dict[str, Any]:
    [asked] = engine.read()
    return asked


def events_for(name: str, asked: dict[str, Any]) -> list[bytes]:
    """What an emulated engine of that name says to it."""
    body = json.dumps({**asked, "stream": True}).encode()
    streamed = b"".join(PlayedEngine(name).events("/v1/responses", body))
    return [data_of(each) for each in split_events(streamed)]


def tell(engine: Engine, events: list[bytes]) -> None:
    for each in events:
        engine.send(TextMessage(each.decode()))


def told(client: Caller) -> list[dict[str, Any]]:
    found = client.read()
    for each in found:
        each.get("response", {}).pop("created_at", None)
    return found


def reset(engine: Engine) -> None:
    engine.end.reset()
    engine.stage.settle()


def fail(engine: Engine) -> None:
    engine.say(type="error", status=500, error={"message": "the core died"})


def close(engine: Engine) -> None:
    engine.close(1011)


@pytest.mark.parametrize("cut", [reset, close, fail])
def test_wherever_a_response_is_cut_the_client_gets_the_same_events(
    cut: Callable[[Engine], None],
) -> None:
    rng = Random(cut.__name__)
    with Stage(resuming()) as stage:
        whole: list[dict[str, Any]] = []
        for number in range(CUTS):
            client = caller(stage)
            ask(client, stream_id="lane")
            first = newest(stage)
            events = events_for("a", asked_of(first))
            if number == 0:
                tell(first, events)
                whole = told(client)
                assert [each["type"] for each in whole][-1] in ENDS
                client.close()
                client.read()
                continue
            texts = [at for at, each in enumerate(events) if b"output_text.delta" in each]
            tell(first, events[: rng.choice(texts[:-1]) + 1])
            cut(first)
            second = newest(stage)
            rest = asked_of(second)
            assert rest["stream_id"] == "lane"
            assert rest["max_output_tokens"] < 40
            assert rest["input"][-1]["status"] == "in_progress"
            tell(second, events_for("b", rest))
            assert told(client) == whole
            assert [each["sequence_number"] for each in client.heard] == list(range(len(whole)))
            client.close()
            client.read()
        assert counted(stage, P_RESUMED) == CUTS - 1
        assert counted(stage, P_NOT_RESUMED) == 0
        assert counted(stage, P_CUT) == 0
        assert counted(stage, P_KEPT_BYTES) == 0
        assert stage.context.prompt_bytes == 0
        assert stage.in_flight() == 0


def cut_once(stage: Stage, client: Caller, **more: Any) -> tuple[Engine, list[bytes]]:
    """One that was cut after some tokens; who goes on with it, and what it would say."""
    ask(client, **more)
    first = newest(stage)
    events = events_for("a", asked_of(first))
    tell(first, events[:12])
    reset(first)
    second = newest(stage)
    return second, events_for("b", asked_of(second))


def test_usage_is_that_of_one_answer_and_is_settled_once() -> None:
    limited = keyed(budget("tokens", 1e6))
    endpoints = world(pool(0, 1)).pools[0].endpoints
    snapshot = with_sockets(limited, resume=Resume(), endpoints=endpoints)
    with Stage(snapshot) as stage:
        owner = Supervisor(stage)
        client = caller(stage, SHOWN)
        engine, events = cut_once(stage, client)
        tell(engine, events)
        usage = told(client)[-1]["response"]["usage"]
        assert usage["output_tokens"] == 40
        assert owner.spent("it") == usage["input_tokens"] + usage["output_tokens"]
        assert stage.in_flight() == 0


def test_what_goes_on_from_it_goes_to_who_ended_it_under_its_name_there() -> None:
    with Stage(resuming(0, 1, 2)) as stage:
        client = caller(stage)
        engine, events = cut_once(stage, client, stream_id="a")
        tell(engine, events)
        heard = told(client)
        name = heard[-1]["response"]["id"]
        assert {each["response"]["id"] for each in heard if "response" in each} == {name}
        known = json.loads(events[-1])["response"]["id"]
        assert known != name
        ask(client, previous_response_id=name, input="more", stream_id="b")
        asked = asked_of(engine)
        assert (asked["previous_response_id"], asked["input"]) == (known, "more")
        engine.answer("resp_1")
        assert client.kinds()[-1] == "response.completed"


def test_a_stall_is_a_cut_and_one_that_is_told_often_enough_is_none() -> None:
    timeouts = PoolTimeouts(token_s=2.0)
    with Stage(resuming(timeouts=timeouts)) as stage:
        client = caller(stage)
        ask(client)
        first = newest(stage)
        events = events_for("a", asked_of(first))
        tell(first, events[:6])
        for event in events[6:9]:
            stage.pass_time(1.5, 0.5)
            tell(first, [event])
        stage.pass_time(2.1, 0.1)
        assert counted(stage, P_LATE_TOKENS) == 1
        first.read()
        assert first.closed == 1001
        second = newest(stage)
        tell(second, events_for("b", asked_of(second)))
        assert client.kinds()[-1] in ENDS


def test_without_resume_a_late_token_is_an_error_of_the_response() -> None:
    with Stage(world(pool(timeouts=PoolTimeouts(token_s=2.0)))) as stage:
        client = caller(stage)
        ask(client)
        first = newest(stage)
        tell(first, events_for("a", asked_of(first))[:6])
        stage.pass_time(2.1, 0.1)
        assert client.read()[-1]["status"] == 502
        assert client.closed is None
        assert counted(stage, P_CUT) == 1
        assert stage.in_flight() == 0


def test_who_keeps_it_is_gone_on_with_by_nobody_and_the_reason_is_counted() -> None:
    with Stage(resuming()) as stage:
        client = caller(stage)
        ask(client, text={"format": {"type": "json_schema"}})
        first = newest(stage)
        tell(first, events_for("a", {"model": MODEL, "input": "x", "max_output_tokens": 9})[:6])
        reset(first)
        assert client.read()[-1]["type"] == "error"
        assert counted(stage, P_NOT_RESUMED) == 1
        assert counted(stage, P_CUT) == 1
        assert counted(stage, P_KEPT_BYTES) == 0


def test_who_was_to_go_on_and_refuses_is_passed_over() -> None:
    with Stage(resuming(0, 1, 2)) as stage:
        client = caller(stage)
        engine, _ = cut_once(stage, client)
        engine.refuse(400)
        third = newest(stage)
        tell(third, events_for("c", asked_of(third)))
        assert client.kinds()[-1] in ENDS
        assert counted(stage, P_RESUMED) == 2
        assert engine.closed is None  # its WebSocket is there for others


def test_streams_leave_an_endpoint_that_drains() -> None:
    drain = Drain(deadline_s=60.0, move_streams_s=5.0)
    with Stage(resuming(0, 1, drain=drain)) as stage:
        client = caller(stage)
        ask(client)
        first = newest(stage)
        events = events_for("a", asked_of(first))
        tell(first, events[:8])
        row = 0 if stage.endpoints()[0].long_lived.streams else 1
        stage.apply(resuming(1 - row, drain=drain))
        stage.pass_time(6.0)
        second = newest(stage)
        tell(second, events_for("b", asked_of(second)))
        assert client.kinds()[-1] in ENDS
        assert counted(stage, P_RESUMED) == 1


def test_an_endpoint_without_a_first_token_in_time_is_given_up_unheard() -> None:
    with Stage(world(pool(timeouts=PoolTimeouts(first_token_s=2.0)))) as stage:
        client = caller(stage)
        ask(client)
        first = newest(stage)
        first.begin("resp_1")
        assert client.read() == []
        stage.pass_time(2.1, 0.1)
        first.read()
        assert first.closed == 1001
        second = newest(stage)
        second.answer("resp_2")
        heard = client.read()
        assert heard[0]["response"]["id"] == heard[-1]["response"]["id"] == "resp_2"
        assert counted(stage, P_LATE_TOKENS) == 1
        assert counted(stage, P_VAIN_TOKENS) > 0
        assert outcomes() == ["timeout", "done"]


@pytest.mark.parametrize("more", [{"store": True}, {"previous_response_id": "resp_0"}])
def test_what_stays_behind_or_is_known_to_one_alone_is_waited_for(more: dict[str, Any]) -> None:
    timeouts = PoolTimeouts(first_token_s=2.0)
    with Stage(world(pool(timeouts=timeouts, hedge=HEDGE))) as stage:
        pay_in(stage)
        client = caller(stage)
        ask(client, **more)
        first = newest(stage)
        stage.pass_time(4.0, 0.2)
        assert stage.in_flight() == 1
        first.answer("resp_1")
        assert client.kinds()[-1] in ENDS


def both_asked(stage: Stage) -> tuple[Caller, list[Engine]]:
    """A client, and two engines that were asked for it, the late one first."""
    pay_in(stage)
    client = caller(stage)
    ask(client)
    first = newest(stage)
    first.read()
    stage.pass_time(AFTER_S + 0.1, 0.1)
    second = newest(stage)
    second.read()
    assert stage.in_flight() == 2
    return client, [first, second]


@pytest.mark.parametrize("winner", [0, 1])
def test_of_two_that_are_asked_the_first_to_speak_wins(winner: int) -> None:
    with Stage(world(pool(hedge=HEDGE))) as stage:
        client, engines = both_asked(stage)
        for number, engine in enumerate(engines):
            engine.begin(f"resp_{number}")
        assert client.read() == []
        engines[winner].token()
        assert stage.in_flight() == 1
        engines[1 - winner].read()
        assert engines[1 - winner].closed == 1001
        engines[winner].end_with(f"resp_{winner}")
        heard = client.read()
        assert [each["type"].rpartition(".")[2] for each in heard] == [
            "created",
            "delta",
            "completed",
        ]
        assert heard[0]["response"]["id"] == f"resp_{winner}"
        assert sorted(outcomes()) == ["abandoned", "done"]
        assert counted(stage, P_HEDGES) == 1
        assert counted(stage, P_HEDGES_WON) == winner
        ask(client)  # the winner's WebSocket is there for the next
        assert sum(len(each.accepted) for each in stage.servers) == 2 or stage.in_flight() == 1


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("how", ["reset", "refuse"])
def test_of_two_one_may_fail_unseen(failing: int, how: str) -> None:
    with Stage(world(pool(hedge=HEDGE, retry=Retry(on_statuses=())))) as stage:
        client, engines = both_asked(stage)
        if how == "reset":
            reset(engines[failing])
        else:
            engines[failing].refuse(503)
        assert client.read() == []
        engines[1 - failing].answer("resp_1")
        assert client.kinds()[-1] in ENDS
        assert stage.in_flight() == 0


def test_a_client_that_leaves_stops_both() -> None:
    with Stage(world(pool(hedge=HEDGE))) as stage:
        client, engines = both_asked(stage)
        client.end.reset()
        stage.settle()
        for engine in engines:
            engine.read()
            assert engine.closed == 1001
        assert outcomes() == ["client_gone", "client_gone"]
        assert stage.in_flight() == 0


def test_errors_reach_the_client_where_nobody_else_can_answer() -> None:
    with Stage(resuming(0)) as stage:
        client = caller(stage)
        ask(client)
        engine = newest(stage)
        engine.refuse(400, "invalid_prompt")
        [heard] = client.read()
        assert (heard["status"], heard["error"]["code"]) == (400, "invalid_prompt")
        ask(client)
        engine.answer("resp_2")  # on the same WebSocket
        assert client.kinds()[-1] in ENDS
        stage.set_health(0, DOWN)
        stage.turn()
        ask(client)
        assert client.read()[-1]["status"] == 503
        assert stage.in_flight() == 0


@pytest.mark.parametrize("seed", range(25))
def test_however_they_end_nothing_is_left(seed: int) -> None:
    """The stage sees to it that no load, socket or client is left."""
    rng = Random(seed)
    timeouts = PoolTimeouts(first_byte_s=3.0, first_token_s=1.0, token_s=1.0)
    with Stage(resuming(0, 1, 2, timeouts=timeouts, hedge=HEDGE)) as stage:
        clients = [caller(stage) for _ in range(3)]
        engines: list[Engine] = []
        seen: set[int] = set()
        for _ in range(80):
            pay_in(stage)
            client = rng.choice(clients)
            act = rng.randrange(8)
            if not client.is_open():
                clients.remove(client)
                clients.append(client := caller(stage))
            if act <= 1:
                ask(client, stream_id=rng.choice("ab"), store=rng.random() < 0.2)
            elif act <= 4 and engines:
                _do(rng.choice(engines), rng.choice(("begin", "token", "end_with", "answer")))
            elif act == 5 and engines:
                _do(rng.choice(engines), rng.choice(("reset", "close", "fail")))
            elif act == 6 and rng.random() < 0.3:
                client.end.reset()
                stage.settle()
            elif act == 7:
                stage.pass_time(rng.choice((0.3, 0.9, 1.2)), 0.1)
            for row, server in enumerate(stage.servers):
                for end in list(server.accepted):
                    if id(end) not in seen and not end.closed and end.inbox:
                        seen.add(id(end))
                        server.accepted.remove(end)
                        server.accepted.append(end)
                        engines.append(Engine(stage, row))
        for client in clients:
            client.end.reset()
        stage.settle()
        assert stage.in_flight() == 0
        assert stage.context.prompt_bytes == 0
        assert counted(stage, P_KEPT_BYTES) == 0
        lasting = [each.long_lived for each in stage.endpoints()]
        assert not any(each.tunnels or each.streams for each in lasting)


def _do(engine: Engine, act: str) -> None:
    """What an engine does on a connection that may be over."""
    if not engine.is_open():
        return
    if act in ("reset", "close", "fail"):
        {"reset": reset, "close": close, "fail": fail}[act](engine)
    else:
        getattr(engine, act)()
