"""`http2: auto`: each endpoint chooses by ALPN, and what it chose is expected of it next time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.snapshot import Connections, EndpointTls, Http2, Limits, Snapshot
from penstock.dataplane.board.layout import (
    L_CONNECTIONS,
    P_COPIES_GIVEN_UP,
    P_RETRIES,
    W_ACCEPTED,
    W_HTTP2_CONNECTIONS,
)
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.introduced import IntroducedEndpoint
from tests.harness.messages import post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, route, world
from tests.scenario.certificates import Authority

Start = Callable[..., Worker]

KEPT = Connections()
AUTO = EndpointTls(verify=False, http2="auto")
MANY = 20


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Chooser:
    """An endpoint over TLS, by a balancer of ours, that speaks HTTP/2 or does not."""

    def __init__(self, start: Start, authority: Authority, endpoint: HttpEndpoint) -> None:
        endpoint.answer = lambda request: Answer(body=request.target.encode())
        self._endpoint = endpoint
        self._certificates = (authority.issue("127.0.0.1"),)
        self._requests = 0
        self.worker: Worker = start(self.world(http2=True))
        self.address = Address(self.worker.address()[1])

    def world(self, *, http2: bool) -> Snapshot:
        secure = listener(
            certificates=self._certificates,
            http2=Http2(enabled=http2),
            limits=Limits(requests_per_connection=self._requests),
        )
        return world(pool(self._endpoint), listeners=[secure])

    def speak(self, *, http2: bool, requests: int = 0) -> None:
        """From now on, to those who connect; for so many requests of each connection."""
        self._requests = requests
        self.worker.apply(self.world(http2=http2))

    def connections(self) -> tuple[int, int]:
        """All that came, and those of HTTP/2."""
        self.worker.wait_until_published()
        return self.worker.count(W_ACCEPTED), self.worker.count(W_HTTP2_CONNECTIONS)


@pytest.fixture
def chooser(start: Start, authority: Authority, endpoint: HttpEndpoint) -> Chooser:
    return Chooser(start, authority, endpoint)


def in_front(start: Start, chooser: Chooser, kept: Connections = KEPT) -> Worker:
    return start(world(pool(at(chooser.address, tls=True), tls=AUTO, connections=kept)))


def ask_at_once(outer: Worker, count: int = MANY) -> None:
    with Http2Client(outer.address()) as client:
        streams = {client.begin(f"/{n}", flush=False): b"/%d" % n for n in range(count)}
        client.flush()
        for stream, body in streams.items():
            assert client.wait(stream).body == body


def test_requests_share_one_connection_where_http2_is_chosen(
    start: Start, chooser: Chooser
) -> None:
    outer = in_front(start, chooser)
    for _ in range(2):
        ask_at_once(outer)
    assert chooser.connections() == (1, 1)
    assert outer.pool_count(P_RETRIES) == 0


def test_each_has_its_own_where_http1_is_chosen_and_that_costs_no_attempt(
    start: Start, chooser: Chooser
) -> None:
    """The first find out, together on one connection; the next know it."""
    chooser.speak(http2=False)
    outer = in_front(start, chooser, kept=Connections(max_idle=0))
    ask_at_once(outer)
    assert chooser.connections() == (MANY, 0)
    ask_at_once(outer)
    assert chooser.connections() == (2 * MANY, 0)
    outer.wait_until_published()
    assert outer.pool_count(P_RETRIES) == 0
    assert outer.load(chooser.address, L_CONNECTIONS) == 2 * MANY


def test_bodies_that_wait_for_the_choice_arrive_whole(start: Start, chooser: Chooser) -> None:
    for http2 in (False, True, False):
        chooser.speak(http2=http2)
        client = in_front(start, chooser).connect()
        body = bytes(range(256)) * 4000
        sent = post(f"Content-Length: {len(body)}", body=body)
        assert client.request(sent, "POST").status == 200
        assert chooser._endpoint.last.body == body


def test_an_endpoint_that_changes_its_mind_is_followed(start: Start, chooser: Chooser) -> None:
    outer = in_front(start, chooser)
    client = outer.connect()
    spoken = []
    for http2 in (True, False, False, True, True, False):
        chooser.speak(http2=http2, requests=1)  # so that each request finds a fresh connection
        before = chooser.connections()
        assert client.get().status == 200
        after = chooser.connections()
        assert after[0] > before[0]
        spoken.append(after[1] > before[1])
    assert spoken[1:] == [False, False, True, True, False]


def test_connections_that_began_with_a_clients_name_stay_that_clients(
    start: Start, authority: Authority
) -> None:
    context = authority.server("127.0.0.1")
    context.set_alpn_protocols(["http/1.1"])
    with IntroducedEndpoint(context) as endpoint:
        members = pool(at(endpoint, tls=True), tls=AUTO, proxy_protocol="v2")
        outer = start(world(members))
        clients = [outer.connect() for _ in range(3)]
        for client in clients:
            assert client.get().status == 200
        told = [each.source_port for each in endpoint.introductions]
        assert told == [client.socket.getsockname()[1] for client in clients]
        assert {each.alpn for each in endpoint.introductions} == {b""}


def test_copies_find_their_way_too(start: Start, chooser: Chooser, endpoint: HttpEndpoint) -> None:
    chooser.speak(http2=False)
    with HttpEndpoint() as main:
        members = [pool(main), pool(at(chooser.address, tls=True), name="copies", tls=AUTO)]
        outer = start(world(*members, routes=[route("main", mirror="copies")]))
        client = outer.connect()
        for _ in range(3):
            assert client.get("/copied").status == 200
        wait_until(lambda: endpoint.received.count(b"/copied") == 3, "all were copied")
        assert outer.pool_count(P_COPIES_GIVEN_UP, "copies") == 0


def test_clients_that_leave_while_it_is_chosen_leave_nothing(
    start: Start, chooser: Chooser
) -> None:
    chooser.speak(http2=False)
    outer = in_front(start, chooser)
    with chooser.worker.paused():
        leaving = [outer.connect() for _ in range(3)]
        for client in leaving:
            client.send(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: outer.in_flight() == 3, "they wait for a connection")
        for client in leaving[:2]:
            client.close()
        wait_until(lambda: outer.in_flight() == 1, "they left")
    assert leaving[2].read_response().body == b"/left"
    outer.wait_until_idle()
