"""Two connections whose bytes are relayed to each other, both ways, without being understood.

An end of one side is passed on as an end, and the other way stays open (a half-close), until both
have ended. Each side is read only as long as the other takes what comes.
"""

from socket import SHUT_WR
from typing import Final

from mypy_extensions import trait

from penstock.dataplane.board.layout import W_BYTES_FROM_CLIENTS, W_BYTES_TO_CLIENTS
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.io.connection import READ_BYTES, Connection
from penstock.dataplane.io.loop import BROKEN, PEER_CLOSED, READABLE, WRITABLE
from penstock.dataplane.io.splice import BROKEN as PIPE_BROKEN
from penstock.dataplane.io.splice import NOTHING, Pipe
from penstock.wire.websocket import GOING_AWAY, MASK_BYTES, FrameFollower, close_frame

# How a relay ended.
ENDED: Final = 0  # both sides sent their ends, and everything before them was passed on
CLIENT_BROKE: Final = 1  # by a reset, or within TLS
ENDPOINT_BROKE: Final = 2
IDLE: Final = 3  # no byte came for too long
CUT: Final = 4  # by us
DRAINED: Final = 5  # by us, because an endpoint or the balancer goes out of service
# From so many full reads in a row on the kernel moves bytes by itself, until it finds few.
_FULL_READS: Final = 4
_FEW_BYTES: Final = 16384
# How long both may take to end after they were told to close.
_CLOSING_S: Final = 5.0


@trait
class RelayOwner:
    """Whose tunnel it is: an exchange."""

    def on_first_byte(self) -> None:
        """The endpoint's first byte came."""
        raise NotImplementedError

    def on_relay_ended(self, how: int) -> None:
        """Nothing is relayed any more, and both connections are closed."""
        raise NotImplementedError


class RelaySide(Connection):
    """One of the two, in the place of the connection that it goes on from."""

    def __init__(self, relay: "Relay", before: Connection) -> None:
        super().__init__(before.loop, before.sock, before.tls)
        self.relay: Relay = relay
        self.other: RelaySide | None = None  # None: it is closed
        self.received: int = 0  # bytes of payload
        self.ended: bool = False  # it sends no more
        self._before: Connection = before
        self._shut: bool = False  # it was told that no more comes
        self._shuts: bool = False  # it is to be told so once everything has left
        self._said_farewell: bool = False  # of TLS
        self.follower: FrameFollower | None = None  # of what comes from it, where that is frames
        self.close_frame: bytes = b""  # to be put between two frames of what comes from it
        self.silenced: bool = False  # what comes from it is passed on no more
        self.pipe: Pipe | None = None  # through which its bytes go, once there were many
        self._splices: bool = False
        self._full_reads: int = 0
        self.take_over(before)

    def left(self) -> None:
        self._before.left()
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None

    def on_ready(self, events: int) -> None:
        if events & WRITABLE:
            if self.unsent is not None:
                self._flush()
            else:
                self._take_of_pipe()
            if not self.open:
                return
        if self.events & READABLE:
            if events & (READABLE | PEER_CLOSED | BROKEN):
                self.on_readable()
        elif events & BROKEN and self.has_passed_all():
            self.loop.remove(self)  # it would be told without end; the other is not done yet
        elif events & BROKEN:
            self.relay.broke(self)
        elif events & PEER_CLOSED:
            # What the kernel holds is still to be read; it would tell of the end without end.
            self.watch(self.events & ~PEER_CLOSED)

    def on_readable(self) -> None:
        if self._splices:
            self._splice()
            return
        data = self.receive()
        if data:
            self.relay.pass_on(self, data)
            if len(data) == READ_BYTES and self.tls is None:
                self._full_reads += 1
                if self._full_reads == _FULL_READS:
                    self._begin_to_splice()
            else:
                self._full_reads = 0
            tls = self.tls
            if tls is None or not tls.ended or not self.open:
                return
        elif data is None:
            return
        if self.broken or (self.tls is not None and not self.tls.ended):
            self.relay.broke(self)
        else:
            self.relay.end_of(self)

    # --- through the kernel alone -----------------------------------------------------------

    def _begin_to_splice(self) -> None:
        other = self.other
        if other is None or other.tls is not None or self.follower is not None:
            return
        if self.pipe is None and self.loop.system.can_splice():
            try:
                self.pipe = Pipe()
            except OSError:
                return  # no descriptor is left for it: copying needs none
        self._splices = self.pipe is not None

    def _splice(self) -> None:
        pipe = self.pipe
        other = self.other
        if pipe is None or other is None:
            return
        if other.unsent is not None:
            self.pause_reading()  # what was copied goes first
            return
        size = pipe.take(self.fd)
        if size == NOTHING:
            return
        if size == PIPE_BROKEN:
            self.broken = True
            self.relay.broke(self)
        elif size == 0:
            self.relay.end_of(self)
        else:
            if size < _FEW_BYTES:
                self._splices = False
                self._full_reads = 0
            self.relay.count(self, size)
            self._push(pipe, other)

    def _push(self, pipe: Pipe, other: "RelaySide") -> None:
        """Give the other side what the pipe holds, and wait where it takes no more."""
        while pipe.held > 0:
            given = pipe.give(other.fd)
            if given == NOTHING:
                self.pause_reading()
                other.watch(other.events | WRITABLE)
                return
            if given == PIPE_BROKEN:
                self.relay.broke(other)
                return

    def _take_of_pipe(self) -> None:
        """It takes more of what the other side's pipe holds."""
        other = self.other
        pipe = other.pipe if other is not None else None
        if other is None or pipe is None:
            return
        other._push(pipe, self)
        if self.open and pipe.held == 0:
            self.watch(self.events & ~WRITABLE)
            self.on_drained()

    def owes(self) -> bool:
        """Whether bytes wait to be sent to it."""
        other = self.other
        pipe = other.pipe if other is not None else None
        return self.unsent is not None or (pipe is not None and pipe.held > 0)

    def on_drained(self) -> None:
        if self._shuts:
            self._shuts = False
            self._shut_down()
        self.relay.drained(self)

    def on_deadline(self) -> None:
        self.relay.run_out_of_time()

    def go_away(self) -> None:
        self.relay.drain(GOING_AWAY)

    def on_crash(self) -> None:
        self.relay.close(CUT)

    def cut_off(self) -> None:
        self.relay.close(CUT)

    def end_sending(self) -> None:
        """Tell the peer that no more comes, once everything has left."""
        if self.owes():
            self._shuts = True
        else:
            self._shut_down()

    def has_passed_all(self) -> bool:
        """Whether it sent its end, and was told the other's."""
        return self.ended and self._shut

    def _shut_down(self) -> None:
        tls = self.tls
        if tls is not None and not self._said_farewell:
            self._said_farewell = True
            if not self.send(tls.farewell(), True):
                self._shuts = True
                return
        self._shut = True
        try:
            self.sock.shutdown(SHUT_WR)
        except OSError:
            self.broken = True


class Relay:
    """Takes both connections over, and closes them when it ends."""

    def __init__(
        self,
        owner: RelayOwner,
        client: Connection,
        endpoint: Connection,
        idle_s: float,
        worker_values: list[int],
        tally: LoadTally,
    ) -> None:
        self.client: RelaySide = RelaySide(self, client)
        self.endpoint: RelaySide = RelaySide(self, endpoint)
        self.client.other = self.endpoint
        self.endpoint.other = self.client
        self._owner: RelayOwner = owner
        self._idle_s: float = idle_s
        self._worker_values: list[int] = worker_values
        self._tally: LoadTally = tally
        self._open: bool = True
        self._draining: bool = False

    def follow_frames(self) -> None:
        """It is a WebSocket: a close of ours can stand between two frames."""
        self.client.follower = FrameFollower()
        self.endpoint.follower = FrameFollower()

    def begin(self, of_client: bytes = b"", of_endpoint: bytes = b"") -> None:
        """Relay from here on; these bytes came before."""
        for side in (self.client, self.endpoint):
            side.watch(side.events | READABLE | PEER_CLOSED)
        self._stay_awake()
        if of_client:
            self.pass_on(self.client, of_client)
        if of_endpoint:
            self.pass_on(self.endpoint, of_endpoint)

    def pass_on(self, side: RelaySide, data: bytes) -> None:
        """Bytes came of one side."""
        other = side.other
        if other is None:
            return
        self.count(side, len(data))
        if side.follower is not None:
            data = _followed(side, side.follower, data)
            if not data:
                return
        if not other.send(data):
            side.pause_reading()

    def count(self, side: RelaySide, size: int) -> None:
        """So many bytes came of one side."""
        if side is self.client:
            self._worker_values[W_BYTES_FROM_CLIENTS] += size
            self._tally.bytes_sent += size
        else:
            self._worker_values[W_BYTES_TO_CLIENTS] += size
            self._tally.bytes_received += size
            if side.received == 0:
                self._owner.on_first_byte()
        side.received += size
        self._stay_awake()

    def drained(self, side: RelaySide) -> None:
        """It takes more: the other is read on."""
        other = side.other
        if other is None:
            return
        self._stay_awake()
        if side.has_passed_all() and other.has_passed_all():
            self.close(ENDED)
        elif not other.ended:
            other.watch(other.events | READABLE | PEER_CLOSED)

    def end_of(self, side: RelaySide) -> None:
        """It sends no more."""
        other = side.other
        if other is None:
            return
        side.ended = True
        side.watch(side.events & ~(READABLE | PEER_CLOSED))
        other.end_sending()
        if side.has_passed_all() and other.has_passed_all():
            self.close(ENDED)

    def broke(self, side: RelaySide) -> None:
        """Its connection is gone."""
        self.close(CLIENT_BROKE if side is self.client else ENDPOINT_BROKE)

    def close(self, how: int) -> None:
        """End both, by a reset where they did not end themselves."""
        if not self._open:
            return
        self._open = False
        for side in (self.client, self.endpoint):
            side.other = None
            if how == ENDED:
                side.close()
            elif how in (IDLE, DRAINED):
                side.close_in_order()
            else:
                side.reset()
        self._owner.on_relay_ended(how)

    def drain(self, code: int) -> None:
        """End it soon: a WebSocket by a close with that code, anything else at once."""
        if self._draining or not self._open:
            return
        client, endpoint = self.client, self.endpoint
        if client.follower is None or endpoint.follower is None:
            self.close(DRAINED)
            return
        self._draining = True
        client.deadline = client.loop.env.now + _CLOSING_S
        mask = client.loop.system.rng.randbytes(MASK_BYTES)  # a client's frames are masked
        client.close_frame = close_frame(code, mask=mask)
        endpoint.close_frame = close_frame(code)
        for side in (endpoint, client):
            other = side.other
            if other is not None and side.follower is not None and side.follower.between_frames:
                data = _followed(side, side.follower, b"")
                if data:
                    other.send(data)

    def run_out_of_time(self) -> None:
        """No byte came for too long, or no end after a close."""
        self.close(DRAINED if self._draining else IDLE)

    def _stay_awake(self) -> None:
        if self._idle_s > 0.0 and not self._draining:
            self.client.deadline = self.client.loop.env.now + self._idle_s


def _followed(side: RelaySide, follower: FrameFollower, data: bytes) -> bytes:
    """What of the bytes of a WebSocket is passed on: up to a close that was put between frames."""
    if side.silenced:
        return b""
    if data:
        follower.feed(data)
    if not side.close_frame or follower.close_passed:
        return data
    boundary = follower.boundary if data else 0
    if boundary < 0:
        return data
    side.silenced = True
    return data[:boundary] + side.close_frame
