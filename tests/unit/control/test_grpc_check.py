"""Checks by gRPC's health protocol: against grpcio's own service, and what speaks none of it."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from msgspec.structs import replace

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckResult, CheckTarget
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.core.snapshot import Endpoint, EndpointTls, HealthCheck
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.grpc_server import GrpcEndpoint
from tests.harness.unreachable import black_hole
from tests.harness.world import Address, HasAddress

GRPC = HealthCheck(kind="grpc", timeout_s=5.0)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthServer:
    """grpcio's health service; ``metadata``: of the calls."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.metadata: list[dict[str, str | bytes]] = []
        self.health = health.HealthServicer()
        self._server = grpc.server(ThreadPoolExecutor(2), interceptors=(_Noting(self),))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = Address(port)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()


class _Noting(grpc.ServerInterceptor):  # type: ignore[misc]
    def __init__(self, server: HealthServer) -> None:
        self._server = server

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        self._server.metadata.append(dict(details.invocation_metadata))
        return continuation(details)


@pytest.fixture
def checker() -> HealthChecker:
    return HealthChecker(EndpointContexts())


@pytest.fixture(scope="module")
def server() -> Iterator[HealthServer]:
    made = HealthServer()
    yield made
    made.stop()


def target(place: HasAddress, check: HealthCheck = GRPC, **endpoint: Any) -> CheckTarget:
    at = Endpoint(name=place.name, host=place.host, port=place.port, http2=True)
    return CheckTarget("main", replace(at, **endpoint), check, EndpointTls())


async def test_a_server_that_serves_passes(checker: HealthChecker, server: HealthServer) -> None:
    server.health.set("", SERVING)
    assert await checker.check(target(server.address)) == CheckResult(True, "answered SERVING")


async def test_the_service_is_asked_for(checker: HealthChecker, server: HealthServer) -> None:
    server.health.set("", SERVING)
    server.health.set("shop.Cart", NOT_SERVING)
    cart = replace(GRPC, service="shop.Cart")
    result = await checker.check(target(server.address, cart))
    assert result == CheckResult(False, "answered NOT_SERVING")
    server.health.set("shop.Cart", SERVING)
    assert (await checker.check(target(server.address, cart))).passed
    other = replace(GRPC, service="shop.Till")
    result = await checker.check(target(server.address, other))
    assert result == CheckResult(False, "knows no health of the service 'shop.Till' (NOT_FOUND)")


async def test_the_call_carries_metadata(checker: HealthChecker, server: HealthServer) -> None:
    check = replace(GRPC, headers=(("X-Probe", "yes"),))
    await checker.check(target(server.address, check, headers=(("Authorization", "Bearer k"),)))
    told = server.metadata[-1]
    assert (told["x-probe"], told["authorization"]) == ("yes", "Bearer k")
    assert str(told["user-agent"]).startswith("penstock/")


async def test_port_of_the_check_is_asked(checker: HealthChecker, server: HealthServer) -> None:
    beside = replace(GRPC, port=server.address.port)
    elsewhere = Address(1)
    assert (await checker.check(target(elsewhere, beside, http2=False))).passed


async def test_a_server_without_the_service_fails(checker: HealthChecker) -> None:
    with GrpcEndpoint() as other:
        result = await checker.check(target(other))
    assert result == CheckResult(False, "has no grpc.health.v1.Health (UNIMPLEMENTED)")


async def test_silence_fails_in_time(checker: HealthChecker) -> None:
    with black_hole() as nowhere:
        result = await checker.check(target(nowhere, replace(GRPC, timeout_s=0.05)))
    assert result == CheckResult(False, "no answer within 0.05 s")


@pytest.mark.parametrize(
    ("bytes_sent", "detail"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered in HTTP/1.1, and gRPC needs HTTP/2"),
        (b"220 mail.example ready\r\n" * 10, "answered with something that is not HTTP/2"),
    ],
)
async def test_what_is_no_http2_fails(
    checker: HealthChecker,
    scripted: Callable[[Script], ScriptedEndpoint],
    bytes_sent: bytes,
    detail: str,
) -> None:
    def script(connection: EndpointConnection) -> None:
        connection.receive()
        connection.send(bytes_sent)

    result = await checker.check(target(scripted(script)))
    assert not result.passed
    assert result.detail.startswith(detail)


async def test_over_tls_http2_is_agreed_on(checker: HealthChecker, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
    server = HealthServer(credentials)
    tls = EndpointTls(ca_file=str(tmp_path / "ca.pem"))
    try:
        asked = target(server.address, tls=True, http2=False)
        result = await checker.check(CheckTarget("main", asked.endpoint, GRPC, tls))
    finally:
        server.stop()
    assert result == CheckResult(True, "answered SERVING")


async def test_tls_without_http2_fails(checker: HealthChecker, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        asked = target(Address(port), tls=True).endpoint
        tls = EndpointTls(ca_file=str(tmp_path / "ca.pem"))
        result = await checker.check(CheckTarget("main", asked, GRPC, tls))
    assert result == CheckResult(False, "speaks no HTTP/2 over TLS (ALPN has no h2)")
