"""HTTP/2 in front: every rule of a request holds for each stream, and streams do not hold each
other up."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h2.errors
import pytest

from penstock.core.snapshot import (
    Admission,
    Http2,
    Limits,
    ListenerTimeouts,
    Queue,
    RequestLog,
    Sticky,
)
from penstock.dataplane.board.layout import (
    P_CLIENT_GONE,
    P_RETRIES,
    W_CONNECTIONS,
    W_HTTP2_CONNECTIONS,
    W_HTTP2_FLOODS,
    W_HTTP2_STREAM_FAULTS,
)
from penstock.wire.http2.flood_limits import RESETS_RECEIVED
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.log import lines_of
from tests.harness.messages import answer, answer_of
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, world
from tests.scenario.certificates import Authority

MIB = 1024 * 1024

Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]
Dial = Callable[..., Http2Client]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connects to a worker."""
    with ExitStack() as stack:
        yield lambda worker, **settings: stack.enter_context(
            Http2Client(worker.address(), **settings)
        )


def is_idle(worker: Worker) -> bool:
    worker.wait_until_published()
    return worker.in_flight() == 0 and worker.count(W_CONNECTIONS) == 0


def hold(connection: EndpointConnection) -> None:
    """Answers once it is told to."""
    connection.receive_head()
    connection.go_on.wait()
    connection.send(answer_of(b"held"))


def echo(request: Recorded) -> Answer:
    return Answer(body=request.body)


# --- requests and responses -----------------------------------------------------------------


def test_requests_are_served_by_prior_knowledge(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    for _ in range(3):
        found = client.get("/path?query=1", ("x-own", "a"))
        assert (found.status, found.body) == (200, endpoint.name.encode())
        assert found.value("content-length") == str(len(found.body))
        assert found.value("via") == "1.1 penstock"
    asked = endpoint.last
    assert (asked.method, asked.target) == ("GET", "/path?query=1")
    assert asked.headers["host"] == "site.example"
    assert asked.headers["x-own"] == "a"
    assert asked.headers["via"].startswith("2.0 penstock")
    assert asked.headers["x-forwarded-for"] == "127.0.0.1"
    wait_until(lambda: worker.count(W_HTTP2_CONNECTIONS) == 1, "it was counted")


def test_http2_is_agreed_on_over_tls(
    start: Start, endpoint: HttpEndpoint, dial: Dial, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    worker = start(world(pool(endpoint), listeners=listeners))
    client = dial(worker, tls=authority.client())
    assert client.get().status == 200
    assert endpoint.last.headers["x-forwarded-proto"] == "https"


def test_it_can_be_off(start: Start, endpoint: HttpEndpoint) -> None:
    listeners = [listener(http2=Http2(enabled=False))]
    client = start(world(pool(endpoint), listeners=listeners)).connect()
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert client.read_response().status == 505


@pytest.mark.parametrize("size", [0, 1, 100, 70_000, 3 * MIB])
@pytest.mark.parametrize("tells_length", [False, True])
def test_bodies_pass_both_ways(
    start: Start, endpoint: HttpEndpoint, dial: Dial, size: int, tells_length: bool
) -> None:
    endpoint.answer = echo
    client = dial(start(world(pool(endpoint))))
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    fields = (("content-length", str(size)),) if tells_length else ()
    # An end that came later than the head would be the end of a body of unknown length.
    stream = client.begin("/form", *fields, method="POST", end=size == 0)
    if size:
        client.send_data(stream, body)
    assert client.wait(stream).body == body
    assert endpoint.last.headers.all("transfer-encoding") == (
        [] if tells_length or not size else ["chunked"]
    )


def test_answer_in_chunks_passes_as_it_comes(start: Start, scripted: Scripted, dial: Dial) -> None:
    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"))
        connection.go_on.wait()
        connection.send(b"5\r\nlater\r\n0\r\n\r\n")

    endpoint = scripted(play)
    client = dial(start(world(pool(endpoint))))
    stream = client.begin()
    client.wait_for(stream, b"first")
    endpoint.connection().go_on.set()
    assert client.wait(stream).body == b"firstlater"


def test_head_requests_and_empty_answers_end_with_their_heads(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    client = dial(start(world(pool(endpoint))))
    found = client.wait(client.begin(method="HEAD"))
    assert (found.status, found.body) == (200, b"")
    endpoint.answer = lambda request: Answer(status=204)
    assert client.get().status == 204
    endpoint.answer = lambda request: Answer(status=304)
    assert client.get().status == 304


def test_interim_heads_pass(start: Start, endpoint: HttpEndpoint, dial: Dial) -> None:
    endpoint.answer = lambda request: Answer(
        body=b"x", interim=((103, (("Link", "</a.css>; rel=preload"),)),)
    )
    found = dial(start(world(pool(endpoint)))).get()
    assert found.interim == [[(":status", "103"), ("link", "</a.css>; rel=preload")]]
    assert (found.status, found.body) == (200, b"x")


def test_refusals_are_answers(start: Start, endpoint: HttpEndpoint, dial: Dial) -> None:
    limits = Limits(body_bytes=10, target_bytes=100)
    worker = start(world(pool(endpoint), listeners=[listener(limits=limits)]))
    client = dial(worker)
    assert client.get("/a/..;/b").status == 400
    assert client.get("/" + "a" * 200).status == 414
    assert client.post("/", b"x" * 11).status == 413
    stream = client.begin(method="POST", end=False)
    client.send_data(stream, b"x" * 6, end=False)
    client.send_data(stream, b"x" * 6, end=False)
    assert client.wait(stream).status == 413
    assert client.get().status == 200  # the connection goes on


# --- streams beside each other ---------------------------------------------------------------


def test_slow_answer_holds_up_its_own_stream_only(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    def play(connection: EndpointConnection) -> None:
        while True:
            asked = connection.receive_head()
            if b"/slow" in asked:
                connection.go_on.wait()
            connection.send(answer_of(asked.split()[1]))

    endpoint = scripted(play)
    client = dial(start(world(pool(endpoint))))
    slow = client.begin("/slow")
    for number in range(5):
        assert client.get(f"/{number}").body == b"/%d" % number
    assert not client.answers[slow].ended
    endpoint.connection().go_on.set()
    assert client.wait(slow).body == b"/slow"


def test_many_streams_at_once_are_answered_each_with_its_own(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    endpoint.answer = lambda request: Answer(body=request.target.encode() * 100)
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    streams = {client.begin(f"/{n}", flush=False): f"/{n}".encode() * 100 for n in range(90)}
    client.flush()
    for stream, body in streams.items():
        assert client.wait(stream).body == body
    client.socket.close()
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_streams_beyond_the_bound_are_refused_to_be_repeated(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    endpoint = scripted(hold)
    worker = start(world(pool(endpoint), listeners=[listener(http2=Http2(streams=2))]))
    client = dial(worker)
    streams = [client.begin(flush=False) for _ in range(3)]
    client.flush()
    assert client.wait(streams[2]).reset == h2.errors.ErrorCodes.REFUSED_STREAM
    wait_until(lambda: len(endpoint.connections) == 2, "two were sent")
    for connection in endpoint.connections:
        connection.go_on.set()
    assert [client.wait(each).body for each in streams[:2]] == [b"held"] * 2


def test_client_that_takes_nothing_of_one_stream_holds_up_that_one(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    endpoint.answer = lambda request: Answer(
        body=b"x" * (40 * MIB if request.target == "/big" else 10)
    )
    worker = start(world(pool(endpoint)))
    client = dial(worker, acknowledges=False, window=20_000)
    before = worker.memory_bytes()
    big = client.begin("/big")
    client.wait_for(big, b"x" * 20_000)
    for _ in range(20):
        assert client.get("/small").body == b"x" * 10
    assert worker.memory_bytes("VmHWM") - before < 4 * MIB
    client.h2.reset_stream(big)
    client.flush()
    client.socket.close()
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_endpoint_that_takes_no_body_holds_up_that_stream_only(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    def play(connection: EndpointConnection) -> None:
        while True:
            if connection.receive_head().startswith(b"POST"):
                connection.go_on.wait()
                connection.receive_until(b"0\r\n\r\n")
            connection.send(answer_of(b"done"))

    endpoint = scripted(play)
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    upload = client.begin(method="POST", end=False)
    sent = 0
    while client.get().body == b"done" and client.room(upload) >= 16384 and sent < 64 * MIB:
        client.send_data(upload, bytes(16384), end=False)
        sent += 16384
    assert client.room(upload) < 16384, "it takes a body that nobody reads"
    assert client.get().body == b"done"
    endpoint.connection().go_on.set()
    client.send_data(upload, b"end")
    assert client.wait(upload).body == b"done"


# --- ends -----------------------------------------------------------------------------------


def test_reset_of_a_stream_ends_the_endpoints_work_and_no_other(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    def play(connection: EndpointConnection) -> None:
        asked = connection.receive_head()
        if b"/held" in asked:
            connection.receive_to_end()
            return
        connection.send(answer_of(b"ok"))
        connection.receive_to_end()

    endpoint = scripted(play)
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    held = client.begin("/held")
    wait_until(lambda: any(each.received for each in endpoint.connections), "it is at work")
    client.h2.reset_stream(held)
    client.flush()
    wait_until(lambda: endpoint.connection().closed_at > 0.0, "the endpoint saw it leave")
    assert client.get().body == b"ok"
    wait_until(lambda: worker.pool_count(P_CLIENT_GONE) == 1, "it was counted")


def test_client_that_leaves_ends_all_its_streams(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    endpoint = scripted(EndpointConnection.receive_to_end)
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    for number in range(5):
        client.begin(f"/{number}")
    wait_until(lambda: len(endpoint.connections) == 5, "all are at work")
    client.socket.close()
    wait_until(lambda: all(each.closed_at for each in endpoint.connections), "all saw it leave")
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_answer_that_breaks_off_never_looks_whole(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    def die(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 100", body=b"begun"))
        connection.go_on.wait()
        connection.reset()

    endpoint = scripted(die)
    client = dial(start(world(pool(endpoint))))
    stream = client.begin()
    client.wait_for(stream, b"begun")
    endpoint.connection().go_on.set()
    found = client.wait(stream)
    assert not found.ended
    assert found.reset == h2.errors.ErrorCodes.INTERNAL_ERROR


def test_early_answer_stops_the_upload(start: Start, scripted: Scripted, dial: Dial) -> None:
    def refuse(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer_of(b"no", status="403 Forbidden"))
        connection.receive_to_end()

    client = dial(start(world(pool(scripted(refuse)))))
    stream = client.begin(method="POST", end=False)
    client.send_data(stream, b"some", end=False)
    found = client.wait(stream)
    assert (found.status, found.body) == (403, b"no")


def test_stop_lets_streams_finish_and_says_goaway(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    endpoint = scripted(hold)
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    stream = client.begin()
    wait_until(lambda: any(each.received for each in endpoint.connections), "it is at work")
    worker.send({"kind": "stop", "deadline_s": 20.0})
    while client.goaway is None:
        assert client.read()
    endpoint.connection().go_on.set()
    found = client.answers[stream]
    while not found.ended:
        assert client.read()
    assert found.body == b"held"
    client.read_to_end()


def test_body_that_never_comes_is_408(start: Start, endpoint: HttpEndpoint, dial: Dial) -> None:
    timeouts = ListenerTimeouts(client_body_idle_s=5.0)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = dial(worker)
    stream = client.begin(method="POST", end=False)
    client.send_data(stream, b"some", end=False)
    wait_until(lambda: len(endpoint.requests) == 1, "its head has arrived")
    worker.pass_time(6.0)
    assert client.wait(stream).status == 408


def test_idle_connection_is_told_goaway_and_closed(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    timeouts = ListenerTimeouts(keep_alive_idle_s=20.0)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = dial(worker)
    assert client.get().status == 200
    worker.pass_time(21.0)
    client.read_to_end()
    assert client.goaway is not None
    assert client.goaway.error_code == h2.errors.ErrorCodes.NO_ERROR


# --- rules of routing and failing over --------------------------------------------------------


def test_endpoint_that_refuses_is_passed_over(
    start: Start, endpoint: HttpEndpoint, refusing: Address, dial: Dial
) -> None:
    worker = start(world(pool(refusing, endpoint)))
    client = dial(worker)
    for _ in range(4):
        assert client.post("/", b"body").status == 200
    wait_until(lambda: worker.pool_count(P_RETRIES) > 0, "it was passed over")


def test_streams_wait_in_the_pools_queue(start: Start, scripted: Scripted, dial: Dial) -> None:
    def hold_each(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            connection.go_on.wait()
            connection.send(answer_of(b"held"))

    endpoint = scripted(hold_each)
    limited = pool(at(endpoint, max_in_flight=1), admission=Admission(queue=Queue(length=2)))
    client = dial(start(world(limited)))
    streams = [client.begin() for _ in range(4)]
    refused = client.wait(streams[3])
    assert refused.status == 503
    assert refused.value("retry-after") is not None
    endpoint.connection().go_on.set()
    assert [client.wait(each).body for each in streams[:3]] == [b"held"] * 3


def test_sticky_cookie_binds_over_http2(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, dial: Dial
) -> None:
    sticky = Sticky(cookie="where", keys=("0123456789abcdef",))
    client = dial(start(world(pool(endpoint, other_endpoint, sticky=sticky))))
    first = client.get()
    cookie = (first.value("set-cookie") or "").partition(";")[0]
    assert cookie.startswith("where=")
    bodies = {client.get("/", ("cookie", "a=b"), ("cookie", cookie)).body for _ in range(4)}
    assert bodies == {first.body}


def test_each_stream_is_one_line_of_the_log(
    start: Start, endpoint: HttpEndpoint, dial: Dial, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    client = dial(worker)
    client.get("/one")
    client.get("/two")
    lines = lines_of(log, 2)
    assert [line["target"] for line in lines] == ["/one", "/two"]
    assert {line["protocol"] for line in lines} == {"http/2"}
    assert {line["end"] for line in lines} == {"done"}


# --- hostile clients --------------------------------------------------------------------------


def test_rapid_reset_ends_the_connection_and_reaches_few_endpoints(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    for _ in range(1000):
        stream = client.begin(flush=False)
        client.h2.reset_stream(stream)
    try:
        client.flush()
        client.read_to_end()
    except ConnectionError:
        pass
    if client.goaway is not None:
        assert client.goaway.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
    wait_until(lambda: worker.count(W_HTTP2_FLOODS + RESETS_RECEIVED) == 1, "it was counted")
    wait_until(lambda: is_idle(worker), "nothing is left of it")
    assert len(endpoint.requests) == 0
    assert dial(worker).get().status == 200


@pytest.mark.parametrize(
    "fields",
    [
        [("x", "a\r\nb: c")],
        [("x y", "1")],
        [("X-Upper", "1")],
        [("connection", "keep-alive")],
        [("transfer-encoding", "chunked")],
        [("te", "gzip")],
        [("content-length", "5")],
        [("host", "other.example")],
    ],
)
def test_malformed_requests_reach_no_endpoint(
    start: Start, endpoint: HttpEndpoint, dial: Dial, fields: list[tuple[str, str]]
) -> None:
    worker = start(world(pool(endpoint)))
    client = dial(worker)
    client.h2.config.validate_outbound_headers = False
    client.h2.config.normalize_outbound_headers = False
    found = client.get("/", *fields)
    assert found.reset == h2.errors.ErrorCodes.PROTOCOL_ERROR
    assert not endpoint.requests
    wait_until(lambda: worker.count(W_HTTP2_STREAM_FAULTS) == 1, "it was counted")


def test_language_models_streams_are_metered_and_hidden_usage_stays_hidden(
    start: Start, endpoint: HttpEndpoint, dial: Dial, tmp_path: Path
) -> None:
    token = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
    done = b"data: [DONE]\n\n"

    def engine(request: Recorded) -> Answer:
        told = (usage,) if b"include_usage" in request.body else ()
        headers = (("Content-Type", "text/event-stream"),)
        return Answer(chunks=(token, token, *told, done), headers=headers)

    endpoint.answer = engine
    log = tmp_path / "log.jsonl"
    models: Any = pool(endpoint, kind="llm")
    client = dial(start(world(models, request_log=RequestLog("file", str(log)))))
    body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "x"}]}'
    for _ in range(2):  # from the first it is learnt whether usage has to be asked for
        found = client.post("/v1/chat/completions", body, ("content-type", "application/json"))
        assert found.body == token * 2 + done
    line = lines_of(log, 2)[-1]
    assert (line["prompt_tokens"], line["output_tokens"]) == (7, 2)


# --- deadlines --------------------------------------------------------------------------------


def held_body(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.go_on.wait()
    connection.send(answer("Content-Length: 200000", body=b"x" * 200_000))
    connection.receive_to_end()


def test_client_that_waits_for_100_is_not_hurried(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    def continue_late(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.receive_until(b"0\r\n\r\n")
        connection.send(answer_of(b"got it"))

    timeouts = ListenerTimeouts(client_body_idle_s=5.0)
    endpoint = scripted(continue_late)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = dial(worker)
    stream = client.begin("/", ("expect", "100-continue"), method="POST", end=False)
    wait_until(lambda: any(each.received for each in endpoint.connections), "its head has arrived")
    worker.pass_time(6.0)
    endpoint.connection().go_on.set()
    while not client.answers[stream].interim:
        assert client.read()
    client.send_data(stream, b"body")
    assert client.wait(stream).body == b"got it"


def test_body_that_trickles_is_408(start: Start, endpoint: HttpEndpoint, dial: Dial) -> None:
    """A byte within each ``client_body_idle`` is not enough (``limits.body_rate``)."""
    timeouts = ListenerTimeouts(client_body_idle_s=5.0)
    bounds = [listener(timeouts=timeouts, limits=Limits(body_rate=1000))]
    worker = start(world(pool(endpoint), listeners=bounds), held=True)
    client = dial(worker)
    stream = client.begin(method="POST", end=False)
    for sent in range(1, 4):
        client.send_data(stream, b"x", end=False)
        wait_until(
            lambda sent=sent: endpoint.received.count(b"1\r\nx\r\n") == sent,  # type: ignore[misc]
            "it has arrived",
        )
        worker.pass_time(2.0)
    assert client.wait(stream).status == 408


def test_end_of_a_body_leaves_the_deadline_of_taking_the_answer(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    timeouts = ListenerTimeouts(client_write_idle_s=5.0)
    endpoint = scripted(held_body)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = dial(worker, acknowledges=False, window=1000)
    stream = client.begin(method="POST", end=False)
    wait_until(lambda: any(each.received for each in endpoint.connections), "its head has arrived")
    endpoint.connection().go_on.set()
    client.wait_for(stream, b"x" * 1000)
    client.send_data(stream, b"end")
    wait_until(
        lambda: endpoint.connection().received.endswith(b"0\r\n\r\n"), "its body has arrived"
    )
    worker.pass_time(6.0)
    assert client.wait(stream).reset == h2.errors.ErrorCodes.CANCEL


def test_deadline_of_one_stream_does_not_end_a_connection_that_is_slow_to_take(
    start: Start, endpoint: HttpEndpoint, dial: Dial
) -> None:
    """Its first deadline, for the first request, passes while the system holds bytes back."""
    endpoint.answer = lambda request: Answer(body=b"x" * (16 * MIB))
    timeouts = ListenerTimeouts(client_headers_s=5.0, client_write_idle_s=60.0)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = dial(worker, window=2**30)
    client.h2.increment_flow_control_window(2**30)
    client.flush()
    stream = client.begin()
    wait_until(worker.is_asleep, "the system takes no more")
    worker.pass_time(6.0)
    assert len(client.wait(stream).body) == 16 * MIB


def test_window_of_the_connection_is_given_back_by_bodies_that_waited(
    start: Start, scripted: Scripted, dial: Dial
) -> None:
    """Else uploads would stand still once as much as the window had waited in the queue."""

    def hold_first(connection: EndpointConnection) -> None:
        while True:
            head = connection.receive_head()
            if b"/first" in head:
                connection.go_on.wait()
            else:
                connection.receive_until(b"0\r\n\r\n")
            connection.send(answer_of(b"done"))

    endpoint = scripted(hold_first)
    limited = pool(at(endpoint, max_in_flight=1), admission=Admission(queue=Queue(length=20)))
    client = dial(start(world(limited)))
    first = client.begin("/first")
    uploads = []
    for _ in range(6):
        upload = client.begin("/upload", method="POST", end=False)
        client.send_data(upload, bytes(10_000), end=False)
        client.send_data(upload, bytes(20_000))
        uploads.append(upload)
    endpoint.connection().go_on.set()
    assert [client.wait(each).body for each in (first, *uploads)] == [b"done"] * 7
