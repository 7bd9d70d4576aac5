"""TLS that is relayed unread: the name that a client asks for chooses the way, and the handshake is
the endpoint's own, whatever the pieces in which its first message comes."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock.core.snapshot import (
    ListenerTimeouts,
    Match,
    Pool,
    RequestLog,
    Route,
    Snapshot,
)
from penstock.dataplane.board.layout import (
    L_CONNECT_FAILURES,
    W_CONNECTIONS,
    W_TLS_FAILURES,
    W_UNROUTED,
)
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.handshake import Handshake
from tests.harness.log import lines_of
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, HasAddress, listener, pool, route, world
from tests.scenario.certificates import Authority, names_in

SOON_S = 0.3

Start = Callable[..., Worker]
Serving = Callable[..., ScriptedEndpoint]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def serving(authority: Authority) -> Iterator[Serving]:
    """Makes endpoints that speak TLS with a certificate for those names, and echo."""
    with ExitStack() as stack:

        def make(*names: str) -> ScriptedEndpoint:
            return stack.enter_context(ScriptedEndpoint(echo, tls=authority.server(*names)))

        yield make


def echo(connection: EndpointConnection) -> None:
    while data := connection.receive():
        connection.send(data)


def tcp(*endpoints: HasAddress, **settings: Any) -> Pool:
    return pool(*endpoints, protocol="tcp", **settings)


def to(pool_name: str, *names: str) -> Route:
    return route(pool_name, match=Match(server_names=names))


def passthrough(
    *pools: Pool, routes: list[Route] | None = None, log: Path | None = None, **settings: Any
) -> Snapshot:
    others = {"request_log": RequestLog("file", str(log))} if log is not None else {}
    listeners = [listener(protocol="tls-passthrough", **settings)]
    return world(*pools, listeners=listeners, routes=routes, **others)


def is_idle(worker: Worker) -> bool:
    worker.wait_until_published()
    return worker.in_flight() == 0 and worker.count(W_CONNECTIONS) == 0


def in_records(hello: bytes, size: int) -> bytes:
    """The same message in records of so many bytes."""
    head, message = hello[:3], hello[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join([head + len(piece).to_bytes(2, "big") + piece for piece in pieces])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_name_chooses_the_pool_and_the_certificate_is_the_endpoints(
    start: Start, serving: Serving, authority: Authority, version: ssl.TLSVersion
) -> None:
    one, other = serving("one.example"), serving("other.example")
    pools = (tcp(one, name="one"), tcp(other, name="other"))
    routes = [to("one", "one.example"), to("other", "other.example")]
    worker = start(passthrough(*pools, routes=routes))
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    for name in ("other.example", "one.example"):
        client = worker.connect(tls=context, server_name=name)
        assert isinstance(client.socket, ssl.SSLSocket)
        certificate = client.socket.getpeercert(binary_form=True)
        assert certificate is not None
        assert names_in(certificate) == [name]
        client.send(b"hello " + name.encode())
        assert client.read_until(name.encode()) == b"hello " + name.encode()
    assert (len(one.connections), len(other.connections)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.wide.example", "wide"), ("exact.wide.example", "exact"), ("elsewhere.example", "rest")],
)
def test_wildcards_and_the_route_without_names_take_what_is_theirs(
    start: Start, serving: Serving, authority: Authority, name: str, found: str
) -> None:
    endpoint = serving(name)
    pools = [tcp(endpoint, name=each) for each in ("exact", "wide", "rest")]
    routes = [
        to("exact", "exact.wide.example"),
        to("wide", "*.wide.example"),
        route("rest"),
    ]
    worker = start(passthrough(*pools, routes=routes))
    client = worker.connect(tls=authority.client(), server_name=name)
    client.send(b"ping")
    client.read_until(b"ping")
    assert {each: worker.load(endpoint, pool=each) for each in ("exact", "wide", "rest")} == {
        each: int(each == found) for each in ("exact", "wide", "rest")
    }


def test_client_that_asks_for_no_name_takes_the_route_without_names(
    start: Start, serving: Serving, authority: Authority
) -> None:
    named, nameless = serving("named.example"), serving("nameless.example")
    pools = (tcp(named, name="named"), tcp(nameless, name="nameless"))
    routes = [to("named", "*.example"), route("nameless")]
    worker = start(passthrough(*pools, routes=routes))
    context = authority.client()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    handshake = Handshake(context, None)
    client = worker.connect()
    client.send(handshake.hello)
    handshake.finish(client)
    assert handshake.asked(client, b"ping", b"ping") == b"ping"
    assert (len(named.connections), len(nameless.connections)) == (0, 1)


@pytest.mark.parametrize("record_bytes", [0, 100, 1], ids=["one", "some", "many"])
@pytest.mark.parametrize("piece_bytes", [1, 40])
def test_hello_may_come_in_any_pieces_and_records(
    start: Start, serving: Serving, authority: Authority, record_bytes: int, piece_bytes: int
) -> None:
    endpoint = serving("one.example")
    worker = start(
        passthrough(tcp(endpoint), routes=[to("main", "one.example")]),
    )
    handshake = Handshake(authority.client(), "one.example")
    hello = in_records(handshake.hello, record_bytes) if record_bytes else handshake.hello
    client = worker.connect()
    assert client.send_while_open(hello, piece_bytes)
    handshake.finish(client)
    assert handshake.asked(client, b"after all", b"after all") == b"after all"


def test_no_byte_is_lost_where_another_endpoint_is_tried(
    start: Start, serving: Serving, authority: Authority, refusing: Address
) -> None:
    endpoint = serving("one.example")
    worker = start(passthrough(tcp(refusing, endpoint)))
    for _ in range(4):
        with worker.connect(tls=authority.client(), server_name="one.example") as client:
            client.send(b"first words")
            assert client.read_until(b"words") == b"first words"
    wait_until(lambda: is_idle(worker), "nothing is left of them")
    assert worker.load(refusing, L_CONNECT_FAILURES) > 0


def test_bytes_behind_the_hello_wait_for_the_endpoint(
    start: Start, scripted: Callable[..., ScriptedEndpoint], authority: Authority
) -> None:
    """Early data of TLS 1.3, say: it is not understood, and passed on in order."""
    endpoint = scripted(echo)
    worker = start(passthrough(tcp(endpoint)))
    hello = Handshake(authority.client(), "one.example").hello
    client = worker.connect()
    client.send(hello + b"what follows")
    client.send(b", and more")
    assert client.read_until(b"more") == hello + b"what follows, and more"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "the connection does not begin with a TLS handshake"),
        (b"\x15\x03\x01\0\x02\x02\x28", "the connection does not begin with a TLS handshake"),
        (b"\x16\x03\x01\0\0", "ClientHello: a record is empty"),
        (b"\x16\x03\x01\0\x04\x02\0\0\0", "ClientHello: the first message of the handshake is"),
        (b"\x16\x03\x01\0\x04\x01\0\0\0", "ClientHello: it is too short"),
        (b"\x16\x03\x01\xff\xff" + bytes(100), "ClientHello: a record has more than 16384 bytes"),
        (b"\x16\x03\x01\0\x04\x01\x01\0\0" * 5, "ClientHello: it has more than 16384 bytes"),
    ],
    ids=["http", "alert", "empty", "other", "short", "record", "long"],
)
def test_what_tells_no_name_is_closed_counted_and_logged(
    start: Start, serving: Serving, tmp_path: Path, data: bytes, why: str
) -> None:
    endpoint = serving("one.example")
    log = tmp_path / "log.jsonl"
    worker = start(passthrough(tcp(endpoint), log=log))
    client = worker.connect()
    client.send_while_open(data)
    client.read_to_end()
    wait_until(lambda: worker.count(W_TLS_FAILURES) == 1, "the failure was counted")
    (line,) = lines_of(log, 1)
    assert (line["client"], line["listener"], line["end"]) == ("127.0.0.1", "main", "refused")
    assert line["why"].startswith(why)
    assert not endpoint.connections


def test_hello_that_ends_early_is_a_failure_and_a_port_check_is_none(
    start: Start, serving: Serving, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(passthrough(tcp(serving("one.example")), log=log))
    with worker.connect() as client:
        client.end_sending()
        client.expect_end()
    with worker.connect() as client:
        client.send(b"\x16\x03\x01\x01\0\x01")
        client.end_sending()
        client.expect_end()
    wait_until(lambda: worker.count(W_TLS_FAILURES) == 1, "the failure was counted")
    (line,) = lines_of(log, 1)
    assert line["why"] == "the connection ended within its ClientHello"


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x01\0\x01"], ids=["silent", "half"])
def test_slow_hello_runs_out_of_time(
    start: Start, serving: Serving, tmp_path: Path, begun: bytes
) -> None:
    log = tmp_path / "log.jsonl"
    timeouts = ListenerTimeouts(tls_handshake_s=5.0)
    snapshot = passthrough(tcp(serving("one.example")), log=log, timeouts=timeouts)
    worker = start(snapshot, held=True)
    client = worker.connect()
    client.send(begun)
    wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "it was accepted")
    worker.pass_time(4.5)
    assert client.is_silent(0.05)
    worker.pass_time(1.0)
    client.expect_end()
    worker.wait_until_published()
    assert worker.count(W_TLS_FAILURES) == 1
    (line,) = lines_of(log, 1)
    assert line["why"] == "no whole ClientHello came within 5 s"


def test_name_without_a_route_is_closed_and_logged_with_the_name(
    start: Start, serving: Serving, authority: Authority, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    routes = [to("main", "one.example")]
    worker = start(passthrough(tcp(serving("one.example")), routes=routes, log=log))
    client = worker.connect()
    client.send(Handshake(authority.client(), "Other.Example").hello)
    client.expect_end()
    wait_until(lambda: worker.count(W_UNROUTED) == 1, "it was counted")
    (line,) = lines_of(log, 1)
    assert (line["server_name"], line["end"]) == ("other.example", "refused")
    assert line["why"] == "no route is for this connection"


def test_log_tells_the_name_and_all_bytes(
    start: Start, scripted: Callable[..., ScriptedEndpoint], authority: Authority, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(passthrough(tcp(scripted(echo)), log=log))
    hello = Handshake(authority.client(), "one.example").hello
    client = worker.connect()
    client.send(hello)
    client.read_until(hello)
    client.end_sending()
    client.read_to_end()
    (line,) = lines_of(log, 1)
    assert (line["server_name"], line["end"]) == ("one.example", "done")
    assert line["bytes_from_client"] == line["bytes"] == len(hello)


def test_names_choose_where_tls_ends_here_too(
    start: Start, scripted: Callable[..., ScriptedEndpoint], authority: Authority, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    one, rest = scripted(echo), scripted(echo)
    certificates = (authority.issue("one.example", serves=False), authority.issue("two.example"))
    worker = start(
        world(
            tcp(one, name="one"),
            tcp(rest, name="rest"),
            listeners=[listener(protocol="tcp", certificates=certificates)],
            routes=[to("one", "one.example"), route("rest")],
            request_log=RequestLog("file", str(log)),
        )
    )
    for name, endpoint in (("one.example", one), ("two.example", rest)):
        with worker.connect(tls=authority.client(), server_name=name) as client:
            client.send(name.encode())
            client.read_until(name.encode())
        assert bytes(endpoint.connection().received) == name.encode()
    assert [line["server_name"] for line in lines_of(log, 2)] == ["one.example", "two.example"]


def test_worker_that_stops_lets_a_handshake_that_has_begun_go_on(
    start: Start, serving: Serving, authority: Authority
) -> None:
    worker = start(passthrough(tcp(serving("one.example"))), held=True)
    handshake = Handshake(authority.client(), "one.example")
    client = worker.connect()
    client.send(handshake.hello[:50])
    wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "it was accepted")
    worker.send({"kind": "stop", "deadline_s": 30.0})
    client.send(handshake.hello[50:])
    handshake.finish(client)
    assert handshake.asked(client, b"still here", b"still here") == b"still here"
