"""A client of HTTP/2 that sends exactly the frames it is given, and reads what comes back."""

import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import hpack

from tests.harness.waiting import PATIENCE_S

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4

Field = tuple[bytes, bytes]

GOOD: tuple[Field, ...] = (
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"site.example"),
    (b":path", b"/"),
)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A field line as it is: no encoder would check or change it (RFC 7541, 6.2)."""
    return (b"\x40" if indexed else b"\x00") + _string(name) + _string(value)


def block(*fields: Field) -> bytes:
    return b"".join([literal(name, value) for name, value in fields])


def request(stream: int, *fields: Field, end: bool = True) -> bytes:
    """HEADERS with these fields and no others."""
    flags = END_HEADERS | END_STREAM if end else END_HEADERS
    return frame(HEADERS, flags, stream, block(*fields))


def setting(*values: tuple[int, int]) -> bytes:
    payload = b"".join([k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in values])
    return frame(SETTINGS, 0, 0, payload)


def _string(data: bytes) -> bytes:
    size = len(data)
    if size < 127:
        return bytes([size]) + data
    size -= 127
    out = bytearray([127])
    while size >= 128:
        out.append(size % 128 + 128)
        size //= 128
    return bytes([*out, size]) + data


@dataclass
class Frame:
    """One that came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error of RST_STREAM and GOAWAY."""
        return int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])


class FrameClient:
    """Begins with the preface and those settings; ``status`` decodes what came on a stream."""

    def __init__(
        self,
        address: tuple[str, int],
        *settings: tuple[int, int],
        receive_buffer: int = 0,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self.frames: list[Frame] = []
        self.ended = False
        self._rest = b""
        self._decoder = hpack.Decoder()
        self._statuses: dict[int, int] = {}
        self.send(PREFACE + setting(*settings))

    def send(self, data: bytes) -> bool:
        """False when the server has closed."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def read(self) -> bool:
        """What comes next; False at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            return False
        data = self._rest + data
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3]):
            size = int.from_bytes(data[:3])
            stream = int.from_bytes(data[5:9]) & 0x7FFFFFFF
            self._take(Frame(data[3], data[4], stream, data[9 : 9 + size]))
            data = data[9 + size :]
        self._rest = data
        return True

    def _take(self, came: Frame) -> None:
        self.frames.append(came)
        if came.kind == HEADERS:
            fields = self._decoder.decode(came.payload)
            told = {str(name): str(value) for name, value in fields}
            self._statuses[came.stream] = int(told[":status"])

    def find(self, kind: int, stream: int = 0) -> Frame | None:
        return next((f for f in self.frames if f.kind == kind and f.stream == stream), None)

    def outcome(self, stream: int) -> tuple[str, int]:
        """How a request ended: ("status", …), ("reset", …), ("goaway", …) or ("end", 0)."""
        while True:
            if stream in self._statuses:
                return "status", self._statuses[stream]
            reset = self.find(RST_STREAM, stream)
            if reset is not None:
                return "reset", reset.code
            goaway = self.find(GOAWAY)
            if goaway is not None:
                return "goaway", goaway.code
            if not self.read():
                return "end", 0

    def goaway(self) -> int:
        """The error that the connection ended with; -1: it ended without a word."""
        while self.read():
            pass
        told = self.find(GOAWAY)
        return -1 if told is None else told.code

    def ping(self) -> None:
        """Until everything sent before was handled."""
        payload = time.monotonic_ns().to_bytes(8, "big")
        self.send(frame(PING, 0, 0, payload))
        while not any(f.kind == PING and f.payload == payload for f in self.frames):
            assert self.read(), "the connection ended"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()
