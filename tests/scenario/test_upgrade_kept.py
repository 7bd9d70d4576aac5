"""What goes on over an upgrade as if there were none: streams, every kind of listener, endpoints
that were added while it ran, and those that a scaled pool has started."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection

from penstock.control.upgrade.asking import ask_for_upgrade
from tests.harness.balancer import Balancer, is_there
from tests.harness.client import Client
from tests.harness.client_over_http2 import ClientOverHttp2
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.traffic import Traffic
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.websocket_endpoint import WebSocketEndpoint
from tests.scenario.certificates import Authority
from tests.scenario.conftest import Serve

pytestmark = pytest.mark.large

TOKEN = "who-may-change-endpoints"
ADMIN = {"address": "127.0.0.1:0", "token": TOKEN}
EVENTS = [f"data: {number}\n\n".encode() for number in range(6)]
ENGINE = """\
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def upgrade(balancer: Balancer, directory: Path) -> None:
    """``penstock upgrade``, to the version that runs."""
    told = ask_for_upgrade(directory / "run", None, [sys.executable, "-P", "-m", "penstock"])
    assert "serves" in told
    balancer.wait_for_upgrade()


def echo(websocket: ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


def stream(connection: EndpointConnection) -> None:
    """Server-sent events: half of them, and the others once the test says so."""
    connection.receive_head()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    connection.send(b"Transfer-Encoding: chunked\r\n\r\n")
    for number, event in enumerate(EVENTS):
        if number == len(EVENTS) // 2:
            connection.go_on.wait()
        connection.send(b"%x\r\n%s\r\n" % (len(event), event))
    connection.send(b"0\r\n\r\n")


@pytest.fixture
def socket_file() -> Iterator[Path]:
    """In a short directory: paths of sockets are."""
    with tempfile.TemporaryDirectory(prefix="ps-") as made:
        yield Path(made) / "web"


@contextmanager
def traffic_of_every_kind(
    balancer: Balancer, authority: Authority, socket_file: Path
) -> Iterator[list[Traffic]]:
    """In the clear, over TLS by HTTP/1.1 and HTTP/2, and over the socket file: none may fail."""
    clear, secure = balancer.address(), balancer.address("secure")
    patience_s = 2 * PATIENCE_S

    def over_tls(kind: Callable[..., Client]) -> Callable[[], Client]:
        return lambda: kind(secure, tls=authority.client(), timeout_s=patience_s)

    with ExitStack() as stack:
        yield [
            stack.enter_context(each)
            for each in (
                Traffic(clear, 1),
                Traffic(secure, 1, over_tls(Client)),
                Traffic(secure, 1, over_tls(ClientOverHttp2)),
                Traffic(str(socket_file), 1),
            )
        ]


def scaled(script: Path) -> dict[str, Any]:
    """From none: whatever runs was asked for."""
    return {
        "forecast": "off",
        "admission": {"queue": {"while_down": "wait", "timeout": "30s"}},
        "scale": {
            "min": 0,
            "max": 1,
            "concurrency": 4,
            "start_time": "1s",
            "idle": "10m",
            "interval": "250ms",
            "process": {
                "command": [sys.executable, "-S", str(script), "{port}"],
                "ports": "29400-29499",
                "ready": "/",
            },
        },
    }


def names(balancer: Balancer) -> dict[str, str]:
    """Endpoints of all pools, and whose word it is that they are there."""
    pools = balancer.status()["pools"]
    return {each["name"]: each["source"] for pool in pools for each in pool["endpoints"]}


def test_streams_listeners_added_endpoints_and_started_processes_are_kept(
    serve: Serve,
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    socket_file: Path,
    tmp_path: Path,
) -> None:
    """All in one: an upgrade of real processes takes seconds."""
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    tls = {"certificate": certificate.certificate, "key": certificate.key}
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    events = scripted(stream)
    with ExitStack() as stack:
        chat = stack.enter_context(WebSocketEndpoint(echo))
        balancer = serve(
            {
                "listeners": {
                    "main": {"address": "127.0.0.1:0"},
                    "secure": {"address": "127.0.0.1:0", "tls": tls},
                    "file": {"address": f"unix:{socket_file}"},
                },
                "pools": {
                    "main": {"endpoints": [endpoint.name]},
                    "events": {"endpoints": [events.name]},
                    "chat": {"endpoints": [chat.name]},
                    "engines": scaled(script),
                },
                "routes": [
                    {"match": {"path_prefix": "/events"}, "pool": "events"},
                    {"match": {"path_prefix": "/chat"}, "pool": "chat"},
                    {"match": {"path_prefix": "/engine"}, "pool": "engines"},
                    {"pool": "main"},
                ],
                "admin": ADMIN,
                "workers": 1,
            }
        )
        host, port = balancer.address()
        websocket = stack.enter_context(connect(f"ws://{host}:{port}/chat", proxy=None))
        websocket.send("before")
        assert websocket.recv(PATIENCE_S) == "before"
        listening = balancer.connect()
        listening.send(b"GET /events HTTP/1.1\r\nHost: site.example\r\n\r\n")
        begun = listening.read_until(EVENTS[len(EVENTS) // 2 - 1])
        listening.put_back(begun)
        secure = stack.enter_context(
            Http2Client(balancer.address("secure"), tls=authority.client())
        )
        streamed = secure.begin("/events")
        secure.wait_for(streamed, EVENTS[len(EVENTS) // 2 - 1])
        added = {"action": "add", "pool": "main", "url": f"http://{other_endpoint.name}"}
        assert balancer.ask("/api/v1/endpoint", added)[0] == 200
        engine = int(balancer.connect().get("/engine").body)  # its pid
        before = names(balancer)
        assert (before[other_endpoint.name], len(before)) == ("api", 5)

        with traffic_of_every_kind(balancer, authority, socket_file) as kinds:
            for traffic in kinds:
                traffic.wait_for_more(5)
            upgrade(balancer, tmp_path)
            for traffic in kinds:
                traffic.wait_for_more(2 * 20)  # on other connections than before

        assert balancer.process.is_alive(), "the old one has streams to finish"
        websocket.send("after")
        assert websocket.recv(PATIENCE_S) == "after"
        for number in range(2):
            events.connection(number).go_on.set()
        assert listening.read_response().body == b"".join(EVENTS)
        assert secure.wait(streamed).body == b"".join(EVENTS)
        secure.read_to_end()
        assert secure.goaway is not None, "it is told that this was the last"
        websocket.close()
        wait_until(lambda: chat.close_codes == [1000], "the endpoint was told")
        balancer.wait_for_exit()

        assert socket_file.is_socket(), "it is the new one's"
        both = {endpoint.name.encode(), other_endpoint.name.encode()}
        client = balancer.connect()
        assert {client.get().body for _ in range(8)} == both
        wait_until(lambda: engines_in_use(balancer) == 1, "the new one's scaler has looked")
        assert names(balancer) == before
        assert int(client.get("/engine").body) == engine
        assert len(started(balancer)) == 1, "no other was started"
        balancer.stop()
        assert not is_there(engine), "it ends with the balancer that has it"


def engines_in_use(balancer: Balancer) -> int:
    """As the scaler knows them."""
    (pool,) = [each for each in balancer.status()["pools"] if each["name"] == "engines"]
    return int(pool["scale"]["actual"])


def started(balancer: Balancer) -> list[str]:
    """What was said of processes that were started."""
    said = [each["message"] for each in balancer.events("scale.process")]
    return [each for each in said if "is started" in each]
