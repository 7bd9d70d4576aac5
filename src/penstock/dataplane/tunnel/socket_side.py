"""A connection as one side of a tunnel."""

from socket import SHUT_WR
from typing import Final

from penstock.dataplane.io.connection import READ_BYTES, Connection
from penstock.dataplane.io.loop import BROKEN, FAILED, ONCE, PEER_CLOSED, READABLE, WRITABLE
from penstock.dataplane.io.splice import BROKEN as PIPE_BROKEN
from penstock.dataplane.io.splice import NOTHING, Pipe
from penstock.dataplane.tunnel.side import SideOwner, TunnelSide
from penstock.wire.websocket import GOING_AWAY

# From so many full reads in a row on the kernel moves bytes by itself, until it finds few.
_FULL_READS: Final = 4
_FEW_BYTES: Final = 16384


class SocketSide(Connection, TunnelSide):
    """In the place of the connection that it goes on from."""

    def __init__(self, relay: SideOwner, before: Connection) -> None:
        super().__init__(before.loop, before.sock, before.tls)
        self.relay: SideOwner = relay
        self.ended: bool = False  # it sends no more
        # The other side, where the kernel can move bytes between the two.
        self.spliced: SocketSide | None = None
        self._before: Connection = before
        self._shut: bool = False  # it was told that no more comes
        self._shuts: bool = False  # it is to be told so once everything has left
        self._said_farewell: bool = False  # of TLS
        self._pipe: Pipe | None = None  # through which its bytes go, once there were many
        self._splices: bool = False
        self._full_reads: int = 0
        self.take_over(before)

    def left(self) -> None:
        self._before.left()
        self.spliced = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def begin(self, received: bytes) -> None:
        self.watch(self.events | READABLE | PEER_CLOSED)
        if received:
            self.relay.pass_on(self, received)

    # --- what comes of it -------------------------------------------------------------------

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
        elif events & BROKEN and self._has_ended(events):
            # It would be told without end: the other has yet to take what came of it. It stays
            # watched, as its deadline may be the tunnel's.
            self.watch((self.events & ~PEER_CLOSED) | ONCE)
        elif events & BROKEN or (self.broken and events & PEER_CLOSED):
            self.relay.broke(self)
        elif events & PEER_CLOSED:
            # What the kernel holds is still to be read; it would tell of the end without end.
            self.watch(self.events & ~PEER_CLOSED)

    def _has_ended(self, events: int) -> bool:
        """Whether both its ways have ended in order. What came last may not be read yet."""
        failed = self.broken or events & FAILED != 0
        return self.has_passed_all() or (self._shut and not failed)

    def on_readable(self) -> None:
        if not self.events & READABLE:
            return  # held by what came before it in this batch
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

    def hold(self) -> None:
        self.watch(self.events & ~READABLE)

    def go_on(self) -> None:
        if self.open and not self.ended:
            self.watch((self.events | READABLE | PEER_CLOSED) & ~ONCE)

    def limit_reading(self, most: int) -> None:
        self.read_bytes = most

    def stop_reading(self) -> None:
        self.ended = True
        self.watch(self.events & ~(READABLE | PEER_CLOSED))

    # --- what it is sent --------------------------------------------------------------------

    def take(self, data: bytes) -> bool:
        return self.send(data)

    def owes(self) -> bool:
        """Whether bytes wait to be sent to it."""
        other = self.spliced
        pipe = other._pipe if other is not None else None
        return self.unsent is not None or (pipe is not None and pipe.held > 0)

    def on_drained(self) -> None:
        if self._shuts:
            self._shuts = False
            self._shut_down()
        self.relay.drained(self)

    def end_sending(self) -> None:
        if self.owes():
            self._shuts = True
        else:
            self._shut_down()

    def has_passed_all(self) -> bool:
        return self.ended and self._shut

    def was_told_end(self) -> bool:
        return self._shut

    def is_told_by_close(self) -> bool:
        return self.ended and self.tls is None and not self.owes()

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

    # --- through the kernel alone -----------------------------------------------------------

    def _begin_to_splice(self) -> None:
        other = self.spliced
        if other is None or other.tls is not None:
            return
        if self._pipe is None and self.loop.system.can_splice():
            try:
                self._pipe = Pipe()
            except OSError:
                return  # no descriptor is left for it: copying needs none
        self._splices = self._pipe is not None

    def _splice(self) -> None:
        pipe = self._pipe
        other = self.spliced
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

    def _push(self, pipe: Pipe, other: "SocketSide") -> None:
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
        other = self.spliced
        pipe = other._pipe if other is not None else None
        if other is None or pipe is None:
            return
        other._push(pipe, self)
        if self.open and pipe.held == 0:
            self.watch(self.events & ~WRITABLE)
            self.on_drained()

    # --- ends -------------------------------------------------------------------------------

    def close_in_order(self) -> None:
        if self.owes():
            self.reset()  # an end would tell that this was all
        else:
            super().close_in_order()

    def expire_at(self, at: float) -> None:
        self.deadline = at

    def on_deadline(self) -> None:
        self.relay.run_out_of_time()

    def close_if_idle(self) -> None:
        self.relay.let_go()

    def go_away(self) -> None:
        self.relay.drain(GOING_AWAY)

    def on_crash(self) -> None:
        self.relay.cut_off()

    def cut_off(self) -> None:
        self.relay.cut_off()
