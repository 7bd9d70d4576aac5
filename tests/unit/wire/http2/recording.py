"""Receivers that write down what they are told, and a connection over them, for either role."""

from typing import Any

from penstock.wire.http2.codes import CLIENT_PREFACE
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import HeaderBlock, request_block
from penstock.wire.http2.outgoing import frame_header
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream, StreamReceiver

Event = tuple[Any, ...]
SETTINGS_FRAME = frame_header(0, 4, 0, 0)


class RecordingStream(StreamReceiver):
    """Writes down a stream's events; consumes content at once unless told not to."""

    def __init__(self, endpoint: "Endpoint") -> None:
        self.endpoint = endpoint
        self.stream: Stream | None = None
        self.head: HeaderBlock | None = None
        self.content = b""
        self.trailers: HeaderBlock | None = None
        self.ended = False
        self.reset: int | None = None
        self.interims: list[int] = []
        self.rooms = 0
        self.unsent = b""
        self.end_unsent = False

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        self.stream = stream
        self.head = block
        self.ended = end
        self.endpoint.events.append(("head", stream.id, end))

    def on_interim(self, stream: Stream, block: HeaderBlock) -> None:
        self.interims.append(block.status)
        self.endpoint.events.append(("interim", stream.id, block.status))

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        self.content += data
        self.ended = end
        if self.endpoint.consumes:
            self.endpoint.connection.consumed(stream, len(data))
        self.endpoint.events.append(("data", stream.id, len(data), end))

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        self.trailers = block
        self.ended = True
        self.endpoint.events.append(("trailers", stream.id))

    def on_reset(self, stream: Stream, code: int) -> None:
        self.reset = code
        self.endpoint.events.append(("reset", stream.id, code))

    def on_room(self, stream: Stream) -> None:
        self.rooms += 1
        self.endpoint.rooms.append(stream.id)
        self.send(self.unsent, self.end_unsent)

    def send(self, data: bytes, end: bool) -> None:
        """Send, keeping what does not fit until there is room."""
        assert self.stream is not None
        taken = self.endpoint.connection.send_data(self.stream, data, end)
        self.unsent = data[taken:]
        self.end_unsent = end


class Endpoint(ConnectionReceiver):
    """One end of a connection under test, with everything that it was told."""

    def __init__(
        self,
        is_client: bool = False,
        settings: Settings | None = None,
        limits: Limits | None = None,
        consumes: bool = True,
    ) -> None:
        self.is_client = is_client
        self.consumes = consumes
        self.now = 100.0
        self.events: list[Event] = []
        self.rooms: list[int] = []
        self.faults: list[tuple[int, int, str]] = []
        self.failure: tuple[int, str] | None = None
        self.received: dict[int, RecordingStream] = {}
        self.openings = 0
        self.connection = Http2Connection(
            is_client, settings or Settings(), limits or Limits(), self
        )
        self.connection.start()

    def on_stream(self, stream: Stream) -> StreamReceiver:
        receiver = RecordingStream(self)
        self.received[stream.id] = receiver
        return receiver

    def on_settings(self) -> None:
        self.events.append(("settings",))

    def on_opening(self) -> None:
        self.openings += 1

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self.events.append(("goaway", last_stream_id, code, debug))

    def on_ping_ack(self, payload: bytes) -> None:
        self.events.append(("ping_ack", payload))

    def on_stream_fault(self, stream_id: int, code: int, reason: str) -> None:
        self.faults.append((stream_id, code, reason))

    def on_failure(self, code: int, reason: str) -> None:
        self.failure = (code, reason)

    def open(self, block: HeaderBlock, end: bool = True) -> RecordingStream:
        """Open a stream with a request (client)."""
        receiver = RecordingStream(self)
        receiver.stream = self.connection.open(receiver)
        self.received[receiver.stream.id] = receiver
        self.connection.send_head(receiver.stream, block, end)
        return receiver

    def receive(self, data: bytes) -> None:
        self.connection.receive(data, self.now)

    def output(self) -> bytes:
        """All that is to be sent."""
        pieces: list[bytes] = []
        while more := self.connection.take_output():
            pieces += more
        return b"".join(pieces)


def get(path: bytes = b"/", authority: bytes = b"example.com") -> HeaderBlock:
    """A plain request."""
    return request_block(b"GET", b"https", authority, path, [])


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame as it travels."""
    return frame_header(len(payload), kind, flags, stream_id) + payload


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """The frames in a server's output: type, flags, stream, payload."""
    found = []
    data = data.removeprefix(CLIENT_PREFACE)
    while data:
        length = int.from_bytes(data[:3], "big")
        stream_id = int.from_bytes(data[5:9], "big")
        found.append((data[3], data[4], stream_id, data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def server(
    settings: Settings | None = None, limits: Limits | None = None, consumes: bool = True
) -> Endpoint:
    """A server whose client's preface came already, and whose own output was taken."""
    endpoint = Endpoint(False, settings, limits, consumes)
    endpoint.receive(CLIENT_PREFACE + SETTINGS_FRAME + frame(4, 1, 0))
    endpoint.output()
    return endpoint


def client(
    settings: Settings | None = None, limits: Limits | None = None, consumes: bool = True
) -> Endpoint:
    """A client whose server's preface came already, and whose own output was taken."""
    endpoint = Endpoint(True, settings, limits, consumes)
    endpoint.receive(SETTINGS_FRAME + frame(4, 1, 0))
    endpoint.output()
    return endpoint
