"""The test client of HTTP/1.1, speaking HTTP/2: what it is told to send is read and translated.

So one scenario is played through both fronts. What has no counterpart there skips; tests that are
about HTTP/1.1 as such are marked ``http1_only``.
"""

import ssl
from typing import NoReturn

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h11
import pytest

from tests.harness.client import Client, IncompleteResponse, Response
from tests.harness.headers import Headers
from tests.harness.http2_client import client_of_h2

# Fields of a connection, which HTTP/2 has no place for (RFC 9113, 8.2.2).
_OF_THE_CONNECTION = frozenset(
    (b"connection", b"host", b"keep-alive", b"transfer-encoding", b"upgrade", b"proxy-connection")
)


class ClientOverHttp2(Client):
    """Requests go out on a stream each as they are sent; responses are read in their order."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        source: str = "",
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
        session: ssl.SSLSession | None = None,
        receive_buffer: int = 0,
        timeout_s: float = 0.0,
    ) -> None:
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        timeout = {"timeout_s": timeout_s} if timeout_s else {}
        super().__init__(
            address,
            source=source,
            tls=tls,
            server_name=server_name,
            session=session,
            receive_buffer=receive_buffer,
            **timeout,
        )
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = client_of_h2(config)
        self._scheme = b"https" if tls is not None else b"http"
        self._reader = h11.Connection(h11.SERVER)
        self._stream = 0  # of the request that is being sent
        self._told_end = False  # of it
        self._unread: list[int] = []  # streams whose responses are to be read, in order
        self._responses: dict[int, Response] = {}
        self._ended: set[int] = set()
        self._reset: set[int] = set()
        self._h2.initiate_connection()
        self._flush()

    def send(self, data: bytes) -> None:
        self._reader.receive_data(data)
        event = self._next_event()
        while event is not h11.NEED_DATA and event is not h11.PAUSED:
            following = self._next_event()
            ends = isinstance(following, h11.EndOfMessage)
            if isinstance(event, h11.Request):
                self._begin(event, ends)
            elif isinstance(event, h11.Data):
                self._send_data(bytes(event.data), ends)
            elif isinstance(event, h11.EndOfMessage) and not self._told_end:
                self._h2.end_stream(self._stream)
                self._flush()
            if ends:
                self._told_end = True
                rest = self._reader.trailing_data[0]
                self._reader = h11.Connection(h11.SERVER)
                if rest:
                    self._reader.receive_data(rest)
                following = self._next_event()
            event = following

    def _next_event(self) -> object:
        try:
            return self._reader.next_event()
        except h11.RemoteProtocolError:
            pytest.skip("what it sends is no request to translate")

    def send_while_open(self, data: bytes, piece_bytes: int = 65536) -> bool:
        try:
            self.send(data)
        except (OSError, h2.exceptions.ProtocolError):
            return False
        return True

    def read_response(self, method: str = "GET") -> Response:
        stream = self._unread.pop(0)
        response = self._responses[stream]
        while stream not in self._ended:
            if stream in self._reset or not self._read():
                raise IncompleteResponse(response, self.was_reset or stream in self._reset)
        return response

    def read_to_end(self) -> bytes:
        while self._read():
            pass
        return b""

    def read_some(self) -> NoReturn:
        pytest.skip("it reads bytes of HTTP/1.1")

    def read_until(self, marker: bytes) -> NoReturn:
        pytest.skip("it reads bytes of HTTP/1.1")

    def is_silent(self, for_s: float) -> NoReturn:
        pytest.skip("a connection of HTTP/2 is never silent at first")

    def end_sending(self) -> NoReturn:
        pytest.skip("the end of sending is the end of the connection")

    def _begin(self, request: h11.Request, ends: bool) -> None:
        fields = [(name.lower(), value) for name, value in request.headers]
        untranslatable = b"upgrade" in dict(fields) or not request.target.startswith((b"/", b"*"))
        if untranslatable or request.http_version != b"1.1":
            pytest.skip("HTTP/2 has no such request")
        authority = dict(fields).get(b"host", b"")
        self._stream = self._h2.get_next_available_stream_id()
        self._unread.append(self._stream)
        self._responses[self._stream] = Response()
        pseudo = [
            (b":method", request.method),
            (b":scheme", self._scheme),
            (b":authority", authority),
            (b":path", request.target),
        ]
        passed = [field for field in fields if field[0] not in _OF_THE_CONNECTION]
        self._h2.send_headers(self._stream, [*pseudo, *passed], end_stream=ends)
        self._told_end = ends
        self._flush()

    def _send_data(self, data: bytes, ends: bool) -> None:
        while data and self._stream not in self._reset and self._stream not in self._ended:
            room = min(
                self._h2.local_flow_control_window(self._stream), self._h2.max_outbound_frame_size
            )
            if room <= 0:
                assert self._read(), "the connection ended"
                continue
            piece, data = data[:room], data[room:]
            self._h2.send_data(self._stream, piece, end_stream=ends and not data)
            self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def _read(self) -> bool:
        """What comes next; False at the end."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            self.was_reset = True
            data = b""
        if not data:
            return False
        for event in self._h2.receive_data(data):
            self._take(event)
        self._flush()
        return True

    def _take(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None) or 0
        response = self._responses.get(stream)
        if response is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            response.status, response.headers = _head(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            response.interim.append(_head(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = _head(event.headers)[1]
        elif isinstance(event, h2.events.DataReceived):
            response.body += event.data
            if event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended.add(stream)
        elif isinstance(event, h2.events.StreamReset):
            self._reset.add(stream)


def _head(fields: object) -> tuple[int, Headers]:
    assert isinstance(fields, list)
    found = [(bytes(name), bytes(value)) for name, value in fields]
    status = int(dict(found).get(b":status", b"0"))
    return status, Headers([field for field in found if not field[0].startswith(b":")])
