"""A client of HTTP/2 of another make (h2): its streams are read as they come."""

import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.harness.waiting import PATIENCE_S

Headers = list[tuple[str, str]]


@dataclass
class StreamAnswer:
    """What came on one stream. ``reset``: the code; -1 while it was not reset."""

    headers: Headers = field(default_factory=list)
    interim: list[Headers] = field(default_factory=list)
    trailers: Headers = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int = -1

    @property
    def status(self) -> int:
        return int(self.value(":status") or 0)

    def value(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Http2Client:
    """``acknowledges``: windows are given back as content comes. ``introduction``: a PROXY header
    that goes before everything else."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        acknowledges: bool = True,
        window: int = 0,
        source: str = "",
        introduction: bytes = b"",
    ) -> None:
        raw = socket.create_connection(
            address, timeout=PATIENCE_S, source_address=(source, 0) if source else None
        )
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = raw
        if introduction:
            raw.sendall(introduction)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            secure = tls.wrap_socket(raw, server_hostname="localhost")
            assert secure.selected_alpn_protocol() == "h2"
            self.socket = secure
        self.scheme = "https" if tls is not None else "http"
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        # For h2 a GOAWAY is the end, also of streams that go on (RFC 9113, 6.8).
        machine = self.h2.state_machine
        opened = h2.connection.ConnectionState.CLIENT_OPEN
        goaway = h2.connection.ConnectionInputs.RECV_GOAWAY
        machine._transitions = {**machine._transitions, (opened, goaway): (None, opened)}
        self.h2.initiate_connection()
        if window:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.answers: dict[int, StreamAnswer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.ended = False
        self._acknowledges = acknowledges
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def begin(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        method: str = "GET",
        end: bool = True,
        flush: bool = True,
    ) -> int:
        """Send a head; the stream's id."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", "site.example"),
            (":path", path),
        ]
        self.answers[stream] = StreamAnswer()
        self.h2.send_headers(stream, [*pseudo, *fields], end_stream=end)
        if flush:
            self.flush()
        return stream

    def send_data(self, stream: int, data: bytes, end: bool = True) -> None:
        """Within the windows that the server gives."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.read()
                continue
            piece, data = data[:room], data[room:]
            self.h2.send_data(stream, piece, end_stream=end and not data)
            self.flush()

    def room(self, stream: int) -> int:
        """Bytes that the server would take now."""
        return self.h2.local_flow_control_window(stream)

    def get(self, path: str = "/", *fields: tuple[str, str]) -> StreamAnswer:
        return self.wait(self.begin(path, *fields))

    def post(self, path: str, body: bytes, *fields: tuple[str, str]) -> StreamAnswer:
        stream = self.begin(path, *fields, method="POST", end=False, flush=False)
        self.send_data(stream, body)
        return self.wait(stream)

    def wait(self, stream: int) -> StreamAnswer:
        """The answer, once it is whole or was cut."""
        answer = self.answers[stream]
        while not answer.ended and answer.reset < 0:
            assert self.read(), f"the connection ended before stream {stream} did: {answer}"
        return answer

    def wait_for(self, stream: int, body: bytes) -> StreamAnswer:
        """The answer, once so much of it came."""
        answer = self.answers[stream]
        while body not in answer.body:
            assert self.read(), f"the connection ended before {body!r}"
        return answer

    def read_to_end(self) -> None:
        while self.read():
            pass

    def read(self) -> bool:
        """What comes next; False at the end."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            data = b""
        if not data:
            self.ended = True
            return False
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()
        return True

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
            return
        answer = self.answers.get(getattr(event, "stream_id", None) or 0)
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = [(str(key), str(value)) for key, value in event.headers]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append([(str(key), str(value)) for key, value in event.headers])
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = [(str(key), str(value)) for key, value in event.headers]
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self._acknowledges and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
