"""PROXY headers between Penstock and what else speaks them: HAProxy before it, HAProxy and nginx
behind it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckTarget
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.core.snapshot import EndpointTls, HealthCheck
from penstock.dataplane.board.layout import (
    W_ACCEPTED,
    W_PROXY_BAD,
    W_PROXY_MISSING,
    W_PROXY_UNTRUSTED,
)
from tests.harness.client import Client
from tests.harness.handshake import Handshake
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.programs import HaProxy, Nginx
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, world
from tests.scenario.certificates import Authority

Start = Callable[..., Worker]
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
FAILURES = (W_PROXY_BAD, W_PROXY_MISSING, W_PROXY_UNTRUSTED)
VERSIONS = ["v1", "v2"]


@pytest.mark.parametrize(
    "sending",
    ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn"],
)
def test_clients_of_haproxy_are_known_and_its_checks_are_its_own(
    start: Start, endpoint: HttpEndpoint, tmp_path: Path, sending: str
) -> None:
    reading = listener(proxy_protocol="require", trusted_proxies=("127.0.0.1",))
    worker = start(world(pool(endpoint), listeners=[reading]))
    server = f"server it 127.0.0.1:{worker.address()[1]} {sending} check inter 100ms"
    with HaProxy(tmp_path, "tcp", "", server, "unique-id-format %{+X}o-%ci") as front:
        wait_until(lambda: worker.count(W_ACCEPTED) > 2, "it checks")
        for source in ("127.0.0.1", "127.0.0.9"):
            with Client(("127.0.0.1", front.port), source=source) as client:
                assert client.get().status == 200
            assert endpoint.last.headers["x-forwarded-for"] == source
    assert [worker.count(cell) for cell in FAILURES] == [0, 0, 0]


@pytest.mark.parametrize("sending", ["send-proxy", "send-proxy-v2"])
def test_haproxys_header_goes_before_tls_that_ends_here(
    start: Start, endpoint: HttpEndpoint, authority: Authority, tmp_path: Path, sending: str
) -> None:
    reading = listener(
        proxy_protocol="require",
        trusted_proxies=("127.0.0.1",),
        certificates=(authority.issue("localhost"),),
    )
    worker = start(world(pool(endpoint), listeners=[reading]))
    server = f"server it 127.0.0.1:{worker.address()[1]} {sending}"
    with (
        HaProxy(tmp_path, "tcp", "", server) as front,
        Client(("127.0.0.1", front.port), source="127.0.0.9") as client,
    ):
        handshake = Handshake(authority.client(), "localhost")
        client.send(handshake.hello)
        handshake.finish(client)
        handshake.asked(client, REQUEST, endpoint.name.encode())
    assert endpoint.last.headers["x-forwarded-for"] == "127.0.0.9"


@pytest.mark.parametrize("version", VERSIONS)
async def test_haproxy_behind_is_told_the_client(
    start: Start, tmp_path: Path, version: str
) -> None:
    told = "%[src] %[src_port] %[dst] %[dst_port]"
    answer = f'http-request return status 200 content-type text/plain lf-string "{told}"'
    with HaProxy(tmp_path, "http", "accept-proxy", answer) as behind:
        place = Address(behind.port)
        worker = start(world(pool(place, proxy_protocol=version)))
        client = worker.connect(source="127.0.0.9")
        expected = (*client.socket.getsockname(), *client.socket.getpeername())
        for _ in range(2):
            assert client.get().body.decode().split() == [str(each) for each in expected]
        check = HealthCheck(kind="http", timeout_s=10.0)
        target = CheckTarget("main", at(place), check, EndpointTls(), version)
        result = await HealthChecker(EndpointContexts()).check(target)
        assert result.passed, result.detail


@pytest.mark.parametrize("version", VERSIONS)
async def test_nginx_behind_is_told_the_client(start: Start, tmp_path: Path, version: str) -> None:
    told = [f"$proxy_protocol_{each}" for each in ("addr", "port", "server_addr", "server_port")]
    with Nginx(tmp_path, "proxy_protocol", f'return 200 "{" ".join(told)}";') as behind:
        place = Address(behind.port)
        worker = start(world(pool(place, proxy_protocol=version)))
        client = worker.connect(source="127.0.0.9")
        expected = (*client.socket.getsockname(), *client.socket.getpeername())
        for _ in range(2):
            assert client.get().body.decode().split() == [str(each) for each in expected]
        check = HealthCheck(kind="http", timeout_s=10.0)
        target = CheckTarget("main", at(place), check, EndpointTls(), version)
        result = await HealthChecker(EndpointContexts()).check(target)
        assert result.passed, result.detail


def test_haproxy_behind_a_relay_is_told_name_and_id(
    start: Start, tmp_path: Path, authority: Authority
) -> None:
    told = "%[src] %[fc_pp_authority] %[fc_pp_unique_id]"
    answer = f'http-request return status 200 content-type text/plain lf-string "{told}"'
    with HaProxy(tmp_path, "http", "accept-proxy", answer) as behind:
        worker = start(
            world(
                pool(Address(behind.port), protocol="tcp", proxy_protocol="v2"),
                listeners=[
                    listener(protocol="tcp", certificates=(authority.issue("named.example"),))
                ],
            )
        )
        client = worker.connect(
            source="127.0.0.9", tls=authority.client(), server_name="named.example"
        )
        source, name, unique_id = client.request(REQUEST).body.decode().split()
    assert (source, name) == ("127.0.0.9", "named.example")
    assert len(unique_id) == 32


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))
