"""One active check of one endpoint: over HTTP, gRPC, TCP with or without words, or UDP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from penstock import __version__
from penstock._reasons import reason_of
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckResult, CheckTarget
from penstock.control.endpoints.connecting import Connector
from penstock.control.endpoints.grpc_check import GrpcCheck
from penstock.core.snapshot import Endpoint, EndpointTls
from penstock.core.snapshot.address import host_field
from penstock.dataplane.endpoint.proxy_preface import PROXY_VERSIONS, proxy_preface
from penstock.wire.chunked import ChunkedReader
from penstock.wire.http1 import BadMessage, ResponseHead, find_head_end, parse_response
from penstock.wire.proxy_writing import V2_LOCAL

_HEAD_BYTES: Final = 64 * 1024  # most of an answer's head
_BODY_BYTES: Final = 64 * 1024  # in which ``expect_body`` and ``expect`` are looked for
_MOST_SHOWN_BYTES: Final = 60
_AGENT: Final = f"penstock/{__version__} health-check"


class HealthChecker:
    """Makes active health checks. Each opens its own connection: whether that works is half the
    question."""

    def __init__(self, contexts: EndpointContexts) -> None:
        self._contexts = contexts
        self._connector = Connector()

    async def check(self, target: CheckTarget) -> CheckResult:
        """Check once. Never raises for what an endpoint does."""
        timeout_s = target.check.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._check(target)
        except TimeoutError:
            return CheckResult(False, f"no answer within {timeout_s:g} s")
        except (OSError, ValueError) as error:
            return CheckResult(False, reason_of(error))

    async def connects(
        self,
        endpoint: Endpoint,
        tls: EndpointTls,
        timeout_s: float,
        proxy_protocol: str = "off",
    ) -> bool:
        """Whether a connection, TLS included, can be made. Never raises for a failure."""
        context = self._contexts.of(tls) if endpoint.tls else None
        name = (tls.server_name or endpoint.host) if endpoint.tls else None
        try:
            async with asyncio.timeout(timeout_s):
                sock = await self._connect(endpoint, endpoint.port, proxy_protocol)
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, sock=sock, ssl=context, server_hostname=name
                )
        except (OSError, ValueError):  # a timeout is an OSError
            return False
        transport.abort()
        return True

    async def takes_datagrams(
        self, endpoint: Endpoint, wait_s: float, proxy_protocol: str = "off"
    ) -> bool:
        """Whether nothing says within that time that nobody takes an empty datagram there."""
        host, port = endpoint.connect_host, endpoint.port
        try:
            family = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0][0]
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect((host, port))
                # asyncio's transports send no empty ones
                sock.send(V2_LOCAL if PROXY_VERSIONS[proxy_protocol] else b"")
                async with asyncio.timeout(wait_s):
                    await asyncio.get_running_loop().sock_recv(sock, 1)
        except TimeoutError:
            return True
        except OSError:
            return False
        return True

    async def _check(self, target: CheckTarget) -> CheckResult:
        loop = asyncio.get_running_loop()
        endpoint = target.endpoint
        if target.check.kind == "udp":
            return await self._ask(target)
        check = _CHECKS[target.check.kind]
        ended: asyncio.Future[CheckResult] = loop.create_future()
        context, name = None, None
        if endpoint.tls and target.check.kind != "tcp":
            context = self._contexts.of(target.tls, http2=target.check.kind == "grpc")
            name = target.tls.server_name or endpoint.host
        sock = await self._connect(endpoint, target.port, target.proxy_protocol)
        transport, _ = await loop.create_connection(
            lambda: check(target, ended), sock=sock, ssl=context, server_hostname=name
        )
        try:
            return await ended
        finally:
            transport.abort()  # what may still come does not matter

    async def _connect(self, endpoint: Endpoint, port: int, proxy_protocol: str) -> socket.socket:
        """Where the pool's connections begin with a PROXY header, one for a connection of our own.

        Another port than the endpoint's is another server's, and gets none, as with HAProxy.
        """
        sock = await self._connector.connect(endpoint, port)
        version = PROXY_VERSIONS[proxy_protocol]
        if version and port == endpoint.port:
            try:
                header = proxy_preface(version, None, sock)
                await asyncio.get_running_loop().sock_sendall(sock, header)
            except BaseException:
                sock.close()
                raise
        return sock

    async def _ask(self, target: CheckTarget) -> CheckResult:
        """By a datagram; the first answer is judged."""
        check, endpoint, port = target.check, target.endpoint, target.port
        headed = PROXY_VERSIONS[target.proxy_protocol] and port == endpoint.port
        answered: asyncio.Future[CheckResult] = asyncio.get_running_loop().create_future()
        async with _datagrams(endpoint, port, _UdpCheck(check.expect, answered)) as transport:
            transport.sendto(V2_LOCAL + check.send if headed else check.send)
            return await answered


@asynccontextmanager
async def _datagrams(
    endpoint: Endpoint, port: int, protocol: asyncio.DatagramProtocol
) -> AsyncIterator[asyncio.DatagramTransport]:
    if endpoint.no_address:
        raise OSError(endpoint.no_address)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: protocol, remote_addr=(endpoint.connect_host, port)
    )
    try:
        yield transport
    finally:
        transport.abort()


class _UdpCheck(asyncio.DatagramProtocol):
    """Passes when an answer holds what is expected."""

    def __init__(self, expected: bytes, answered: "asyncio.Future[CheckResult]") -> None:
        self._expected = expected
        self._answered = answered

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._answered.done():
            return
        if self._expected in data:
            self._answered.set_result(CheckResult(True, "answered"))
        else:
            self._answered.set_result(CheckResult(False, f"answered without {self._expected!r}"))

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_result(CheckResult(False, reason_of(exc)))


class _TcpCheck(asyncio.Protocol):
    """Passes when there is a connection, and where something is expected, when that came."""

    def __init__(self, target: CheckTarget, ended: "asyncio.Future[CheckResult]") -> None:
        self._check = target.check
        self._ended = ended
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        if self._check.send:
            transport.write(self._check.send)
        if not self._check.expect:
            self._end(True, "connected")

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._check.expect in self._received[:_BODY_BYTES]:
            self._end(True, "answered as expected")
        elif len(self._received) >= _BODY_BYTES:
            self._end(False, f"answered {_BODY_BYTES >> 10} KiB without {self._expected()}")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._end(False, reason_of(exc))
        elif self._received:
            answer = _shown_bytes(self._received)
            self._end(False, f"answered {answer} and closed, without {self._expected()}")
        else:
            self._end(False, "closed the connection without an answer")

    def _expected(self) -> str:
        return _shown_bytes(self._check.expect)

    def _end(self, passed: bool, detail: str) -> None:
        if not self._ended.done():
            self._ended.set_result(CheckResult(passed, detail))


class _HttpCheck(asyncio.Protocol):
    """Sends a request, and reads as much of the answer as the verdict needs."""

    def __init__(self, target: CheckTarget, ended: "asyncio.Future[CheckResult]") -> None:
        self._target = target
        self._ended = ended
        self._head: ResponseHead | None = None
        self._inbox = b""
        self._body = b""
        self._chunks: ChunkedReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_request(self._target))

    def data_received(self, data: bytes) -> None:
        if self._ended.done():
            return
        try:
            self._read(data)
        except BadMessage as refusal:
            self._end(False, f"answered with something that is not HTTP: {refusal.reason}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended.done():
            return
        if exc is not None:
            self._end(False, reason_of(exc))
        elif self._head is None:
            self._end(False, "closed the connection without an answer")
        else:
            self._judge_body(complete=True)

    def _read(self, data: bytes) -> None:
        if self._head is None:
            rest = self._read_head(data)
            if rest is None:
                return
            data = rest
        if self._ended.done():
            return
        chunks = self._chunks
        self._body += chunks.feed(data) if chunks is not None else data
        whole = chunks.done if chunks is not None else len(self._body) == self._length()
        self._judge_body(whole or len(self._body) >= _BODY_BYTES)

    def _read_head(self, data: bytes) -> bytes | None:
        """Judges the final head once it is complete; returns the beginning of the body."""
        data = self._inbox + data
        while (end := find_head_end(data, 0)) >= 0:
            head = parse_response(data[:end])
            data = data[end:]
            if head.status >= 200:
                self._head = head
                self._judge_status(head)
                return data
        self._inbox = data
        if len(data) > _HEAD_BYTES:
            raise BadMessage(502, "its head is too long")
        return None

    def _judge_status(self, head: ResponseHead) -> None:
        check = self._target.check
        status = head.status
        if not any(low <= status <= high for low, high in check.expect_statuses):
            self._end(False, f"answered {status}, not {_shown(check.expect_statuses)}")
        elif not check.expect_body:
            self._end(True, f"answered {status}")
        elif head.chunked:
            self._chunks = ChunkedReader(False, 502, of_server=True)

    def _judge_body(self, complete: bool) -> None:
        head = self._head
        assert head is not None
        expected = self._target.check.expect_body
        if expected.encode() in self._body[:_BODY_BYTES]:
            self._end(True, f"answered {head.status}")
        elif complete:
            self._end(False, f"answered {head.status} without {expected!r}")

    def _length(self) -> int:
        assert self._head is not None
        return self._head.content_length

    def _end(self, passed: bool, detail: str) -> None:
        self._ended.set_result(CheckResult(passed, detail))


_CheckMaker = Callable[[CheckTarget, "asyncio.Future[CheckResult]"], asyncio.Protocol]
_CHECKS: Final[dict[str, _CheckMaker]] = {"http": _HttpCheck, "grpc": GrpcCheck, "tcp": _TcpCheck}


def _request(target: CheckTarget) -> bytes:
    """The head to send; names and values come from a configuration that was checked."""
    check = target.check
    host = check.host or host_field(target.endpoint.host, target.port)
    endpoint = target.endpoint
    named = {name.lower() for name, _ in check.headers} | {"host"}
    own = [field for field in endpoint.headers if field[0].lower() not in named]
    fields = [("Host", host), ("User-Agent", _AGENT), *own, *check.headers, ("Connection", "close")]
    base_path = endpoint.base_path if target.port == endpoint.port else ""
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return f"{check.method} {base_path}{check.path} HTTP/1.1\r\n{lines}\r\n".encode(
        "latin-1", "replace"
    )


def _shown_bytes(data: bytes) -> str:
    """For people: quoted, with escapes, and no longer than they read."""
    text = repr(data[:_MOST_SHOWN_BYTES])[1:]
    return text if len(data) <= _MOST_SHOWN_BYTES else text + "…"


def _shown(ranges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in ranges)
