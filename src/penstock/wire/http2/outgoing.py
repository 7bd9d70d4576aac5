"""What a connection sends: frames, within the peer's windows and in the order of urgency."""

import struct
from typing import Final

from penstock.wire.http1 import Field
from penstock.wire.http2.codes import (
    ACK,
    CANCEL,
    CLIENT_PREFACE,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_BYTES,
    MAX_STREAM_ID,
    NO_ERROR,
    PING,
    PRIORITY_UPDATE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from penstock.wire.http2.flood_limits import (
    PINGS,
    RESETS_RECEIVED,
    WINDOW_UPDATES,
    FloodCounter,
    Limits,
)
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.held_heads import HeldHeads
from penstock.wire.http2.hpack_encoder import HpackEncoder
from penstock.wire.http2.priority import SendOrder, priority_value
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream, StreamReceiver

_FRAME_HEADER: Final = struct.Struct(">HBBBI")  # the length is of 24 bits
_NUMBER: Final = struct.Struct(">I")
_TWO_NUMBERS: Final = struct.Struct(">II")
# DATA at most so large goes into one piece with its frame's header: copying is cheaper than
# another piece for the kernel.
_JOINED_BYTES: Final = 4096
_MAX_DATA_FRAME_BYTES: Final = 65536  # whatever the peer would take: another may be more urgent
_INCREMENTAL_TURN_BYTES: Final = 16384
_RESETS_REMEMBERED: Final = 256


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine octets before a frame's payload (RFC 9113, 4.1)."""
    return _FRAME_HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


class Outgoing:
    """The part of a connection that opens and ends streams and sends."""

    def __init__(
        self, is_client: bool, local: Settings, limits: Limits, receiver: ConnectionReceiver
    ) -> None:
        self.is_client: bool = is_client
        self.receiver: ConnectionReceiver = receiver
        self.local: Settings = local  # ours; not to be changed but by ``update_settings``
        self.peer: Settings = Settings()
        self.limits: Limits = limits
        self.floods: FloodCounter = FloodCounter(limits)
        self.streams: dict[int, Stream] = {}  # those open on either side
        self.send_window: int = INITIAL_WINDOW_BYTES  # of the connection, towards the peer
        self.receive_window: int = INITIAL_WINDOW_BYTES  # what the peer may still send
        self.last_peer_stream: int = 0  # the highest that the peer opened
        self.goaway_sent: bool = False  # the peer's further streams are ignored
        self.goaway_received: bool = False  # no stream can be opened any more
        self.failed: bool = False
        self.output_bytes: int = 0  # that ``take_output`` would give
        self._control_bytes: int = 0  # of it, what neither DATA nor HEADERS is
        self._out: list[bytes] = []
        self._encoder: HpackEncoder = HpackEncoder()
        self._order: SendOrder = SendOrder()
        self._credit: int = 0  # consumed of the connection's window, and not yet given back
        self._next_stream: int = 1
        self._initial_window: int = INITIAL_WINDOW_BYTES  # of ours, as the peer acknowledged it
        self._unacknowledged: list[Settings] = []
        self._reset_by_us: dict[int, bool] = {}  # whose frames may still be under way
        self._heads: HeldHeads = HeldHeads(limits.held_header_bytes)
        self._was_full: bool = False  # ``can_open`` said no for want of room
        self._opening_due: bool = False

    # The connection.

    def start(self) -> None:
        """Send the preface: nothing may be sent before it (RFC 9113, 3.4)."""
        if self.is_client:
            self._out.append(CLIENT_PREFACE)
        payload = self.local.payload(self.is_client)
        self._out.append(frame_header(len(payload), SETTINGS, 0, 0) + payload)
        self._unacknowledged.append(self.local)
        more = self.limits.connection_window_bytes - INITIAL_WINDOW_BYTES
        if more > 0:
            self._widen(0, more)
            self.receive_window += more

    def update_settings(self, settings: Settings, told: bytes) -> None:
        """Change ours: ``told`` is the frame's payload; they take effect when acknowledged."""
        self._out.append(frame_header(len(told), SETTINGS, 0, 0) + told)
        self._unacknowledged.append(settings)
        self.local = settings

    def settings_acknowledged(self) -> bool:
        """Whether the peer acknowledged all of ours."""
        return not self._unacknowledged

    def ping(self, payload: bytes) -> None:
        """Ask for an answer; eight octets."""
        self._control(frame_header(8, PING, 0, 0) + payload)

    def announce_goaway(self) -> None:
        """Tell that the end is near; streams on their way are still taken (RFC 9113, 6.8).

        ``goaway`` follows after a round trip, such as that of a ``ping``.
        """
        self._send_goaway(MAX_STREAM_ID, NO_ERROR, b"")

    def goaway(self, code: int = NO_ERROR, debug: bytes = b"") -> None:
        """Take no further streams; those that are open go on."""
        self._send_goaway(self.last_peer_stream, code, debug)
        self.goaway_sent = True

    def finished(self) -> bool:
        """Whether the transport may be closed once the output is sent."""
        return self.failed or (not self.streams and (self.goaway_sent or self.goaway_received))

    def take_output(self) -> list[bytes]:
        """What is to be sent now, in order; empty when nothing is.

        Call it after ``receive``, after sending, and when the transport has room again, until it
        gives nothing; not while the transport still holds what it gave before. Streams that
        wait for room are called first.
        """
        if self._order.count:
            self._call_waiting()
        if self._opening_due:
            self._opening_due = False
            self.receiver.on_opening()
        out = self._out
        if out:
            self._out = []
            self.output_bytes = 0
            self._control_bytes = 0
        return out

    # Streams.

    def can_open(self) -> bool:
        """Whether the peer takes another stream (client side)."""
        if len(self.streams) >= self.peer.max_concurrent_streams:
            self._was_full = True
            return False
        return not (self.goaway_received or self.failed) and self._next_stream <= MAX_STREAM_ID

    def open(self, receiver: StreamReceiver) -> Stream:
        """A new stream, where ``can_open`` says so; its head must be sent before another's."""
        stream = Stream(self._next_stream, self.peer.initial_window_bytes, self._initial_window)
        self._next_stream += 2
        stream.receiver = receiver
        self.streams[stream.id] = stream
        return stream

    def send_head(
        self, stream: Stream, block: HeaderBlock, end: bool, extra: list[Field] | None = None
    ) -> None:
        """A request's head, or a final response's; ``extra``: fields that are new each time.

        Encoding the same object again costs a look-up, so keep it where it can be used again.
        """
        if not stream.local_open:
            return
        stream.head_sent = True
        if self.is_client:
            if block.method == b"HEAD":
                stream.bodiless = True
            elif block.method == b"CONNECT":
                stream.connect = True
        elif stream.connect and 200 <= block.status < 300:
            stream.tunnel = True
        self._send_block(stream.id, block, extra, end)
        if end:
            self._end_local(stream)

    def send_interim(self, stream: Stream, block: HeaderBlock) -> None:
        """A 1xx head, before the final one."""
        if stream.local_open and not stream.head_sent:
            self._send_block(stream.id, block, None, False)

    def send_trailers(
        self, stream: Stream, block: HeaderBlock, extra: list[Field] | None = None
    ) -> None:
        """A trailer section, which ends our side. All content must have been taken before."""
        if stream.local_open:
            self._send_block(stream.id, block, extra, True)
            self._end_local(stream)

    def send_data(self, stream: Stream, data: bytes, end: bool, start: int = 0) -> int:
        """Content from ``start`` on; how many bytes were taken.

        Less than all, and ``on_room`` follows when more is: offer the rest then, and nothing
        else before. ``end`` takes effect when all was taken. A stream that is over takes all.
        """
        offered = len(data) - start
        if not stream.local_open:
            return offered
        if offered <= 0:
            if end:
                self._append(frame_header(0, DATA, END_STREAM, stream.id))
                self._end_local(stream)
            return 0
        room = min(self.send_window, self.limits.output_bytes - self.output_bytes)
        if room > stream.send_window:
            room = stream.send_window
        if stream.incremental and room > _INCREMENTAL_TURN_BYTES and self._order.count:
            room = _INCREMENTAL_TURN_BYTES
        if room <= 0:
            self._wait(stream)
            return 0
        taken = min(room, offered)
        complete = end and taken == offered
        self._send_content(stream, data, start, start + taken, complete)
        if complete:
            self._end_local(stream)
        elif taken < offered:
            self._wait(stream)
        return taken

    def reset(self, stream: Stream, code: int = CANCEL) -> None:
        """End a stream both ways; ``on_reset`` is not called."""
        if not (stream.local_open or stream.remote_open):
            return
        if stream.head_sent or not self.is_client:  # one that never began is just not used
            self._send_reset(stream.id, code, stream.remote_open)
        self._abandon(stream)

    def consumed(self, stream: Stream, count: int) -> None:
        """Content that ``on_data`` gave was passed on: the peer may send as much again."""
        if count > stream.unconsumed:
            count = stream.unconsumed
        if count <= 0:
            return
        stream.unconsumed -= count
        if stream.remote_open:
            stream.credit += count
            if stream.credit * 2 >= self._initial_window:
                self._widen(stream.id, stream.credit)
                stream.receive_window += stream.credit
                stream.credit = 0
        self._give_back(count)

    def send_priority(self, stream: Stream, urgency: int, incremental: bool) -> None:
        """Tell the server how urgent a stream of ours is (RFC 9218, 7.1)."""
        stream_id = _NUMBER.pack(stream.id)
        payload = stream_id + priority_value(urgency, incremental)
        self._control(frame_header(len(payload), PRIORITY_UPDATE, 0, 0) + payload)

    # What both sides of the connection use.

    def _append(self, piece: bytes) -> None:
        self._out.append(piece)
        self.output_bytes += len(piece)

    def _control(self, piece: bytes) -> None:
        self._append(piece)
        self._control_bytes += len(piece)

    def _send_block(
        self, stream_id: int, block: HeaderBlock, extra: list[Field] | None, end: bool
    ) -> None:
        code = self._encoder.encode(block, extra)
        size = len(code)
        most = self.peer.max_frame_bytes
        if size <= most:
            flags = END_HEADERS | END_STREAM if end else END_HEADERS
            self._append(frame_header(size, HEADERS, flags, stream_id) + code)
            return
        flags = END_STREAM if end else 0
        self._append(frame_header(most, HEADERS, flags, stream_id) + code[:most])
        for start in range(most, size, most):
            part = code[start : start + most]
            flags = END_HEADERS if start + most >= size else 0
            self._append(frame_header(len(part), CONTINUATION, flags, stream_id) + part)

    def _send_content(self, stream: Stream, data: bytes, start: int, stop: int, end: bool) -> None:
        most = min(self.peer.max_frame_bytes, _MAX_DATA_FRAME_BYTES)
        position = start
        frames = 0
        while position < stop:
            size = min(most, stop - position)
            flags = END_STREAM if end and position + size == stop else 0
            part = data if size == len(data) else data[position : position + size]
            header = frame_header(size, DATA, flags, stream.id)
            if size <= _JOINED_BYTES:
                self._out.append(header + part)
            else:
                self._out.append(header)
                self._out.append(part)
            self.output_bytes += size + 9
            position += size
            frames += 1
        stream.send_window -= stop - start
        self.send_window -= stop - start
        # A peer answers DATA with updates of two windows, and may measure the way by a PING.
        self.floods.allow(WINDOW_UPDATES, 2.0 * frames)
        self.floods.allow(PINGS, float(frames))

    def _send_reset(self, stream_id: int, code: int, more_may_come: bool) -> None:
        self._control(frame_header(4, RST_STREAM, 0, stream_id) + _NUMBER.pack(code))
        if more_may_come:
            if len(self._reset_by_us) >= _RESETS_REMEMBERED:
                del self._reset_by_us[next(iter(self._reset_by_us))]
            self._reset_by_us[stream_id] = True

    def _send_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        payload = _TWO_NUMBERS.pack(last_stream_id, code) + debug
        self._control(frame_header(len(payload), GOAWAY, 0, 0) + payload)

    def _acknowledge(self, kind: int, payload: bytes) -> None:
        self._control(frame_header(len(payload), kind, ACK, 0) + payload)

    def _widen(self, stream_id: int, more: int) -> None:
        self._control(frame_header(4, WINDOW_UPDATE, 0, stream_id) + _NUMBER.pack(more))

    def _give_back(self, count: int) -> None:
        """Of the connection's window."""
        self._credit += count
        if self._credit * 2 >= max(self.limits.connection_window_bytes, INITIAL_WINDOW_BYTES):
            self._widen(0, self._credit)
            self.receive_window += self._credit
            self._credit = 0

    def _wait(self, stream: Stream) -> None:
        """Until ``take_output`` finds room, or its own window opens."""
        if stream.send_window > 0:
            self._order.add(stream)
        else:
            stream.starved = True

    def _call_waiting(self) -> None:
        while self.send_window > 0 and self.output_bytes < self.limits.output_bytes:
            stream = self._order.next()
            if stream is None:
                return
            if stream.send_window > 0:
                stream.receiver.on_room(stream)
            else:
                stream.starved = True

    def _end_local(self, stream: Stream) -> None:
        stream.local_open = False
        if not stream.remote_open:
            self._finish(stream)

    def _end_remote(self, stream: Stream) -> None:
        stream.remote_open = False
        if not stream.local_open:
            self._finish(stream)

    def _abandon(self, stream: Stream) -> None:
        """The stream is over before its end: nobody will consume what is left of it."""
        self._give_back(stream.unconsumed)
        stream.unconsumed = 0
        self._drop(stream)

    def _finish(self, stream: Stream) -> None:
        """Both sides ended it: a peer may reset as many streams as it lets end."""
        self.floods.allow(RESETS_RECEIVED, 1.0)
        self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        """The stream is over."""
        stream.local_open = False
        stream.remote_open = False
        if stream.waiting:
            self._order.remove(stream)
        stream.starved = False
        self.streams.pop(stream.id, None)
        head = stream.head
        if head is not None:
            self._heads.release(head)
        if self._was_full:
            self._was_full = False
            self._opening_due = True
