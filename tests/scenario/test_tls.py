"""TLS in front: who is let in, and what an end means."""

import contextlib
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.core.snapshot import ListenerTimeouts, RequestLog
from penstock.dataplane.board.layout import W_TLS_FAILURES, W_TLS_HANDSHAKES
from tests.harness.client import Client, IncompleteResponse
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import answer, get, post
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, listener, pool, world
from tests.scenario.certificates import Authority, names_in

SOON_S = 0.3
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[tuple[Worker, HttpEndpoint]]:
    """A TLS listener with a default certificate and two for names, before one endpoint."""
    certificates = (
        authority.issue("localhost", "default.example", serves=False),
        authority.issue("a.example"),
        authority.issue("*.wild.example"),
    )
    listeners = [listener(certificates=certificates)]
    with HttpEndpoint() as endpoint, Worker(world(pool(endpoint), listeners=listeners)) as worker:
        yield worker, endpoint


def names_of(client: Client) -> set[str]:
    """The names in the certificate that the client was shown."""
    assert isinstance(client.socket, ssl.SSLSocket)
    encoded = client.socket.getpeercert(binary_form=True)
    assert encoded is not None
    return set(names_in(encoded))


def test_requests_are_served_over_tls(
    secure: tuple[Worker, HttpEndpoint], authority: Authority
) -> None:
    worker, endpoint = secure
    client = worker.connect(tls=authority.client())
    for _ in range(3):
        assert client.get().body == endpoint.name.encode()
    assert endpoint.last.headers["x-forwarded-proto"] == "https"
    assert "proto=https" in endpoint.last.headers["forwarded"]
    wait_until(lambda: worker.count(W_TLS_HANDSHAKES) >= 1, "the handshake was counted")


def test_large_bodies_pass_over_tls(
    secure: tuple[Worker, HttpEndpoint], authority: Authority
) -> None:
    worker, endpoint = secure
    body = b"0123456789abcdef" * (MIB // 4)
    client = worker.connect(tls=authority.client())
    assert client.request(post(f"Content-Length: {len(body)}", body=body), "POST").status == 200
    assert endpoint.last.body == body


def test_pipelined_requests_pass_over_tls(
    secure: tuple[Worker, HttpEndpoint], authority: Authority
) -> None:
    client = secure[0].connect(tls=authority.client())
    client.send(get() * 50)
    assert [client.read_response().status for _ in range(50)] == [200] * 50


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("a.example", {"a.example"}),
        ("A.EXAMPLE", {"a.example"}),
        ("x.wild.example", {"*.wild.example"}),
        ("default.example", {"localhost", "default.example"}),
    ],
)
def test_certificate_is_chosen_by_the_name_asked_for(
    secure: tuple[Worker, HttpEndpoint], authority: Authority, asked: str, shown: set[str]
) -> None:
    client = secure[0].connect(tls=authority.client(), server_name=asked)
    assert names_of(client) == shown
    assert client.get().status == 200


@pytest.mark.parametrize("asked", ["unknown.example", "x.y.wild.example", "wild.example"])
def test_unknown_name_is_shown_the_default_certificate(
    secure: tuple[Worker, HttpEndpoint], authority: Authority, asked: str
) -> None:
    context = authority.client()
    context.check_hostname = False
    client = secure[0].connect(tls=context, server_name=asked)
    assert names_of(client) == {"localhost", "default.example"}


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "h2"), (["h2"], "h2"), ([], None)],
)
def test_alpn_agrees_on_http2_where_the_client_knows_it(
    secure: tuple[Worker, HttpEndpoint],
    authority: Authority,
    offered: list[str],
    agreed: str | None,
) -> None:
    context = authority.client()
    if offered:
        context.set_alpn_protocols(offered)
    client = secure[0].connect(tls=context)
    assert isinstance(client.socket, ssl.SSLSocket)
    assert client.socket.selected_alpn_protocol() == agreed
    if agreed != "h2":
        assert client.get().status == 200


def client_hello(version: int) -> bytes:
    """A ClientHello of TLS 1.1 or 1.2, by hand: OpenSSL itself may refuse to send the former."""
    ciphers = struct.pack("!6H", 0xC02F, 0xC02B, 0xC013, 0xC009, 0x009C, 0x002F)
    extensions = (
        b"\x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17"  # groups: x25519, secp256r1
        b"\x00\x0b\x00\x02\x01\x00"  # uncompressed points
        b"\x00\x0d\x00\x08\x00\x06\x04\x03\x04\x01\x08\x04"  # signatures with SHA-256
    )
    body = struct.pack("!H", version) + bytes(range(32)) + b"\x00"
    body += struct.pack("!H", len(ciphers)) + ciphers + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake


def test_tls_1_1_is_refused_and_1_2_is_not(secure: tuple[Worker, HttpEndpoint]) -> None:
    old = secure[0].connect()
    old.send(client_hello(0x0302))
    alert = old.read_to_end()
    assert (alert[0], alert[5:7]) == (0x15, b"\x02\x46")  # fatal protocol_version
    ours = secure[0].connect()
    ours.send(client_hello(0x0303))
    hello = ours.read_some()
    assert (hello[0], hello[5]) == (0x16, 0x02)  # ServerHello


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(
    secure: tuple[Worker, HttpEndpoint], authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    first = secure[0].connect(tls=context)
    assert first.get().status == 200
    assert isinstance(first.socket, ssl.SSLSocket)
    again = secure[0].connect(tls=context, session=first.socket.session)
    assert again.get().status == 200
    assert isinstance(again.socket, ssl.SSLSocket)
    assert again.socket.session_reused


@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_plain_http_to_a_tls_listener_is_told_so(
    secure: tuple[Worker, HttpEndpoint], piece_bytes: int
) -> None:
    worker, endpoint = secure
    before = worker.count(W_TLS_FAILURES)
    client = worker.connect()
    client.send_while_open(get("/plain"), piece_bytes=piece_bytes)
    response = client.read_response()
    assert response.status == 400
    assert b"https://" in response.body
    client.expect_end()
    assert b"/plain" not in endpoint.received
    wait_until(lambda: worker.count(W_TLS_FAILURES) > before, "the failure was counted")


def test_plain_http_to_a_tls_listener_is_logged(
    start: Callable[..., Worker], authority: Authority, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    worker = start(world(pool(), listeners=listeners, request_log=RequestLog("file", str(log))))
    worker.connect().get("/plain")
    (line,) = lines_of(log, 1)
    assert (line["status"], line["line"]) == (400, "GET /plain HTTP/1.1")
    assert "TLS" in line["why"]


def test_tls_to_a_plain_listener_is_refused_at_once(start: Callable[..., Worker]) -> None:
    worker = start(world(pool(Address(1))), held=True)  # no timeout ends it
    client = worker.connect()
    client.send(client_hello(0x0303))
    response = client.read_response()
    assert response.status == 400
    assert b"TLS" in response.body


def test_end_of_an_answer_until_close_is_announced(authority: Authority) -> None:
    """close_notify, so that the end cannot have been made by somebody between."""
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    with (
        ScriptedEndpoint(answer_until_close) as endpoint,
        Worker(world(pool(endpoint), listeners=listeners)) as worker,
    ):
        client = worker.connect(tls=authority.client())
        response = client.request(b"GET / HTTP/1.0\r\n\r\n")
        assert response.body == b"hello"
        assert not client.was_reset


def test_end_of_an_idle_connection_is_announced(
    start: Callable[..., Worker], endpoint: HttpEndpoint, authority: Authority
) -> None:
    """RFC 9112, 9.8: the client knows that no answer was cut off."""
    certificates = (authority.issue("localhost"),)
    timeouts = ListenerTimeouts(keep_alive_idle_s=1.0)
    listeners = [listener(certificates=certificates, timeouts=timeouts)]
    worker = start(world(pool(endpoint), listeners=listeners), held=True)
    idle = worker.connect(tls=authority.client())
    assert idle.get().status == 200
    worker.pass_time(1.0)
    assert idle.read_to_end() == b""
    assert not idle.was_reset
    stopped = worker.connect(tls=authority.client())
    assert stopped.get().status == 200
    worker.send({"kind": "stop", "deadline_s": 20.0})
    assert stopped.read_to_end() == b""
    assert not stopped.was_reset


def answer_until_close(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(answer("Connection: close"))


def die_within_a_body(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_cut_answer_has_no_announced_end(authority: Authority, version: str) -> None:
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    with (
        ScriptedEndpoint(die_within_a_body) as endpoint,
        Worker(world(pool(endpoint), listeners=listeners)) as worker,
    ):
        client = worker.connect(tls=authority.client())
        client.send(get().replace(b"1.1", version.encode(), 1))
        with pytest.raises(IncompleteResponse):
            client.read_response()


def test_client_leaving_over_tls_is_told_to_the_endpoint(
    start: Callable[..., Worker], authority: Authority
) -> None:
    """With a farewell or without one."""

    def hold(connection: EndpointConnection) -> None:
        connection.receive_to_end()

    listeners = [listener(certificates=(authority.issue("localhost"),))]
    with ScriptedEndpoint(hold) as endpoint:
        worker = start(world(pool(endpoint), listeners=listeners))
        for number, leave in enumerate([Client.close, Client.reset, say_farewell]):
            client = worker.connect(tls=authority.client())
            client.send(get())
            connection = endpoint.connection(number)
            wait_until(lambda c=connection: b"\r\n\r\n" in c.received, "it was asked")  # type: ignore[misc]
            leave(client)
            endpoint.wait_for_end(number)
        worker.wait_until_idle()


def say_farewell(client: Client) -> None:
    """close_notify, with the connection left open."""
    assert isinstance(client.socket, ssl.SSLSocket)
    client.socket.settimeout(SOON_S)
    with contextlib.suppress(ssl.SSLError, TimeoutError):
        client.socket.unwrap()


def test_slow_reader_over_tls_costs_no_memory(
    start: Callable[..., Worker], authority: Authority
) -> None:
    size = 50 * MIB
    reached: list[int] = []

    def send_much(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer(f"Content-Length: {size}", body=b""))
        reached.append(connection.send_repeated(b"x" * 65536, 0, size, SOON_S))
        reached.append(connection.send_repeated(b"x" * 65536, reached[0], size, PATIENCE_S))

    listeners = [listener(certificates=(authority.issue("localhost"),))]
    with ScriptedEndpoint(send_much) as endpoint:
        worker = start(world(pool(endpoint), listeners=listeners))
        client = worker.connect(tls=authority.client(), receive_buffer=65536)
        before = worker.memory_bytes()
        client.send(get())
        wait_until(lambda: bool(reached), "the endpoint was stopped")
        assert reached[0] < size
        assert len(client.read_response().body) == size
        assert worker.memory_bytes("VmHWM") - before < 6 * MIB


def test_silent_handshake_is_cut_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint, authority: Authority
) -> None:
    certificates = (authority.issue("localhost"),)
    timeouts = ListenerTimeouts(tls_handshake_s=SOON_S)
    listeners = [listener(certificates=certificates, timeouts=timeouts)]
    worker = start(world(pool(endpoint), listeners=listeners))
    silent, slow = worker.connect(), worker.connect()
    hello = client_hello(0x0303)
    for byte in hello:
        if not slow.send_while_open(bytes([byte])) or not slow.is_silent(SOON_S / 10):
            break
    else:
        raise AssertionError("a handshake may take for ever, byte by byte")
    assert silent.read_to_end() == b""
    assert slow.read_to_end() == b""


def test_changed_certificate_is_shown_to_new_clients_only(
    start: Callable[..., Worker], endpoint: HttpEndpoint, authority: Authority
) -> None:
    """Raising ``tls_generation`` reads the files again; connections go on."""
    certificate = authority.issue("localhost", "before.example")
    listening = listener(certificates=(certificate,))
    snapshot = world(pool(endpoint), listeners=[listening])
    worker = start(snapshot)
    before = worker.connect(tls=authority.client())
    authority.write(certificate.certificate, certificate.key, "localhost", "after.example")
    raised = msgspec.structs.replace(listening, tls_generation=1)
    worker.apply(msgspec.structs.replace(snapshot, listeners=(raised,)))
    after = worker.connect(tls=authority.client())
    assert "before.example" in names_of(before)
    assert "after.example" in names_of(after)
    assert [client.get().status for client in (before, after)] == [200, 200]


def test_unreadable_certificate_changes_nothing(
    start: Callable[..., Worker], endpoint: HttpEndpoint, authority: Authority
) -> None:
    certificate = authority.issue("localhost")
    listening = listener(certificates=(certificate,))
    snapshot = world(pool(endpoint), listeners=[listening])
    worker = start(snapshot)
    Path(certificate.certificate).write_text("not a certificate")
    raised = msgspec.structs.replace(listening, tls_generation=1)
    answered = worker.publish(msgspec.structs.replace(snapshot, listeners=(raised,)))
    assert answered["kind"] == "refused"
    assert worker.connect(tls=authority.client()).get().status == 200
