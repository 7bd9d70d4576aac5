"""OpenAI's Realtime: the WebSocket stays with its endpoint, and its responses count one by one."""

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage

from penstock.core.snapshot import (
    Admission,
    Drain,
    Endpoint,
    LimitChoice,
    Queue,
    RequestLog,
    Snapshot,
    WebSocketResponses,
)
from penstock.wire.websocket import GOING_AWAY, SERVICE_RESTART
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.log import lines_of
from tests.harness.world import world
from tests.unit.dataplane.stage.event_talk import KEY, Caller, Engine, Talker, handshake
from tests.unit.dataplane.stage.test_limits import KEY as SHOWN
from tests.unit.dataplane.stage.test_limits import Supervisor, budget, keyed, limit
from tests.unit.dataplane.stage.test_websocket_responses import (
    READ,
    counted,
    most_unsent,
    takes_in_vain,
)

PATH = "/v1/realtime?model=small"


def pinning(*members: int | Endpoint, **settings: Any) -> Snapshot:
    given = {"kind": "llm", "websocket_responses": READ, **settings}
    return world(pool_of(*(members or (0, 1)), **given))


class Speaker(Caller):
    """A client whose WebSocket its endpoint agreed to; ``engine`` is at the other end."""

    def __init__(self, stage: Stage, *lines: str, row: int = 0, path: str = PATH) -> None:
        end = stage.client()
        Talker.__init__(self, stage, end, ConnectionType.CLIENT)
        stage.send(end, handshake(*lines, path=path))
        self.engine = Engine(stage, row)
        head, _, rest = stage.received(end).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self.take(rest)

    def ask(self, **more: Any) -> None:
        self.say(type="response.create", **more)


def done(
    engine: Engine,
    name: str = "resp_1",
    prompt: int = 100,
    output: int = 20,
    status: str = "completed",
) -> None:
    usage = {
        "total_tokens": prompt + output,
        "input_tokens": prompt,
        "output_tokens": output,
        "input_token_details": {"cached_tokens": 7},
    }
    engine.say(type="response.done", response={"id": name, "status": status, "usage": usage})


def spoken(engine: Engine, name: str = "resp_1", **usage: Any) -> None:
    """A whole response."""
    engine.begin(name)
    engine.say(type="response.output_audio.delta", response_id=name, delta="AAAA")
    done(engine, name, **usage)


def test_the_socket_is_no_load_and_each_response_is() -> None:
    with Stage(pinning()) as stage:
        client = Speaker(stage, "Sec-WebSocket-Extensions: permessage-deflate")
        engine = client.engine
        assert engine.key == KEY
        assert "permessage-deflate" not in engine.asked
        assert stage.in_flight() == 0
        client.say(type="session.update", session={"voice": "x"})
        assert engine.kinds() == ["session.update"]
        client.ask(event_id="mine")
        assert stage.endpoints()[0].in_flight == 1
        client.say(type="input_audio_buffer.append", audio="AAAA")
        assert engine.kinds() == ["response.create", "input_audio_buffer.append"]
        spoken(engine)
        assert client.kinds() == [
            "response.created",
            "response.output_audio.delta",
            "response.done",
        ]
        assert stage.in_flight() == 0
        assert stage.pool().counters.requests == 2
        client.close()
        engine.read()
        assert engine.closed == 1000
        engine.send(engine.codec_close())
        client.read()
        assert client.closed == 1000


def test_budgets_hold_for_each_response_and_the_conversation_counts_as_its_prompt() -> None:
    with Stage(counted(keyed(budget("tokens", 700.0)))) as stage:
        owner = Supervisor(stage)
        client = Speaker(stage, SHOWN)
        client.ask()
        spoken(client.engine, prompt=100, output=50)
        client.ask()
        spoken(client.engine, "resp_2", prompt=160, output=40)
        assert client.kinds()[-1] == "response.done"
        assert owner.spent("it") == 350.0
        client.ask(event_id="third")  # 200 of conversation, and what is answered
        [told] = client.read()
        assert told["error"]["code"] == "insufficient_quota"
        assert told["error"]["event_id"] == "third"
        assert client.engine.kinds().count("response.create") == 2
        client.say(type="input_audio_buffer.append", audio="AA")  # the session goes on
        assert client.engine.kinds() == ["input_audio_buffer.append"]
        assert stage.in_flight() == 0


def test_a_limit_of_one_at_once_is_of_responses_and_not_of_sockets() -> None:
    with Stage(counted(keyed(limit("it", "concurrent", 1.0)))) as stage:
        Supervisor(stage)
        client, other = Speaker(stage, SHOWN), Speaker(stage, SHOWN)
        client.ask()
        client.engine.begin()
        other.ask()
        [told] = other.read()
        assert told["error"]["code"] == "rate_limit_exceeded"
        done(client.engine)
        other.ask()
        assert other.engine.kinds() == ["response.create"]
        spoken(other.engine)


def test_one_that_nobody_asked_for_counts_as_well_and_is_cancelled_where_it_may_not() -> None:
    with Stage(counted(keyed(budget("tokens", 300.0)))) as stage:
        owner = Supervisor(stage)
        client = Speaker(stage, SHOWN)
        spoken(client.engine, prompt=150, output=50)
        assert client.kinds()[-1] == "response.done"
        assert owner.spent("it") == 200.0
        client.engine.begin("resp_2")  # the conversation alone is more than is left
        told = client.read()
        assert [each["type"] for each in told] == ["response.created", "error"]
        assert [each["type"] for each in client.engine.read()] == ["response.cancel"]
        done(client.engine, "resp_2", status="cancelled")
        assert stage.in_flight() == 0


def test_a_response_waits_for_its_place_and_what_follows_waits_behind_it() -> None:
    admission = Admission(queue=Queue(length=5))
    with Stage(pinning(member(0, max_in_flight=1), admission=admission)) as stage:
        client, other = Speaker(stage), Speaker(stage)
        client.ask()
        client.engine.begin()
        other.ask()
        other.say(type="input_audio_buffer.append", audio="AA")
        other.say(type="input_audio_buffer.commit")
        assert other.engine.read() == []
        done(client.engine)
        stage.settle()
        assert other.engine.kinds() == [
            "response.create",
            "input_audio_buffer.append",
            "input_audio_buffer.commit",
        ]
        spoken(other.engine)


def test_without_a_queue_it_is_an_error_and_never_another_endpoints() -> None:
    with Stage(pinning(member(0, max_in_flight=1), 1)) as stage:
        client = Speaker(stage)
        other = Speaker(stage, row=1)
        third = Speaker(stage)
        client.ask()
        third.ask()
        assert third.read()[-1]["error"]["type"] == "no_endpoint"
        assert stage.endpoints()[1].in_flight == 0
        spoken(client.engine)
        other.ask()
        spoken(other.engine)


def test_an_engine_that_refuses_frees_the_place() -> None:
    with Stage(pinning()) as stage:
        client = Speaker(stage)
        client.ask(event_id="a")
        client.ask(event_id="b")
        assert stage.in_flight() == 2
        error = {
            "type": "invalid_request_error",
            "code": "conversation_already_has_active_response",
        }
        client.engine.begin("resp_1")
        client.engine.say(type="error", error={**error, "message": "no", "event_id": "b"})
        assert stage.in_flight() == 1
        client.engine.say(type="error", error={**error, "message": "?", "event_id": "other"})
        assert stage.in_flight() == 1
        done(client.engine)
        assert stage.in_flight() == 0
        assert client.kinds() == ["response.created", "error", "error", "response.done"]


def test_the_ends_of_either_side_settle_what_runs() -> None:
    with Stage(pinning(0)) as stage:
        client = Speaker(stage)
        client.ask()
        client.engine.begin()
        client.end.reset()
        stage.settle()
        assert stage.in_flight() == 0
        other = Speaker(stage)
        other.ask()
        other.engine.begin()
        other.engine.end.reset()
        stage.settle()
        assert stage.in_flight() == 0
        assert other.end.dead or other.end.closed or other.end.shut


def test_frames_of_other_kinds_pass() -> None:
    with Stage(pinning(0)) as stage:
        client = Speaker(stage)
        client.send(BytesMessage(b"sound"))
        client.send(Ping(b"?"))
        client.engine.read()
        client.engine.send(Ping(b"!"))
        client.read()
        stage.send(client.end, b"\x81\x01x")  # not masked
        client.read()
        assert client.closed == 1002
        client.engine.read()
        assert client.engine.closed == GOING_AWAY


def test_an_endpoint_that_leaves_is_left_between_two_responses() -> None:
    drain = Drain(deadline_s=5.0)
    with Stage(pinning(0, 1, drain=drain)) as stage:
        client, other = Speaker(stage), Speaker(stage, row=1)
        client.ask()
        client.engine.begin()
        stage.apply(pinning(1, drain=drain))
        stage.pass_time(6.0)
        client.read()
        assert client.closed is None
        done(client.engine)
        client.read()
        assert client.closed in (GOING_AWAY, SERVICE_RESTART)
        client.engine.read()
        assert client.engine.closed == GOING_AWAY
        stage.pass_time(6.0)
        other.read()
        assert other.closed is None


def test_each_response_has_a_line_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = RequestLog(target="file", path=str(log))
    with Stage(msgspec.structs.replace(pinning(0), request_log=told)) as stage:
        client = Speaker(stage)
        client.ask()
        spoken(client.engine, prompt=30, output=9)
        client.end.reset()
        stage.pass_time(1.0)
        response, socket = lines_of(log, 2)
        assert response["websocket"] is True
        assert (response["prompt_tokens"], response["output_tokens"]) == (30, 9)
        assert (response["cached_tokens"], response["finish"]) == (7, "completed")
        assert (response["model"], response["endpoint"]) == ("small", "e0")
        assert (socket["status"], socket["endpoint"], socket["end"]) == (101, "e0", "client_gone")


def test_a_model_that_one_endpoint_serves_is_spoken_to_there() -> None:
    members = (member(0, models=("other",)), member(1, models=("small",)))
    with Stage(pinning(*members)) as stage:
        for _ in range(3):
            Speaker(stage, row=1).end.reset()
            stage.settle()


@pytest.mark.parametrize("seed", range(40))
def test_however_they_end_nothing_is_left(seed: int) -> None:
    rng = Random(seed)
    admission = Admission(
        limit=LimitChoice("aimd", {"initial": 2.0, "minimum": 2.0, "maximum": 2.0}),
        queue=Queue(length=3),
    )
    snapshot = counted(keyed(budget("requests", 1e9)), admission=admission)
    with Stage(snapshot) as stage:
        Supervisor(stage)
        clients = [Speaker(stage, SHOWN) for _ in range(3)]
        names = [f"resp_{number}" for number in range(4)]
        for _ in range(60):
            client = rng.choice(clients)
            if not client.is_open():
                if rng.random() < 0.5 and not (client.end.closed or client.end.dead):
                    client.end.reset()
                    stage.settle()
                if stage.in_flight() >= 2 or not (client.end.closed or client.end.dead):
                    continue  # a handshake would wait for a place as well
                clients.remove(client)
                client = Speaker(stage, SHOWN)
                clients.append(client)
            engine = client.engine
            act = rng.randrange(10)
            if not engine.is_open():
                act = rng.choice((0, 9))
            if not client.is_open():
                continue
            if act <= 2:
                client.ask(event_id=rng.choice("abc"))
            elif act == 3:
                engine.begin(rng.choice(names))
            elif act == 4:
                done(engine, rng.choice(names))
            elif act == 5:
                engine.say(type="error", error={"event_id": rng.choice("abc"), "message": "no"})
            elif act == 6:
                client.say(type="input_audio_buffer.append", audio="AA")
            elif act == 7 and rng.random() < 0.3:
                rng.choice((client, engine)).end.reset()
                stage.settle()
            elif act == 8:
                stage.pass_time(rng.choice((0.3, 2.0)))
            elif act == 9 and rng.random() < 0.3:
                client.close()
        for client in clients:
            if not (client.end.closed or client.end.dead):
                client.end.reset()
        stage.settle()
        stage.pass_time(6.0)
        assert stage.in_flight() == 0
        assert stage.context.prompt_bytes == 0
        assert not stage.endpoints()[0].long_lived.tunnels
        assert not stage.context.limits.running
        admission_now = stage.pool().admission
        assert admission_now is not None
        assert admission_now.waiting() == 0


def test_off_they_are_relayed_as_ever() -> None:
    with Stage(pinning(0, websocket_responses=None)) as stage:
        client = Speaker(stage, "Sec-WebSocket-Extensions: x-unknown")
        assert "x-unknown" in client.engine.asked
        assert stage.in_flight() == 1
        client.end.reset()
        stage.settle()


def test_too_many_at_once_are_an_error() -> None:
    settings = {"websocket_responses": WebSocketResponses(most=1)}
    with Stage(pinning(0, **settings)) as stage:
        client = Speaker(stage)
        client.ask()
        client.ask(event_id="b")
        [told] = client.read()
        assert (told["status"], told["error"]["event_id"]) == (429, "b")
        spoken(client.engine)


def test_who_reads_no_errors_is_read_no_more() -> None:
    settings = {"websocket_responses": WebSocketResponses(most=1)}
    with Stage(pinning(0, **settings)) as stage:
        client = Speaker(stage)
        client.ask()
        asked = client.codec.send(TextMessage('{"type": "response.create", "event_id": "x"}'))
        flood = asked * 5000
        assert takes_in_vain(client, flood) < len(flood)
        assert most_unsent(stage) < 300_000
        client.end.reset()
        stage.settle()
