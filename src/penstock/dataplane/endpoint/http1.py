"""A connection to an endpoint: one request at a time, its response framed and handed on."""

import socket
from typing import Final

from penstock.core.health.connection_reuse import EARLY_S
from penstock.core.ticket import GARBAGE, RESET, TIMEOUT
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.endpoint.connection import HANDSHAKE, EndpointConnection
from penstock.dataplane.endpoint.connector import Connector
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.tcp_evidence import never_arrived
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.loop import READABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.chunked import ChunkedReader, encode_chunk
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import (
    BLANKS_AFTER_SIZE,
    BadMessage,
    ResponseHead,
    find_head_end,
    parse_response,
)
from penstock.wire.upgrade import Upgrade
from penstock.wire.websocket_handshake import KEY_BYTES

MAX_INTERIM_RESPONSES: Final = 16  # a flood of 1xx never ends by itself

_HEAD: Final = 0
_LENGTH: Final = 1
_CHUNKED: Final = 2
_UNTIL_CLOSE: Final = 3
_IDLE: Final = 4


class Http1Connection(EndpointConnection):
    """Belongs to its endpoint while idle, and to one sink while at work."""

    def __init__(
        self,
        connector: Connector,
        sock: Socket,
        address: Address,
        tls: TlsChannel | None,
    ) -> None:
        super().__init__(connector, sock, address, tls)
        self.idled_s: float = 0.0  # before the request under way
        self._sent_before: int = 0  # bytes of earlier requests
        self.keep: bool = True  # after the response, if the endpoint lets us
        self.request_sent: bool = False  # whole, so that the connection may be used again
        self._state: int = _HEAD
        self._bodiless: bool = False  # the request was HEAD
        self._upgrade: Upgrade | None = None  # that was asked for
        self._inbox: bytes = b""
        self._scanned: int = 0  # bytes of an unfinished head known to hold no end
        self._remembered: ResponseHead | None = None
        self._reader: ChunkedReader | None = None
        self._left: int = 0
        self._in_chunks: bool = False
        self._interim: int = 0
        self._persistent: bool = False

    # --- taking up work ---------------------------------------------------------------------

    def begin(
        self,
        sink: ResponseSink,
        bodiless: bool,
        expires_at: float,
        upgrade: Upgrade | None = None,
    ) -> None:
        self._upgrade = upgrade
        self.sink = sink
        self.requests += 1
        self.answered = False
        self.expires_at = expires_at
        self._bodiless = bodiless
        self._interim = 0
        self.read_bytes = READ_BYTES
        if self._state == _IDLE:
            self._state = _HEAD
            self._sent_before = self.sent_bytes
            self.idled_s = self.loop.env.now - self.idle_since

    def send_request(
        self, head: ForwardedHead, request_id: bytes, body: bytes, complete: bool
    ) -> bool:
        upgrade = self._upgrade
        if upgrade is not None and upgrade.is_websocket and not upgrade.key:
            upgrade = upgrade.with_key(self.loop.system.rng.randbytes(KEY_BYTES))
            self._upgrade = upgrade
            request_id += b"\r\nSec-WebSocket-Key: " + upgrade.key
        data = b"%b%b\r\n\r\n%b" % (head.http1(), request_id, body)
        self.request_sent = complete
        self.tally.bytes_sent += len(data)
        return self.send(data)

    def send_more(self, data: bytes, complete: bool) -> None:
        self.request_sent = complete
        if data:
            self.tally.bytes_sent += len(data)
            self.send(data)

    def survived(self) -> bool:
        idle_s = self.loop.env.now - self.idle_since
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self.connector.reuse.outlived(idle_s)
            return True
        except OSError:
            pass
        self.connector.reuse.ended(self.streamed, idle_s)
        self.close()
        return False

    def close(self) -> None:
        if self.open and self._state == _IDLE and self in self.connector.idle:
            self.connector.idle.remove(self)
        super().close()

    # --- events -----------------------------------------------------------------------------

    def on_readable(self) -> None:
        if not self.events & READABLE:
            return  # paused by what came before it in this batch
        sink = self.sink
        try:
            data = self.receive()
            if data and sink is not None and self.tls is None:
                self._read(data, sink)
            else:
                self._read_otherwise(data)
        except BadMessage as refusal:
            self.fail(GARBAGE, refusal.reason)
        except Exception:
            self.tell_of_crash(sink)
            raise

    def _read_otherwise(self, data: bytes | None) -> None:
        """An end, a handshake, bytes that nobody waits for, or anything over TLS."""
        if self.phase == HANDSHAKE:
            self.after_handshake(data)
            return
        if data is None:
            return
        sink = self.sink
        if sink is None:
            if self._state == _IDLE:  # the endpoint closed it, or spoke out of turn
                self.connector.reuse.ended(self.streamed, self.loop.env.now - self.idle_since)
            self.close()
            return
        if data == b"":
            self._on_end()
            return
        self._read(data, sink)
        tls = self.tls
        if tls is not None and tls.ended and self.sink is not None:
            self._on_end()  # it came with the last bytes, so that nothing else will tell

    def run_out_of_time(self) -> None:
        if self.sink is None:
            if self._state == _IDLE:
                self.connector.reuse.outlived(self.loop.env.now - self.idle_since)
            self.close_in_order()
        elif 0.0 < self.expires_at <= self.loop.env.now:
            self.fail(TIMEOUT, "the whole request took too long")
        elif self._state == _HEAD:
            self.fail(TIMEOUT, "the first byte took too long")
        else:
            self.fail(TIMEOUT, "the response stood still too long")

    # --- the response -----------------------------------------------------------------------

    def _read(self, data: bytes, sink: ResponseSink) -> None:
        connector = self.connector
        self.tally.bytes_received += len(data)
        self.answered = True
        state = self._state
        if state == _HEAD:
            self._read_head(data, sink)
            return
        idle_s = connector.settings.stream_idle_s
        if idle_s > 0.0 and self.expires_at == 0.0:
            self.deadline = self.loop.env.now + idle_s  # ``arm``, where it is this simple
        else:
            self.arm(idle_s)
        if state == _CHUNKED:
            reader = self._reader
            assert reader is not None
            out = reader.feed(data)
            if reader.done:
                self._end_of_chunks(reader, sink, out)
            elif out:
                sink.on_body(out, False)
        elif state == _LENGTH:
            left = self._left - len(data)
            self._left = left
            if left > 0:
                sink.on_body(data, False)
            else:
                if left < 0:
                    self._inbox = data[left:]
                    data = data[:left]
                self._finish()
                sink.on_body(data, True)
        else:
            sink.on_body(encode_chunk(data) if self._in_chunks else data, False)

    def _read_head(self, data: bytes, sink: ResponseSink) -> None:
        while True:
            scanned = 0
            if self._inbox:
                data = self._inbox + data
                self._inbox = b""
                scanned = self._scanned
            head = self._remembered
            if head is None or not data.startswith(head.raw):
                end = find_head_end(data, scanned)
                bound = self.connector.settings.header_bytes
                if (end if end >= 0 else len(data)) > bound:
                    raise BadMessage(502, f"the response's header fields are over {bound} bytes")
                if end < 0:
                    self._inbox = data
                    self._scanned = max(len(data) - 3, 0)  # its end may have begun there
                    return
                head = parse_response(data[:end])
                if head.irregular:
                    self.connector.endpoint.count_irregular(head.irregular)
                if head.status == 101:
                    self._switch(head, data[end:], sink)
                    return
                if head.status < 200:
                    self._read_interim(head, sink)
                    data = data[end:]
                    if not data:
                        return
                    continue
                self._remembered = head
            self._begin_body(head, data[head.length :], sink)
            return

    def _read_interim(self, head: ResponseHead, sink: ResponseSink) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM_RESPONSES:
            raise BadMessage(502, "too many interim responses")
        sink.on_interim(head)

    def _switch(self, head: ResponseHead, rest: bytes, sink: ResponseSink) -> None:
        upgrade = self._upgrade
        if upgrade is None:
            raise BadMessage(502, "the endpoint switched protocols without being asked")
        why_not = upgrade.why_not(head)
        if why_not:
            raise BadMessage(502, why_not)
        self.sink = None
        sink.on_switched(head, rest)

    def _begin_body(self, head: ResponseHead, rest: bytes, sink: ResponseSink) -> None:
        """Decide the framing (RFC 9112, 6.3) and hand on the head with what came with it."""
        self._in_chunks = sink.frame_response(head)
        self._persistent = head.keep_alive
        status = head.status
        length = head.content_length
        if self._bodiless or length == 0 or status == 204 or status == 304:
            self._inbox = rest
            self._finish()
            sink.on_response(head, b"", True)
            return
        left = length - len(rest)
        if left <= 0 < length:
            if left < 0:
                self._inbox = rest[length:]
                rest = rest[:length]
            self._finish()
            sink.on_response(head, rest, True)
            return
        self.arm(self.connector.settings.stream_idle_s)
        if length > 0:
            self._left = left
            self._state = _LENGTH
            sink.on_response(head, rest, False)
        elif head.chunked:
            reader = ChunkedReader(self._in_chunks, 502, of_server=True)
            self._reader = reader
            self._state = _CHUNKED
            out = reader.feed(rest) if rest else b""
            if reader.done and reader.trailers and not self._in_chunks:
                sink.on_response(head, out, False)
                if self.sink is sink:  # who still wants it
                    self._end_of_chunks(reader, sink, b"")
                return
            if reader.done:
                self._inbox = reader.rest
                self._finish()
            sink.on_response(head, out, reader.done)
        else:
            self._persistent = False
            self._state = _UNTIL_CLOSE
            if rest and self._in_chunks:
                rest = encode_chunk(rest)
            sink.on_response(head, rest, False)

    def _end_of_chunks(self, reader: ChunkedReader, sink: ResponseSink, out: bytes) -> None:
        self._inbox = reader.rest
        self._finish()
        if reader.trailers and not self._in_chunks:  # else they are in the last chunk
            sink.on_trailers(reader.trailers)
        sink.on_body(out, True)

    def _on_end(self) -> None:
        """The endpoint closed."""
        clean = not self.broken and (self.tls is None or self.tls.ended)
        if self._state == _UNTIL_CLOSE and clean:
            sink = self.sink
            self.sink = None
            self.close()
            if sink is not None:
                sink.on_body(b"0\r\n\r\n" if self._in_chunks else b"", True)
        elif self.requests > 1 and not self.answered:
            self._on_stale()
        else:
            self.fail(RESET, self.told_end())

    def _on_stale(self) -> None:
        """It was idle, and ended under a request of which no byte was answered."""
        self.lost_request = not self.broken and never_arrived(self.sock, self._sent_before)
        used_s = self.loop.env.now - self.idle_since - self.idled_s
        if self.lost_request or used_s < EARLY_S:
            self.connector.reuse.ended(self.streamed, self.idled_s)
        self.fail(
            RESET,
            "the endpoint closed a connection that had been idle as the request went out on it"
            if self.lost_request
            else "the endpoint closed a connection that had been idle, after the request arrived",
        )

    def _finish(self) -> None:
        """The response is whole: keep the connection if it was cleanly framed, else close it."""
        connector = self.connector
        if self.requests > 1:
            connector.reuse.answered(self.streamed)
        reader = self._reader
        self.streamed = reader is not None
        if reader is not None and reader.padded:
            self._persistent = False
            connector.endpoint.count_irregular(BLANKS_AFTER_SIZE)
        self.sink = None
        self._reader = None
        settings = connector.settings
        if (
            not self._persistent
            or not self.request_sent
            or not self.keep
            or self._inbox
            or self.unsent is not None
            or connector.removed
            or self.address_generation != connector.address_generation
            or (self.tls is not None and self.tls.ended)
            or len(connector.idle) >= settings.max_idle
            or self.requests >= settings.max_requests
        ):
            self.close_in_order()
            return
        self._state = _IDLE
        now = self.loop.env.now
        self.idle_since = now
        timeout = settings.idle_timeout_s
        head = self._remembered
        if head is not None and head.idle_s > 0.0 and (head.idle_s < timeout or timeout == 0.0):
            timeout = head.idle_s
        self.deadline = now + timeout if timeout > 0.0 else 0.0
        connector.idle.append(self)
