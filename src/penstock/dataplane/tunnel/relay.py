"""Two connections whose bytes are relayed to each other, both ways, without being understood.

An end of one side is passed on as an end, and the other way stays open (a half-close), until both
have ended. Each side is read only as long as the other takes what comes.
"""

from socket import SHUT_WR
from typing import Final

from mypy_extensions import trait

from penstock.dataplane.board.layout import W_BYTES_FROM_CLIENTS, W_BYTES_TO_CLIENTS
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import BROKEN, PEER_CLOSED, READABLE, WRITABLE

# How a relay ended.
ENDED: Final = 0  # both sides sent their ends, and everything before them was passed on
CLIENT_BROKE: Final = 1  # by a reset, or within TLS
ENDPOINT_BROKE: Final = 2
IDLE: Final = 3  # no byte came for too long
CUT: Final = 4  # by us


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
        self.unsent = before.unsent
        self.events = before.events
        # The kernel's descriptor stays where it is; who had it is done with it.
        before.open = False
        before.deadline = 0.0
        before.unsent = None
        self.loop.replace(before, self)

    def left(self) -> None:
        self._before.left()

    def on_ready(self, events: int) -> None:
        if events & WRITABLE and self.unsent is not None:
            self._flush()
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
        data = self.receive()
        if data:
            self.relay.pass_on(self, data)
            tls = self.tls
            if tls is None or not tls.ended or not self.open:
                return
        elif data is None:
            return
        if self.broken or (self.tls is not None and not self.tls.ended):
            self.relay.broke(self)
        else:
            self.relay.end_of(self)

    def on_drained(self) -> None:
        if self._shuts:
            self._shuts = False
            self._shut_down()
        self.relay.drained(self)

    def on_deadline(self) -> None:
        self.relay.close(IDLE)

    def on_crash(self) -> None:
        self.relay.close(CUT)

    def cut_off(self) -> None:
        self.relay.close(CUT)

    def end_sending(self) -> None:
        """Tell the peer that no more comes, once everything has left."""
        if self.unsent is not None:
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

    def begin(self, first: bytes = b"") -> None:
        """Relay from here on; ``first`` came of the client before."""
        for side in (self.client, self.endpoint):
            side.watch(side.events | READABLE | PEER_CLOSED)
        if first:
            self.pass_on(self.client, first)
        self._stay_awake()

    def pass_on(self, side: RelaySide, data: bytes) -> None:
        """Bytes came of one side."""
        other = side.other
        if other is None:
            return
        size = len(data)
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
        if not other.send(data):
            side.pause_reading()

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
            elif how == IDLE:
                side.close_in_order()
            else:
                side.reset()
        self._owner.on_relay_ended(how)

    def _stay_awake(self) -> None:
        if self._idle_s > 0.0:
            self.client.deadline = self.client.loop.env.now + self._idle_s
