"""One HTTP/2 connection without I/O, as server or as client.

    connection = Http2Connection(is_client, settings, limits, receiver)
    connection.start()
    # when bytes came:         connection.receive(data, now)
    # after that, and when the transport has room:
    #                          while pieces := connection.take_output(): send them
    # when the transport ended: connection.lost()

What comes is told to ``receiver`` and to each stream's; what is to be sent is given to the methods
of ``Outgoing``. A peer's fault ends its stream, or the connection (``failed``), and is told why.
"""

from typing import Final

from penstock.wire.http2.codes import (
    CLIENT_PREFACE,
    CONNECTION_LOST,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_BYTES,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    PROTOCOL_ERROR,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    ConnectionFault,
)
from penstock.wire.http2.control import Control
from penstock.wire.http2.flood_limits import (
    CONTINUATIONS,
    HEADER_LISTS,
    PENDING_OUTPUT,
    Limits,
)
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream

_MAX_DEBUG_BYTES: Final = 256


class Http2Connection(Control):
    """The whole connection: bytes to frames, and the frames that are about the connection."""

    def __init__(
        self, is_client: bool, local: Settings, limits: Limits, receiver: ConnectionReceiver
    ) -> None:
        super().__init__(is_client, local, limits, receiver)
        self._rest: bytes = b""  # the beginning of a frame that is not whole
        self._preface: bytes = b"" if is_client else CLIENT_PREFACE  # still to come
        # Of the DATA frame that is coming.
        self._data_left: int = 0
        self._padding_left: int = 0
        self._data_ends: bool = False
        self._data_stream: Stream | None = None
        # Of the header block that is coming.
        self._block_stream: int = 0  # 0: none is
        self._block_ends: bool = False
        self._block: list[bytes] = []
        self._block_bytes: int = 0

    def receive(self, data: bytes, now: float) -> None:
        """Bytes came from the peer. Call ``take_output`` afterwards."""
        if self.failed:
            return
        self.now = now
        try:
            if self._control_bytes > self.limits.pending_output_bytes:
                self.floods.counts[PENDING_OUTPUT] += 1
                raise self.floods.fault(PENDING_OUTPUT)
            self._read(data)
        except ConnectionFault as fault:
            self._fail(fault.code, fault.reason)

    def lost(self) -> None:
        """The transport ended: so do all streams."""
        if not self.failed:
            self.failed = True
            self._end_all(CONNECTION_LOST)

    def _fail(self, code: int, reason: str) -> None:
        self._send_goaway(self.last_peer_stream, code, reason.encode()[:_MAX_DEBUG_BYTES])
        self.failed = True
        self._end_all(code)
        self.receiver.on_failure(code, reason)

    def _end_all(self, code: int) -> None:
        for stream in list(self.streams.values()):
            if stream.id in self.streams:  # none ended another
                self._drop(stream)
                stream.receiver.on_reset(stream, code)

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        position = 0
        if self._preface:
            position = self._read_preface(data)
            if self._preface:
                return
        end = len(data)
        while True:
            if self._data_left or self._padding_left:
                if position >= end:
                    return
                position = self._read_data(data, position, end)
                continue
            if end - position < FRAME_HEADER_BYTES:
                break
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            kind = data[position + 3]
            flags = data[position + 4]
            stream_id = (
                (data[position + 5] & 0x7F) << 24
                | data[position + 6] << 16
                | data[position + 7] << 8
                | data[position + 8]
            )
            self._check_frame(length, kind, stream_id)
            start = position + FRAME_HEADER_BYTES
            if kind == DATA:
                if flags & PADDED and end == start and length:
                    break  # the length of the padding has to be there
                position = self._start_data(data, start, length, flags, stream_id)
                continue
            if end - start < length:
                break
            position = start + length
            if kind == HEADERS:
                self._on_headers(data, start, position, flags, stream_id)
            elif kind == WINDOW_UPDATE:
                self._on_window_update(data, start, length, stream_id)
            elif kind == CONTINUATION:
                self._on_continuation(data[start:position], flags, stream_id)
            else:
                self._on_control(data[start:position], kind, flags, stream_id)
            if self.failed:
                return
        if position < end:
            self._rest = data[position:] if position else data

    def _read_preface(self, data: bytes) -> int:
        """Where the client's preface ends; it came in pieces if there is still ``_preface``."""
        expected = self._preface
        count = min(len(expected), len(data))
        if data[:count] != expected[:count]:
            raise ConnectionFault(PROTOCOL_ERROR, "the client's preface is not HTTP/2's")
        self._preface = expected[count:]
        return count

    def _check_frame(self, length: int, kind: int, stream_id: int) -> None:
        if length > self.local.max_frame_bytes:
            raise ConnectionFault(FRAME_SIZE_ERROR, "a frame over SETTINGS_MAX_FRAME_SIZE")
        if self._block_stream and (kind != CONTINUATION or stream_id != self._block_stream):
            raise ConnectionFault(PROTOCOL_ERROR, "a frame amid a header block")
        if not self.settings_received and kind != SETTINGS:
            raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")

    # DATA, which is passed on as it comes.

    def _start_data(self, data: bytes, start: int, length: int, flags: int, stream_id: int) -> int:
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "DATA on stream 0")
        padding = 0
        stream = self._begin_data(stream_id, length)
        if flags & PADDED:
            if length == 0:
                raise ConnectionFault(FRAME_SIZE_ERROR, "padded DATA without its padding's length")
            padding = data[start]
            if padding >= length:
                raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
            start += 1
            length -= 1
            if stream is not None:
                self._consume_padding(stream, 1 + padding)
        self._data_stream = stream
        self._data_ends = flags & END_STREAM != 0
        self._data_left = length - padding
        self._padding_left = padding
        if self._data_left == 0 and stream is not None:
            self._take_content(stream, b"", self._data_ends)
        return start

    def _read_data(self, data: bytes, position: int, end: int) -> int:
        here = end - position
        if self._data_left:
            size = min(self._data_left, here)
            self._data_left -= size
            stream = self._data_stream
            if stream is not None and stream.remote_open:
                part = data if size == len(data) else data[position : position + size]
                self._take_content(stream, part, self._data_ends and self._data_left == 0)
            elif stream is not None:
                self._give_back(size)  # it ended amid the frame
            return position + size
        size = min(self._padding_left, here)
        self._padding_left -= size
        return position + size

    # HEADERS and CONTINUATION.

    def _on_headers(self, data: bytes, start: int, end: int, flags: int, stream_id: int) -> None:
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & (PADDED | WITH_PRIORITY):
            padding = 0
            if flags & PADDED:
                if start >= end:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS without its padding's length")
                padding = data[start]
                start += 1
            if flags & WITH_PRIORITY:
                if end - start < 5:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS without its priority")
                start += 5
            if padding > end - start:
                raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
            end -= padding
        code = data[start:end]
        if flags & END_HEADERS:
            self._take_block(stream_id, code, flags & END_STREAM != 0)
            return
        self._block_stream = stream_id
        self._block_ends = flags & END_STREAM != 0
        self._block = [code]
        self._block_bytes = len(code)
        self._check_block_size()

    def _on_continuation(self, payload: bytes, flags: int, stream_id: int) -> None:
        if not self._block_stream:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block.append(payload)
        self._block_bytes += len(payload)
        self._check_block_size()
        if flags & END_HEADERS:
            code = b"".join(self._block)
            self._block = []
            self._block_stream = 0
            self._take_block(stream_id, code, self._block_ends)

    def _check_block_size(self) -> None:
        limits = self.limits
        if len(self._block) > limits.continuations + 1:
            self.floods.counts[CONTINUATIONS] += 1
            raise self.floods.fault(CONTINUATIONS)
        # Fields that are allowed take no more than this, however they are encoded.
        if self._block_bytes > limits.header_list_bytes:
            self.floods.counts[HEADER_LISTS] += 1
            raise self.floods.fault(HEADER_LISTS)
