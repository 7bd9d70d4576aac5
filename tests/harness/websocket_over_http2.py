"""WebSockets over HTTP/2 of another make (h2 and wsproto): a client, and an endpoint (RFC 8441)."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Ping,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate

from tests.harness.http2_client import client_of_h2
from tests.harness.waiting import PATIENCE_S

_OFFERED = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
Handler = Callable[["StreamSocket"], None]


class Closed(Exception):
    """The WebSocket has ended; the text tells how."""


class Link:
    """A connection, read by a thread of its own. ``changed`` is told of all that comes."""

    def __init__(self, sock: socket.socket, protocol: h2.connection.H2Connection) -> None:
        self.socket = sock
        self.h2 = protocol
        self.changed = threading.Condition()
        self.streams: dict[int, StreamSocket] = {}
        self.over = False
        self.goaway = False
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self.flush()
        self._thread.start()

    def flush(self) -> None:
        """Call it with ``changed`` held, once the thread runs."""
        data = self.h2.data_to_send()
        if data:
            with contextlib.suppress(OSError):
                self.socket.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """With ``changed`` held."""
        assert self.changed.wait_for(lambda: self.over or condition(), PATIENCE_S), what

    def on_request(self, event: h2.events.RequestReceived) -> None:
        """Of a server."""

    def _read(self) -> None:
        while True:
            self._await_bytes()
            with self.changed:  # TLS of one connection is not for two threads at once
                try:
                    data = self.socket.recv(65536)
                except OSError:
                    data = b""
                if data:
                    try:
                        events = self.h2.receive_data(data)
                    except h2.exceptions.ProtocolError:
                        data, events = b"", []
                    for event in events:
                        self._take(event)
                    self.flush()
                self.over = not data
                self.changed.notify_all()
            if not data:
                return

    def _await_bytes(self) -> None:
        if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            with contextlib.suppress(OSError, ValueError):  # it was closed
                select.select([self.socket], [], [])

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.on_request(event)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = True
        found = self.streams.get(getattr(event, "stream_id", None) or 0)
        if found is not None:
            found.take(event)


class StreamSocket:
    """One WebSocket on a stream, of either side; the calls are those of ``websockets``' own."""

    def __init__(self, link: Link, stream: int, kind: ConnectionType) -> None:
        self.link = link
        self.stream = stream
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.close_code: int | None = None
        self.ended = False
        self.reset = -1  # the code
        self._kind = kind
        self._inbox: list[bytes] = []
        self._unread = 0  # bytes of the window
        self._frames = Frames(kind)
        self._parts: list[str | bytes | bytearray] = []
        self.reads = True  # gives its window back as it reads

    def agree(self, extensions: list[Extension]) -> None:
        """From here on there are frames."""
        self._frames = Frames(self._kind, extensions)

    @property
    def status(self) -> int:
        """Of the answer; 0 while there is none."""
        return self.response.status_code if self.response is not None else 0

    # --- what comes ---------------------------------------------------------------------------

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            headers = _headers(event.headers)
            self.response = Response(int(headers[":status"]), "", headers)
            self.subprotocol = headers.get("sec-websocket-protocol")
            if "sec-websocket-extensions" in headers:
                deflate = PerMessageDeflate()
                deflate.finalize(headers["sec-websocket-extensions"])
                self.agree([deflate])
        elif isinstance(event, h2.events.DataReceived):
            self._inbox.append(event.data)
            self._unread += event.flow_controlled_length or 0
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.reset = int(event.error_code or 0)

    def raw(self, timeout: float = PATIENCE_S) -> bytes:
        """The bytes that came; b"" at the end."""
        link = self.link
        until = time.monotonic() + timeout
        with link.changed:
            while not self._inbox:
                if self.ended or self.reset >= 0 or link.over:
                    return b""
                left = until - time.monotonic()
                if left <= 0.0 or not link.changed.wait(left):
                    raise TimeoutError("nothing came")
            data = b"".join(self._inbox)
            self._inbox = []
            if self._unread and self.reset < 0 and not link.over:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    link.h2.acknowledge_received_data(self._unread, self.stream)
                link.flush()
            self._unread = 0
            return data

    def recv(self, timeout: float = PATIENCE_S) -> str | bytes:
        """The next message; pings are answered."""
        while True:
            for event in self._frames.events():
                if isinstance(event, (TextMessage, BytesMessage)):
                    self._parts.append(event.data)
                    if event.message_finished:
                        parts, self._parts = self._parts, []
                        return _joined(event, parts)
                elif isinstance(event, Ping):
                    self.send_raw(self._frames.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self._told_close(event)
            data = self.raw(timeout)
            if not data:
                how = f"reset with {self.reset}" if self.reset >= 0 else "ended"
                raise Closed(f"no close frame received: {how}")
            self._frames.receive_data(data)

    def _told_close(self, event: CloseConnection) -> None:
        self.close_code = event.code
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            self.send_raw(self._frames.send(event.response()))
            self.end()
        raise Closed(f"received {int(event.code)}")

    def __iter__(self) -> Iterator[str | bytes]:
        with contextlib.suppress(Closed):
            while True:
                yield self.recv(timeout=PATIENCE_S * 10)

    # --- what is sent -------------------------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        made = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        self.send_raw(self._frames.send(made))

    def send_raw(self, data: bytes) -> None:
        """Within the windows that the peer gives."""
        link = self.link
        with link.changed:
            while data and self.reset < 0 and not link.over:
                try:
                    room = link.h2.local_flow_control_window(self.stream)
                    piece = data[: min(room, link.h2.max_outbound_frame_size)]
                    if piece:
                        link.h2.send_data(self.stream, piece)
                except h2.exceptions.ProtocolError:
                    return  # it is over
                data = data[len(piece) :]
                link.flush()
                if data and not piece:
                    link.changed.wait(PATIENCE_S)

    def end(self) -> None:
        """END_STREAM."""
        with self.link.changed, contextlib.suppress(h2.exceptions.ProtocolError):
            self.link.h2.end_stream(self.stream)
            self.link.flush()

    def cancel(self) -> None:
        """RST_STREAM."""
        with self.link.changed, contextlib.suppress(h2.exceptions.ProtocolError):
            self.link.h2.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL)
            self.link.flush()

    def close(self, code: int = 1000) -> None:
        """By frames of both sides, and then the ends of both halves."""
        if self._frames.state is not ConnectionState.OPEN:
            return
        self.send_raw(self._frames.send(CloseConnection(code)))
        with contextlib.suppress(Closed, TimeoutError):
            while True:
                self.recv()
        self.end()


def _headers(fields: object) -> Headers:
    assert isinstance(fields, list)
    return Headers([(bytes(name).decode(), bytes(value).decode()) for name, value in fields])


def _joined(event: object, parts: Sequence[str | bytes | bytearray]) -> str | bytes:
    if isinstance(event, TextMessage):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(bytes(part) for part in parts if not isinstance(part, str))


class Http2WebSocketClient:
    """A connection to a balancer, on which WebSockets are opened."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        sock = socket.create_connection(address, timeout=PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            sock = tls.wrap_socket(sock, server_hostname="localhost")
        self.scheme = "https" if tls is not None else "http"
        sock.settimeout(None)
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.link = Link(sock, client_of_h2(config))
        self.link.h2.initiate_connection()
        self.link.start()
        with self.link.changed:
            self.link.wait_for(lambda: _OFFERED in self.link.h2.remote_settings, "no settings came")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.link.close()

    def ask(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        protocol: str = "websocket",
        end: bool = False,
    ) -> StreamSocket:
        """Send extended CONNECT."""
        link = self.link
        head = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", self.scheme),
            (":authority", "site.example"),
            (":path", path),
            *fields,
        ]
        with link.changed:
            stream = link.h2.get_next_available_stream_id()
            made = StreamSocket(link, stream, ConnectionType.CLIENT)
            link.streams[stream] = made
            link.h2.send_headers(stream, head, end_stream=end)
            link.flush()
        return made

    def answered(self, socket: StreamSocket) -> StreamSocket:
        """Wait for the answer's head."""
        with self.link.changed:
            self.link.wait_for(
                lambda: socket.status > 0 or socket.reset >= 0, "it was not answered"
            )
        return socket

    def open(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        subprotocols: Sequence[str] = (),
        compression: str | None = None,
    ) -> StreamSocket:
        """A WebSocket that was agreed to."""
        asked = [("sec-websocket-version", "13"), *fields]
        if subprotocols:
            asked.append(("sec-websocket-protocol", ", ".join(subprotocols)))
        if compression:
            asked.append(("sec-websocket-extensions", "permessage-deflate"))
        made = self.answered(self.ask(path, *asked))
        assert made.status == 200, made.response
        return made


class _Server(Link):
    def __init__(self, sock: socket.socket, endpoint: "Http2WebSocketEndpoint") -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        super().__init__(sock, h2.connection.H2Connection(config))
        self._endpoint = endpoint
        if endpoint.offers:
            offered = h2.settings.Settings(client=False, initial_values={_OFFERED: 1})
            self.h2.local_settings = offered
        self.h2.initiate_connection()

    def on_request(self, event: h2.events.RequestReceived) -> None:
        assert event.stream_id is not None
        told = _headers(event.headers)
        self._endpoint.requests.append(Request(told.get(":path", ""), told))
        status = self._endpoint.status if told.get(":protocol") == "websocket" else 400
        answer: list[tuple[str, str]] = [(":status", str(status))]
        if status != 200:
            self.h2.send_headers(event.stream_id, answer, end_stream=True)
            return
        made = StreamSocket(self, event.stream_id, ConnectionType.SERVER)
        self.streams[event.stream_id] = made
        offered = told.get("sec-websocket-protocol", "")
        if offered:
            answer.append(("sec-websocket-protocol", offered.partition(",")[0]))
        if "sec-websocket-extensions" in told:
            deflate = PerMessageDeflate()
            agreed = deflate.accept(told["sec-websocket-extensions"])
            answer.append(
                ("sec-websocket-extensions", f"permessage-deflate; {agreed}".rstrip("; "))
            )
            made.agree([deflate])
        self.h2.send_headers(event.stream_id, answer)
        self._endpoint.play(made)


class Http2WebSocketEndpoint:
    """Plays ``handler`` on each WebSocket. ``offers``: it knows extended CONNECT. ``status``: it
    answers that. ``close_codes``: those that it was told."""

    def __init__(self, handler: Handler, *, offers: bool = True, status: int = 200) -> None:
        self.requests: list[Request] = []
        self.close_codes: list[int | None] = []
        self.offers = offers
        self.status = status
        self.sockets: list[StreamSocket] = []
        self._handler = handler
        self._links: list[Link] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listening.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.kill()

    def kill(self) -> None:
        """End all connections."""
        for link in self._links:
            link.close()

    def play(self, made: StreamSocket) -> None:
        self.sockets.append(made)
        threading.Thread(target=self._handle, args=(made,), daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Server(sock, self)
            self._links.append(link)
            link.start()

    def _handle(self, made: StreamSocket) -> None:
        try:
            self._handler(made)
        finally:
            made.end()
            self.close_codes.append(made.close_code)
