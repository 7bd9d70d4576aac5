"""WebSockets: a handshake that is held to all rules of a request, then bytes that are relayed, and
an end between two frames when the balancer ends it.

What fixtures ``dial`` and ``echoing`` have part in is played through HTTP/1.1 and HTTP/2 on either
side; the other tests are about bytes of HTTP/1.1.
"""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection as WebSocket
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.typing import Subprotocol
from wsproto.frame_protocol import CloseReason

from penstock.core.snapshot import (
    Drain,
    Endpoint,
    EndpointTls,
    Http2,
    Pool,
    PoolTimeouts,
    RequestLog,
)
from penstock.dataplane.board.layout import P_RETRIES, W_CONNECTIONS, W_HTTP2_CONNECTIONS
from penstock.wire.websocket_handshake import accept_key
from tests.harness.alpn_front import AlpnFront
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import head
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.websocket_endpoint import WebSocketEndpoint
from tests.harness.websocket_over_http2 import (
    Http2WebSocketClient,
    Http2WebSocketEndpoint,
    StreamSocket,
)
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, route, world
from tests.scenario.certificates import Authority

SOON_S = 0.3
KEY = base64.b64encode(os.urandom(16)).decode()
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
)
AGREED = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Accept: {accept_key(KEY.encode()).decode()}\r\n\r\n"
).encode()

Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]
Dial = Callable[..., WebSocket]  # or a StreamSocket, which has the same calls
Echoing = WebSocketEndpoint | Http2WebSocketEndpoint
BOTH = ("http1", "http2")


@pytest.fixture(params=BOTH)
def behind(request: pytest.FixtureRequest) -> str:
    """What endpoints speak."""
    return str(request.param)


@pytest.fixture
def echoing(behind: str) -> Iterator[Echoing]:
    with echo_server(behind) as made:
        yield made


@pytest.fixture(params=BOTH)
def dial(request: pytest.FixtureRequest) -> Iterator[Dial]:
    """Opens WebSockets through a worker, and closes them at the end."""
    with ExitStack() as stack:
        yield lambda *given, **settings: OPENERS[request.param](stack, *given, **settings)


def open_over_http1(
    stack: ExitStack, worker: Worker, path: str = "/", **settings: Any
) -> WebSocket:
    host, port = worker.address()
    scheme = "wss" if "ssl" in settings else "ws"
    uri = f"{scheme}://{host}:{port}{path}"
    made: WebSocket = connect(uri, open_timeout=PATIENCE_S, proxy=None, **settings)
    return stack.enter_context(made)


def open_over_http2(
    stack: ExitStack, worker: Worker, path: str = "/", **settings: Any
) -> StreamSocket:
    client = stack.enter_context(Http2WebSocketClient(worker.address(), settings.get("ssl")))
    made = client.open(
        path,
        subprotocols=settings.get("subprotocols", ()),
        compression=settings.get("compression"),
    )
    stack.callback(made.close)
    return made


OPENERS: dict[str, Callable[..., Any]] = {"http1": open_over_http1, "http2": open_over_http2}


def echo_server(behind: str) -> Echoing:
    return WebSocketEndpoint(echo) if behind == "http1" else Http2WebSocketEndpoint(echo)


def member(endpoint: Echoing) -> Endpoint:
    return at(endpoint, http2=isinstance(endpoint, Http2WebSocketEndpoint))


def echo(connection: ServerConnection | StreamSocket) -> None:
    for message in connection:
        connection.send(message)


def nothing_runs(worker: Worker) -> bool:
    worker.wait_until_published()
    return worker.in_flight() == 0


def is_idle(worker: Worker) -> bool:
    return nothing_runs(worker) and worker.count(W_CONNECTIONS) == 0


def test_messages_pass_both_ways(start: Start, echoing: Echoing, dial: Dial) -> None:
    socket = dial(start(world(pool(member(echoing)))), max_size=None)
    for message in ("hello", b"\x00\xff" * 3, "", "x" * 70_000, b"y" * 2_000_000):
        for _ in range(3):
            socket.send(message)
            assert socket.recv(PATIENCE_S) == message


def test_it_counts_as_load_until_it_ends(start: Start, echoing: Echoing, dial: Dial) -> None:
    worker = start(world(pool(member(echoing))))
    socket = dial(worker)
    socket.send("here")
    socket.recv(PATIENCE_S)
    worker.wait_until_published()
    assert worker.load(echoing) == 1
    socket.close()
    wait_until(lambda: nothing_runs(worker), "nothing is left of it")


def test_subprotocol_extensions_and_headers_are_the_endpoints(
    start: Start, echoing: Echoing, dial: Dial
) -> None:
    socket = dial(
        start(world(pool(member(echoing)))),
        "/chat?x=1",
        subprotocols=[Subprotocol("chat")],
        compression="deflate",
    )
    socket.send("compressed" * 100)
    assert socket.recv(PATIENCE_S) == "compressed" * 100
    assert socket.subprotocol == "chat"
    assert socket.response is not None
    assert "permessage-deflate" in socket.response.headers["Sec-WebSocket-Extensions"]
    asked = echoing.requests[-1]
    assert asked.path == "/chat?x=1"
    assert asked.headers["X-Forwarded-For"] == "127.0.0.1"
    assert asked.headers["Via"].endswith(" penstock")
    assert socket.response.headers["X-Request-ID"] == asked.headers["X-Request-ID"]


def test_it_passes_over_tls(start: Start, echoing: Echoing, dial: Dial, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    worker = start(world(pool(member(echoing)), listeners=listeners))
    socket = dial(worker, ssl=authority.client(), server_hostname="localhost")
    socket.send("secret" * 50_000)
    assert socket.recv(PATIENCE_S) == "secret" * 50_000


@pytest.mark.parametrize("http2", ["on", "auto"])
def test_it_passes_over_tls_and_http2_to_an_endpoint(
    start: Start, tmp_path: Path, http2: Any
) -> None:
    """The endpoint is a balancer of ours, with a server of another make behind it."""
    with WebSocketEndpoint(echo) as server, ExitStack() as stack:
        secure = listener(certificates=(Authority(tmp_path).issue("127.0.0.1"),))
        inner = start(world(pool(server), listeners=[secure]))
        tls = EndpointTls(verify=False, http2=http2)
        address = Address(inner.address()[1])
        outer = start(world(pool(at(address, tls=True, http2=http2 == "on"), tls=tls)))
        for opener in OPENERS.values():
            socket = opener(stack, outer)
            socket.send("through both")
            assert socket.recv(PATIENCE_S) == "through both"
        wait_until(lambda: inner.count(W_HTTP2_CONNECTIONS) > 0, "it was spoken")
        vias = {request.headers["Via"] for request in server.requests}
        assert all(via.count("penstock") == 2 for via in vias)


def test_endpoint_that_refuses_connections_is_passed_over(
    start: Start, echoing: Echoing, dial: Dial, refusing: Address
) -> None:
    worker = start(world(pool(refusing, member(echoing))))
    for _ in range(4):
        with closing(dial(worker)) as socket:
            socket.send("hello")
            assert socket.recv(PATIENCE_S) == "hello"
    wait_until(lambda: worker.pool_count(P_RETRIES) > 0, "it was passed over")


def test_bytes_behind_the_request_wait_for_the_101(start: Start, scripted: Scripted) -> None:
    def agree_late(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(AGREED)
        connection.receive_to_end()

    endpoint = scripted(agree_late)
    client = start(world(pool(endpoint))).connect()
    client.send(head("GET / HTTP/1.1", *HANDSHAKE) + b"EARLY")
    wait_until(lambda: any(each.received for each in endpoint.connections), "it was asked")
    assert client.is_silent(SOON_S)
    assert b"EARLY" not in endpoint.connection().received
    endpoint.connection().go_on.set()
    client.read_until(b"\r\n\r\n")
    wait_until(lambda: endpoint.connection().received.endswith(b"\r\n\r\nEARLY"), "it came then")


def test_answer_other_than_101_is_an_answer_and_the_connection_goes_on(
    start: Start, scripted: Scripted
) -> None:
    def refuse(connection: EndpointConnection) -> None:
        for _ in range(2):
            connection.receive_head()
            connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")

    client = start(world(pool(scripted(refuse)))).connect()
    client.send(head("GET / HTTP/1.1", *HANDSHAKE))
    assert client.read_response().status == 401
    assert client.get().status == 401


@pytest.mark.parametrize(
    "answered",
    [
        AGREED.replace(b"Accept: ", b"Accept: x"),
        AGREED.replace(b"Upgrade: websocket\r\n", b""),
        AGREED.replace(b"websocket", b"evil"),
        AGREED.replace(b"Connection: Upgrade\r\n", b""),
    ],
    ids=["wrong-accept", "no-upgrade", "another-protocol", "no-connection"],
)
def test_101_that_does_not_agree_is_a_bad_gateway(
    start: Start, scripted: Scripted, answered: bytes
) -> None:
    def answer(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answered)
        connection.receive_to_end()

    client = start(world(pool(scripted(answer)))).connect()
    client.send(head("GET / HTTP/1.1", *HANDSHAKE))
    assert client.read_response().status == 502


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Connection: Upgrade", "Upgrade: websocket"), 426),
        ((*HANDSHAKE[:3], "Sec-WebSocket-Version: 8"), 426),
        ((*HANDSHAKE[:2], "Sec-WebSocket-Key: short", HANDSHAKE[3]), 400),
        ((*HANDSHAKE, "Content-Length: 3"), 400),
    ],
)
def test_what_is_no_handshake_reaches_no_endpoint(
    start: Start, echoing: Echoing, lines: tuple[str, ...], status: int
) -> None:
    client = start(world(pool(member(echoing)))).connect()
    client.send(head("GET / HTTP/1.1", *lines))
    answer = client.read_response()
    assert answer.status == status
    assert answer.headers.all("sec-websocket-version") == (["13"] if status == 426 else [])
    assert not echoing.requests


def test_route_without_upgrades_refuses_websockets(start: Start, echoing: Echoing) -> None:
    worker = start(world(pool(member(echoing)), routes=[route("main", upgrades=())]))
    client = worker.connect()
    client.send(head("GET / HTTP/1.1", *HANDSHAKE))
    assert client.read_response().status == 501
    assert not echoing.requests


def test_http2_endpoint_that_does_not_know_websockets_is_named_in_the_log(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    with Http2WebSocketEndpoint(echo, offers=False) as endpoint:
        snapshot = world(pool(member(endpoint)), request_log=RequestLog("file", str(log)))
        worker = start(snapshot)
        client = worker.connect()
        client.send(head("GET /chat HTTP/1.1", *HANDSHAKE))
        assert client.read_response().status == 501
        assert not endpoint.requests
        (line,) = lines_of(log, 1)
        assert (line["status"], line["attempts"]) == (501, 1)
        assert line["why"].startswith(f"endpoint {endpoint.name}: ")
        assert "extended CONNECT (RFC 8441)" in line["why"]


def test_endpoint_whose_http2_knows_no_websockets_is_asked_over_http1(
    start: Start, dial: Dial, tmp_path: Path
) -> None:
    """As most servers are: they choose HTTP/2 by ALPN, and speak WebSocket over HTTP/1.1 alone."""
    with ExitStack() as stack:
        http1 = stack.enter_context(WebSocketEndpoint(echo))
        http2 = stack.enter_context(Http2WebSocketEndpoint(echo, offers=False))
        front = stack.enter_context(AlpnFront(Authority(tmp_path).server("a"), http1, http2))
        chooses = EndpointTls(verify=False, http2="auto")
        worker = start(world(pool(at(front, tls=True), tls=chooses)))
        for _ in range(2):
            socket = dial(worker, "/chat")
            socket.send("hello")
            assert socket.recv() == "hello"
            socket.close()
        assert front.chosen == ["h2", "http/1.1", "http/1.1"]
        assert not http2.requests
        wait_until(lambda: nothing_runs(worker), "all have ended")


def test_endpoint_that_is_asked_over_http1_is_told_so_in_its_proxy_header(
    start: Start, tmp_path: Path
) -> None:
    """Whatever the client speaks (PP2_TYPE_ALPN): here HTTP/2 over TLS."""
    authority = Authority(tmp_path)
    secure = listener(certificates=(authority.issue("localhost"),), http2=Http2())
    with ExitStack() as stack:
        http1 = stack.enter_context(WebSocketEndpoint(echo))
        http2 = stack.enter_context(Http2WebSocketEndpoint(echo, offers=False))
        made = AlpnFront(authority.server("a"), http1, http2, introduced=True)
        front = stack.enter_context(made)
        chooses = EndpointTls(verify=False, http2="auto")
        members = pool(at(front, tls=True), tls=chooses, proxy_protocol="v2")
        worker = start(world(members, listeners=[secure]))
        socket = open_over_http2(stack, worker, "/chat", ssl=authority.client())
        socket.send("hello")
        assert socket.recv() == "hello"
        assert front.chosen == ["h2", "http/1.1"]
        assert [each.alpn for each in front.introductions] == [b"", b"http/1.1"]


def test_endpoint_that_knows_websockets_over_nothing_is_not_blamed(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    tls = Authority(tmp_path).server("a")
    with ExitStack() as stack:
        http2 = stack.enter_context(Http2WebSocketEndpoint(echo, offers=False))
        front = stack.enter_context(AlpnFront(tls, http2, http2))
        tls.set_alpn_protocols(["h2"])
        members = pool(at(front, tls=True), tls=EndpointTls(verify=False, http2="auto"))
        worker = start(world(members, request_log=RequestLog("file", str(log))))
        client = worker.connect()
        client.send(head("GET /chat HTTP/1.1", *HANDSHAKE))
        assert client.read_response().status == 501
        (line,) = lines_of(log, 1)
        assert (line["status"], line["attempts"]) == (501, 1)


def test_upgrade_that_a_route_names_is_relayed_unread(start: Start, scripted: Scripted) -> None:
    def agree(connection: EndpointConnection) -> None:
        asked = connection.receive_head()
        assert b"\r\nUpgrade: own\r\n" in asked
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: OWN\r\n\r\nhi"
        )
        while data := connection.receive():
            connection.send(data.upper())

    worker = start(world(pool(scripted(agree)), routes=[route("main", upgrades=("own",))]))
    client = worker.connect()
    client.send(head("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: own"))
    client.read_until(b"\r\n\r\nhi")
    client.send(b"not frames \xff")
    assert client.read_until(b"\xff") == b"NOT FRAMES \xff"


def test_upgrade_that_no_route_names_is_ignored(start: Start, scripted: Scripted) -> None:
    def answer(connection: EndpointConnection) -> None:
        asked = connection.receive_head()
        assert b"pgrade" not in asked
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    client = start(world(pool(scripted(answer)))).connect()
    client.send(head("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: own"))
    assert client.read_response().status == 200


def test_endpoint_that_dies_resets_the_client(start: Start, scripted: Scripted) -> None:
    def die(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(AGREED + b"\x81\x05hel")
        connection.receive_bytes(4)
        connection.reset()

    worker = start(world(pool(scripted(die))))
    client = worker.connect()
    client.send(head("GET / HTTP/1.1", *HANDSHAKE))
    client.read_until(b"hel")
    client.send(b"more")
    client.read_to_end()
    assert client.was_reset
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def drained(endpoint: Echoing, deadline_s: float) -> Pool:
    return pool(member(endpoint), drain=Drain(deadline_s=deadline_s))


def test_drained_endpoints_websockets_are_closed_with_1012_at_the_deadline(
    start: Start, echoing: Echoing, dial: Dial
) -> None:
    worker = start(world(drained(echoing, 60.0)), held=True)
    socket = dial(worker)
    socket.send("before")
    socket.recv(PATIENCE_S)
    worker.drain("main", echoing)
    worker.pass_time(1.0)
    worker.pass_time(58.0)
    socket.send("meanwhile")
    assert socket.recv(PATIENCE_S) == "meanwhile"
    worker.pass_time(2.0)
    with pytest.raises(Exception, match="1012"):
        socket.recv(PATIENCE_S)
    wait_until(lambda: echoing.close_codes == [1012], "the endpoint was told too")


def test_removed_endpoints_websockets_are_closed_with_1001_at_the_deadline(
    start: Start, echoing: Echoing, dial: Dial, behind: str
) -> None:
    with echo_server(behind) as other:
        worker = start(world(drained(echoing, 60.0)), held=True)
        socket = dial(worker)
        socket.send("before")
        socket.recv(PATIENCE_S)
        worker.apply(world(drained(other, 60.0)))
        worker.pass_time(1.0)
        socket.send("meanwhile")
        assert socket.recv(PATIENCE_S) == "meanwhile"
        worker.pass_time(60.0)
        with pytest.raises(Exception, match="1001"):
            socket.recv(PATIENCE_S)


def test_close_never_cuts_a_frame(start: Start, scripted: Scripted) -> None:
    frame = b"\x82\x7e\x03\xe8" + bytes(1000)

    def send_half(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(AGREED + frame + frame[:500])
        connection.go_on.wait()
        connection.send(frame[500:])
        connection.receive_to_end()

    endpoint = scripted(send_half)
    worker = start(world(pool(endpoint, drain=Drain(deadline_s=10.0))), held=True)
    client = worker.connect()
    client.send(head("GET / HTTP/1.1", *HANDSHAKE))
    client.read_until(AGREED[-4:] + frame)
    worker.drain("main", endpoint)
    worker.pass_time(1.0)
    worker.pass_time(10.0)
    endpoint.connection().go_on.set()
    # 1012, behind the frame that was under way.
    assert client.read_until(b"\x88\x02\x03\xf4") == frame + b"\x88\x02\x03\xf4"
    worker.pass_time(6.0)
    client.expect_end()


def test_websockets_of_a_stopping_worker_are_closed_with_1001(
    start: Start, echoing: Echoing, dial: Dial
) -> None:
    worker = start(world(pool(member(echoing))))
    socket = dial(worker)
    socket.send("hello")
    socket.recv(PATIENCE_S)
    worker.send({"kind": "stop", "deadline_s": 3.0})
    with pytest.raises(Exception, match=str(int(CloseReason.GOING_AWAY))):
        socket.recv(PATIENCE_S)


def test_idle_websocket_ends_after_its_time(start: Start, echoing: Echoing, dial: Dial) -> None:
    short = pool(member(echoing), timeouts=PoolTimeouts(tunnel_idle_s=30.0))
    worker = start(world(short), held=True)
    socket = dial(worker, ping_interval=None)
    socket.send("hello")
    socket.recv(PATIENCE_S)
    worker.pass_time(31.0)
    with pytest.raises(Exception, match="no close frame"):
        socket.recv(PATIENCE_S)


def test_a_websocket_is_one_line_of_the_log(
    start: Start, echoing: Echoing, dial: Dial, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(world(pool(member(echoing)), request_log=RequestLog("file", str(log))))
    with closing(dial(worker, "/chat", compression=None)) as socket:
        socket.send("x" * 100)
        socket.recv(PATIENCE_S)
    (line,) = lines_of(log, 1)
    assert (line["status"], line["target"], line["end"]) == (101, "/chat", "done")
    assert line["bytes_from_client"] == 106 + 8  # a masked frame, and the close
    assert line["t_total"] > 0.0
