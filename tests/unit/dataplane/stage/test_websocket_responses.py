"""Responses over WebSocket: each is a request of its own, on whatever WebSocket it is asked for."""

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from penstock.core.health.health import DOWN
from penstock.core.snapshot import (
    Drain,
    Models,
    PoolTimeouts,
    RequestLog,
    Retry,
    Snapshot,
    WebSocketResponses,
)
from penstock.dataplane.board.layout import P_CUT
from penstock.wire.websocket import GOING_AWAY
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.log import lines_of
from tests.harness.messages import answer_of
from tests.harness.world import world
from tests.unit.dataplane.stage.event_talk import KEY, Caller, Engine, handshake
from tests.unit.dataplane.stage.test_limits import KEY as SHOWN
from tests.unit.dataplane.stage.test_limits import Supervisor, budget, keyed

READ = WebSocketResponses()


def reading(*rows: int, **settings: Any) -> Snapshot:
    given = {"kind": "llm", "websocket_responses": READ, **settings}
    return world(pool_of(*(rows or (0, 1)), **given))


def counted(snapshot: Snapshot, **settings: Any) -> Snapshot:
    """The same, and its pool reads them."""
    settings = {"websocket_responses": READ, **settings}
    pools = tuple(msgspec.structs.replace(each, **settings) for each in snapshot.pools)
    return msgspec.structs.replace(snapshot, pools=pools)


def test_each_response_goes_to_whom_the_policy_chooses_and_idle_sockets_are_no_load() -> None:
    with Stage(reading()) as stage:
        client = Caller(stage)
        assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.agreement
        assert not stage.servers[0].accepted
        assert stage.in_flight() == 0
        client.create()
        first = Engine(stage, 0)
        assert stage.in_flight() == 1
        assert "GET /v1/responses" in first.asked
        assert "sec-websocket-extensions" not in first.asked.lower()
        assert first.key != KEY
        assert [each["input"][0]["content"] for each in first.read()] == ["hello there"]
        first.answer("resp_1")
        assert client.kinds() == [
            "response.created",
            "response.output_text.delta",
            "response.completed",
        ]
        assert stage.in_flight() == 0
        client.create()
        second = Engine(stage, 1)  # taken in turn
        second.answer("resp_2")
        client.create()
        assert first.kinds() == ["response.create"]  # over the WebSocket that was there
        assert len(stage.servers[0].accepted) == 1
        first.answer("resp_3")
        assert client.kinds()[-1] == "response.completed"
        assert stage.pool().counters.requests == 4  # that for the WebSocket is one of them
        client.close()
        client.read()
        assert client.closed == 1000
        assert first.read() == []
        assert first.closed == GOING_AWAY


def test_what_goes_on_from_an_answer_goes_to_who_made_it() -> None:
    with Stage(reading()) as stage:
        client = Caller(stage)
        client.create()
        first = Engine(stage, 0)
        first.answer("resp_1")
        for number in range(3):
            client.create(previous_response_id="resp_1", input="more")
            assert [each["input"] for each in first.read()][-1] == "more"
            first.answer(f"resp_{number + 2}")
        assert not stage.servers[1].accepted


def test_lanes_run_beside_each_other_and_each_is_first_in_first_out() -> None:
    with Stage(reading()) as stage:
        client = Caller(stage)
        client.create(stream_id="a", input="1")
        client.create(stream_id="a", input="2")
        client.create(stream_id="b", input="3")
        first, second = Engine(stage, 0), Engine(stage, 1)
        assert [each["input"] for each in first.read()] == ["1"]
        assert [each["input"] for each in second.read()] == ["3"]
        assert stage.in_flight() == 2
        first.begin("resp_1", stream_id="a")
        second.begin("resp_2", stream_id="b")
        first.end_with("resp_1", stream_id="a")
        assert [each.get("stream_id") for each in client.read()] == ["a", "b", "a"]
        assert [each["input"] for each in first.read()] == ["2"]
        first.answer("resp_3")
        second.end_with("resp_2")
        assert stage.in_flight() == 0


def test_more_at_once_than_may_wait_is_an_error_of_that_lane() -> None:
    with Stage(reading(0, websocket_responses=WebSocketResponses(most=2))) as stage:
        client = Caller(stage)
        for _ in range(3):
            client.create(stream_id="x")
        [told] = client.read()
        assert (told["type"], told["status"], told["stream_id"]) == ("error", 429, "x")
        Engine(stage).answer()
        assert client.kinds()[-1] == "response.completed"
        client.end.close()
        stage.settle()


def test_budgets_are_reserved_and_settled_for_each_and_hold() -> None:
    with Stage(counted(keyed(budget("tokens", 250.0)))) as stage:
        owner = Supervisor(stage)
        client = Caller(stage, SHOWN)
        client.create(max_output_tokens=100)
        engine = Engine(stage)
        assert SHOWN not in engine.asked
        engine.answer(prompt=40, output=60)
        client.create(max_output_tokens=100)
        engine.answer("resp_2", prompt=50, output=50)
        assert client.kinds()[-1] == "response.completed"
        client.create(max_output_tokens=100)
        [told] = client.read()
        assert told["status"] == 429
        assert told["error"]["code"] == "insufficient_quota"
        assert stage.in_flight() == 0
        assert owner.spent("it") == 200.0
        client.create(max_output_tokens=10)  # the WebSocket is there as before
        engine.answer("resp_3", prompt=5, output=5)
        assert client.kinds()[-1] == "response.completed"


def test_one_whose_client_leaves_is_cancelled_and_settled() -> None:
    with Stage(counted(keyed(budget("requests", 10.0)))) as stage:
        owner = Supervisor(stage)
        client = Caller(stage, SHOWN)
        client.create()
        engine = Engine(stage)
        engine.begin()
        client.end.reset()
        stage.settle()
        engine.read()
        assert engine.closed == GOING_AWAY
        assert stage.in_flight() == 0
        assert owner.spent("it") == 1.0


def test_a_key_that_ends_ends_what_may_be_asked_for_on_an_open_socket() -> None:
    snapshot = counted(keyed())
    with Stage(snapshot) as stage:
        Supervisor(stage)
        client = Caller(stage, SHOWN)
        stage.context.tenants.configure(reading(0))
        client.create()
        [told] = client.read()
        assert (told["status"], told["error"]["code"]) == (401, "invalid_api_key")


def test_an_engine_that_refuses_is_passed_over_and_one_that_errs_is_heard() -> None:
    with Stage(reading(retry=Retry(on_statuses=(429, 503)))) as stage:
        client = Caller(stage)
        client.create()
        Engine(stage, 0).refuse(503)
        second = Engine(stage, 1)
        assert client.read() == []
        second.refuse(400, "previous_response_not_found")
        [told] = client.read()
        assert told["error"]["code"] == "previous_response_not_found"
        assert stage.in_flight() == 0


def test_an_endpoint_that_knows_no_websocket_or_is_down_is_passed_over() -> None:
    with Stage(reading(0, 1, 2)) as stage:
        stage.servers[0].manner = "refuse"
        client = Caller(stage)
        client.create()
        end, asked = stage.asked(2)
        assert asked.startswith(b"GET /v1/responses ")
        stage.send(end, answer_of(b"busy", status="503 Service Unavailable"))
        Engine(stage, 1).answer()
        assert client.kinds()[-1] == "response.completed"


def test_where_nobody_speaks_it_the_client_is_told_why() -> None:
    with Stage(reading(0)) as stage:
        client = Caller(stage)
        client.create()
        end, _ = stage.asked(0)
        stage.send(end, answer_of(b"no", status="404 Not Found"))
        [told] = client.read()
        assert (told["type"], told["status"]) == ("error", 502)
        assert "does not speak WebSocket" in told["error"]["message"]
        assert stage.in_flight() == 0


def test_one_that_is_cut_is_told_as_an_error_and_the_socket_goes_on() -> None:
    with Stage(reading()) as stage:
        client = Caller(stage)
        client.create()
        first = Engine(stage, 0)
        first.begin()
        first.token()
        first.end.reset()
        stage.settle()
        told = client.read()
        assert [each["type"] for each in told][-1] == "error"
        assert told[-1]["status"] == 502
        assert stage.pool().counters.values[P_CUT] == 1
        client.create()
        Engine(stage, 1).answer()
        assert client.kinds()[-1] == "response.completed"


def test_one_of_which_nothing_came_is_asked_for_elsewhere_if_nothing_stays_behind() -> None:
    with Stage(reading()) as stage:
        client = Caller(stage)
        client.create(store=False)
        first = Engine(stage, 0)
        first.read()
        first.end.reset()
        stage.settle()
        Engine(stage, 1).answer()
        assert client.kinds()[-1] == "response.completed"
        client.create()  # the engine may have kept it, and made the answer
        again = Engine(stage, 0)
        again.read()
        again.end.reset()
        stage.settle()
        assert client.read()[-1]["status"] == 502
        assert stage.in_flight() == 0


def test_a_silent_engine_runs_out_of_time() -> None:
    timeouts = PoolTimeouts(first_byte_s=5.0, stream_idle_s=5.0)
    with Stage(reading(0, timeouts=timeouts)) as stage:
        client = Caller(stage)
        client.create()
        engine = Engine(stage)
        engine.begin()
        stage.pass_time(6.0)
        told = client.read()
        assert told[-1]["type"] == "error"
        assert stage.in_flight() == 0
        client.create()
        Engine(stage).answer()
        stage.pass_time(60.0)  # nothing is due between two responses
        assert client.kinds()[-1] == "response.completed"
        assert client.closed is None


def test_names_of_models_are_told_as_they_were_asked_for() -> None:
    models = Models(aliases={"gpt": {"small": 1.0}}, answers="asked")
    with Stage(reading(0, models=models)) as stage:
        client = Caller(stage)
        client.create(model="gpt")
        engine = Engine(stage)
        assert [each["model"] for each in engine.read()] == ["small"]
        engine.answer()
        assert client.read()[-1]["response"]["model"] == "gpt"


def test_what_is_no_event_is_an_error_and_what_is_no_websocket_ends_it() -> None:
    with Stage(reading(0)) as stage:
        client = Caller(stage)
        stage.send(client.end, b"\x81\x82\x00\x00\x00\x00[]")
        [told] = client.read()
        assert told["status"] == 400
        client.say(type="response.steer", previous_response_id="resp_0", input="x")
        [told] = client.read()
        assert "response.steer" in told["error"]["message"]
        client.send(Ping(b"there?"))
        client.read()
        assert client.pongs == [b"there?"]
        client.send(BytesMessage(b"binary"))
        client.read()
        assert client.closed == 1003
        other = Caller(stage)
        stage.send(other.end, b"\x81\x02{}")  # no client masks so
        other.read()
        assert other.closed == 1002


def test_a_message_over_the_bound_closes_with_its_code() -> None:
    with Stage(reading(0, websocket_responses=WebSocketResponses(message_bytes=1000))) as stage:
        client = Caller(stage)
        client.create(input="x" * 1000)
        client.read()
        assert client.closed == 1009
        assert stage.context.prompt_bytes == 0


def test_what_is_kept_of_messages_counts_for_the_memory_of_prompts() -> None:
    with Stage(reading(0)) as stage:
        client = Caller(stage)
        stage.send(client.end, b"\x01\xfe\x03\xe8\0\0\0\0" + b"x" * 500)
        assert stage.context.prompt_bytes == 500
        stage.context.prompt_room = 400
        other = Caller(stage)
        other.create()
        [told] = other.read()
        assert told["status"] == 503
        stage.send(client.end, b"x")
        client.read()
        assert client.closed == 1013
        assert stage.context.prompt_bytes == 0


def test_other_events_go_to_the_engine_that_answers() -> None:
    with Stage(reading(0)) as stage:
        client = Caller(stage)
        client.create()
        engine = Engine(stage)
        engine.begin("resp_1")
        engine.read()
        client.say(type="response.steer", previous_response_id="resp_1", input="x")
        assert [each["type"] for each in engine.read()] == ["response.steer"]
        engine.end_with("resp_1")


def test_a_slow_client_holds_its_engines_back() -> None:
    with Stage(reading(0)) as stage:
        client = Caller(stage)
        client.create()
        engine = Engine(stage)
        engine.begin()
        text = "x" * 20000
        data = b"".join(engine.codec.send(each) for each in [_delta(text) for _ in range(40)])
        left = engine.end.offer(data)
        stage.settle()
        while left:
            before = len(left)
            left = engine.end.offer(left)
            stage.settle()
            if len(left) == before:
                break
        assert left  # the worker reads no more
        kept = [
            len(each.unsent or b"") for each in stage.loop.by_fd.values() if hasattr(each, "unsent")
        ]
        assert max(kept) < 200_000
        while left:
            client.read()
            left = engine.end.offer(left)
            stage.settle()
        engine.end_with()
        client.read()
        assert len([each for each in client.heard if each["type"].endswith("delta")]) == 40
        assert client.heard[-1]["type"] == "response.completed"


def _delta(text: str) -> Any:
    return TextMessage(json.dumps({"type": "response.output_text.delta", "delta": text}))


def test_a_stop_closes_idle_sockets_at_once_and_others_behind_their_response() -> None:
    with Stage(reading(0)) as stage:
        idle, busy = Caller(stage), Caller(stage)
        busy.create()
        engine = Engine(stage)
        engine.begin()
        stage.worker.stop(30.0)
        stage.settle()
        idle.read()
        assert idle.closed == GOING_AWAY
        busy.read()
        assert busy.closed is None
        busy.create()
        assert busy.read()[-1]["status"] == 503
        engine.end_with()
        assert busy.kinds()[-1] == "response.completed"
        assert busy.closed == GOING_AWAY
        busy.close(GOING_AWAY)
        idle.close(GOING_AWAY)
        assert stage.context.clients == 0


def test_an_endpoint_that_leaves_finishes_up_to_its_deadline() -> None:
    with Stage(reading(0, 1, drain=Drain(deadline_s=10.0))) as stage:
        client = Caller(stage)
        client.create()
        first = Engine(stage, 0)
        first.begin()
        stage.apply(reading(1, drain=Drain(deadline_s=10.0)))
        stage.pass_time(8.0)
        assert first.read()
        assert first.closed is None
        stage.pass_time(4.0)
        assert client.read()[-1]["status"] == 502
        first.read()
        assert first.closed == GOING_AWAY
        client.create()
        Engine(stage, 1).answer()
        assert client.kinds()[-1] == "response.completed"


def test_no_endpoint_is_an_error_of_the_response_alone() -> None:
    with Stage(reading(0)) as stage:
        stage.set_health(0, DOWN)
        stage.turn()
        client = Caller(stage)
        client.create()
        [told] = client.read()
        assert (told["status"], told["error"]["type"]) == (503, "no_endpoint")
        assert told["error"]["headers"]["retry-after"]


@pytest.mark.parametrize(
    ("path", "settings"),
    [("/v1/responses", {"websocket_responses": None}), ("/v1/other", {})],
)
def test_other_websockets_are_relayed_as_ever(path: str, settings: dict[str, Any]) -> None:
    with Stage(reading(0, **settings)) as stage:
        client = stage.client()
        stage.send(client, handshake(path=path))
        engine = Engine(stage)
        assert engine.key == KEY
        assert stage.in_flight() == 1
        assert client.read().startswith(b"HTTP/1.1 101")
        client.close()
        stage.settle()


def test_clients_over_http2_have_it_on_a_stream() -> None:
    with Stage(reading(0)) as stage:
        peer = Http2Peer(stage, stage.client())
        stream = peer.ask("/v1/responses")
        assert peer.heard[stream].status == 200
        codec = Connection(ConnectionType.CLIENT)
        asked = {"type": "response.create", "model": "small", "input": "hello"}
        peer.send(stream, codec.send(TextMessage(json.dumps(asked))))
        Engine(stage).answer()
        peer.pump()
        codec.receive_data(peer.heard[stream].data)
        events = [each.data for each in codec.events() if isinstance(each, TextMessage)]
        assert [json.loads(each)["type"] for each in events][-1] == "response.completed"
        peer.send(stream, codec.send(CloseConnection(1000)))
        assert peer.heard[stream].ended


def test_each_has_a_line_in_the_log_beside_that_of_the_socket(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = RequestLog(target="file", path=str(log))
    snapshot = msgspec.structs.replace(reading(0), request_log=told)
    with Stage(snapshot) as stage:
        client = Caller(stage)
        client.create()
        engine = Engine(stage)
        engine.answer(prompt=12, output=5)
        client.create()
        engine.begin()
        client.end.reset()
        stage.pass_time(1.0)
        done, gone, socket = lines_of(log, 3)
        assert (done["method"], done["target"]) == ("POST", "/v1/responses")
        assert done["websocket"] is True
        assert (done["status"], done["end"]) == (200, "done")
        assert (done["prompt_tokens"], done["output_tokens"], done["cached_tokens"]) == (12, 5, 4)
        assert done["endpoint"] == gone["endpoint"] == "e0"
        assert gone["end"] == "client_gone"
        assert (socket["status"], socket["method"]) == (101, "GET")
        assert socket["endpoint"] == "-"
        assert socket["bytes_from_client"] > 0


@pytest.mark.parametrize("seed", range(40))
def test_however_they_end_nothing_is_left(seed: int) -> None:
    """The stage sees to it that no load, socket or client is left."""
    rng = Random(seed)
    timeouts = PoolTimeouts(first_byte_s=3.0, stream_idle_s=3.0)
    with Stage(counted(keyed(budget("requests", 1e9)), timeouts=timeouts)) as stage:
        owner = Supervisor(stage)
        clients = [Caller(stage, SHOWN) for _ in range(3)]
        engines: list[Engine] = []
        seen: set[int] = set()
        for _ in range(60):
            client = rng.choice(clients)
            act = rng.randrange(8)
            if client.end.closed or client.end.dead or client.closed is not None:
                clients.remove(client)
                client = Caller(stage, SHOWN)
                clients.append(client)
            if act <= 2:
                client.create(stream_id=rng.choice("abc"), store=rng.random() < 0.5)
            elif act == 3 and engines:
                engine = rng.choice(engines)
                _risk(engine, rng.choice(("begin", "token", "end_with", "answer")))
            elif act == 4 and engines:
                _risk(rng.choice(engines), rng.choice(("close", "reset")))
            elif act == 5 and rng.random() < 0.3:
                client.end.reset()
                stage.settle()
            elif act == 6 and rng.random() < 0.3:
                client.close()
                client.read()
            elif act == 7:
                stage.pass_time(rng.choice((0.3, 2.0)))
            for end in stage.servers[0].accepted:
                if id(end) not in seen and not end.closed:
                    seen.add(id(end))
                    stage.servers[0].accepted.remove(end)
                    stage.servers[0].accepted.append(end)
                    engines.append(Engine(stage))
                    break
        for client in clients:
            client.end.reset()
        stage.settle()
        assert stage.in_flight() == 0
        assert stage.context.prompt_bytes == 0
        assert not stage.endpoints()[0].long_lived.tunnels
        assert not stage.context.limits.running
        assert owner.spent("it") >= 0.0


def _risk(engine: Engine, act: str) -> None:
    """What an engine does on a connection that may be over."""
    if engine.end.closed or engine.end.dead or engine.closed is not None:
        return
    engine.read()
    if engine.closed is not None or engine.end.closed or engine.end.dead:
        return
    if act == "reset":
        engine.end.reset()
        engine.stage.settle()
    else:
        getattr(engine, act)()


def test_who_reads_no_answers_is_read_no_more() -> None:
    with Stage(reading(0)) as stage:
        client = Caller(stage)
        flood = client.codec.send(Ping(b"x" * 100)) * 5000 + client.codec.send(TextMessage("no"))
        assert takes_in_vain(client, flood) < len(flood)
        assert most_unsent(stage) < 300_000
        client.end.reset()
        stage.settle()


def takes_in_vain(talker: Caller, data: bytes) -> int:
    """How much of that the worker takes while nobody reads what it answers."""
    left = data
    while left:
        before = len(left)
        left = talker.end.offer(left)
        talker.stage.settle()
        if len(left) == before:
            break
    return len(data) - len(left)


def most_unsent(stage: Stage) -> int:
    return max(len(getattr(each, "unsent", None) or b"") for each in stage.loop.by_fd.values())


def test_a_response_that_follows_by_itself_counts_and_ends_where_it_may_not() -> None:
    with Stage(counted(keyed(budget("tokens", 1000.0)))) as stage:
        owner = Supervisor(stage)
        client = Caller(stage, SHOWN)
        client.create()
        engine = Engine(stage)
        engine.begin("resp_1")
        client.say(type="response.steer", previous_response_id="resp_1", input="rather this")
        engine.end_with("resp_1", kind="incomplete", prompt=100, output=50)
        assert stage.in_flight() == 0
        engine.begin("resp_2")
        assert stage.in_flight() == 1
        engine.end_with("resp_2", prompt=170, output=30)
        assert client.kinds()[-1] == "response.completed"
        assert stage.in_flight() == 0
        assert owner.spent("it") == 350.0
        engine.begin("resp_3")
        engine.end_with("resp_3", prompt=210, output=40)
        assert owner.spent("it") == 600.0
        client.read()
        engine.read()
        engine.begin("resp_4")  # more than is left
        assert client.read()[-1]["error"]["code"] == "insufficient_quota"
        engine.read()
        assert engine.closed == GOING_AWAY
        assert stage.in_flight() == 0
        assert client.closed is None
