"""HTTP/2 of another make (h2) at either end of a stage's connections."""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.harness.http2_client import client_of_h2

CONNECT_PROTOCOL = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
_WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


@dataclass
class Heard:
    """What came on one stream. ``reset``: the code; -1 while it was not reset."""

    head: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int = -1
    answered: bool = False  # by us

    @property
    def status(self) -> int:
        return int(self.head.get(":status", 0))


class Http2Peer:
    """``offers``: as a server, extended CONNECT. ``window``: of each stream, given back when it is
    ``reading``. ``begins``: its preface is sent at once."""

    def __init__(
        self,
        stage: Stage,
        end: End,
        *,
        server: bool = False,
        offers: bool = True,
        window: int = 65535,
        begins: bool = True,
    ) -> None:
        self.stage = stage
        self.end = end
        config = h2.config.H2Configuration(client_side=not server, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config) if server else client_of_h2(config)
        told = {_WINDOW: window}
        if server and offers:
            told[CONNECT_PROTOCOL] = 1
        self.h2.local_settings = h2.settings.Settings(client=not server, initial_values=told)
        self.heard: dict[int, Heard] = {}
        self.reading = True
        self.goaway = False
        self._unread: dict[int, int] = {}
        self.h2.initiate_connection()
        if begins:
            self.pump()

    def pump(self) -> None:
        """Send what is to be sent, and take what comes, until nothing is left."""
        while True:
            data = self.h2.data_to_send()
            if data:
                self.stage.send(self.end, data)
            came = self.stage.received(self.end)
            if came:
                for event in self.h2.receive_data(came):
                    self._take(event)
            if not data and not came:
                return

    def ask(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        protocol: str = "websocket",
        version: str = "13",
        end: bool = False,
    ) -> int:
        """Send extended CONNECT; the stream's id."""
        head = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":authority", "site.example"),
            (":path", path),
            ("sec-websocket-version", version),
            *fields,
        ]
        return self.begin(head, end)

    def begin(self, head: list[tuple[str, str]], end: bool = False) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.heard[stream] = Heard()
        self.h2.send_headers(stream, head, end_stream=end)
        self.pump()
        return stream

    def answer(
        self, stream: int, status: int = 200, *fields: tuple[str, str], end: bool = False
    ) -> None:
        self.heard[stream].answered = True
        self.h2.send_headers(stream, [(":status", str(status)), *fields], end_stream=end)
        self.pump()

    def send(self, stream: int, data: bytes, end: bool = False) -> int:
        """As much as there is room for; how much."""
        sent = 0
        while sent < len(data):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                return sent
            piece = data[sent : sent + room]
            self.h2.send_data(stream, piece, end_stream=end and sent + len(piece) == len(data))
            sent += len(piece)
            self.pump()
        return sent

    def end_stream(self, stream: int) -> None:
        self.h2.end_stream(stream)
        self.pump()

    def reset(self, stream: int) -> None:
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.pump()

    def read_on(self) -> None:
        """Give back the windows of all that came."""
        self.reading = True
        for stream, size in self._unread.items():
            if not self.heard[stream].ended and self.heard[stream].reset < 0:
                self.h2.acknowledge_received_data(size, stream)
        self._unread = {}
        self.pump()

    def _take(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None) or 0
        heard = self.heard.setdefault(stream, Heard())
        if isinstance(event, (h2.events.ResponseReceived, h2.events.RequestReceived)):
            heard.head = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.TrailersReceived):
            heard.trailers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            heard.data += event.data
            size = event.flow_controlled_length or 0
            if size and self.reading:
                self.h2.acknowledge_received_data(size, stream)
            elif size:
                self._unread[stream] = self._unread.get(stream, 0) + size
        elif isinstance(event, h2.events.StreamEnded):
            heard.ended = True
        elif isinstance(event, h2.events.StreamReset):
            heard.reset = int(event.error_code or 0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = True
