"""An active check by gRPC's health protocol (grpc/grpc, doc/health-checking.md) over HTTP/2."""

import asyncio
import ssl
from typing import Final

from penstock import __version__
from penstock._reasons import reason_of
from penstock.control.endpoints.check_target import CheckResult, CheckTarget
from penstock.core.snapshot.address import host_field
from penstock.wire import grpc_health
from penstock.wire.grpc import (
    NOT_FOUND,
    OK,
    STATUS_NAMES,
    UNIMPLEMENTED,
    decode_status_message,
    format_timeout,
    parse_status,
)
from penstock.wire.grpc_messages import MessageReader, encode_message
from penstock.wire.http1 import Field
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import HeaderBlock, plain_field, request_block
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream, StreamReceiver

_AGENT: Final = f"penstock/{__version__} health-check".encode()
_MESSAGE_BYTES: Final = 4096  # most of an answer, which has two as a rule
_MOST_SHOWN: Final = 200  # characters of an endpoint's own message
_HTTP1: Final = b"HTTP/1."  # how servers answer that do not speak HTTP/2
_SERVING_NAMES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class GrpcCheck(asyncio.Protocol):
    """Asks ``Health/Check``, and passes when the answer is SERVING."""

    def __init__(self, target: CheckTarget, ended: "asyncio.Future[CheckResult]") -> None:
        self._target = target
        self._ended = ended
        self._clock = asyncio.get_running_loop().time
        self._began = False  # bytes came
        self._reset = ""  # the call was; where the whole connection failed, that says more
        self._transport: asyncio.WriteTransport | None = None
        settings = Settings()
        settings.enable_push = False
        self._codec = Http2Connection(True, settings, Limits(), _Connection(self))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        session = transport.get_extra_info("ssl_object")
        # RFC 9113, 3.2: HTTP/2 over TLS is agreed on by ALPN.
        if isinstance(session, ssl.SSLObject) and session.selected_alpn_protocol() != "h2":
            self.end(False, "speaks no HTTP/2 over TLS (ALPN has no h2)")
            return
        codec = self._codec
        codec.start()
        stream = codec.open(_Call(self))
        codec.send_head(stream, _request(self._target), False)
        request = grpc_health.encode_request(self._target.check.service)
        codec.send_data(stream, encode_message(request), True)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._ended.done():
            return
        if not self._began and data.startswith(_HTTP1):
            self.end(False, "answered in HTTP/1.1, and gRPC needs HTTP/2")
            return
        self._began = True
        self._codec.receive(data, self._clock())
        if self._reset:
            self.end(False, self._reset)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.end(False, reason_of(exc))
        else:
            self.end(False, "closed the connection without an answer")

    def end(self, passed: bool, detail: str) -> None:
        """The verdict; the first one counts."""
        if not self._ended.done():
            self._ended.set_result(CheckResult(passed, detail))

    def was_reset(self, code: int) -> None:
        """The call is over without an answer."""
        self._reset = f"reset the call (HTTP/2 error {code})"

    def answered(self, status: int, text: str, serving: int) -> None:
        """The call ended with that gRPC status; ``serving``: what its message says."""
        service = self._target.check.service
        if status == OK and serving == grpc_health.SERVING:
            self.end(True, "answered SERVING")
        elif status == OK and serving == grpc_health.MALFORMED:
            self.end(False, "answered with something that is no HealthCheckResponse")
        elif status == OK:
            known = 0 <= serving < len(_SERVING_NAMES)
            self.end(False, f"answered {_SERVING_NAMES[serving] if known else serving}")
        elif status == NOT_FOUND:
            asked = f"the service {service!r}" if service else "the server as a whole"
            self.end(False, f"knows no health of {asked} (NOT_FOUND)")
        elif status == UNIMPLEMENTED:
            self.end(False, "has no grpc.health.v1.Health (UNIMPLEMENTED)")
        else:
            told = f": {text[:_MOST_SHOWN]}" if text else ""
            self.end(False, f"answered {STATUS_NAMES[status]}{told}")

    def _flush(self) -> None:
        transport = self._transport
        assert transport is not None
        while pieces := self._codec.take_output():
            transport.writelines(pieces)


class _Connection(ConnectionReceiver):
    def __init__(self, check: GrpcCheck) -> None:
        self._check = check

    def on_failure(self, code: int, reason: str) -> None:
        self._check.end(False, f"answered with something that is not HTTP/2: {reason}")

    def on_stream_fault(self, stream_id: int, code: int, reason: str) -> None:
        self._check.end(False, f"answered with something that is not HTTP/2: {reason}")


class _Call(StreamReceiver):
    """What is told of the one call. What is received is bounded by the stream's window."""

    def __init__(self, check: GrpcCheck) -> None:
        self._check = check
        self._messages = MessageReader(_MESSAGE_BYTES)
        self._serving = grpc_health.MALFORMED

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        if block.value(b"grpc-status") is not None and end:
            self._finish(block)
        elif block.status != 200:
            self._check.end(False, f"answered {block.status} and no gRPC")
        elif not (block.value(b"content-type") or b"").startswith(b"application/grpc"):
            self._check.end(False, "answered 200 and no gRPC")
        elif end:
            self._check.end(False, "answered without a grpc-status")

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        for message in self._messages.feed(data):
            self._serving = grpc_health.decode_response(message)
        if self._messages.reason:
            self._check.end(False, f"answered wrongly: {self._messages.reason}")
        elif end:
            self._check.end(False, "answered without a grpc-status")

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        self._finish(block)

    def on_reset(self, stream: Stream, code: int) -> None:
        self._check.was_reset(code)

    def _finish(self, block: HeaderBlock) -> None:
        status = block.value(b"grpc-status")
        if status is None:
            self._check.end(False, "answered without a grpc-status")
            return
        text = decode_status_message(block.value(b"grpc-message") or b"")
        self._check.answered(parse_status(status), text, self._serving)


def _request(target: CheckTarget) -> HeaderBlock:
    """The head of the call; names and values come from a configuration that was checked."""
    check = target.check
    endpoint = target.endpoint
    named = {name.lower() for name, _ in check.headers}
    own = [field for field in endpoint.headers if field[0].lower() not in named]
    fields: list[Field] = [
        plain_field(b"te", b"trailers"),
        plain_field(b"content-type", b"application/grpc"),
        plain_field(b"user-agent", _AGENT),
        plain_field(b"grpc-timeout", format_timeout(check.timeout_s)),
    ]
    for name, value in [*own, *check.headers]:
        if name.lower() != "host":
            fields.append(
                plain_field(name.lower().encode("ascii"), value.encode("latin-1", "replace"))
            )
    host = check.host or host_field(endpoint.host, target.port)
    scheme = b"https" if endpoint.tls else b"http"
    return request_block(b"POST", scheme, host.encode("ascii"), grpc_health.CHECK_PATH, fields)
