"""PROXY headers of listeners: the client is who a trusted proxy says it is, wherever it counts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.core.snapshot import (
    Limits,
    ListenerTimeouts,
    Match,
    PolicyChoice,
    RequestLog,
    Snapshot,
)
from penstock.dataplane.board.layout import (
    W_CONNECTIONS,
    W_PROXY_BAD,
    W_PROXY_MISSING,
    W_PROXY_UNTRUSTED,
    W_REFUSED_ADDRESS,
    W_REFUSED_LIMIT,
)
from penstock.wire.proxy_protocol import LOCAL, PROXY, TCP, UDP, ProxyHeader
from penstock.wire.proxy_writing import V1_UNKNOWN, V2_LOCAL, write_v1, write_v2
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.handshake import Handshake
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, route, world
from tests.scenario.certificates import Authority

Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]

BALANCER = "127.0.0.2"  # in front of Penstock, and trusted
CLIENT = "198.51.100.7"
OTHER_CLIENT = "2001:db8::7"
HELLO = b"GET /x HTTP/1.1\r\nHost: site.example\r\n\r\n"
VERSIONS = [write_v1, write_v2]
Write = Callable[[ProxyHeader], bytes]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def of(source: str = CLIENT, transport: str = TCP) -> ProxyHeader:
    """A header of that client, which connected to the balancer's own address."""
    destination = "2001:db8::1" if ":" in source else "203.0.113.1"
    return ProxyHeader(PROXY, transport, source, 50123, destination, 443)


def echo(connection: EndpointConnection) -> None:
    while data := connection.receive():
        connection.send(data)


def greet(connection: EndpointConnection) -> None:
    connection.send(b"220 ready\r\n")
    connection.receive_to_end()


def proxied(
    *pools: Any,
    mode: str = "require",
    trusted: tuple[str, ...] = (BALANCER,),
    log: Path | None = None,
    routes: Any = None,
    **settings: Any,
) -> Snapshot:
    """A world whose listener reads PROXY headers of the balancer."""
    others = {"request_log": RequestLog("file", str(log))} if log is not None else {}
    made = listener(proxy_protocol=mode, trusted_proxies=trusted, **settings)
    return world(*pools, listeners=[made], routes=routes, **others)


def is_idle(worker: Worker) -> bool:
    worker.wait_until_published()
    return worker.in_flight() == 0 and worker.count(W_CONNECTIONS) == 0


def ask(worker: Worker, header: bytes, *fields: str) -> Client:
    """A client behind the balancer, once it was answered."""
    client = worker.connect(source=BALANCER)
    client.send(header)
    assert client.get("/x", *fields).status == 200
    return client


@pytest.mark.parametrize("write", VERSIONS)
@pytest.mark.parametrize("source", [CLIENT, OTHER_CLIENT])
@pytest.mark.parametrize("piece_bytes", [65536, 1], ids=["together", "bytewise"])
@pytest.mark.parametrize("mode", ["accept", "require"])
def test_client_of_the_header_stands_in_headers_and_log(
    start: Start,
    endpoint: HttpEndpoint,
    tmp_path: Path,
    write: Write,
    source: str,
    piece_bytes: int,
    mode: str,
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(proxied(pool(endpoint), mode=mode, log=log))
    client = worker.connect(source=BALANCER)
    client.send_while_open(write(of(source)) + HELLO, piece_bytes)
    assert client.read_response().status == 200
    assert client.get("/again").status == 200
    node = f'"[{source}]"' if ":" in source else source
    for request in endpoint.wait_for_requests(2):
        assert request.headers["x-forwarded-for"] == source
        assert request.headers["forwarded"].startswith(f"for={node};")
    assert [line["client"] for line in lines_of(log, 2)] == [source, source]


@pytest.mark.parametrize("write", VERSIONS)
def test_bytes_behind_the_header_are_relayed_and_the_header_is_not(
    start: Start, scripted: Scripted, tmp_path: Path, write: Write
) -> None:
    log = tmp_path / "log.jsonl"
    endpoint = scripted(echo)
    worker = start(proxied(pool(endpoint, protocol="tcp"), protocol="tcp", log=log))
    client = worker.connect(source=BALANCER)
    client.send(write(of()) + b"first")
    client.read_until(b"first")
    client.send(b", second")
    client.read_until(b"second")
    assert bytes(endpoint.connection().received) == b"first, second"
    client.end_sending()
    client.read_to_end()
    (line,) = lines_of(log, 1)
    assert (line["client"], line["bytes_from_client"]) == (CLIENT, 13)


def test_endpoint_that_speaks_first_does_so_behind_the_header(
    start: Start, scripted: Scripted
) -> None:
    worker = start(proxied(pool(scripted(greet), protocol="tcp"), protocol="tcp"))
    client = worker.connect(source=BALANCER)
    assert client.is_silent(0.1)
    client.send(write_v2(of()))
    assert client.read_until(b"\r\n") == b"220 ready\r\n"


@pytest.mark.parametrize("write", VERSIONS)
@pytest.mark.parametrize("piece_bytes", [65536, 7], ids=["together", "in-pieces"])
@pytest.mark.parametrize("protocol", ["http", "tcp", "tls-passthrough"])
def test_header_stands_before_tls(
    start: Start,
    endpoint: HttpEndpoint,
    authority: Authority,
    write: Write,
    piece_bytes: int,
    protocol: str,
) -> None:
    """Whether TLS ends here or at the endpoint; and it may come with the ClientHello."""
    served = HttpEndpoint(tls=authority.server("localhost")) if protocol != "http" else endpoint
    if protocol == "tcp":
        served.close()
        served = endpoint
    settings: dict[str, Any] = {"protocol": protocol}
    if protocol != "tls-passthrough":
        settings["certificates"] = (authority.issue("localhost"),)
    kind = "http" if protocol == "http" else "tcp"
    worker = start(proxied(pool(served, protocol=kind), **settings))
    handshake = Handshake(authority.client(), "localhost")
    client = worker.connect(source=BALANCER)
    client.send_while_open(write(of()) + handshake.hello, piece_bytes)
    handshake.finish(client)
    assert b"200" in handshake.asked(client, HELLO, served.name.encode())
    if protocol == "http":
        assert served.last.headers["x-forwarded-for"] == CLIENT
    client.close()
    if protocol == "tls-passthrough":
        served.close()


@pytest.mark.parametrize("over_tls", [False, True])
def test_client_of_the_header_is_that_of_every_http2_stream(
    start: Start, endpoint: HttpEndpoint, authority: Authority, over_tls: bool
) -> None:
    settings: dict[str, Any] = {}
    if over_tls:
        settings["certificates"] = (authority.issue("localhost"),)
    worker = start(proxied(pool(endpoint), **settings))
    client = Http2Client(
        worker.address(),
        source=BALANCER,
        introduction=write_v2(of()),
        tls=authority.client() if over_tls else None,
    )
    with client:
        streams = [client.begin("/x") for _ in range(3)]
        assert [client.wait(stream).status for stream in streams] == [200] * 3
    assert [each.headers["x-forwarded-for"] for each in endpoint.requests] == [CLIENT] * 3


@pytest.mark.parametrize(
    "header",
    [
        V2_LOCAL,
        V1_UNKNOWN,
        write_v2(ProxyHeader(PROXY)),
        write_v2(of(transport=UDP)),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    ],
)
def test_header_without_a_client_keeps_the_connections_own_address(
    start: Start, endpoint: HttpEndpoint, header: bytes
) -> None:
    worker = start(proxied(pool(endpoint)))
    ask(worker, header)
    assert endpoint.last.headers["x-forwarded-for"] == BALANCER


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_where_a_header_is_accepted_none_leaves_the_peer_the_client(
    start: Start, scripted: Scripted, endpoint: HttpEndpoint, protocol: str
) -> None:
    served = endpoint if protocol == "http" else scripted(echo)
    snapshot = proxied(pool(served, protocol=protocol), mode="accept", protocol=protocol)
    worker = start(snapshot)
    client = worker.connect(source=BALANCER)
    client.send(HELLO)
    if protocol == "http":
        assert client.read_response().status == 200
        assert endpoint.last.headers["x-forwarded-for"] == BALANCER
    else:
        assert client.read_until(HELLO) == HELLO


def test_strangers_header_is_no_header_where_one_is_accepted(
    start: Start, scripted: Scripted, endpoint: HttpEndpoint
) -> None:
    worker = start(proxied(pool(endpoint), mode="accept"))
    client = worker.connect()
    client.send(write_v1(of()) + HELLO)
    assert client.read_response().status == 400
    assert worker.connect().get().status == 200
    assert endpoint.last.headers["x-forwarded-for"] == "127.0.0.1"
    relaying = scripted(echo)
    worker.apply(proxied(pool(relaying, protocol="tcp"), mode="accept", protocol="tcp"))
    client = worker.connect()
    client.send(write_v1(of()) + b"rest")
    assert client.read_until(b"rest") == write_v1(of()) + b"rest"


def test_stranger_is_closed_and_counted_where_a_header_is_required(
    start: Start, endpoint: HttpEndpoint
) -> None:
    worker = start(proxied(pool(endpoint)))
    client = worker.connect()
    client.send_while_open(write_v2(of()) + HELLO)
    client.read_to_end()
    wait_until(lambda: worker.count(W_PROXY_UNTRUSTED) == 1, "it was counted")
    assert is_idle(worker)
    assert not endpoint.requests


@pytest.mark.parametrize("protocol", ["http", "tcp", "tls-passthrough"])
@pytest.mark.parametrize(
    ("mode", "data", "cell", "why"),
    [
        ("require", HELLO, W_PROXY_MISSING, "the connection begins without a PROXY header"),
        ("require", b"PROXY TCP4 1.2.3.4 5 6\r\n", W_PROXY_BAD, "PROXY header: its line does not"),
        ("accept", b"PROXY TCP4 1.2.3.4 5 6\r\n", W_PROXY_BAD, "PROXY header: its line does not"),
        ("accept", write_v2(of())[:12] + b"\x31", W_PROXY_BAD, "PROXY header: its version is not"),
    ],
    ids=["missing", "bad-v1", "bad-v1-accepted", "bad-v2-accepted"],
)
def test_connection_without_a_valid_header_is_closed_counted_and_logged(
    start: Start,
    endpoint: HttpEndpoint,
    tmp_path: Path,
    protocol: str,
    mode: str,
    data: bytes,
    cell: int,
    why: str,
) -> None:
    log = tmp_path / "log.jsonl"
    kind = "http" if protocol == "http" else "tcp"
    members = pool(endpoint, protocol=kind)
    worker = start(proxied(members, mode=mode, protocol=protocol, log=log))
    client = worker.connect(source=BALANCER)
    client.send_while_open(data)
    client.expect_end()
    wait_until(lambda: worker.count(cell) == 1, "it was counted")
    (line,) = lines_of(log, 1)
    assert (line["client"], line["listener"], line["end"]) == (BALANCER, "main", "refused")
    assert line["why"].startswith(why)
    wait_until(lambda: is_idle(worker), "nothing is left of it")
    assert not endpoint.connections


@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.parametrize(
    ("begun", "cell"), [(b"", W_PROXY_MISSING), (write_v2(of())[:20], W_PROXY_BAD)]
)
def test_header_has_a_bounded_time(
    start: Start,
    endpoint: HttpEndpoint,
    authority: Authority,
    over_tls: bool,
    begun: bytes,
    cell: int,
) -> None:
    timeouts = ListenerTimeouts(client_headers_s=5.0, tls_handshake_s=9.0)
    settings: dict[str, Any] = {"timeouts": timeouts}
    if over_tls:
        settings["certificates"] = (authority.issue("localhost"),)
    worker = start(proxied(pool(endpoint), **settings), held=True)
    client = worker.connect(source=BALANCER)
    client.send(begun)
    wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "it was accepted")
    worker.pass_time(8.5 if over_tls else 4.5)
    assert client.is_silent(0.05)
    worker.pass_time(1.0)
    client.expect_end()
    worker.wait_until_published()
    assert worker.count(cell) == 1


def test_port_check_is_no_failure(start: Start, endpoint: HttpEndpoint) -> None:
    worker = start(proxied(pool(endpoint)))
    for leave in ("end_sending", "reset"):
        client = worker.connect(source=BALANCER)
        wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "it was accepted")
        getattr(client, leave)()
        wait_until(lambda: is_idle(worker), "it left")
    assert [worker.count(cell) for cell in (W_PROXY_BAD, W_PROXY_MISSING)] == [0, 0]


def test_connections_are_limited_per_client_not_per_balancer(
    start: Start, endpoint: HttpEndpoint
) -> None:
    limits = Limits(connections_per_address=1)
    worker = start(proxied(pool(endpoint), limits=limits))
    first = ask(worker, write_v2(of()))
    ask(worker, write_v2(of(OTHER_CLIENT)))
    refused = worker.connect(source=BALANCER)
    refused.send_while_open(write_v2(of()) + HELLO)
    refused.read_to_end()
    wait_until(lambda: worker.count(W_REFUSED_LIMIT) == 1, "the refusal was counted")
    first.close()

    def is_served() -> bool:
        with worker.connect(source=BALANCER) as client:
            client.send_while_open(write_v2(of()) + HELLO)
            return client.read_response_or_end() is not None

    wait_until(is_served, "the place is free again")


@pytest.mark.parametrize("end", ["missing", "bad", "half", "denied", "answered", "hello"])
def test_every_way_of_leaving_frees_the_place(
    start: Start, endpoint: HttpEndpoint, authority: Authority, end: str
) -> None:
    settings: dict[str, Any] = {"deny": ("192.0.2.0/24",)}
    if end == "hello":
        settings["certificates"] = (authority.issue("localhost"),)
    limits = Limits(connections=1, connections_per_address=1)
    worker = start(proxied(pool(endpoint), limits=limits, **settings))
    for _ in range(4):
        wait_until(lambda: worker.count(W_CONNECTIONS) == 0, "the client before was gone")
        with worker.connect(source=BALANCER) as client:
            wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "it was accepted")
            if end == "missing":
                client.send_while_open(HELLO)
                client.expect_end()
            elif end == "bad":
                client.send_while_open(b"PROXY TCP5 ")
                client.expect_end()
            elif end == "half":
                client.send(b"PROXY TCP4 ")
            elif end == "denied":
                client.send_while_open(write_v1(of("192.0.2.1")))
                client.expect_end()
            elif end == "hello":
                client.send(write_v1(of()) + b"\x16\x03\x01")
            else:
                client.send(write_v1(of()))
                assert client.get().status == 200
    wait_until(lambda: worker.count(W_CONNECTIONS) == 0, "the last client was gone")
    assert worker.count(W_REFUSED_LIMIT) == 0


@pytest.mark.parametrize(
    ("allow", "deny", "source", "comes"),
    [
        ((BALANCER, "198.51.100.0/24"), (), CLIENT, True),
        ((BALANCER,), (), CLIENT, False),
        (("198.51.100.0/24",), (), CLIENT, False),
        ((), ("198.51.100.0/24",), CLIENT, False),
        ((), (BALANCER,), CLIENT, False),
        ((), ("198.51.100.0/24",), OTHER_CLIENT, True),
    ],
)
def test_allow_and_deny_are_asked_for_the_balancer_and_for_the_client(
    start: Start,
    endpoint: HttpEndpoint,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    source: str,
    comes: bool,
) -> None:
    worker = start(proxied(pool(endpoint), allow=allow, deny=deny))
    client = worker.connect(source=BALANCER)
    client.send_while_open(write_v2(of(source)) + HELLO)
    assert (b"HTTP/1.1 200 " in client.read_some()) == comes
    wait_until(lambda: worker.count(W_REFUSED_ADDRESS) == (not comes), "refusals are counted")


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_routes_and_policies_go_by_the_client(
    start: Start, scripted: Scripted, protocol: str
) -> None:
    def answer(connection: EndpointConnection) -> None:
        connection.receive_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    inner = [scripted(answer) for _ in range(3)]
    outer = scripted(answer)
    pools = [
        pool(*inner, name="inner", protocol=protocol, policy=PolicyChoice("maglev")),
        pool(outer, name="outer", protocol=protocol),
    ]
    routes = [route("inner", match=Match(sources=("198.51.100.0/24",))), route("outer")]
    worker = start(proxied(*pools, routes=routes, protocol=protocol))

    def visit(source: str) -> None:
        with worker.connect(source=BALANCER) as client:
            client.send(write_v2(of(source)) + HELLO)
            client.read_until(b"\r\n\r\n")

    for _ in range(3):
        visit("198.51.100.1")
    assert sorted(len(each.connections) for each in inner) == [0, 0, 3]
    for host in range(1, 30):
        visit(f"198.51.100.{host}")
    assert all(each.connections for each in inner)
    visit(OTHER_CLIENT)
    assert len(outer.connections) == 1


@pytest.mark.parametrize(
    ("source", "believed"), [("10.1.1.1", True), (CLIENT, False), (BALANCER, True)]
)
def test_forwarding_headers_are_believed_by_the_address_in_the_header(
    start: Start, endpoint: HttpEndpoint, tmp_path: Path, source: str, believed: bool
) -> None:
    """Whoever the balancer names wrote them, not the balancer."""
    log = tmp_path / "log.jsonl"
    worker = start(proxied(pool(endpoint), trusted=(BALANCER, "10.0.0.0/8"), log=log))
    ask(worker, write_v1(of(source)), "X-Forwarded-For: 192.0.2.9", "X-Request-ID: given")
    told = endpoint.last.headers["x-forwarded-for"]
    assert told == (f"192.0.2.9, {source}" if believed else source)
    (line,) = lines_of(log, 1)
    assert line["client"] == ("192.0.2.9" if believed else source)
    assert (line["id"] == "given") == believed


def test_local_connections_are_the_balancers_own_in_limits_too(
    start: Start, endpoint: HttpEndpoint
) -> None:
    worker = start(proxied(pool(endpoint), limits=Limits(connections_per_address=1)))
    ask(worker, write_v2(ProxyHeader(LOCAL)))
    client = worker.connect(source=BALANCER)
    client.send_while_open(V2_LOCAL + HELLO)
    client.expect_end()
    wait_until(lambda: worker.count(W_REFUSED_LIMIT) == 1, "the refusal was counted")
    ask(worker, write_v2(of()))


def test_worker_that_stops_takes_what_has_begun(start: Start, endpoint: HttpEndpoint) -> None:
    worker = start(proxied(pool(endpoint)))
    client = worker.connect(source=BALANCER)
    header = write_v2(of())
    client.send(header[:20])
    wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "it was accepted")
    idle = worker.connect(source=BALANCER)
    wait_until(lambda: worker.count(W_CONNECTIONS) == 2, "it was accepted")
    worker.send({"kind": "stop", "deadline_s": 20.0})
    client.send(header[20:] + HELLO)
    assert client.read_response().status == 200
    client.expect_end()
    idle.expect_end()
    worker.wait_for_exit()


def test_reload_counts_for_connections_that_come_after_it(
    start: Start, endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    assert worker.connect(source=BALANCER).get().status == 200
    worker.apply(proxied(pool(endpoint)))
    client = ask(worker, write_v2(of()))
    assert endpoint.last.headers["x-forwarded-for"] == CLIENT
    worker.apply(world(pool(endpoint)))
    assert client.get().status == 200
    assert endpoint.last.headers["x-forwarded-for"] == CLIENT
    assert worker.connect(source=BALANCER).get().status == 200


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_bug_met_with_the_first_bytes_costs_that_connection_only(
    start: Start, scripted: Scripted, protocol: str
) -> None:
    """They are handled while the header is: it is the client that is given up, and counted out."""
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": "pick"})
    members = pool(scripted(echo), protocol=protocol, policy=faulty)
    limits = Limits(connections_per_address=1)
    worker = start(proxied(members, protocol=protocol, limits=limits))
    worker.may_report_bugs = True
    for _ in range(3):
        with worker.connect(source=BALANCER) as client:
            client.send(write_v2(of()) + HELLO)
            client.read_to_end() if protocol == "tcp" else client.read_response()
        wait_until(lambda: is_idle(worker), "it was let go")
    assert worker.count(W_REFUSED_LIMIT) == 0
    assert "a bug in a user's policy" in worker.errors()
