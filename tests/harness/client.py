"""A client that sends exactly the bytes it is given, and reads answers with h11 as the judge."""

import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h11

from tests.harness.headers import Headers
from tests.harness.waiting import PATIENCE_S

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close sends RST
_BARE_LF = re.compile(rb"(?<!\r)\n")
_MAX_EVENT = 4 * 1024 * 1024


class IncompleteResponse(AssertionError):
    """The connection ended before the response was whole. ``partial`` is what there was of it."""

    def __init__(self, partial: "Response", reset: bool) -> None:
        super().__init__(f"{'reset' if reset else 'closed'} within {partial}")
        self.partial = partial
        self.reset = reset


@dataclass
class Response:
    """One final response; ``interim`` are the 1xx before it, as status and headers."""

    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    trailers: Headers = field(default_factory=Headers)
    interim: list[tuple[int, Headers]] = field(default_factory=list)

    @property
    def closes(self) -> bool:
        """Whether it says that it is the last on its connection."""
        options = ",".join(self.headers.all("connection")).lower()
        return "close" in [option.strip() for option in options.split(",")]


class Client:
    """One connection. Reads give up with TimeoutError after ``timeout_s`` without a byte.

    ``address`` is a host and a port, or the path of a socket file.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        source: str = "",
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
        session: ssl.SSLSession | None = None,
        receive_buffer: int = 0,
        timeout_s: float = PATIENCE_S,
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        if isinstance(address, str):
            family = socket.AF_UNIX
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(timeout_s)
            if family != socket.AF_UNIX:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                raw.bind((source, 0))
            raw.connect(address)
            self.socket: socket.socket = raw
            if tls is not None:
                self.socket = tls.wrap_socket(
                    raw,
                    server_hostname=server_name or None,
                    session=session,
                    suppress_ragged_eofs=False,  # an end without close_notify is no clean end
                )
        except BaseException:
            raw.close()
            raise
        self.left_at = 0.0  # monotonic, when this side closed
        self.was_reset = False
        self._pending = b""  # read, not yet taken

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_while_open(self, data: bytes, piece_bytes: int = 65536) -> bool:
        """Send in pieces; False when the other side closed before everything was sent."""
        try:
            for at in range(0, len(data), piece_bytes):
                self.socket.sendall(data[at : at + piece_bytes])
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return False
        return True

    def request(self, data: bytes, method: str = "GET") -> Response:
        """Send a request and read its response."""
        self.send(data)
        return self.read_response(method)

    def get(self, target: str = "/", *fields: str) -> Response:
        """GET, with further header lines if given, and the response."""
        lines = [f"GET {target} HTTP/1.1", "Host: site.example", *fields, "", ""]
        return self.request("\r\n".join(lines).encode("latin-1"))

    def read_some(self) -> bytes:
        """What is there, or comes next; empty at the end."""
        if self._pending:
            taken, self._pending = self._pending, b""
            return taken
        try:
            return self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            self.was_reset = True
            return b""

    def read_until(self, marker: bytes) -> bytes:
        """Everything up to and with ``marker``. Raises AssertionError when the end comes first."""
        seen = b""
        while marker not in seen:
            piece = self.read_some()
            assert piece, f"the connection ended before {marker!r}, after {seen!r}"
            seen += piece
        end = seen.index(marker) + len(marker)
        self._pending = seen[end:] + self._pending
        return seen[:end]

    def put_back(self, data: bytes) -> None:
        """What was read is to be read again."""
        self._pending = data + self._pending

    def read_to_end(self) -> bytes:
        """Everything until the other side closes."""
        pieces: list[bytes] = []
        while piece := self.read_some():
            pieces.append(piece)
        return b"".join(pieces)

    def read_response(self, method: str = "GET") -> Response:
        """The next response, to a request of that method.

        Raises IncompleteResponse when the connection ends too early, and h11's
        RemoteProtocolError or AssertionError when what comes is no HTTP.
        """
        judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_EVENT)
        judge.send(h11.Request(method=method, target="/", headers=[("Host", "judge")]))
        judge.send(h11.EndOfMessage())
        response = Response()
        body: list[bytes] = []
        while not self._take_event(judge, response, body):
            pass
        response.body = b"".join(body)
        self._pending = judge.trailing_data[0] + self._pending
        return response

    def read_response_or_end(self, method: str = "GET") -> Response | None:
        """The next response; None when the connection ends before it is whole."""
        try:
            return self.read_response(method)
        except IncompleteResponse:
            return None

    def expect_end(self) -> None:
        """The other side closes or resets without sending another byte."""
        rest = self.read_to_end()
        assert rest == b"", f"more came before the end: {rest[:200]!r}"

    def is_silent(self, for_s: float) -> bool:
        """Whether neither a byte nor the end comes within that time."""
        if self._pending:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(for_s)
        try:
            self._pending = self.socket.recv(65536)
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionResetError:
            self.was_reset = True
            return False
        finally:
            self.socket.settimeout(before)
        return False

    def end_sending(self) -> None:
        """Half-close."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.left_at = self.left_at or time.monotonic()
        self.socket.close()

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_event(self, judge: h11.Connection, response: Response, body: list[bytes]) -> bool:
        """Move ``response`` on by one event or read; True when it is whole."""
        try:
            event = judge.next_event()
        except h11.RemoteProtocolError as error:
            if judge.trailing_data[1]:  # the end came too early
                response.body = b"".join(body)
                raise IncompleteResponse(response, self.was_reset) from error
            raise
        if event is h11.NEED_DATA:
            data = self.read_some()
            if not data and self.was_reset:
                response.body = b"".join(body)
                raise IncompleteResponse(response, reset=True)
            if judge.their_state is h11.SEND_RESPONSE:
                assert not _BARE_LF.search(data.partition(b"\r\n\r\n")[0]), f"bare LF in {data!r}"
            judge.receive_data(data)
        elif isinstance(event, h11.InformationalResponse):
            response.interim.append((event.status_code, Headers(event.headers)))
        elif isinstance(event, h11.Response):
            response.status = event.status_code
            response.headers = Headers(event.headers)
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            response.trailers = Headers(event.headers)
            return True
        else:
            response.body = b"".join(body)
            raise IncompleteResponse(response, self.was_reset)
        return False
