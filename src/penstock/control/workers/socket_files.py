"""Listening sockets of the file system, each one for all workers."""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_CONNECT_S: Final = 1.0  # for who listens to take a connection; nothing is sent


class SocketFile:
    """One that we listen on, and its file as long as it is ours."""

    def __init__(self, path: str, mode: int, backlog: int, *, replace: bool) -> None:
        """Listen there. A stale file is replaced; ``replace``: one in use too, at a takeover.

        Raises OSError: EADDRINUSE where somebody listens, ENOTSOCK where a file of another kind is.
        """
        self._path = Path(path)
        _refuse_taken(self._path, replace)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Renamed when it is ready, so that nobody meets one that refuses, or that all may use.
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self.sock.setblocking(False)
            temporary.unlink(missing_ok=True)
            _bind(self.sock, temporary)
            temporary.chmod(mode)
            self.sock.listen(backlog)
            temporary.replace(self._path)
        except BaseException:
            self.sock.close()
            temporary.unlink(missing_ok=True)
            raise
        self.identity = _identity(self._path)
        self.owned = True  # else another supervisor's: the file is not touched
        self.foreign = False  # the service manager's: likewise, always

    @classmethod
    def handed(cls, path: str, sock: socket.socket, identity: tuple[int, int]) -> "SocketFile":
        """One that a predecessor listens on, whose file is the predecessor's until ``owned``."""
        file = cls.__new__(cls)
        file._path = Path(path)
        file.sock = sock
        file.identity = identity
        file.owned = False
        file.foreign = False
        return file

    def allow(self, mode: int) -> None:
        """Change the permissions of the file."""
        if self._is_ours():
            self._path.chmod(mode)

    def close(self) -> None:
        """Listen no more; the file goes, unless it is somebody else's by now."""
        self.sock.close()
        if self._is_ours():
            with suppress(OSError):  # the directory may have become another's
                self._path.unlink()

    def _is_ours(self) -> bool:
        if not self.owned or self.foreign or self.identity is None:
            return False
        return _identity(self._path) == self.identity


def _bind(sock: socket.socket, path: Path) -> None:
    """Closed to others until it has its own permissions."""
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _refuse_taken(path: Path, replace: bool) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
    if replace:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # nobody has it open any more
        except BlockingIOError:
            pass  # its queue is full
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
