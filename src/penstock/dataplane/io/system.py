"""What a worker takes of the operating system: sockets, readiness, time and chance.

Everything above ``io`` reaches them through a ``System``, so that a fake can take its place, in
compiled code too. What happens per request (``recv``, ``send``, ``poll``) is called directly on the
objects that it hands out.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable
from random import Random
from select import epoll
from time import monotonic, time
from typing import Any, Final, TypeAlias

from mypy_extensions import mypyc_attr

from penstock._in_c import in_c

# ``socket.SocketType``, or what stands in for it: its methods are called by name in any case.
Socket: TypeAlias = Any
# An accepted socket, which does not block, with host and port of whom it is.
Accepted: TypeAlias = tuple[Socket, tuple[str, int]]

_AF_UNIX: Final = int(socket.AF_UNIX)
_NON_BLOCKING_STREAM: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def _accept(listening: Socket) -> tuple[int, int, str, int] | None:
    """As ``accept`` of our C module."""
    try:
        fd, address = listening._accept()
    except BlockingIOError:
        return None
    os.set_blocking(fd, False)
    family: int = listening.family
    if family == _AF_UNIX:
        return fd, family, "127.0.0.1", 0
    return fd, family, address[0], address[1]


_streams: Final[Any] = in_c("_streams")
_poller: Final[Any] = in_c("_poller")
# Python's own do the same.
_StreamSocket: Final[Any] = socket.SocketType if _streams is None else _streams.StreamSocket
_accept_one: Final[Any] = _accept if _streams is None else _streams.accept
_Poller: Final[Any] = epoll if _poller is None else _poller.Poller


@mypyc_attr(allow_interpreted_subclasses=True)
class System:
    """The real one: Linux."""

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
        rng: Random | None = None,
    ) -> None:
        # Held, not wrapped: the loop reads the clock with every batch of events.
        self.clock: Callable[[], float] = clock  # seconds, never backwards
        self.wall_clock: Callable[[], float] = wall_clock  # Unix time
        self.rng: Random = rng if rng is not None else Random()

    def can_splice(self) -> bool:
        """Whether the kernel can move bytes between two sockets (``io.splice``)."""
        return sys.platform == "linux"

    def poller(self) -> Any:
        """What tells which descriptors are ready: what has the methods of an ``epoll``."""
        return _Poller()

    def connect(self, family: int, sockaddr: Any) -> Socket:
        """A stream socket that is connecting. Raises OSError when that cannot be begun.

        A socket file whose queue is full refuses with EAGAIN: there is no waiting for it
        (connect(2)).
        """
        sock = _StreamSocket(family, _NON_BLOCKING_STREAM)
        try:
            if family != _AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(sockaddr)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except OSError:
            sock.close()
            raise
        return sock

    def datagrams(self, family: int) -> Socket:
        """A socket for datagrams to any address, with a port of its own once it sent one."""
        sock = socket.SocketType(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        return sock

    def inherited(self, fd: int) -> Socket:
        """The socket of a descriptor that was handed to this process."""
        return socket.socket(fileno=fd)

    def accept(self, listening: Socket) -> Accepted | None:
        """A client that waits, or None. Raises OSError where it was gone before we came, or the
        system has no more to give.

        Who comes to a socket file is on this machine, and has its address. The socket does not
        block, and has what ``prepare_listening`` asked for.
        """
        found = _accept_one(listening)
        if found is None:
            return None
        fd, family, host, port = found
        return _StreamSocket(family, _NON_BLOCKING_STREAM, 0, fd), (host, port)

    def prepare_listening(self, listening: Socket) -> None:
        """What is accepted inherits the option (tcp(7)), so that none need set it."""
        if listening.family != _AF_UNIX:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
