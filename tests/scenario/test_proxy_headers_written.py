"""PROXY headers to endpoints: each connection begins with who its one client is."""

import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from penstock.core.snapshot import EndpointTls, Match, PolicyChoice, RequestLog
from penstock.wire.proxy_protocol import LOCAL, PROXY, TCP, UNSPECIFIED, ProxyHeader
from penstock.wire.proxy_writing import V2_LOCAL, write_v1, write_v2
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.handshake import Handshake
from tests.harness.http2_client import Http2Client
from tests.harness.introduced import IntroducedEndpoint, read_introduction
from tests.harness.log import lines_of
from tests.harness.messages import head
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, route, world
from tests.scenario.certificates import Authority
from tests.scenario.conftest import Serve

Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]
VERSIONS = ["v1", "v2"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def introduced() -> Iterator[Callable[..., IntroducedEndpoint]]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(IntroducedEndpoint(**settings))


Introduced = Callable[..., IntroducedEndpoint]


def addresses(header: ProxyHeader) -> tuple[str, int, str, int]:
    return header.source, header.source_port, header.destination, header.destination_port


def of(client: Client) -> tuple[str, int, str, int]:
    """The addresses that a client itself has its connection between."""
    return (*client.socket.getsockname()[:2], *client.socket.getpeername()[:2])


def behind_header(connection: EndpointConnection) -> None:
    read_introduction(connection)
    while data := connection.receive():
        connection.send(data)


@pytest.mark.parametrize("version", VERSIONS)
def test_endpoint_is_told_both_ends_of_the_clients_connection(
    start: Start, introduced: Introduced, version: str
) -> None:
    endpoint = introduced()
    worker = start(world(pool(endpoint, proxy_protocol=version)))
    for source in ("127.0.0.1", "127.0.0.3"):
        client = worker.connect(source=source)
        assert client.get().status == 200
        assert addresses(endpoint.introductions[-1]) == of(client)
        assert endpoint.introductions[-1].command == PROXY


@pytest.mark.parametrize("version", VERSIONS)
def test_each_request_has_a_connection_of_its_own(
    start: Start, introduced: Introduced, version: str
) -> None:
    """So nobody's request can come under another's name, and the id is that of the request."""
    endpoint = introduced()
    worker = start(world(pool(endpoint, proxy_protocol=version)))
    clients = [worker.connect(source=f"127.0.0.{host}") for host in (1, 2)]
    for client in clients * 2:
        assert client.get().status == 200
    assert [addresses(each) for each in endpoint.introductions] == [
        of(client) for client in clients * 2
    ]
    assert [request.connection for request in endpoint.requests] == [0, 1, 2, 3]
    ids = [request.headers["x-request-id"].encode() for request in endpoint.requests]
    assert [each.unique_id for each in endpoint.introductions] == (
        ids if version == "v2" else [b""] * 4
    )
    for number in range(4):
        endpoint.wait_for_end(number)


@pytest.mark.parametrize("version", VERSIONS)
def test_header_goes_before_the_endpoints_tls(
    start: Start, introduced: Introduced, authority: Authority, version: str
) -> None:
    endpoint = introduced(tls=authority.server("localhost"))
    tls = EndpointTls(ca_file=authority.file, server_name="localhost")
    worker = start(world(pool(at(endpoint, tls=True), tls=tls, proxy_protocol=version)))
    client = worker.connect()
    assert client.get().status == 200
    assert addresses(endpoint.introductions[0]) == of(client)


@pytest.mark.parametrize("version", VERSIONS)
def test_relayed_connection_begins_with_the_header(
    start: Start, scripted: Scripted, tmp_path: Path, version: str
) -> None:
    log = tmp_path / "log.jsonl"
    endpoint = scripted(behind_header)
    worker = start(
        world(
            pool(endpoint, protocol="tcp", proxy_protocol=version),
            listeners=[listener(protocol="tcp")],
            request_log=RequestLog("file", str(log)),
        )
    )
    client = worker.connect()
    client.send(b"not of the header")
    assert client.read_until(b"header") == b"not of the header"
    expected = ProxyHeader(PROXY, TCP, *of(client))
    client.close()
    (line,) = lines_of(log, 1)
    expected.unique_id = line["id"].encode()
    written = write_v2(expected) if version == "v2" else write_v1(expected)
    assert bytes(endpoint.connection().received) == written + b"not of the header"
    assert line["bytes_from_client"] == 17


def test_endpoint_that_speaks_first_is_introduced_first(start: Start, scripted: Scripted) -> None:
    def greet(connection: EndpointConnection) -> None:
        connection.send(f"welcome, {read_introduction(connection).source}\n".encode())

    worker = start(
        world(
            pool(scripted(greet), protocol="tcp", proxy_protocol="v1"),
            listeners=[listener(protocol="tcp")],
        )
    )
    assert worker.connect(source="127.0.0.9").read_until(b"\n") == b"welcome, 127.0.0.9\n"


def test_next_endpoint_is_introduced_too(
    start: Start, introduced: Introduced, refusing: Address
) -> None:
    endpoint = introduced()
    worker = start(world(pool(refusing, endpoint, proxy_protocol="v2")))
    clients = [worker.connect() for _ in range(3)]
    for client in clients:
        assert client.get().status == 200
    assert [addresses(each) for each in endpoint.introductions] == [of(each) for each in clients]


def test_names_of_tls_that_ends_here_are_told(
    start: Start, introduced: Introduced, authority: Authority
) -> None:
    endpoint = introduced()
    certificate = authority.issue("one.example", "two.example")
    worker = start(
        world(
            pool(endpoint, proxy_protocol="v2"), listeners=[listener(certificates=(certificate,))]
        )
    )
    context = authority.client()
    context.set_alpn_protocols(["http/1.1"])
    assert worker.connect(tls=context, server_name="two.example").get().status == 200
    told = endpoint.introductions[0]
    assert (told.authority, told.alpn) == ("two.example", b"http/1.1")


def test_streams_of_http2_each_have_a_connection_that_tells_their_client(
    start: Start, introduced: Introduced, authority: Authority
) -> None:
    endpoint = introduced()
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    worker = start(world(pool(endpoint, proxy_protocol="v2"), listeners=listeners))
    with Http2Client(worker.address(), tls=authority.client()) as client:
        expected = (*client.socket.getsockname(), *client.socket.getpeername())
        streams = [client.begin("/x") for _ in range(3)]
        assert [client.wait(stream).status for stream in streams] == [200] * 3
    assert [addresses(each) for each in endpoint.introductions] == [expected] * 3
    ids = {request.headers["x-request-id"].encode() for request in endpoint.requests}
    assert {each.unique_id for each in endpoint.introductions} == ids
    # Behind the header HTTP/1.1 is spoken, whatever the client speaks.
    assert {(each.alpn, each.authority) for each in endpoint.introductions} == {
        (b"http/1.1", "localhost")
    }


def serve_http2(connection: EndpointConnection) -> None:
    """Answers every stream with nothing but 200."""
    protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    protocol.initiate_connection()
    connection.send(protocol.data_to_send())
    while data := connection.receive():
        for event in protocol.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                protocol.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
        connection.send(protocol.data_to_send())


def test_each_request_to_an_http2_endpoint_has_a_connection_of_its_own(
    start: Start, scripted: Scripted
) -> None:
    introductions: list[ProxyHeader] = []

    def serve(connection: EndpointConnection) -> None:
        introductions.append(read_introduction(connection))
        serve_http2(connection)

    endpoint = scripted(serve)
    worker = start(world(pool(at(endpoint, http2=True), proxy_protocol="v2")))
    clients = [worker.connect(source=f"127.0.0.{host}") for host in (1, 2)]
    for client in clients * 2:
        assert client.get().status == 200
    assert [addresses(each) for each in introductions] == [of(each) for each in clients * 2]
    assert len({each.unique_id for each in introductions}) == 4
    for number in range(4):
        endpoint.wait_for_end(number)


def test_http2_connections_from_before_are_not_used_once_headers_are_written(
    start: Start, scripted: Scripted
) -> None:
    def serve(connection: EndpointConnection) -> None:
        if connection.number == 1:
            read_introduction(connection)
        serve_http2(connection)

    endpoint = scripted(serve)
    members = at(endpoint, http2=True)
    worker = start(world(pool(members)))
    client = worker.connect()
    for settings in ({}, {"proxy_protocol": "v2"}, {}):
        worker.apply(world(pool(members, **settings)))
        assert client.get().status == 200
    assert len(endpoint.connections) == 3


def test_name_that_passes_undecrypted_is_told(
    start: Start, scripted: Scripted, authority: Authority
) -> None:
    told: list[ProxyHeader] = []

    def listen(connection: EndpointConnection) -> None:
        told.append(read_introduction(connection))
        connection.receive_to_end()

    endpoint = scripted(listen)
    worker = start(
        world(
            pool(endpoint, protocol="tcp", proxy_protocol="v2"),
            listeners=[listener(protocol="tls-passthrough")],
        )
    )
    hello = Handshake(authority.client(), "Inner.Example").hello
    client = worker.connect()
    client.send(hello)
    wait_until(lambda: endpoint.received.endswith(hello), "the hello follows the header")
    assert (told[0].authority, told[0].alpn) == ("inner.example", b"")
    assert addresses(told[0]) == of(client)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("source", ["198.51.100.7", "2001:db8::7"])
def test_client_that_was_told_is_told_on(
    start: Start, introduced: Introduced, version: str, source: str
) -> None:
    """Its own ports and where it connected to, over any number of proxies."""
    endpoint = introduced()
    destination = "2001:db8::1" if ":" in source else "203.0.113.1"
    header = ProxyHeader(PROXY, TCP, source, 50123, destination, 443)
    header.authority, header.alpn = "site.example", b"h2"
    header.unique_id = b"of another"
    worker = start(
        world(
            pool(endpoint, proxy_protocol=version),
            listeners=[listener(proxy_protocol="require", trusted_proxies=("127.0.0.0/8",))],
        )
    )
    client = worker.connect()
    client.send(write_v2(header))
    assert client.get().status == 200
    told = endpoint.introductions[0]
    assert addresses(told) == addresses(header)
    if version == "v2":
        assert (told.authority, told.alpn) == ("site.example", b"http/1.1")  # as is spoken there
        assert told.unique_id == endpoint.last.headers["x-request-id"].encode()
    local = worker.connect()
    local.send(V2_LOCAL)
    assert local.get().status == 200
    assert addresses(endpoint.introductions[1]) == of(local)


def test_long_names_that_were_told_are_not_told_on(start: Start, introduced: Introduced) -> None:
    """They could be too long for the header that is written."""
    endpoint = introduced()
    header = ProxyHeader(PROXY, TCP, "198.51.100.7", 1, "203.0.113.1", 2)
    header.authority = "a" * 4000
    worker = start(
        world(
            pool(endpoint, proxy_protocol="v2"),
            listeners=[listener(proxy_protocol="require", trusted_proxies=("127.0.0.1",))],
        )
    )
    client = worker.connect()
    client.send(write_v2(header))
    assert client.get().status == 200
    assert endpoint.introductions[0].authority == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_copies_and_load_probes_are_our_own(
    start: Start, introduced: Introduced, version: str
) -> None:
    """LOCAL, or the addresses of the very connection, as version 1 has no word for it."""
    endpoint, copied, probed = introduced(), introduced(), introduced()
    asking = PolicyChoice("prequal", {"answers": "asked"})
    worker = start(
        world(
            pool(endpoint),
            pool(copied, name="copied", proxy_protocol=version),
            pool(probed, name="probed", proxy_protocol=version, policy=asking),
            routes=[
                route("probed", name="probed", match=Match(path="/probed", path_kind="exact")),
                route(
                    "copied",
                    name="copied",
                    match=Match(path="/copied", path_kind="exact"),
                    mirror="copied",
                ),
            ],
        )
    )
    client = worker.connect()
    assert client.get("/copied").status == 200
    assert client.get("/probed").status == 200
    wait_until(lambda: len(copied.introductions) == 2, "the copy came")
    wait_until(lambda: len(probed.introductions) >= 2, "a probe came")
    for endpoint in (copied, probed):
        theirs = [each for each in endpoint.introductions if addresses(each) == of(client)]
        ours = [each for each in endpoint.introductions if each not in theirs]
        assert len(theirs) == 1
        assert ours
        for header in ours:
            if version == "v2":
                assert (header.command, header.transport) == (LOCAL, UNSPECIFIED)
            else:
                assert (header.destination, header.destination_port) == ("127.0.0.1", endpoint.port)


def test_connections_from_before_are_not_used_once_headers_are_written(
    start: Start, scripted: Scripted
) -> None:
    def answer_all(connection: EndpointConnection) -> None:
        while True:
            connection.receive_until(b"\r\n\r\n")
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    endpoint = scripted(answer_all)
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    assert client.get().status == 200
    worker.apply(world(pool(endpoint, proxy_protocol="v1")))
    assert client.get().status == 200
    assert bytes(endpoint.connection(1).received).startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
    worker.apply(world(pool(endpoint)))
    for _ in range(2):
        assert client.get().status == 200
    assert bytes(endpoint.connection(2).received).count(b"GET / HTTP/1.1\r\n") == 2
    assert len(endpoint.connections) == 3


def test_body_and_stream_follow_the_header(start: Start, introduced: Introduced) -> None:
    endpoint = introduced()
    worker = start(world(pool(endpoint, proxy_protocol="v2")))
    body = bytes(range(256)) * 4000
    client = worker.connect()
    request = head("POST / HTTP/1.1", f"Content-Length: {len(body)}")
    assert client.request(request + body, "POST").status == 200
    assert endpoint.last.body == body


def test_whole_balancer_introduces_checks_and_clients(serve: Serve, scripted: Scripted) -> None:
    """From the file to the endpoint, in pools whose checks send and expect."""

    def cache(connection: EndpointConnection) -> None:
        header = read_introduction(connection)
        told = "ours" if header.command == LOCAL else header.source
        while line := connection.receive_until(b"\r\n"):
            connection.send(
                b"+PONG " + told.encode() + b"\r\n" if line == b"PING\r\n" else b"-\r\n"
            )

    def loading(connection: EndpointConnection) -> None:
        read_introduction(connection)
        connection.receive_until(b"\r\n")
        connection.send(b"-LOADING\r\n")

    good, bad = scripted(cache), scripted(loading)
    balancer = serve(
        {
            "pools": {
                "cache": {
                    "endpoints": [f"tcp://{bad.name}", f"tcp://{good.name}"],
                    "proxy_protocol": "v2",
                    "health_check": {
                        "kind": "tcp",
                        "send": r"PING\r\n",
                        "expect": "+PONG ours",
                        "interval": "200ms",
                        "fast_interval": "200ms",
                    },
                }
            }
        }
    )
    wait_until(lambda: balancer.endpoint(bad.name)["state"] == "down", "the check failed")
    wait_until(lambda: balancer.endpoint(good.name)["state"] == "up", "the check passed")
    for host in (1, 2, 3):
        with Client(balancer.address(), source=f"127.0.0.{host}") as client:
            client.send(b"PING\r\n")
            assert client.read_until(b"\n") == f"+PONG 127.0.0.{host}\r\n".encode()


def test_whole_balancer_counts_headers_that_fail(serve: Serve, scripted: Scripted) -> None:
    listening = {
        "address": "127.0.0.1:0",
        "proxy_protocol": "require",
        "trusted_proxies": "127.0.0.2",
    }
    endpoint = f"tcp://{scripted(behind_header).name}"
    balancer = serve({"listeners": {"main": listening}, "listen": None, "endpoints": endpoint})
    for source, data in (
        ("127.0.0.1", b""),
        ("127.0.0.2", b"hello"),
        ("127.0.0.2", b"PROXY?"),
        ("127.0.0.2", b"PROXY?"),
    ):
        with Client(balancer.address(), source=source) as client:
            client.send_while_open(data)
            client.expect_end()

    def counted() -> dict[str, float]:
        with urllib.request.urlopen(f"{balancer.admin_url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(
            r'penstock_proxy_header_failures_total{reason="(\w+)",worker="\d+"} (\S+)', text
        )
        return {
            reason: sum(float(count) for each, count in found if each == reason)
            for reason in ("missing", "bad", "untrusted")
        }

    wait_until(lambda: counted() == {"missing": 1, "bad": 2, "untrusted": 1}, "they were counted")
