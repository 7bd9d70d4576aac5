"""Frames about the connection, and about streams as such (RFC 9113, 6.3 to 6.9; RFC 9218, 7.1)."""

from typing import Final

from penstock.wire.http2.codes import (
    ACK,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    MAX_STREAM_ID,
    MAX_WINDOW_BYTES,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    ConnectionFault,
)
from penstock.wire.http2.flood_limits import (
    OTHER_FRAMES,
    PINGS,
    PRIORITIES,
    RESETS_RECEIVED,
    SETTINGS_FRAMES,
    WINDOW_UPDATES,
    Limits,
)
from penstock.wire.http2.incoming import Incoming
from penstock.wire.http2.priority import read_priority
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import SETTING_BYTES, Settings, unpack_settings
from penstock.wire.http2.stream import Stream

_MAX_DEBUG_BYTES: Final = 256  # of a GOAWAY, passed on
_EARLY_PRIORITIES: Final = 16  # of streams that have not begun
_SETTINGS_A_FRAME: Final = 64  # beyond this many each further one counts as another frame
_LASTING_S: Final = 1.0  # a stream that is reset after so long is no part of a flood


class Control(Incoming):
    """The part of a connection that answers the protocol's own frames."""

    def __init__(
        self, is_client: bool, local: Settings, limits: Limits, receiver: ConnectionReceiver
    ) -> None:
        super().__init__(is_client, local, limits, receiver)
        self.settings_received: bool = False
        self._last_goaway: int = MAX_STREAM_ID

    def _on_control(self, payload: bytes, kind: int, flags: int, stream_id: int) -> None:
        if kind == SETTINGS:
            self._on_settings(payload, flags, stream_id)
        elif kind == RST_STREAM:
            self._on_rst_stream(payload, stream_id)
        elif kind == PING:
            self._on_ping(payload, flags, stream_id)
        elif kind == GOAWAY:
            self._on_goaway(payload, stream_id)
        elif kind == PRIORITY:
            self._on_priority(payload, stream_id)
        elif kind == PRIORITY_UPDATE:
            self._on_priority_update(payload, stream_id)
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE, which we never accept")
        else:
            self.floods.note(OTHER_FRAMES, self.now)

    def _on_settings(self, payload: bytes, flags: int, stream_id: int) -> None:
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        self.floods.note(SETTINGS_FRAMES, self.now)
        if flags & ACK:
            if payload:
                raise ConnectionFault(FRAME_SIZE_ERROR, "an acknowledgment with settings")
            if not self.settings_received:
                raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._on_acknowledged()
            return
        if len(payload) % SETTING_BYTES:
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of 6")
        self.settings_received = True
        peer = self.peer
        window = peer.initial_window_bytes
        table_bytes = peer.header_table_bytes
        told = unpack_settings(payload)
        for _ in range(len(told) // _SETTINGS_A_FRAME):
            self.floods.note(SETTINGS_FRAMES, self.now)
        for setting, value in told:
            peer.take(setting, value, self.is_client)
            if peer.header_table_bytes != table_bytes:
                table_bytes = peer.header_table_bytes
                self._encoder.limit_table(table_bytes)
        self._acknowledge(SETTINGS, b"")
        if peer.initial_window_bytes != window:
            self._shift_windows(peer.initial_window_bytes - window)
        if self._was_full and len(self.streams) < peer.max_concurrent_streams:
            self._was_full = False
            self._opening_due = True
        self.receiver.on_settings()

    def _shift_windows(self, more: int) -> None:
        """The peer's SETTINGS_INITIAL_WINDOW_SIZE changed (RFC 9113, 6.9.2)."""
        for stream in self.streams.values():
            stream.send_window += more
            if stream.send_window > MAX_WINDOW_BYTES:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a window grew over 2^31-1")
            if stream.starved and stream.send_window > 0:
                stream.starved = False
                self._order.add(stream)

    def _on_acknowledged(self) -> None:
        """The peer applied our settings: so do we."""
        if not self._unacknowledged:
            return
        settings = self._unacknowledged.pop(0)
        more = settings.initial_window_bytes - self._initial_window
        if more:
            self._initial_window = settings.initial_window_bytes
            for stream in self.streams.values():
                stream.receive_window += more
        if settings.header_table_bytes != self._blocks.decoder.allowed_table_bytes:
            self._blocks.decoder.allow(settings.header_table_bytes)

    def _on_window_update(self, data: bytes, start: int, length: int, stream_id: int) -> None:
        if length != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE of another length than 4")
        more = _number(data, start)
        self.floods.note(WINDOW_UPDATES, self.now)
        if stream_id == 0:
            if more == 0:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self.send_window += more
            if self.send_window > MAX_WINDOW_BYTES:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a window grew over 2^31-1")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id) and not self._was_ignored(stream_id):
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
            return
        if more == 0:
            self._stream_fault(stream, PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            return
        stream.send_window += more
        if stream.send_window > MAX_WINDOW_BYTES:
            self._stream_fault(stream, FLOW_CONTROL_ERROR, "a window grew over 2^31-1")
        elif stream.starved and stream.send_window > 0:
            stream.starved = False
            self._order.add(stream)

    def _on_rst_stream(self, payload: bytes, stream_id: int) -> None:
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on stream 0")
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM of another length than 4")
        if self._is_idle(stream_id) and not self._was_ignored(stream_id):
            raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        stream = self.streams.get(stream_id)
        # Only who opens streams can make resets cheap. One that lasted took its place among those
        # that may be open at a time: calls whose deadline passes end so, many at once.
        lasted = stream is not None and self.now - stream.opened_at >= _LASTING_S
        if not self.is_client and not lasted:
            self.floods.note(RESETS_RECEIVED, self.now)
        if stream is not None:
            self._abandon(stream)
            stream.receiver.on_reset(stream, _number(payload, 0))

    def _on_ping(self, payload: bytes, flags: int, stream_id: int) -> None:
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PING of another length than 8")
        self.floods.note(PINGS, self.now)
        if flags & ACK:
            self.receiver.on_ping_ack(payload)
        else:
            self._acknowledge(PING, payload)

    def _on_goaway(self, payload: bytes, stream_id: int) -> None:
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of less than 8 octets")
        self.floods.note(OTHER_FRAMES, self.now)
        last = _number(payload, 0) & MAX_STREAM_ID
        if last > self._last_goaway:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY with a higher stream than the one before")
        self._last_goaway = last
        self.goaway_received = True
        if self.is_client:
            for stream in list(self.streams.values()):
                if stream.id > last and stream.id in self.streams:
                    self._abandon(stream)
                    stream.receiver.on_reset(stream, REFUSED_STREAM)
        self.receiver.on_goaway(last, _number(payload, 4), payload[8 : 8 + _MAX_DEBUG_BYTES])

    def _on_priority(self, payload: bytes, stream_id: int) -> None:
        """RFC 9113, 5.3.2: what it says is not used any more."""
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        self.floods.note(PRIORITIES, self.now)
        if len(payload) != 5:
            stream = self.streams.get(stream_id)
            if stream is None:
                raise ConnectionFault(FRAME_SIZE_ERROR, "PRIORITY of another length than 5")
            self._stream_fault(stream, FRAME_SIZE_ERROR, "PRIORITY of another length than 5")

    def _on_priority_update(self, payload: bytes, stream_id: int) -> None:
        """RFC 9218, 7.1."""
        if stream_id != 0 or self.is_client:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY_UPDATE on a stream or from a server")
        if len(payload) < 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PRIORITY_UPDATE of less than 4 octets")
        self.floods.note(PRIORITIES, self.now)
        about = _number(payload, 0) & MAX_STREAM_ID
        if about & 1 == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY_UPDATE of a stream of no client")
        urgency, incremental = read_priority(payload[4:])
        stream = self.streams.get(about)
        if stream is not None:
            self._change_priority(stream, urgency, incremental)
        elif self._is_idle(about) and len(self._early_priorities) < _EARLY_PRIORITIES:
            self._early_priorities[about] = (urgency, incremental)

    def _change_priority(self, stream: Stream, urgency: int, incremental: bool) -> None:
        waiting = stream.waiting
        if waiting:
            self._order.remove(stream)
        stream.urgency = urgency
        stream.incremental = incremental
        if waiting:
            self._order.add(stream)


def _number(data: bytes, start: int) -> int:
    return data[start] << 24 | data[start + 1] << 16 | data[start + 2] << 8 | data[start + 3]
