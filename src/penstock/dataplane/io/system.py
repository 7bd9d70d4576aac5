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

# ``socket.SocketType``, or what stands in for it: its methods are called by name in any case.
Socket: TypeAlias = Any


def stream_socket_type() -> Any:
    """``StreamSocket`` of our C module; Python's own where that was not built or is not wanted."""
    if os.environ.get("PENSTOCK_PURE") == "1":
        return socket.SocketType
    try:
        from penstock import _streams
    except ImportError:
        return socket.SocketType
    return _streams.StreamSocket


_StreamSocket: Final[Any] = stream_socket_type()
_AF_UNIX: Final = int(socket.AF_UNIX)
_LOCAL_PEER: Final = ("127.0.0.1", 0)


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
        """What tells which descriptors are ready: an ``epoll``, or what has its methods."""
        return epoll()

    def connect(self, family: int, sockaddr: Any) -> Socket:
        """A stream socket that is connecting. Raises OSError when that cannot be begun.

        A socket file whose queue is full refuses with EAGAIN: there is no waiting for it
        (connect(2)).
        """
        sock = _StreamSocket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
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

    def accept(self, listening: Socket) -> tuple[Socket, tuple[Any, ...]]:
        """A client's socket and its address. Raises BlockingIOError when none waits.

        Who comes to a socket file is on this machine, and has its address.
        """
        fd, address = listening._accept()
        family: int = listening.family
        if family == _AF_UNIX:
            address = _LOCAL_PEER
        return _StreamSocket(family, socket.SOCK_STREAM, 0, fd), address
