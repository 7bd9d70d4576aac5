"""Bytes moved from one socket to another by the kernel, through a pipe, without a copy here.

A megabyte over loopback costs 0.37–0.48 ms of CPU so, and 0.69–0.85 ms by ``recv`` and ``send``
of 64 KiB (``python -m benchmarks --only tcp-megabyte`` has what the whole balancer costs).
"""

import fcntl
import os
from typing import Final

PIPE_BYTES: Final = 1 << 20  # what a pipe may hold without a privilege (pipe(7), pipe-max-size)
_F_SETPIPE_SZ: Final = 1031  # linux/fcntl.h
_MOVE_AND_NONBLOCK: Final = 1 | 2  # SPLICE_F_MOVE, SPLICE_F_NONBLOCK

# Of ``take`` and ``give``.
NOTHING: Final = -1  # there is nothing to take, or no room
BROKEN: Final = -2


class Pipe:
    """Holds what was taken of one socket and not yet given to the other."""

    def __init__(self) -> None:
        """Raises OSError where there are no descriptors left."""
        self.held: int = 0  # bytes
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.fcntl(self._write_fd, _F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # a user's pipes have a bound in all: it goes on with 64 KiB

    def take(self, fd: int) -> int:
        """Take what there is; how many bytes, 0 at the end, NOTHING or BROKEN."""
        try:
            size: int = os.splice(fd, self._write_fd, PIPE_BYTES, flags=_MOVE_AND_NONBLOCK)
        except BlockingIOError:
            return NOTHING
        except OSError:
            return BROKEN
        self.held += size
        return size

    def give(self, fd: int) -> int:
        """Give what is held; how many bytes were taken, NOTHING or BROKEN."""
        try:
            size: int = os.splice(self._read_fd, fd, self.held, flags=_MOVE_AND_NONBLOCK)
        except BlockingIOError:
            return NOTHING
        except OSError:
            return BROKEN
        self.held -= size
        return size

    def close(self) -> None:
        """What it held is lost."""
        os.close(self._read_fd)
        os.close(self._write_fd)
