"""Clients whose certificates are revoked, or lose their authority, while they are connected."""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.core.snapshot import ListenerTls, Match, Snapshot
from penstock.dataplane.board.layout import W_ACCEPTED, W_DISTRUSTED
from tests.harness.client import Client
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, listener, pool, route, world
from tests.scenario.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def behind() -> Iterator[socket.socket]:
    """A TCP endpoint, which answers by hand."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


class Site:
    """An HTTP and a TCP listener that ask for certificates; ``settings`` are of both."""

    def __init__(
        self,
        start: Callable[..., Worker],
        authority: Authority,
        endpoint: HttpEndpoint,
        behind: socket.socket,
        tls: ListenerTls,
        **settings: object,
    ) -> None:
        self._settings = settings
        self._names = (authority.issue("localhost"),)
        self._pools = [
            pool(endpoint),
            pool(Address(behind.getsockname()[1]), name="line", protocol="tcp"),
        ]
        self._tls = tls
        self._generation = 0
        self.worker = start(self._world())

    def _world(self) -> Snapshot:
        asking = {
            "certificates": self._names,
            "tls": self._tls,
            "tls_generation": self._generation,
            **self._settings,
        }
        listeners = [listener("web", **asking), listener("line", protocol="tcp", **asking)]
        routes = [route("line", match=Match(listeners=("line",))), route("main")]
        return world(*self._pools, listeners=listeners, routes=routes)

    def read_files_again(self) -> None:
        """As the supervisor has it when one changed."""
        self._generation += 1
        self.worker.apply(self._world())

    def connect(
        self, context: ssl.SSLContext, at: str = "web", session: ssl.SSLSession | None = None
    ) -> Client:
        context.check_hostname = False
        return self.worker.connect(at, tls=context, server_name="localhost", session=session)

    def expect_distrusted(self, count: int) -> None:
        wait_until(lambda: self.worker.count(W_DISTRUSTED) == count, "they were looked at")


def has_ended(client: Client) -> bool:
    """By a close in order; waits for it."""
    return client.socket.recv(1) == b""


def test_who_is_revoked_finishes_what_runs_and_is_let_go(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    behind: socket.socket,
) -> None:
    robot, of_robot = authority.client_with("robot", ssl.TLSVersion.TLSv1_2)
    person, _ = authority.client_with("person")
    tls = ListenerTls(client_ca_file=authority.file, crl_file=authority.revoke())
    site = Site(start, authority, endpoint, behind, tls)
    stays = site.connect(person)
    idle = site.connect(robot)
    for client in (stays, idle):
        assert client.get().status == 200
    assert isinstance(idle.socket, ssl.SSLSocket)
    resumed = site.connect(robot, session=idle.socket.session)
    assert resumed.get().status == 200
    busy = site.connect(robot)
    busy.send(post("Content-Length: 4", body=b"ab"))
    line, held = site.connect(robot, at="line"), site.connect(person, at="line")
    for client in (line, held):
        client.send(b"hello")
    peers = [behind.accept()[0] for _ in range(2)]
    with Http2Client(site.worker.address("web"), tls=robot) as over_http2:
        assert over_http2.get("/").status == 200
        site.read_files_again()  # a list that names nobody
        assert stays.get().status == idle.get().status == 200

        authority.revoke(of_robot)
        site.read_files_again()
        site.expect_distrusted(5)
        assert has_ended(idle)
        assert has_ended(resumed)
        assert has_ended(line)
        busy.send(b"cd")
        last = busy.read_response("POST")
        assert (last.status, last.headers["connection"]) == (200, "close")
        assert has_ended(busy)
        over_http2.read_to_end()
        assert over_http2.goaway is not None
    assert stays.get().status == 200
    for peer in peers:
        peer.sendall(b"back")
    assert held.socket.recv(4) == b"back"
    stays.close()
    held.close()
    for peer in peers:
        peer.close()


def test_who_loses_its_authority_is_let_go(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    behind: socket.socket,
    tmp_path: Path,
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    both = tmp_path / "both.pem"
    both.write_bytes(Path(authority.file).read_bytes() + Path(other.file).read_bytes())
    site = Site(start, authority, endpoint, behind, ListenerTls(client_ca_file=str(both)))
    robot, _ = authority.client_with("robot")
    guest, _ = other.client_with("guest")
    guest.load_verify_locations(authority.file)
    clients = [site.connect(robot), site.connect(guest)]
    for client in clients:
        assert client.get().status == 200
    both.write_bytes(Path(authority.file).read_bytes())
    site.read_files_again()
    site.expect_distrusted(1)
    assert has_ended(clients[1])
    assert clients[0].get().status == 200


def test_who_had_not_begun_its_handshake_is_looked_at_behind_it(
    start: Callable[..., Worker],
    authority: Authority,
    endpoint: HttpEndpoint,
    behind: socket.socket,
) -> None:
    """It goes by the files as they were when the client was accepted, behind its PROXY header."""
    robot, of_robot = authority.client_with("robot")
    tls = ListenerTls(client_ca_file=authority.file, crl_file=authority.revoke(name="later"))
    told = {"proxy_protocol": "accept", "trusted_proxies": ("127.0.0.0/8",)}
    site = Site(start, authority, endpoint, behind, tls, **told)
    robot.check_hostname = False
    with socket.create_connection(site.worker.address("web")) as raw:
        wait_until(lambda: site.worker.count(W_ACCEPTED) == 1, "it was accepted")
        authority.revoke(of_robot, name="later")
        site.read_files_again()
        raw.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        with robot.wrap_socket(raw, server_hostname="localhost") as secured:
            site.expect_distrusted(1)
            assert secured.recv(1) == b""
