"""TLS to endpoints: who is believed, and what an end means."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.core.snapshot import Connections, EndpointTls, Match, PoolTimeouts, RequestLog
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import answer, answer_of, get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, at, pool, route, world
from tests.scenario.certificates import Authority, names_in

SOON_S = 0.3
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_https_endpoint_is_verified_and_named(
    start: Callable[..., Worker], authority: Authority
) -> None:
    asked: list[str | None] = []
    context = authority.server("inner.example")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    tls = EndpointTls(ca_file=authority.file, server_name="inner.example")
    with HttpEndpoint(tls=context) as endpoint:
        client = start(world(pool(at(endpoint, tls=True), tls=tls))).connect()
        for _ in range(3):
            assert client.get().body == endpoint.name.encode()
        assert asked == ["inner.example"]
        assert {request.connection for request in endpoint.requests} == {0}


def test_https_endpoint_is_verified_by_its_address(
    start: Callable[..., Worker], authority: Authority
) -> None:
    tls = EndpointTls(ca_file=authority.file)
    with HttpEndpoint(tls=authority.server("127.0.0.1")) as endpoint:
        assert start(world(pool(at(endpoint, tls=True), tls=tls))).connect().get().status == 200


@pytest.mark.parametrize(
    ("host", "host_header", "expected"),
    [
        ("localhost", "auto", "localhost:{port}"),
        ("localhost", "pass", "site.example"),
        ("127.0.0.1", "auto", "site.example"),
    ],
)
def test_https_endpoint_given_by_name_is_asked_by_its_name(
    start: Callable[..., Worker], authority: Authority, host: str, host_header: str, expected: str
) -> None:
    with HttpEndpoint(tls=authority.server(host)) as endpoint:
        member = replace(at(endpoint, tls=True), host=host, addresses=("127.0.0.1",))
        members = pool(member, tls=EndpointTls(ca_file=authority.file), host_header=host_header)
        assert start(world(members)).connect().get().status == 200
        port = at(endpoint).port
        assert endpoint.last.headers["host"] == expected.format(port=port)
        assert endpoint.last.headers["x-forwarded-host"] == "site.example"


@pytest.mark.parametrize("reason", ["other name", "other authority"])
def test_https_endpoint_that_is_somebody_else_is_a_bad_gateway(
    start: Callable[..., Worker], authority: Authority, tmp_path: Path, reason: str
) -> None:
    """And it learns nothing of the request."""
    context = authority.server("evil.example" if reason == "other name" else "inner.example")
    trusted = authority.file if reason == "other name" else Authority(tmp_path).file
    tls = EndpointTls(ca_file=trusted, server_name="inner.example")
    with HttpEndpoint(tls=context) as endpoint:
        members = pool(at(endpoint, tls=True), tls=tls, retry=NEVER_REPEAT)
        log = tmp_path / "requests.log"
        worker = start(world(members, request_log=RequestLog("file", str(log))))
        response = worker.connect().get("/secret")
        assert response.status == 502
        assert b"certificate" not in response.body.lower()
        assert "certificate" in lines_of(log, 1)[0]["why"].lower()
        assert endpoint.requests == []
        assert b"/secret" not in endpoint.received


def test_https_endpoint_is_not_verified_when_told_so(
    start: Callable[..., Worker], authority: Authority
) -> None:
    tls = EndpointTls(verify=False)
    with HttpEndpoint(tls=authority.server("whoever.example")) as endpoint:
        assert start(world(pool(at(endpoint, tls=True), tls=tls))).connect().get().status == 200


def test_https_endpoint_that_stays_silent_is_given_up(
    start: Callable[..., Worker],
) -> None:
    """The time to connect includes the handshake."""
    with ScriptedEndpoint(lambda connection: connection.receive_to_end()) as endpoint:
        members = pool(
            at(endpoint, tls=True),
            timeouts=PoolTimeouts(connect_s=SOON_S),
            retry=NEVER_REPEAT,
        )
        assert start(world(members)).connect().get().status == 504


def test_https_endpoint_that_answers_before_it_is_asked_is_not_believed(
    start: Callable[..., Worker], authority: Authority, tmp_path: Path
) -> None:
    """Its answer comes in the handshake's last flight, which TLS 1.2 leaves to the server."""
    context = authority.server("127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def speak_first(connection: EndpointConnection) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                side.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.send(outgoing.read())
                incoming.write(connection.receive())
        side.write(answer_of(b"smuggled"))
        connection.send(outgoing.read())
        connection.receive_to_end()

    tls = EndpointTls(ca_file=authority.file)
    with ScriptedEndpoint(speak_first) as endpoint:
        members = pool(at(endpoint, tls=True), tls=tls, retry=NEVER_REPEAT)
        log = tmp_path / "requests.log"
        worker = start(world(members, request_log=RequestLog("file", str(log))))
        response = worker.connect().get()
        assert response.status == 502
        assert "before it was asked" in lines_of(log, 1)[0]["why"]
        assert b"smuggled" not in response.body


def test_https_endpoint_that_ends_without_a_word_cuts_the_answer(
    start: Callable[..., Worker], authority: Authority
) -> None:
    """Until-close over TLS: only close_notify is an end (RFC 9112, 9.8)."""

    def end_abruptly(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Connection: close"))
        connection.socket.shutdown(socket.SHUT_RDWR)

    def end_properly(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Connection: close"))
        assert isinstance(connection.socket, ssl.SSLSocket)
        connection.socket.unwrap()

    tls = EndpointTls(ca_file=authority.file)
    context = authority.server("127.0.0.1")
    for script, is_whole in [(end_abruptly, False), (end_properly, True)]:
        with ScriptedEndpoint(script, tls=context) as endpoint:
            worker = start(world(pool(at(endpoint, tls=True), tls=tls)))
            client = worker.connect()
            client.send(get())
            response = client.read_response_or_end()
            assert (response is not None) == is_whole


def test_pools_that_a_reload_adds_have_their_tls_and_unchanged_ones_keep_it(
    start: Callable[..., Worker], authority: Authority
) -> None:
    trusting = EndpointTls(verify=False)
    verified = EndpointTls(ca_file=authority.file)
    with HttpEndpoint(tls=authority.server("127.0.0.1")) as endpoint:
        first = pool(at(endpoint, tls=True), tls=verified)
        worker = start(world(first))
        client = worker.connect()
        assert client.get().status == 200
        second = pool(at(endpoint, tls=True), name="second", tls=trusting)
        to_second = route("second", match=Match(path_kind="exact", path="/second"))
        for _ in range(2):
            worker.apply(world(first, second, routes=[to_second, route("main")]))
            assert client.get("/second").status == 200
            assert client.get().status == 200
        assert {request.connection for request in endpoint.requests if request.target == "/"} == {0}


def test_end_of_an_idle_connection_is_announced_to_the_endpoint(
    start: Callable[..., Worker], authority: Authority
) -> None:
    """RFC 9112, 9.8."""
    ends: list[bytes | str] = []

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer_of(b"ok"))
        assert isinstance(connection.socket, ssl.SSLSocket)
        connection.socket.suppress_ragged_eofs = False  # type: ignore[attr-defined]
        try:
            ends.append(connection.socket.recv(1))
        except ssl.SSLError as error:
            ends.append(str(error))

    tls = EndpointTls(ca_file=authority.file)
    kept = Connections(idle_timeout_s=1.0)
    with ScriptedEndpoint(play, tls=authority.server("127.0.0.1")) as endpoint:
        members = pool(at(endpoint, tls=True), tls=tls, connections=kept)
        worker = start(world(members), held=True)
        assert worker.connect().get().status == 200
        worker.pass_time(1.0)
        wait_until(lambda: len(ends) == 1, "the connection ended")
    assert ends == [b""], "an end without close_notify is an error"


def asking(authority: Authority) -> ssl.SSLContext:
    """An endpoint's context that requires a certificate of that authority."""
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_endpoint_that_asks_for_a_certificate_is_shown_ours(
    start: Callable[..., Worker], authority: Authority, version: ssl.TLSVersion
) -> None:
    shown: list[bytes | None] = []

    def play(connection: EndpointConnection) -> None:
        assert isinstance(connection.socket, ssl.SSLSocket)
        shown.append(connection.socket.getpeercert(binary_form=True))
        while connection.receive_head():
            connection.send(answer_of(b"ok"))

    context = asking(authority)
    context.minimum_version = context.maximum_version = version
    pair = authority.issue("balancer.example")
    tls = EndpointTls(ca_file=authority.file, certificate=pair.certificate, key=pair.key)
    with ScriptedEndpoint(play, tls=context) as endpoint:
        fresh = pool(at(endpoint, tls=True), tls=tls, connections=Connections(max_idle=0))
        worker = start(world(fresh))
        assert worker.connect().get().status == 200
        authority.write(pair.certificate, pair.key, "newer.example")
        worker.apply(world(replace(fresh, tls_generation=1)))
        assert worker.connect().get().status == 200
        found = [names_in(each or b"") for each in shown]
        assert found == [["balancer.example"], ["newer.example"]]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_endpoint_that_misses_a_certificate_is_a_bad_gateway_and_the_log_says_so(
    start: Callable[..., Worker], authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    log = tmp_path / "requests.log"
    context = asking(authority)
    context.minimum_version = context.maximum_version = version
    tls = EndpointTls(ca_file=authority.file)
    with HttpEndpoint(tls=context) as endpoint:
        members = pool(at(endpoint, tls=True), tls=tls, retry=NEVER_REPEAT)
        worker = start(world(members, request_log=RequestLog("file", str(log))))
        assert worker.connect().get().status == 502
        (line,) = lines_of(log, 1)
        assert "alert" in line["why"]
        assert endpoint.requests == []
