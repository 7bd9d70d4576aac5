"""Two sides whose bytes are relayed to each other, both ways, without being understood.

Each is a connection as a whole, or a stream of one. An end of one side is passed on as an end, and
the other way stays open (a half-close), until both have ended. Each side is read only as long as
the other takes what comes.
"""

from typing import Final

from mypy_extensions import trait

from penstock.dataplane.board.layout import W_BYTES_FROM_CLIENTS, W_BYTES_TO_CLIENTS
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.tunnel.side import NOWHERE, SideOwner, TunnelSide
from penstock.dataplane.tunnel.socket_side import SocketSide
from penstock.dataplane.tunnel.stream_side import StreamSide
from penstock.wire.websocket import MASK_BYTES, FrameFollower, close_frame

# How a relay ended.
ENDED: Final = 0  # both sides sent their ends, and everything before them was passed on
CLIENT_BROKE: Final = 1  # by a reset, or within TLS
ENDPOINT_BROKE: Final = 2
IDLE: Final = 3  # no byte came for too long
CUT: Final = 4  # by us
DRAINED: Final = 5  # by us, because an endpoint or the balancer goes out of service
# How long both may take to end after they were told to close.
_CLOSING_S: Final = 5.0


@trait
class RelayOwner:
    """Whose tunnel it is: an exchange."""

    def on_first_byte(self) -> None:
        """The endpoint's first byte came."""
        raise NotImplementedError

    def on_relay_ended(self, how: int) -> None:
        """Nothing is relayed any more, and both sides are closed."""
        raise NotImplementedError


class _Frames(FrameFollower):
    """What comes of one side of a WebSocket, and a close of ours to be put between two frames."""

    def __init__(self) -> None:
        super().__init__()
        self.close_frame: bytes = b""
        self.silenced: bool = False  # what comes is passed on no more

    def passed(self, data: bytes) -> bytes:
        """What of these bytes is passed on: up to a close that was put between frames."""
        if self.silenced:
            return b""
        if data:
            self.feed(data)
        if not self.close_frame or self.close_passed:
            return data
        boundary = self.boundary if data else 0
        if boundary < 0:
            return data
        self.silenced = True
        return data[:boundary] + self.close_frame


class Relay(SideOwner):
    """Takes both over, and closes them when it ends."""

    def __init__(
        self,
        owner: RelayOwner,
        loop: Loop,
        client: Handed,
        endpoint: Handed,
        idle_s: float,
        worker_values: list[int],
        tally: LoadTally,
    ) -> None:
        self.client: TunnelSide = side_of(self, client)
        self.endpoint: TunnelSide = side_of(self, endpoint)
        self.bytes_from_client: int = 0
        self.bytes_from_endpoint: int = 0
        self._of_client: _Frames | None = None
        self._of_endpoint: _Frames | None = None
        self._owner: RelayOwner = owner
        self._loop: Loop = loop
        self._idle_s: float = idle_s
        self._worker_values: list[int] = worker_values
        self._tally: LoadTally = tally
        # Bytes of connections with many streams are counted there.
        self._counts_client: bool = isinstance(client, Connection)
        self._counts_endpoint: bool = isinstance(endpoint, Connection)
        self._open: bool = True
        self._draining: bool = False

    def follow_frames(self) -> None:
        """It is a WebSocket: a close of ours can stand between two frames."""
        self._of_client = _Frames()
        self._of_endpoint = _Frames()

    def begin(self, of_client: bytes = b"", of_endpoint: bytes = b"") -> None:
        """Relay from here on; these bytes came before."""
        client, endpoint = self.client, self.endpoint
        follows = self._of_client is not None
        if not follows and isinstance(client, SocketSide) and isinstance(endpoint, SocketSide):
            client.spliced = endpoint
            endpoint.spliced = client
        self._stay_awake()
        endpoint.begin(of_endpoint)
        if self._open:
            client.begin(of_client)

    def pass_on(self, side: TunnelSide, data: bytes) -> None:
        if not self._open:
            return
        self.count(side, len(data))
        if side is self.client:
            other = self.endpoint
            frames = self._of_client
        else:
            other = self.client
            frames = self._of_endpoint
        if frames is not None:
            data = frames.passed(data)
            if not data:
                return
        if not other.take(data):
            side.hold()

    def count(self, side: TunnelSide, size: int) -> None:
        if side is self.client:
            self.bytes_from_client += size
            self._tally.bytes_sent += size
            if self._counts_client:
                self._worker_values[W_BYTES_FROM_CLIENTS] += size
        else:
            if self.bytes_from_endpoint == 0:
                self._owner.on_first_byte()
            self.bytes_from_endpoint += size
            if self._counts_client:
                self._worker_values[W_BYTES_TO_CLIENTS] += size
            if self._counts_endpoint:
                self._tally.bytes_received += size
        self._stay_awake()

    def drained(self, side: TunnelSide) -> None:
        if not self._open:
            return
        self._stay_awake()
        if not self._end_if_passed():
            self._other(side).go_on()

    def limit_other(self, side: TunnelSide, most: int) -> None:
        if not self._open:
            return
        other = self._other(side)
        if most > 0:
            other.limit_reading(most)
            other.go_on()
        else:
            other.hold()

    def end_of(self, side: TunnelSide) -> None:
        if not self._open:
            return
        other = self._other(side)
        if other.is_told_by_close() and side.was_told_end():
            self.close(ENDED)  # the usual end: two system calls less than by the steps below
            return
        side.stop_reading()
        other.end_sending()
        self._end_if_passed()

    def broke(self, side: TunnelSide) -> None:
        if self._was_closed():  # what carried it may end as it likes (RFC 6455, 7.1.4)
            self._close(ENDED, True)
        else:
            self.close(CLIENT_BROKE if side is self.client else ENDPOINT_BROKE)

    def close(self, how: int) -> None:
        """End both, by a reset where they did not end themselves."""
        self._close(how, how in (IDLE, DRAINED))

    def _close(self, how: int, in_order: bool) -> None:
        if not self._open:
            return
        self._open = False
        for side in (self.client, self.endpoint):
            if in_order:
                side.close_in_order()
            elif how == ENDED:
                side.close()
            else:
                side.reset()
        self.client = NOWHERE
        self.endpoint = NOWHERE
        self._owner.on_relay_ended(how)

    def cut_off(self) -> None:
        self.close(CUT)

    def drain(self, code: int) -> None:
        if self._draining or not self._open:
            return
        of_client, of_endpoint = self._of_client, self._of_endpoint
        if of_client is None or of_endpoint is None:
            self.close(DRAINED)
            return
        self._draining = True
        self.client.expire_at(self._loop.env.now + _CLOSING_S)
        mask = self._loop.system.rng.randbytes(MASK_BYTES)  # a client's frames are masked
        of_client.close_frame = close_frame(code, mask=mask)
        of_endpoint.close_frame = close_frame(code)
        if of_endpoint.between_frames:
            data = of_endpoint.passed(b"")
            if data:
                self.client.take(data)
        if self._open and of_client.between_frames:
            data = of_client.passed(b"")
            if data:
                self.endpoint.take(data)

    def run_out_of_time(self) -> None:
        self.close(DRAINED if self._draining else IDLE)

    def _other(self, side: TunnelSide) -> TunnelSide:
        return self.endpoint if side is self.client else self.client

    def _end_if_passed(self) -> bool:
        if self.client.has_passed_all() and self.endpoint.has_passed_all():
            self.close(ENDED)
            return True
        return False

    def _was_closed(self) -> bool:
        """Whether both sides of a WebSocket have sent their closes."""
        of_client, of_endpoint = self._of_client, self._of_endpoint
        if of_client is None or of_endpoint is None:
            return False
        return of_client.close_passed and of_endpoint.close_passed

    def _stay_awake(self) -> None:
        if self._idle_s > 0.0 and not self._draining:
            self.client.expire_at(self._loop.env.now + self._idle_s)


def side_of(owner: SideOwner, before: Handed) -> TunnelSide:
    """What goes on from there."""
    if isinstance(before, Connection):
        return SocketSide(owner, before)
    return StreamSide(owner, before)
