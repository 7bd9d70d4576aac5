"""HTTP: heads and chunks of HTTP/1.1, frames and header blocks of HTTP/2."""

import h11
from hpack import Decoder
from hpack.exceptions import HPACKError

from fuzz.cuts import cut
from penstock.wire.chunked import ChunkedReader
from penstock.wire.http1 import (
    BadMessage,
    RequestHead,
    ResponseHead,
    find_head_end,
    parse_request,
    parse_response,
)
from penstock.wire.http2.codes import CLIENT_PREFACE, ConnectionFault
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.hpack_decoder import HpackDecoder
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream, StreamReceiver

_TARGET_BYTES = 8192
_FIELDS = 100
_STATUS = 400
_MEMORY_BYTES = 256 * 1024


def request(data: bytes) -> None:
    """A request's head; h11 agrees on how its body is framed."""
    raw = _head(data)
    if raw is None:
        return
    try:
        head = parse_request(raw, _TARGET_BYTES, _FIELDS)
    except BadMessage:
        return
    _check(head, raw)
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(raw)
    try:
        judged = judge.next_event()
    except h11.RemoteProtocolError:
        return
    assert isinstance(judged, h11.Request)
    assert judged.method == head.method
    fields = dict(judged.headers)
    assert (b"transfer-encoding" in fields) == head.chunked
    if not head.chunked:
        assert int(fields.get(b"content-length", b"-1")) == head.content_length


def response(data: bytes) -> None:
    """A response's head."""
    raw = _head(data)
    if raw is None:
        return
    try:
        head = parse_response(raw)
    except BadMessage:
        return
    _check(head, raw)
    assert 100 <= head.status <= 999


def _head(data: bytes) -> bytes | None:
    """Its bytes, wherever they are cut."""
    whole, pieces = cut(data)
    try:
        end = find_head_end(whole, 0)
    except BadMessage:
        return None
    came, found, start = b"", -1, 0
    for piece in pieces:
        came += piece
        try:
            found = find_head_end(came, start)
        except BadMessage:
            return None  # of what stands behind, where it came with it
        if found >= 0:
            break
        start = max(len(came) - 3, 0)
    assert found == end
    return whole[:end] if end >= 0 else None


def _check(head: RequestHead | ResponseHead, raw: bytes) -> None:
    assert head.length == len(raw)
    assert not (head.chunked and head.content_length >= 0)
    for lower, name, value in head.fields:
        assert lower == name.lower()
        assert value == value.strip(b" \t")
        assert not set(value) & set(b"\0\r\n")
        assert not set(name) & set(b"\0\r\n:\t ")


def chunked(data: bytes) -> None:
    """A body in chunks comes to the same however it is cut, and what is passed on to that again."""
    whole, pieces = cut(data)
    once = _unchunked([whole])
    cut_up = _unchunked(pieces)
    assert cut_up[:2] == once[:2] or "refused" in (once[2], cut_up[2])
    assert cut_up[2] == once[2]
    reader = ChunkedReader(True, _STATUS)
    try:
        passed = reader.feed(whole)
    except BadMessage:
        return
    if once[2] == "done":
        again = ChunkedReader(False, _STATUS)
        assert again.feed(passed) == once[0]
        assert again.done
        assert again.rest == b""


def _unchunked(pieces: list[bytes]) -> tuple[bytes, bytes, str]:
    reader = ChunkedReader(False, _STATUS)
    payload = b""
    rest = b""
    try:
        for piece in pieces:
            if reader.done:
                rest += piece
            else:
                payload += reader.feed(piece)
    except BadMessage:
        return payload, b"", "refused"
    return payload, reader.rest + rest, "done" if reader.done else "more"


def header_block(data: bytes) -> None:
    """Two blocks of a connection; hpack reads the same where it reads them."""
    size = data[0] if data else 0
    ours, judge = HpackDecoder(), Decoder()
    for block in (data[1 : 1 + size], data[1 + size :]):
        try:
            entries = ours.decode(block, 1000, 65536)
        except ConnectionFault:
            return
        try:
            judged = judge.decode(block, raw=True)
        except HPACKError:
            return
        assert ours.overrun or [(name, value) for _, name, value in (e.field for e in entries)] == [
            (bytes(name), bytes(value)) for name, value in judged
        ]


class _Streams(StreamReceiver):
    """Takes all that comes, and answers some of it."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def on_head(self, stream: Stream, head: object, end: bool) -> None:
        self.told.append(f"head {stream.id} {end}")

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        self.told.append(f"data {stream.id} {data!r} {end}" if data else f"end {stream.id} {end}")

    def on_trailers(self, stream: Stream, fields: object) -> None:
        self.told.append(f"trailers {stream.id}")

    def on_reset(self, stream: Stream, code: int) -> None:
        self.told.append(f"reset {stream.id} {code}")


class _Connection(ConnectionReceiver):
    def __init__(self) -> None:
        self.told: list[str] = []
        self.streams = _Streams(self.told)

    def on_stream(self, stream: Stream) -> StreamReceiver:
        return self.streams

    def on_failure(self, code: int, reason: str) -> None:
        self.told.append(f"failed {code}")


def frames(data: bytes) -> None:
    """A client's frames, cut anywhere: what is told and sent is the same, and is frames."""
    whole, pieces = cut(data)
    assert _heard([whole]) == _heard(pieces)


def _heard(pieces: list[bytes]) -> tuple[list[str], list[tuple[int, int]]]:
    receiver = _Connection()
    connection = Http2Connection(False, Settings(), Limits(_MEMORY_BYTES), receiver)
    connection.start()
    sent = b""
    for piece in [CLIENT_PREFACE, *pieces]:
        connection.receive(piece, 1.0)
    while output := connection.take_output():
        sent += b"".join(output)
    connection.lost()
    told = [each for each in receiver.told if not each.startswith("data")]
    return told, _frames_of(sent)


def _frames_of(data: bytes) -> list[tuple[int, int]]:
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + size, "half a frame"
        found.append((data[3], int.from_bytes(data[5:9], "big")))
        data = data[9 + size :]
    return found
