"""What a connection receives on streams: heads, content, trailers (RFC 9113, 5.1 and 8.1)."""

from typing import Final

from penstock.wire.http2.block_reader import BlockReader
from penstock.wire.http2.codes import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    Malformed,
)
from penstock.wire.http2.flood_limits import (
    EMPTY_FRAMES,
    HEADER_LISTS,
    INTERIM_RESPONSES,
    RESETS_PROVOKED,
    WINDOW_UPDATES,
    Limits,
)
from penstock.wire.http2.header_block import response_block
from penstock.wire.http2.outgoing import Outgoing
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream

_HEADERS_TOO_LARGE: Final = response_block(431, [(b"content-length", b"content-length", b"0")])
_SKIPPED_REMEMBERED: Final = 16
_NO_CONTENT: Final = (204, 205, 304)


class Incoming(Outgoing):
    """The part of a connection that receives messages."""

    def __init__(
        self, is_client: bool, local: Settings, limits: Limits, receiver: ConnectionReceiver
    ) -> None:
        super().__init__(is_client, local, limits, receiver)
        self.now: float = 0.0
        self._blocks: BlockReader = BlockReader(limits, from_server=is_client)
        self._blocks.connect_protocol = local.connect_protocol
        self._peer_streams: int = 0
        # Ids that the peer passed over, as (first, last): idle streams that became closed.
        self._skipped: list[tuple[int, int]] = []
        # What PRIORITY_UPDATE said of streams that had not begun.
        self._early_priorities: dict[int, tuple[int, bool]] = {}

    def _is_idle(self, stream_id: int) -> bool:
        """Whether nobody has used this id yet; the even ones never are, as nothing is pushed."""
        if stream_id & 1 == 0:
            return True
        if self.is_client:
            return stream_id >= self._next_stream
        return stream_id > self.last_peer_stream

    # Heads and trailers.

    def _take_block(self, stream_id: int, code: bytes, end: bool) -> None:
        """A whole header block came."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if self.is_client or not self._is_idle(stream_id):
                self._block_of_no_stream(stream_id, code)
            else:
                self._open_by_peer(stream_id, code, end)
            return
        if not stream.remote_open:
            self._blocks.skip(code)
            self._stream_fault(stream, STREAM_CLOSED, "HEADERS after the end of the stream")
        elif stream.head is None:
            self._take_response(stream, code, end)
        else:
            self._take_trailers(stream, code, end)

    def _block_of_no_stream(self, stream_id: int, code: bytes) -> None:
        if self._is_idle(stream_id):
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on a stream that we did not open")
        for first, last in self._skipped:
            if first <= stream_id <= last:
                raise ConnectionFault(PROTOCOL_ERROR, "a stream with a lower id than another")
        if stream_id not in self._reset_by_us and not self._was_ignored(stream_id):
            raise ConnectionFault(STREAM_CLOSED, "HEADERS on a closed stream")
        self._blocks.skip(code)

    def _was_ignored(self, stream_id: int) -> bool:
        """Whether the stream came after our GOAWAY."""
        return self.goaway_sent and not self.is_client and stream_id > self.last_peer_stream

    def _open_by_peer(self, stream_id: int, code: bytes, end: bool) -> None:
        if stream_id & 1 == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "a client's stream has an even id")
        if self.goaway_sent:
            self._blocks.skip(code)
            return
        if stream_id > self.last_peer_stream + 2:
            self._skipped.append((self.last_peer_stream + 1, stream_id - 1))
            if len(self._skipped) > _SKIPPED_REMEMBERED:
                self._skipped.pop(0)
        self.last_peer_stream = stream_id
        stream = Stream(stream_id, self.peer.initial_window_bytes, self._initial_window)
        stream.opened_at = self.now
        stream.remote_open = not end
        try:
            block = self._blocks.head(code)
        except Malformed as fault:
            self._refuse(stream_id, not end, PROTOCOL_ERROR, fault.reason)
            return
        if self._blocks.overrun:
            self._refuse_large(stream_id, end)
            return
        if end and block.content_length > 0:
            self._refuse(stream_id, False, PROTOCOL_ERROR, "Content-Length without content")
            return
        if len(self.streams) >= self.local.max_concurrent_streams:
            self._refuse(stream_id, not end, REFUSED_STREAM, "more streams than we allow")
            return
        if not self._heads.hold(block):
            self._refuse(stream_id, not end, REFUSED_STREAM, "too large heads at a time")
            return
        stream.head = block
        self.streams[stream_id] = stream
        # gRPC's own clients widen it and the connection for each, thousands in one breath.
        self.floods.allow(WINDOW_UPDATES, 2.0)
        stream.expected = block.content_length
        stream.connect = block.method == b"CONNECT"
        stream.bodiless = block.method == b"HEAD"
        stream.urgency = block.urgency
        stream.incremental = block.incremental
        if self._early_priorities:
            self._take_early_priority(stream)
        stream.receiver = self.receiver.on_stream(stream)
        stream.receiver.on_head(stream, block, end)

    def _take_early_priority(self, stream: Stream) -> None:
        told = self._early_priorities.pop(stream.id, None)
        if told is not None:
            stream.urgency, stream.incremental = told

    def _take_response(self, stream: Stream, code: bytes, end: bool) -> None:
        try:
            block = self._blocks.head(code)
        except Malformed as fault:
            self._stream_fault(stream, PROTOCOL_ERROR, fault.reason)
            return
        if self._blocks.overrun:
            self.floods.counts[HEADER_LISTS] += 1
            self._stream_fault(stream, PROTOCOL_ERROR, "the head exceeds the limits")
            return
        if not stream.head_sent:
            raise ConnectionFault(PROTOCOL_ERROR, "a response before its request")
        status = block.status
        if status < 200:
            if end:
                self._stream_fault(stream, PROTOCOL_ERROR, "an interim response ends the stream")
            else:
                self.floods.note(INTERIM_RESPONSES, self.now)
                stream.receiver.on_interim(stream, block)
            return
        if stream.connect and status < 300:
            stream.tunnel = True
        elif stream.bodiless or status in _NO_CONTENT:
            stream.expected = 0
        else:
            stream.expected = block.content_length
            if end and block.content_length > 0:
                self._stream_fault(stream, PROTOCOL_ERROR, "Content-Length without content")
                return
        if not self._heads.hold(block):
            self._stream_fault(stream, ENHANCE_YOUR_CALM, "too large heads at a time")
            return
        stream.head = block
        receiver = stream.receiver
        if end:
            self._end_remote(stream)
        receiver.on_head(stream, block, end)

    def _take_trailers(self, stream: Stream, code: bytes, end: bool) -> None:
        try:
            block = self._blocks.trailers(code)
        except Malformed as fault:
            self._stream_fault(stream, PROTOCOL_ERROR, fault.reason)
            return
        if self._blocks.overrun:
            self.floods.counts[HEADER_LISTS] += 1
            self._stream_fault(stream, PROTOCOL_ERROR, "the trailers exceed the limits")
        elif not end:
            self._stream_fault(stream, PROTOCOL_ERROR, "trailers that do not end the stream")
        elif stream.tunnel:
            self._stream_fault(stream, PROTOCOL_ERROR, "HEADERS on a connected stream")
        elif stream.expected > 0:
            self._stream_fault(stream, PROTOCOL_ERROR, "less content than Content-Length")
        else:
            self._end_remote(stream)
            stream.receiver.on_trailers(stream, block)

    # Content.

    def _begin_data(self, stream_id: int, length: int) -> Stream | None:
        """A DATA frame begins: take it from the windows. None: what follows is thrown away."""
        if length > self.receive_window:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        self.receive_window -= length
        stream = self.streams.get(stream_id)
        if stream is not None and stream.remote_open:
            if stream.head is None:
                self._stream_fault(stream, PROTOCOL_ERROR, "DATA before the response's head")
            elif length > stream.receive_window:
                self._stream_fault(stream, FLOW_CONTROL_ERROR, "more DATA than the window")
            else:
                stream.receive_window -= length
                return stream
        elif stream is not None:
            self._stream_fault(stream, STREAM_CLOSED, "DATA after the end of the stream")
        elif self._is_idle(stream_id):
            if not self._was_ignored(stream_id):
                raise ConnectionFault(PROTOCOL_ERROR, "DATA on an idle stream")
        elif stream_id not in self._reset_by_us:
            self._refuse(stream_id, True, STREAM_CLOSED, "DATA on a closed stream")
        self._give_back(length)
        return None

    def _take_content(self, stream: Stream, data: bytes, end: bool) -> None:
        """Content of a stream whose windows it was taken from."""
        size = len(data)
        stream.unconsumed += size
        if stream.expected >= 0 and not stream.tunnel:
            stream.expected -= size
            if stream.expected < 0:
                self._stream_fault(stream, PROTOCOL_ERROR, "more content than Content-Length")
                return
            if end and stream.expected > 0:
                self._stream_fault(stream, PROTOCOL_ERROR, "less content than Content-Length")
                return
        if end:
            self._end_remote(stream)
        elif size == 0:
            self.floods.note(EMPTY_FRAMES, self.now)
            return
        stream.receiver.on_data(stream, data, end)

    def _consume_padding(self, stream: Stream, count: int) -> None:
        """Padding is nobody's to pass on."""
        stream.unconsumed += count
        self.consumed(stream, count)

    # Faults.

    def _stream_fault(self, stream: Stream, code: int, reason: str) -> None:
        """What came makes the stream end."""
        more_may_come = stream.remote_open
        receiver = stream.receiver
        self._send_reset(stream.id, code, more_may_come)
        self._abandon(stream)
        receiver.on_reset(stream, code)
        self.receiver.on_stream_fault(stream.id, code, reason)
        self.floods.note(RESETS_PROVOKED, self.now)

    def _refuse(self, stream_id: int, more_may_come: bool, code: int, reason: str) -> None:
        """Reset a stream that nobody has seen."""
        self._send_reset(stream_id, code, more_may_come)
        self.receiver.on_stream_fault(stream_id, code, reason)
        self.floods.note(RESETS_PROVOKED, self.now)

    def _refuse_large(self, stream_id: int, end: bool) -> None:
        """Answer 431 to a head over our limits (RFC 9113, 10.5.1)."""
        self.floods.counts[HEADER_LISTS] += 1
        self._send_block(stream_id, _HEADERS_TOO_LARGE, None, True)
        if not end:
            self._send_reset(stream_id, NO_ERROR, True)
        self.receiver.on_stream_fault(stream_id, NO_ERROR, "the head exceeds the limits: 431")
        self.floods.note(RESETS_PROVOKED, self.now)
