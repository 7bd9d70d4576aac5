"""The request log: one line of JSON for each request, whatever was in it."""

import json
import os
import re
import resource
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from penstock.core.snapshot import FixedResponse, Limits, ListenerTimeouts, Match, RequestLog
from penstock.dataplane.board.layout import (
    P_CLIENT_GONE,
    P_CUT,
    W_BYTES_FROM_CLIENTS,
    W_LOG_DROPPED,
)
from tests.harness.endpoint import Script, ScriptedEndpoint, refuse_connections
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.log import lines_of, texts_of
from tests.harness.messages import get, head, post
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, at, listener, pool, route, world

pytestmark = pytest.mark.both_fronts


def test_a_line_says_who_asked_for_what_and_how_it_ended(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    routes = [
        route(
            name="gone", match=Match(path_kind="exact", path="/gone"), respond=FixedResponse(410)
        ),
        route("main"),
    ]
    worker = start(
        world(
            pool(endpoint),
            routes=routes,
            listeners=[listener(trusted_proxies=("127.0.0.1",))],
            request_log=RequestLog("file", str(log)),
        )
    )
    client = worker.connect()
    answer = client.get("/one?two", "X-Request-ID: abc-1")
    client.get("/one?two", "X-Request-ID: abc-1")
    client.get("/gone")
    first, second, gone = lines_of(log, 3)
    assert first["id"] == second["id"] == "abc-1"
    assert (first["client"], first["method"], first["target"]) == ("127.0.0.1", "GET", "/one?two")
    assert (first["route"], first["pool"], first["endpoint"]) == ("main", "main", endpoint.name)
    assert (first["status"], first["attempts"], first["end"]) == (200, 1, "done")
    assert first["bytes"] > len(answer.body)
    assert first["t_connect"] > 0.0
    assert second["t_connect"] is None
    assert 0.0 < second["t_first_byte"] <= second["t_total"]
    assert (gone["pool"], gone["endpoint"], gone["status"]) == ("-", "-", 410)
    assert gone["t_first_byte"] is None
    assert (gone["endpoint_address"], gone["user_agent"]) == (None, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert abs(datetime.fromisoformat(first["time"]).timestamp() - time.time()) < PATIENCE_S
    client.get("/", 'User-Agent: a"b/1.0')
    assert lines_of(log, 4)[3]["user_agent"] == 'a"b/1.0'


def test_what_clients_send_cannot_break_a_line(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    listeners = [listener(trusted_proxies=("127.0.0.1",))]
    worker = start(
        world(pool(endpoint), listeners=listeners, request_log=RequestLog("file", str(log)))
    )
    client = worker.connect()
    target = '/"},{"status":200/\\u0000'
    client.send(get(target))
    client.read_response()
    client.get("/", 'X-Request-ID: a"b\\c')
    client.get("/", 'X-Forwarded-For: 9.9.9.9","status":999}\\\xe9')
    first, second, third = lines_of(log, 3)
    assert first["target"] == target
    assert second["end"] == "done"
    assert (third["client"], third["status"]) == ("127.0.0.1", 200)  # no address, no client


def test_a_line_says_why_a_request_was_refused(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    with refuse_connections() as nobody:
        dead = pool(Address(nobody.getsockname()[1]), name="dead", retry=NEVER_REPEAT)
        worker = start(
            world(
                pool(endpoint),
                dead,
                routes=[route("dead", match=Match(path_kind="exact", path="/dead")), route("main")],
                request_log=RequestLog("file", str(log)),
            )
        )
        client = worker.connect()
        answer = client.get("/dead")
        client.get("/")
        refused, done = lines_of(log, 2)
    assert (refused["status"], refused["end"]) == (502, "refused")
    assert "ECONNREFUSED" in refused["why"]
    assert refused["endpoint"] in refused["why"]
    assert refused["endpoint"].encode() not in answer.body, "the client learns no address"
    assert "why" not in done


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b'{"model": "other", "messages": []}', 404, "serves the model other"),
        (b"no json", 400, "cannot be read"),
    ],
)
def test_a_line_says_why_what_is_asked_of_a_model_was_refused(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    tmp_path: Path,
    body: bytes,
    status: int,
    why: str,
) -> None:
    log = tmp_path / "requests.log"
    engine = msgspec.structs.replace(at(endpoint), models=("served",))
    serving = pool(engine, kind="llm", malformed="refuse")
    worker = start(world(serving, request_log=RequestLog("file", str(log))))
    client = worker.connect()
    length = f"Content-Length: {len(body)}"
    client.send(head("POST /v1/chat/completions HTTP/1.1", length) + body)
    assert client.read_response().status == status
    [logged] = lines_of(log, 1)
    assert (logged["status"], logged["end"]) == (status, "refused")
    assert why in logged["why"]


@pytest.mark.parametrize(
    ("sent", "status", "line"),
    [
        (b'GET /a b HTTP/1.1\r\nHost: "x"\r\n\r\n', 400, "GET /a b HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000, 431, "GET / HTTP/1.1"),
        (b"GET /" + b"y" * 70_000, 414, "GET /" + "y" * 195),
        (b"\x16\x03\x01\xff\n", 400, "\x16\x03\x01\xff\n"),
    ],
)
def test_what_is_no_request_has_a_line_with_the_reason(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    tmp_path: Path,
    sent: bytes,
    status: int,
    line: str,
) -> None:
    log = tmp_path / "requests.log"
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    client = worker.connect()
    client.send(sent)
    assert client.read_response().status == status
    [logged] = lines_of(log, 1)
    assert (logged["client"], logged["status"], logged["line"]) == ("127.0.0.1", status, line)
    assert logged["end"] == "bad_request"
    assert logged["why"]


def test_a_body_that_turns_out_bad_has_one_line(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    client = worker.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    wait_until(lambda: worker.in_flight() == 1, "the request is under way")
    client.send(b"no size\r\n")
    assert client.read_response("POST").status == 400
    worker.connect().get("/after")
    bad, after = lines_of(log, 2)
    assert (bad["status"], bad["end"], bad["target"]) == (400, "bad_request", "/")
    assert "chunk" in bad["why"]
    assert after["target"] == "/after"


def has_come(worker: Worker, count: int) -> bool:
    """Whether the worker has so many bytes of its clients."""
    return worker.count(W_BYTES_FROM_CLIENTS) >= count


@pytest.mark.http1_only
def test_a_line_tells_how_long_a_head_took(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    """And heads that come byte by byte are the same requests."""
    log = tmp_path / "requests.log"
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    client = worker.connect()
    sent = 0
    for _ in range(2):
        begin, rest = get("/slowly")[:9], get("/slowly")[9:]
        client.send(begin)
        wait_until(partial(has_come, worker, sent + len(begin)), "it begins")
        for byte in rest:
            client.send(bytes((byte,)))
        assert client.read_response().status == 200
        sent += len(begin) + len(rest)
    assert client.get("/at-once").status == 200
    first, second, whole = lines_of(log, 3)
    assert first["target"] == second["target"] == "/slowly"
    assert first["t_parse"] > 0.0
    assert second["t_parse"] > 0.0
    assert whole["t_parse"] == 0.0
    assert whole["t_queue"] == 0.0


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_within_an_answer_of_status_200_is_told(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path, streamed: bool
) -> None:
    error = b'{"error": {"message": "out of memory", "code": 500}}'
    kind, body = "application/json", error
    if streamed:
        kind = "text/event-stream; charset=utf-8"
        body = b"data: {}\n\ndata: " + error + b"\n\ndata: [DONE]\n\n"
    endpoint.answer = lambda _: Answer(chunks=(body,), headers=(("Content-Type", kind),))
    log = tmp_path / "requests.log"
    worker = start(world(pool(endpoint, kind="llm"), request_log=RequestLog("file", str(log))))
    asked = b'{"model": "m", "messages": []}'
    fields = (f"Content-Length: {len(asked)}",)
    with worker.connect() as client:
        request = post(*fields, body=asked, target="/v1/chat/completions")
        assert client.request(request, "POST").body == body
    [logged] = lines_of(log, 1)
    assert (logged["status"], logged["end"], logged["finish"]) == (200, "done", "error")
    assert logged["why"] == "the answer tells an error: out of memory"


@pytest.mark.http1_only
def test_a_reader_that_stalls_stops_no_client_and_loses_whole_lines_which_are_told(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests"
    os.mkfifo(log)
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    client = worker.connect()
    asked = 0
    while worker.count(W_LOG_DROPPED) == 0:
        assert client.get("/" + "x" * 8_000).status == 200
        asked += 1
    lines: list[dict[str, object]] = []
    with log.open() as reader:
        reading = Thread(target=lambda: lines.extend(json.loads(line) for line in reader))
        reading.start()
        [dropping, resumed] = worker.notices(2)
        worker.stop()
        reading.join(PATIENCE_S)
    assert dropping["event"] == "request_log.dropping"
    assert resumed["event"] == "request_log.resumed"
    assert len(lines) + worker.count(W_LOG_DROPPED) == asked
    assert f"; {worker.count(W_LOG_DROPPED)} lines" in str(resumed["message"])


@pytest.mark.http1_only
def test_a_full_disk_tears_no_line_however_many_workers_write(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (1000, hard))
    client = worker.connect()
    client.get("/" + "x" * 1500)
    wait_until(lambda: log.stat().st_size == 1000, "half a line fitted")
    with log.open("ab") as other:
        other.write(b'\n{"other": true}\n')
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (hard, hard))
    client.get("/after")
    torn, other_line, *rest = texts_of(log, 4)
    assert torn.startswith('{"time"')
    assert other_line == '{"other": true}'
    assert [json.loads(line)["target"] for line in rest] == ["/" + "x" * 1500, "/after"]
    assert worker.count(W_LOG_DROPPED) == 0


def test_what_the_stop_s_deadline_cuts_is_not_blamed_on_the_client(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    tmp_path: Path,
) -> None:
    log = tmp_path / "requests.log"
    endpoint = scripted(lambda connection: connection.receive_to_end())
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    client = worker.connect()
    client.send(get("/held"))
    wait_until(lambda: worker.in_flight() == 1, "it is under way")
    worker.stop(deadline_s=0.01)
    [cut] = lines_of(log, 1)
    assert (cut["end"], cut["why"]) == ("cut", "the balancer stopped, and its deadline passed")
    assert worker.pool_count(P_CLIENT_GONE) == 0


def test_a_client_that_takes_nothing_is_cut_with_the_reason(
    start: Callable[..., Worker], tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    timeouts = ListenerTimeouts(client_write_idle_s=5.0)
    with HttpEndpoint(lambda _: Answer(body=b"x" * 8_000_000)) as endpoint:
        worker = start(
            world(
                pool(endpoint),
                listeners=[listener(timeouts=timeouts)],
                request_log=RequestLog("file", str(log)),
            ),
            held=True,
        )
        client = worker.connect(receive_buffer=4096)
        client.send(get("/"))
        client.read_until(b"\r\n\r\n")

        def pass_time() -> bool:
            """The worker may be asleep for want of the answer's next piece, not yet held up."""
            if worker.is_asleep():
                worker.pass_time(6.0)
            return log.stat().st_size > 0

        wait_until(pass_time, "the client is cut")
        [cut] = lines_of(log, 1)
        client.read_to_end()
    assert (cut["status"], cut["end"]) == (200, "cut")
    assert cut["why"] == "the client took nothing for 5 s"
    assert client.was_reset, "no client may take what it has for the whole"
    assert (worker.pool_count(P_CLIENT_GONE), worker.pool_count(P_CUT)) == (0, 1)


@pytest.mark.parametrize(
    ("sent", "status", "end", "why"),
    [
        (get("/nowhere"), 404, "refused", "no route matches GET site.example/nowhere"),
        (
            head("GET /main HTTP/1.1", "Connection: upgrade", "Upgrade: websocket"),
            426,
            "refused",
            "the only version of WebSocket is 13",
        ),
        (
            head("POST /main HTTP/1.1", "Transfer-Encoding: chunked") + b"5\r\nabcde\r\n",
            413,
            "bad_request",
            "the body is over 4 bytes",
        ),
    ],
)
def test_every_refusal_has_its_target_and_its_reason(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    tmp_path: Path,
    sent: bytes,
    status: int,
    end: str,
    why: str,
) -> None:
    log = tmp_path / "requests.log"
    worker = start(
        world(
            pool(endpoint),
            routes=[route("main", match=Match(path_kind="exact", path="/main"))],
            listeners=[listener(limits=Limits(body_bytes=4))],
            request_log=RequestLog("file", str(log)),
        )
    )
    client = worker.connect()
    client.send(sent)
    assert client.read_response().status == status
    [logged] = lines_of(log, 1)
    assert (logged["status"], logged["end"], logged["why"]) == (status, end, why)
    assert logged["target"].encode() in sent


def test_a_line_has_the_id_that_the_endpoint_knows_the_request_by(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    client = start(world(pool(endpoint), request_log=RequestLog("file", str(log)))).connect()
    endpoint.answer = lambda _: Answer(headers=(("x-request-id", 'req_"7'),))
    client.get()
    endpoint.answer = lambda r: Answer(headers=(("x-request-id", r.headers["x-request-id"]),))
    client.get()
    theirs, ours = lines_of(log, 2)
    assert theirs["endpoint_id"] == 'req_"7'
    assert "endpoint_id" not in ours


def test_lines_may_have_the_form_of_others_and_leave_out_secrets(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    spec = RequestLog("file", str(log), format="combined", hide_query=("key",), clients="network")
    worker = start(world(pool(endpoint), request_log=spec))
    client = worker.connect()
    client.get("/one?key=secret&a=1", 'User-Agent: a "b"')
    [line] = texts_of(log, 1)
    told = r'"GET /one\?key=-&a=1 HTTP/\d\.\d" 200 \d+ "-" "a \\"b\\""'
    assert re.fullmatch(r"127\.0\.0\.0 - - \[\S+ \+0000\] " + told, line)
