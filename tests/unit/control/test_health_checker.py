"""One check of one endpoint: what passes, what fails, and what people are told."""

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec.structs import replace

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckResult, CheckTarget
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.core.snapshot import Endpoint, EndpointTls, HealthCheck
from penstock.wire.proxy_protocol import LOCAL, ProxyHeader
from penstock.wire.proxy_writing import V2_LOCAL
from tests.harness.datagrams import UdpEndpoint, wait_for
from tests.harness.endpoint import (
    EndpointConnection,
    Script,
    ScriptedEndpoint,
    refuse_connections,
)
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.introduced import IntroducedEndpoint, read_introduction
from tests.harness.unreachable import black_hole
from tests.harness.waiting import wait_until
from tests.harness.world import Address, HasAddress

HTTP = HealthCheck(kind="http", timeout_s=5.0)

ScriptedMaker = Callable[[Script], ScriptedEndpoint]


@pytest.fixture
def checker() -> HealthChecker:
    return HealthChecker(EndpointContexts())


def target(place: HasAddress, check: HealthCheck = HTTP, **endpoint: Any) -> CheckTarget:
    at = Endpoint(name=place.name, host=place.host, port=place.port)
    return CheckTarget("main", replace(at, **endpoint), check, EndpointTls())


async def test_an_expected_status_passes(checker: HealthChecker, endpoint: HttpEndpoint) -> None:
    assert await checker.check(target(endpoint)) == CheckResult(True, "answered 200")


async def test_the_request_is_as_configured(checker: HealthChecker, endpoint: HttpEndpoint) -> None:
    check = replace(
        HTTP,
        method="HEAD",
        path="/health?deep=1&x=%2F",
        host="service.example",
        headers=(("X-Probe", "yes"),),
    )
    assert (await checker.check(target(endpoint, check))).passed
    asked = endpoint.last
    assert (asked.method, asked.target) == ("HEAD", "/health?deep=1&x=%2F")
    assert asked.headers.all("host") == ["service.example"]
    assert asked.headers.all("x-probe") == ["yes"]
    assert asked.headers.all("user-agent")[0].startswith("penstock/")


async def test_every_check_opens_its_own_connection(
    checker: HealthChecker, endpoint: HttpEndpoint
) -> None:
    await checker.check(target(endpoint))
    await checker.check(target(endpoint))
    assert [request.connection for request in endpoint.requests] == [0, 1]


async def test_another_status_fails(checker: HealthChecker, endpoint: HttpEndpoint) -> None:
    endpoint.answer = lambda request: Answer(status=503)
    check = replace(HTTP, expect_statuses=((200, 299), (404, 404)))
    result = await checker.check(target(endpoint, check))
    assert result == CheckResult(False, "answered 503, not 200–299, 404")
    endpoint.answer = lambda request: Answer(status=404)
    assert (await checker.check(target(endpoint, check))).passed


async def test_redirects_are_answers_not_followed(
    checker: HealthChecker, endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda request: Answer(status=302, headers=(("Location", "/elsewhere"),))
    assert await checker.check(target(endpoint)) == CheckResult(True, "answered 302")
    assert len(endpoint.requests) == 1


async def test_the_body_must_hold_what_is_expected(
    checker: HealthChecker, endpoint: HttpEndpoint
) -> None:
    check = replace(HTTP, expect_body="all is well")
    endpoint.answer = lambda request: Answer(chunks=(b"today all", b" is well"))
    assert (await checker.check(target(endpoint, check))).passed
    endpoint.answer = lambda request: Answer(body=b"nothing is well")
    result = await checker.check(target(endpoint, check))
    assert result == CheckResult(False, "answered 200 without 'all is well'")


async def test_the_body_is_read_to_its_end_however_it_is_framed(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    check = replace(HTTP, expect_body="well")
    for framing, passes in (
        (b"Content-Length: 4\r\n\r\nwell", True),
        (b"Content-Length: 3\r\n\r\nill", False),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n", True),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nil\r\n1\r\nl\r\n0\r\n\r\n", False),
        (b"\r\nwell", True),
        (b"\r\nill", False),
    ):

        def answer(connection: EndpointConnection, framing: bytes = framing) -> None:
            connection.receive()
            connection.send(b"HTTP/1.1 200 OK\r\n" + framing)

        result = await checker.check(target(scripted(answer), check))
        assert result.passed == passes, framing
        assert "200" in result.detail


async def test_a_head_that_comes_in_pieces_and_after_interim_ones_is_read(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    def answer(connection: EndpointConnection) -> None:
        connection.receive()
        for piece in (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.", b"1 204 Fine\r", b"\n\r\n"):
            connection.send(piece)

    assert await checker.check(target(scripted(answer))) == CheckResult(True, "answered 204")


async def test_a_head_without_an_end_fails(checker: HealthChecker, scripted: ScriptedMaker) -> None:
    def flood(connection: EndpointConnection) -> None:
        connection.receive()
        connection.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)
        connection.receive()

    result = await checker.check(target(scripted(flood)))
    assert result == CheckResult(
        False, "answered with something that is not HTTP: its head is too long"
    )


async def test_a_refused_connection_fails(checker: HealthChecker) -> None:
    with refuse_connections() as nobody:
        place = Address(nobody.getsockname()[1])
        for check in (HTTP, replace(HTTP, kind="tcp")):
            result = await checker.check(target(place, check))
            assert result == CheckResult(False, "connection refused")


async def test_silence_fails_after_the_timeout(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    def say_nothing(connection: EndpointConnection) -> None:
        while connection.receive():
            pass

    check = replace(HTTP, timeout_s=0.1)
    result = await checker.check(target(scripted(say_nothing), check))
    assert result == CheckResult(False, "no answer within 0.1 s")


async def test_garbage_fails(checker: HealthChecker, scripted: ScriptedMaker) -> None:
    def lie(connection: EndpointConnection) -> None:
        connection.receive()
        connection.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    result = await checker.check(target(scripted(lie)))
    assert not result.passed
    assert "not HTTP" in result.detail


async def test_an_end_without_an_answer_fails(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    result = await checker.check(target(scripted(lambda connection: None)))
    assert not result.passed
    assert result.detail in ("closed the connection without an answer", "connection reset")


async def test_tcp_checks_ask_for_nothing_but_a_connection(checker: HealthChecker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = Endpoint(name="x", host="127.0.0.1", port=server.getsockname()[1])
        check = HealthCheck(kind="tcp")
        result = await checker.check(CheckTarget("main", at, check, EndpointTls()))
    assert result == CheckResult(True, "connected")


TCP = HealthCheck(kind="tcp", timeout_s=5.0, send=b"PING\r\n", expect=b"+PONG")


def answering(*pieces: bytes) -> Script:
    """Answers a PING with those pieces, and closes."""

    def answer(connection: EndpointConnection) -> None:
        connection.receive_until(b"PING\r\n")
        for piece in pieces:
            connection.send(piece)

    return answer


@pytest.mark.parametrize("pieces", [(b"+PONG\r\n",), (b"hello +P", b"ONG")])
async def test_tcp_check_passes_when_what_is_expected_comes(
    checker: HealthChecker, scripted: ScriptedMaker, pieces: tuple[bytes, ...]
) -> None:
    endpoint = scripted(answering(*pieces))
    result = await checker.check(target(endpoint, TCP))
    assert result == CheckResult(True, "answered as expected")
    assert bytes(endpoint.connection().received) == b"PING\r\n"


@pytest.mark.parametrize(
    ("pieces", "detail"),
    [
        ((b"-ERR loading\r\n",), r"answered '-ERR loading\r\n' and closed, without '+PONG'"),
        ((b"-" * 70_000,), "answered 64 KiB without '+PONG'"),
        ((b"-" * 65_536 + b"+PONG",), "answered 64 KiB without '+PONG'"),
        ((), "closed the connection without an answer"),
    ],
    ids=["other", "much", "late", "nothing"],
)
async def test_tcp_check_fails_when_it_does_not_come(
    checker: HealthChecker, scripted: ScriptedMaker, pieces: tuple[bytes, ...], detail: str
) -> None:
    result = await checker.check(target(scripted(answering(*pieces)), TCP))
    assert not result.passed
    assert result.detail == detail


async def test_tcp_check_waits_for_what_is_expected_no_longer_than_it_may(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    check = replace(TCP, timeout_s=0.1)
    result = await checker.check(target(scripted(EndpointConnection.receive_to_end), check))
    assert result == CheckResult(False, "no answer within 0.1 s")


async def test_tcp_check_may_await_a_server_that_speaks_first(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    greeting = scripted(lambda connection: connection.send(b"220 mail ready\r\n"))
    for expect, passed in ((b"220 ", True), (b"250 ", False)):
        check = replace(TCP, send=b"", expect=expect)
        assert (await checker.check(target(greeting, check))).passed == passed


async def test_tcp_check_may_send_and_await_nothing(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    endpoint = scripted(EndpointConnection.receive_to_end)
    assert (await checker.check(target(endpoint, replace(TCP, expect=b"")))).passed
    wait_until(lambda: endpoint.received == b"PING\r\n", "what was sent arrived")


@pytest.mark.parametrize("check", [HTTP, replace(TCP, send=b"", expect=b""), TCP])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_checks_of_pools_with_proxy_headers_begin_with_our_own(
    checker: HealthChecker, scripted: ScriptedMaker, check: HealthCheck, version: str
) -> None:
    introductions: list[ProxyHeader] = []

    def answer(connection: EndpointConnection) -> None:
        introductions.append(read_introduction(connection))
        connection.receive_until(b"\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nX: +PONG\r\nContent-Length: 0\r\n\r\n")

    endpoint = scripted(answer)
    assert (await checker.check(replaced(target(endpoint, check), version))).passed
    wait_until(lambda: len(introductions) == 1, "it was introduced")
    (header,) = introductions
    if version == "v2":
        assert (header.command, header.has_addresses) == (LOCAL, False)
    else:  # as HAProxy's checks: it has no word for those
        assert (header.destination, header.destination_port) == ("127.0.0.1", endpoint.port)
        assert header.source == "127.0.0.1"


async def test_another_port_of_a_check_gets_no_proxy_header(
    checker: HealthChecker, endpoint: HttpEndpoint
) -> None:
    check = replace(HTTP, port=endpoint.port)
    assert (await checker.check(replaced(target(endpoint, check, port=9), "v2"))).passed


async def test_trying_to_connect_again_is_introduced_before_tls(
    checker: HealthChecker, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = EndpointTls(ca_file=str(tmp_path / "ca.pem"))
    with IntroducedEndpoint(tls=context) as endpoint:
        place = target(endpoint, tls=True).endpoint
        assert await checker.connects(place, tls, 5.0, "v2")
        await asyncio.sleep(0)  # the end of a connection over TLS takes a turn of the loop
        await asyncio.sleep(0)
        assert [each.command for each in endpoint.introductions] == [LOCAL]


def replaced(target: CheckTarget, proxy_protocol: str) -> CheckTarget:
    """The same of a pool that writes PROXY headers."""
    return dataclasses.replace(target, proxy_protocol=proxy_protocol)


async def test_whether_a_connection_can_be_made(
    checker: HealthChecker, scripted: ScriptedMaker
) -> None:
    def shake_no_hands(connection: EndpointConnection) -> None:
        connection.receive_bytes(1)
        connection.reset()

    place = target(scripted(EndpointConnection.receive_to_end)).endpoint
    assert await checker.connects(place, EndpointTls(), 5.0)
    insecure = target(scripted(shake_no_hands), tls=True).endpoint
    assert not await checker.connects(insecure, EndpointTls(), 5.0)
    with refuse_connections() as bound:
        nobody = replace(place, port=bound.getsockname()[1])
        assert not await checker.connects(nobody, EndpointTls(), 5.0)
    with black_hole() as silent:
        assert not await checker.connects(replace(place, port=silent.port), EndpointTls(), 0.1)


async def test_the_checks_own_port_is_asked(checker: HealthChecker, endpoint: HttpEndpoint) -> None:
    check = replace(HTTP, port=endpoint.port)
    assert (await checker.check(target(endpoint, check, port=9))).passed


class TestTls:
    """``https://`` endpoints are verified as the pool says."""

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> str:
        file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        return str(file)

    def endpoint(self, authority: trustme.CA, *names: str) -> HttpEndpoint:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return HttpEndpoint(tls=context)

    async def probe(
        self, checker: HealthChecker, place: HasAddress, tls: EndpointTls
    ) -> CheckResult:
        asked = target(place, HTTP, tls=True)
        return await checker.check(CheckTarget(asked.pool, asked.endpoint, asked.check, tls))

    async def test_a_certificate_for_the_host_passes(
        self, checker: HealthChecker, authority: trustme.CA, ca_file: str
    ) -> None:
        with self.endpoint(authority, "127.0.0.1") as place:
            result = await self.probe(checker, place, EndpointTls(ca_file=ca_file))
        assert result == CheckResult(True, "answered 200")

    async def test_a_certificate_of_an_unknown_authority_fails(
        self, checker: HealthChecker, authority: trustme.CA
    ) -> None:
        with self.endpoint(authority, "127.0.0.1") as place:
            result = await self.probe(checker, place, EndpointTls())
        assert not result.passed
        assert result.detail.startswith("TLS: ")
        assert "certificate verify failed" in result.detail

    async def test_the_configured_name_is_the_one_verified(
        self, checker: HealthChecker, authority: trustme.CA, ca_file: str
    ) -> None:
        with self.endpoint(authority, "service.example") as place:
            tls = EndpointTls(ca_file=ca_file, server_name="service.example")
            assert (await self.probe(checker, place, tls)).passed
            wrong = await self.probe(checker, place, EndpointTls(ca_file=ca_file))
        assert not wrong.passed
        assert "127.0.0.1" in wrong.detail

    async def test_without_verification_anything_passes(
        self, checker: HealthChecker, authority: trustme.CA
    ) -> None:
        with self.endpoint(authority, "other.example") as place:
            assert (await self.probe(checker, place, EndpointTls(verify=False))).passed


def asked(expect: bytes = b"") -> HealthCheck:
    return HealthCheck(kind="udp", send=b"\0ping", expect=expect, timeout_s=0.3)


async def test_datagram_is_sent_and_its_answer_judged(checker: HealthChecker) -> None:
    with UdpEndpoint() as endpoint:
        for expect in (b"", b"\0ping"):
            assert (await checker.check(target(endpoint, asked(expect)))).passed
        assert endpoint.payloads() == [b"\0ping"] * 2
        wrong = await checker.check(target(endpoint, asked(b"pong")))
        assert wrong == CheckResult(False, "answered without b'pong'")


async def test_silence_and_an_empty_place_are_told_apart(checker: HealthChecker) -> None:
    with UdpEndpoint(lambda data: []) as silent:
        assert (await checker.check(target(silent, asked()))).detail == "no answer within 0.3 s"
        place = target(silent, asked()).endpoint
        assert await checker.takes_datagrams(place, 0.1)
    gone = await checker.check(target(silent, asked()))
    assert not gone.passed
    assert "refused" in gone.detail.lower()
    assert not await checker.takes_datagrams(place, 5.0)


async def test_checks_of_endpoints_that_read_proxy_headers_speak_for_themselves(
    checker: HealthChecker,
) -> None:
    with UdpEndpoint() as endpoint:
        place = target(endpoint, asked())
        assert (await checker.check(replaced(place, "v2"))).passed
        assert await checker.takes_datagrams(place.endpoint, 1.0, "v2")
        wait_for(endpoint, 2)
        assert endpoint.payloads() == [V2_LOCAL + b"\0ping", V2_LOCAL]
