"""Both ends of a TCP connection in memory, with what Linux tells of them.

Bytes arrive at once, as far as the other end has room; ends and resets too.
"""

import errno
import os
import socket
import sys
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP

ROOM_BYTES = 4096  # of each direction: small, so that what is sent often does not fit
_TCP_ESTABLISHED = 1
_TCP_CLOSE = 7
_BYTES_ACKED_AT = 120  # in struct tcp_info
_NO_LINGER = b"\1\0\0\0\0\0\0\0"  # struct linger: on, for no time


class End:
    """One end. The balancer's has a descriptor; a test holds the other."""

    def __init__(self, fd: int = -1, room: int = ROOM_BYTES) -> None:
        self.fd = fd
        self.room = room
        self.inbox = bytearray()
        self.peer: End | None = None  # None while it is connecting, or was refused
        self.connecting = False
        self.ended = False  # the peer's FIN came
        self.shut = False  # our FIN was sent
        self.dead = False  # by a reset, of either side
        self.error = 0  # that is yet to be told
        self.closed = False
        self.arrived_bytes = 0  # of what we sent, at the other end
        self._resets_on_close = False

    # --- as the balancer's sockets ----------------------------------------------------------

    def fileno(self) -> int:
        return self.fd

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._resets_on_close = value == _NO_LINGER

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            error, self.error = self.error, 0
            return error
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        state = _TCP_CLOSE if self.dead else _TCP_ESTABLISHED
        acknowledged = (self.arrived_bytes + 1).to_bytes(8, sys.byteorder)
        return (bytes([state]).ljust(_BYTES_ACKED_AT, b"\0") + acknowledged)[:size]

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._check_open()
        if self.inbox:
            data = bytes(self.inbox[:size])
            if not flags & socket.MSG_PEEK:
                del self.inbox[:size]
            return data
        if self.ended:
            return b""  # what came before a reset is whole (Linux, SOCK_DONE)
        self._tell_error()
        if self.dead:
            return b""
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def send(self, data: bytes | bytearray) -> int:
        self._check_open()
        self._tell_error()
        if self.shut or self.dead:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        peer = self.peer
        if peer is not None and peer.closed:
            self.take_reset()
            return len(data)
        taken = min(self.space(), len(data))
        if peer is None or taken == 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        peer.inbox += data[:taken]
        self.arrived_bytes += taken
        return taken

    def shutdown(self, how: int) -> None:
        self._check_open()
        if self.dead or self.peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        if how != socket.SHUT_RD:
            self._end()
        if how != socket.SHUT_WR:
            self.ended = True

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self.peer is None or self.dead:
            return
        if self._resets_on_close or self.inbox:  # RFC 2525, 2.17
            self.peer.take_reset()
        else:
            self._end()

    # --- what the system knows of it --------------------------------------------------------

    def space(self) -> int:
        """How much can be sent at once."""
        return max(self.peer.room - len(self.peer.inbox), 0) if self.peer is not None else 0

    def ready(self) -> int:
        """As epoll has it."""
        if self.connecting:
            return 0
        over = self.ended or self.dead
        ready = EPOLLIN if self.inbox or over else 0
        ready |= EPOLLRDHUP if over else 0
        ready |= EPOLLHUP if self.dead or (self.ended and self.shut) else 0
        ready |= EPOLLERR if self.error else 0
        stuck = self.peer is not None and not self.peer.closed and self.space() == 0
        return ready | (EPOLLOUT if self.shut or self.dead or not stuck else 0)

    def take_reset(self) -> None:
        """A RST came."""
        if not self.dead and not self.closed:
            self.dead = True
            self.error = errno.EPIPE if self.ended else errno.ECONNRESET  # tcp_reset

    def fail_to_connect(self, code: int) -> None:
        """Nobody listens there, or no packet comes through."""
        self.connecting = False
        self.dead = True
        self.error = code

    def join(self, peer: "End") -> None:
        """They are connected."""
        self.peer, peer.peer = peer, self
        self.connecting = False

    # --- as a test uses the other end -------------------------------------------------------

    def read(self) -> bytes:
        """All that came and was not read; b"" as well when that is nothing."""
        data = bytes(self.inbox)
        self.inbox.clear()
        return data

    def offer(self, data: bytes) -> bytes:
        """Send what fits; returns the rest."""
        try:
            return data[self.send(data) :]
        except BlockingIOError:
            return data

    def half_close(self) -> None:
        """Send no more."""
        if not self.dead and not self.closed:
            self._end()

    def reset(self) -> None:
        """End so that the other side gets an error."""
        self._resets_on_close = True
        self.close()

    def _end(self) -> None:
        if not self.shut:
            self.shut = True
            if self.peer is not None and not self.peer.dead:
                self.peer.ended = True

    def _tell_error(self) -> None:
        if self.error:
            code, self.error = self.error, 0
            raise OSError(code, os.strerror(code))

    def _check_open(self) -> None:
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
