"""Mutual TLS: clients are asked for certificates, for every server name alike."""

import base64
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate as Issued
from cryptography.x509 import load_der_x509_certificate

from penstock.core.snapshot import Certificate, ListenerTls, Match, RequestLog, Snapshot
from penstock.dataplane.board.layout import W_TLS_FAILURES
from tests.harness.client import Client
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.introduced import IntroducedEndpoint
from tests.harness.messages import get, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, route, world
from tests.scenario.certificates import Authority

# Default, exact, wildcard, unknown, and none.
NAMES: Final = ["localhost", "a.example", "x.wild.example", "unknown.example", ""]
VERSIONS: Final = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
OWN_HEADER: Final = "X-Client-DER"
OWN_LOWER: Final = OWN_HEADER.lower()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates nobody trusts here."""
    return Authority(tmp_path_factory.mktemp("strangers"))


class Site:
    """Listeners that require, request and ask for no certificate, before one endpoint."""

    def __init__(
        self,
        authority: Authority,
        worker: Worker,
        endpoint: HttpEndpoint,
        introduced: IntroducedEndpoint,
    ) -> None:
        self.authority = authority
        self.worker = worker
        self.endpoint = endpoint
        self.log = worker_log(authority)
        self.introduced = introduced

    def connect(
        self, context: ssl.SSLContext, name: str = "localhost", at: str = "require"
    ) -> Client:
        context.check_hostname = False
        return self.worker.connect(at, tls=context, server_name=name)


def worker_log(authority: Authority) -> Path:
    return Path(authority.file).with_name("requests.log")


@pytest.fixture(scope="module")
def site(authority: Authority) -> Iterator[Site]:
    certificates = (
        authority.issue("localhost", serves=False),
        authority.issue("a.example"),
        authority.issue("*.wild.example"),
    )
    required = ListenerTls(client_ca_file=authority.file)
    requested = ListenerTls(
        client_ca_file=authority.file,
        client_certificate="request",
        client_certificate_header=OWN_HEADER,
        client_certificate_chain=True,
    )
    listeners = [
        listener("require", certificates=certificates, tls=required),
        listener("request", certificates=certificates, tls=requested),
        listener("plain"),
        listener("tcp", certificates=certificates, tls=required, protocol="tcp"),
    ]
    log = RequestLog("file", str(worker_log(authority)))
    with IntroducedEndpoint() as introduced, HttpEndpoint() as endpoint:
        pools = [
            pool(endpoint),
            pool(introduced, name="tcp", protocol="tcp", proxy_protocol="v2"),
        ]
        routes = [route("tcp", match=Match(listeners=("tcp",))), route("main")]
        snapshot = world(*pools, listeners=listeners, routes=routes, request_log=log)
        with Worker(snapshot) as worker:
            yield Site(authority, worker, endpoint, introduced)


def certificate_in(value: str) -> bytes:
    """Out of a byte sequence (RFC 8941, 3.3.5)."""
    assert value[0] == value[-1] == ":"
    return base64.b64decode(value[1:-1], validate=True)


def der_of(certificate: Issued) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def ask(site: Site, context: ssl.SSLContext, name: str, at: str) -> bytes:
    """The first byte of the answer."""
    client = site.connect(context, name, at)
    client.send(get("/secret"))
    return client.socket.recv(1)


def expect_refusal(site: Site, context: ssl.SSLContext, name: str, at: str = "require") -> None:
    """The handshake fails; with TLS 1.3 the client hears of it after it sent its request."""
    failures = site.worker.count(W_TLS_FAILURES)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        ask(site, context, name, at)
    wait_until(lambda: site.worker.count(W_TLS_FAILURES) > failures, "the failure was counted")
    assert b"/secret" not in site.endpoint.received


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", VERSIONS)
def test_who_shows_a_good_certificate_is_let_in_by_every_name(
    site: Site, name: str, version: ssl.TLSVersion
) -> None:
    context, certificate = site.authority.client_with("robot", version)
    assert site.connect(context, name).get().status == 200
    told = site.endpoint.last.headers["client-cert"]
    assert certificate_in(told) == der_of(certificate)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", VERSIONS)
def test_who_shows_none_is_refused_by_every_name(
    site: Site, name: str, version: ssl.TLSVersion
) -> None:
    context = site.authority.client()
    context.minimum_version = context.maximum_version = version
    expect_refusal(site, context, name)


@pytest.mark.parametrize("version", VERSIONS)
def test_tcp_listeners_refuse_who_shows_none(site: Site, version: ssl.TLSVersion) -> None:
    """With TLS 1.3 the alert is to be read although more was sent."""
    context = site.authority.client()
    context.minimum_version = context.maximum_version = version
    expect_refusal(site, context, "a.example", "tcp")
    assert b"/secret" not in site.introduced.received


@pytest.mark.parametrize("at", ["require", "request"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", VERSIONS)
def test_who_shows_a_strangers_is_refused_by_every_name(
    site: Site, stranger: Authority, at: str, name: str, version: ssl.TLSVersion
) -> None:
    context, _ = stranger.client_with("robot", version)
    context.load_verify_locations(site.authority.file)
    expect_refusal(site, context, name, at)


def test_an_expired_certificate_is_refused_and_the_log_says_why(site: Site) -> None:
    ended = datetime.now(UTC) - timedelta(days=1)
    context, _ = site.authority.client_with("late", not_after=ended)
    expect_refusal(site, context, "localhost")
    wait_until(
        lambda: "certificate has expired" in site.log.read_text(), "the log says why it was refused"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_where_certificates_are_requested_a_client_may_have_none(
    site: Site, version: ssl.TLSVersion
) -> None:
    context = site.authority.client()
    context.minimum_version = context.maximum_version = version
    assert site.connect(context, at="request").get().status == 200
    assert OWN_LOWER not in site.endpoint.last.headers
    context, certificate = site.authority.client_with("robot", version)
    assert site.connect(context, at="request").get().status == 200
    assert certificate_in(site.endpoint.last.headers[OWN_LOWER]) == der_of(certificate)
    assert "client-cert" not in site.endpoint.last.headers


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_session_still_tells_the_certificate(site: Site, version: ssl.TLSVersion) -> None:
    context, certificate = site.authority.client_with("robot", version)
    first = site.connect(context)
    assert first.get().status == 200
    assert isinstance(first.socket, ssl.SSLSocket)
    context.check_hostname = False
    again = site.worker.connect("require", tls=context, session=first.socket.session)
    assert again.get().status == 200
    assert isinstance(again.socket, ssl.SSLSocket)
    assert again.socket.session_reused
    told = site.endpoint.last.headers["client-cert"]
    assert certificate_in(told) == der_of(certificate)


def test_those_who_vouch_for_it_are_told_where_that_is_asked_for(site: Site) -> None:
    """RFC 9440, 2.3; of a resumed session too, which does not have them any more."""
    context, certificate = site.authority.client_with("robot", ssl.TLSVersion.TLSv1_2)
    first = site.connect(context, at="request")
    assert first.get().status == 200
    told = site.endpoint.last.headers["client-cert-chain"]
    (vouching,) = [certificate_in(each) for each in told.split(", ")]
    issuer = load_der_x509_certificate(vouching)
    certificate.verify_directly_issued_by(issuer)
    assert isinstance(first.socket, ssl.SSLSocket)
    again = site.worker.connect("request", tls=context, session=first.socket.session)
    assert again.get("/again").status == 200
    assert isinstance(again.socket, ssl.SSLSocket)
    assert again.socket.session_reused
    assert site.endpoint.last.headers["client-cert-chain"] == told
    assert site.connect(context).get().status == 200
    assert "client-cert-chain" not in site.endpoint.last.headers
    assert site.connect(site.authority.client(), at="request").get().status == 200
    assert "client-cert-chain" not in site.endpoint.last.headers


def test_two_clients_on_one_listener_are_never_taken_for_each_other(site: Site) -> None:
    """Their requests have the same bytes, which is what remembered heads go by."""
    robot, of_robot = site.authority.client_with("robot")
    person, of_person = site.authority.client_with("person")
    clients = [(site.connect(robot), of_robot), (site.connect(person), of_person)]
    for _ in range(3):
        for client, certificate in clients:
            assert client.get().status == 200
            told = site.endpoint.last.headers["client-cert"]
            assert certificate_in(told) == der_of(certificate)


FORGED: Final = ["Client-Cert", "client_cert", "Client-Cert-Chain", OWN_HEADER, "x_client-DER"]


@pytest.mark.parametrize("at", ["plain", "require", "request"])
def test_what_clients_say_of_certificates_themselves_is_taken_out(site: Site, at: str) -> None:
    """On every listener, whichever name is configured on another."""
    context, certificate = site.authority.client_with("robot")
    client = site.worker.connect("plain") if at == "plain" else site.connect(context, at=at)
    fields = [f"{name}: :Zm9yZ2Vk:" for name in FORGED]
    # Nominated by Connection the client would have Penstock drop its own (RFC 9110, 7.6.1).
    assert client.get("/", "Connection: Client-Cert", *fields).status == 200
    told = site.endpoint.last.headers
    assert "Zm9yZ2Vk" not in str(told)
    header = {"require": "client-cert", "request": OWN_LOWER}.get(at)
    if header is not None:
        assert certificate_in(told[header]) == der_of(certificate)


def test_forged_trailers_are_taken_out_too(site: Site) -> None:
    trailers = "".join([f"{name}: :Zm9yZ2Vk:\r\n" for name in FORGED])
    body = f"3\r\nabc\r\n0\r\n{trailers}X-Sum: 1\r\n\r\n".encode()
    client = site.worker.connect("plain")
    assert client.request(post("Transfer-Encoding: chunked", body=body), "POST").status == 200
    assert site.endpoint.last.trailers.fields == [("x-sum", "1")]


def test_http2_streams_tell_their_connections_certificate(site: Site) -> None:
    context, certificate = site.authority.client_with("robot")
    with Http2Client(site.worker.address("require"), tls=context) as client:
        for _ in range(2):
            answered = client.get("/", ("client-cert", ":Zm9yZ2Vk:"), ("x-client-der", "x"))
            assert answered.status == 200
            told = site.endpoint.last.headers
            assert certificate_in(told["client-cert"]) == der_of(certificate)
            assert OWN_LOWER not in told


def test_the_request_log_tells_subject_and_fingerprint(site: Site) -> None:
    context, certificate = site.authority.client_with(
        'Doe, "John"', organization_name="Robots + Co"
    )
    client = site.connect(context)
    for target in ("/logged", "/logged"):
        client.get(target)
    fingerprint = certificate.fingerprint(SHA256()).hex()
    wait_until(lambda: site.log.read_text().count(fingerprint) == 2, "both were logged")
    (line, _) = [
        json.loads(line) for line in site.log.read_text().splitlines() if fingerprint in line
    ]
    assert line["client_certificate"].startswith('CN=Doe\\, \\"John\\"')
    assert "O=Robots \\+ Co" in line["client_certificate"]


def test_tcp_connections_tell_it_in_the_log_and_in_the_proxy_header(site: Site) -> None:
    context, certificate = site.authority.client_with("robot", ssl.TLSVersion.TLSv1_3)
    client = site.connect(context, at="tcp")
    assert client.get().status == 200
    (told,) = site.introduced.introductions
    ssl_told = dict(told.others)[0x20]
    assert ssl_told[:5] == b"\x07\0\0\0\0"  # over TLS, with a certificate, which is good
    assert b"\x22\0\x05robot" in ssl_told
    assert b"\x21\0\x07TLSv1.3" in ssl_told
    client.close()
    fingerprint = certificate.fingerprint(SHA256()).hex()
    wait_until(lambda: fingerprint in site.log.read_text(), "it was logged")
    (line,) = [
        json.loads(line) for line in site.log.read_text().splitlines() if fingerprint in line
    ]
    assert (line["listener"], line["protocol"]) == ("tcp", "tcp")
    assert "CN=robot" in line["client_certificate"]


def test_openssls_client_is_let_in_with_its_certificate_alone(site: Site, tmp_path: Path) -> None:
    host, port = site.worker.address("require")
    pair = site.authority.issue("robot.example")
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "a.example"]
    command += ["-CAfile", site.authority.file, "-ign_eof", "-verify_return_error"]
    shown = ["-cert", pair.certificate, "-key", pair.key]
    asked = b"GET /by-openssl HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
    good = subprocess.run([*command, *shown], input=asked, capture_output=True, check=False)
    assert b" 200 " in good.stdout, good.stderr
    # Python's ssl trusts authorities and names none (docs/tls.md).
    assert b"No client certificate CA names sent" in good.stdout
    bad = subprocess.run(command, input=asked, capture_output=True, check=False)
    assert b" 200 " not in bad.stdout
    assert b"alert certificate required" in bad.stderr
    assert site.endpoint.received.count(b"/by-openssl") == 1


# --- revocation, versions and suites -------------------------------------------------------------


SOME_NAMES: Final = ["localhost", "a.example", "unknown.example"]


@pytest.fixture
def names(authority: Authority) -> tuple[Certificate, ...]:
    return (authority.issue("localhost", serves=False), authority.issue("a.example"))


def tls_world(
    endpoint: HttpEndpoint, names: tuple[Certificate, ...], tls: ListenerTls, generation: int = 0
) -> Snapshot:
    asking = listener(certificates=names, tls=tls, tls_generation=generation)
    return world(pool(endpoint), listeners=[asking])


def is_let_in(
    worker: Worker, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None
) -> bool:
    context.check_hostname = False
    try:
        client = worker.connect(tls=context, server_name=name, session=session)
        client.send(get())
        return client.socket.recv(1) == b"H"
    except ssl.SSLError as error:
        assert "alert" in str(error).lower()  # noqa: PT017 - what it is when it is no answer
        return False


def test_revoked_certificates_are_refused_by_every_name_and_newer_lists_hold_at_once(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    names: tuple[Certificate, ...],
) -> None:
    """A session from before cannot be a way around them either."""
    robot, of_robot = authority.client_with("robot", ssl.TLSVersion.TLSv1_2)
    person, _ = authority.client_with("person")
    tls = ListenerTls(client_ca_file=authority.file, crl_file=authority.revoke())
    worker = start(tls_world(endpoint, names, tls))
    robot.check_hostname = False
    first = worker.connect(tls=robot)
    assert first.get().status == 200
    assert isinstance(first.socket, ssl.SSLSocket)
    authority.revoke(of_robot)
    worker.apply(tls_world(endpoint, names, tls, generation=1))
    for name in SOME_NAMES:
        assert not is_let_in(worker, robot, name)
        assert is_let_in(worker, person, name)
    assert not is_let_in(worker, robot, "localhost", first.socket.session)
    authority.revoke(ends_in=timedelta(days=-1))
    worker.apply(tls_world(endpoint, names, tls, generation=2))
    assert not is_let_in(worker, person, "localhost")


def test_a_bad_list_changes_nothing(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    names: tuple[Certificate, ...],
) -> None:
    tls = ListenerTls(client_ca_file=authority.file, crl_file=authority.revoke(name="half"))
    worker = start(tls_world(endpoint, names, tls))
    Path(tls.crl_file).write_text("half a list")
    answer = worker.publish(tls_world(endpoint, names, tls, generation=1))
    assert answer["kind"] == "refused"
    person, _ = authority.client_with("person")
    assert is_let_in(worker, person, "a.example")


def test_the_oldest_version_holds_for_every_name(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    names: tuple[Certificate, ...],
) -> None:
    worker = start(tls_world(endpoint, names, ListenerTls(minimum_version="1.3")))
    old, new = authority.client(), authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for name in SOME_NAMES:
        assert not is_let_in(worker, old, name)
        assert is_let_in(worker, new, name)


def test_suites_of_tls_1_2_hold_for_every_name(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    names: tuple[Certificate, ...],
) -> None:
    suite = "ECDHE-ECDSA-AES128-GCM-SHA256"
    worker = start(tls_world(endpoint, names, ListenerTls(cipher_suites=(suite,))))
    other, same, new = authority.client(), authority.client(), authority.client()
    other.maximum_version = same.maximum_version = ssl.TLSVersion.TLSv1_2
    other.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    same.set_ciphers(suite)
    for name in SOME_NAMES:
        assert not is_let_in(worker, other, name)
        assert is_let_in(worker, same, name)
        assert is_let_in(worker, new, name)  # by TLS 1.3, whose suites are others
