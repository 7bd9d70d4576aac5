"""Messages and descriptors over a socket of the runtime directory, to processes of our user."""

import array
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from penstock.control.upgrade.messages import Message

_HEAD: Final = struct.Struct("!II")  # bytes of the message, and descriptors that follow it
_MOST_BYTES: Final = 256 * 1024 * 1024
_MOST_DESCRIPTORS: Final = 65_536
_AT_ONCE: Final = 64  # descriptors; the system takes at most 253
_PEER: Final = struct.Struct("3i")  # pid, uid, gid (SO_PEERCRED)


class ChannelClosedError(Exception):
    """The other side has closed its end, or died."""


class Channel:
    """One end. What it does waits, for at most ``timeout_s``: call it in a thread of its own."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._sock = sock
        sock.settimeout(timeout_s)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Raises ChannelClosedError, and TimeoutError where the other side does not read."""
        encoded = msgspec.json.encode(message)
        try:
            self._sock.sendall(_HEAD.pack(len(encoded), len(descriptors)) + encoded)
            for first in range(0, len(descriptors), _AT_ONCE):
                socket.send_fds(self._sock, [b"D"], descriptors[first : first + _AT_ONCE])
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    def receive(self, timeout_s: float | None = None) -> tuple[Message, list[int]]:
        """The next message and its descriptors, which are the caller's to close.

        Raises ChannelClosedError, TimeoutError, and ValueError for what is no message of ours.
        """
        if timeout_s is not None:
            self._sock.settimeout(timeout_s)
        size, count = _HEAD.unpack(self._exactly(_HEAD.size))
        if size > _MOST_BYTES or count > _MOST_DESCRIPTORS:
            raise ValueError("the other side sends more than any Penstock does")
        message = msgspec.json.decode(self._exactly(size), type=Message)
        descriptors: list[int] = []
        try:
            while len(descriptors) < count:
                descriptors += self._some_descriptors()
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return message, descriptors

    def close(self) -> None:
        """Whoever waits in ``receive`` is told that it is closed."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            try:
                data = self._sock.recv(min(size - len(found), 1 << 20))
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosedError(str(error)) from error
            if not data:
                raise ChannelClosedError("the other side ended")
            found += data
        return bytes(found)

    def _some_descriptors(self) -> list[int]:
        """Those that come with one byte; never inherited by accident."""
        numbers = array.array("i")
        room = socket.CMSG_SPACE(_AT_ONCE * numbers.itemsize)
        try:
            data, ancillary, _, _ = self._sock.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosedError(str(error)) from error
        if not data:
            raise ChannelClosedError("the other side ended")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
        if not numbers:
            raise ValueError("a descriptor did not arrive: is the limit of open files reached?")
        return list(numbers)


def listen_at(path: Path) -> socket.socket:
    """A socket for our user alone. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with _Near(path) as near:
                sock.bind(near)
        finally:
            os.umask(before)
        sock.listen(8)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_to(path: Path, timeout_s: float) -> Channel:
    """A channel to who listens there. Raises OSError; PermissionError where that is a stranger."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        with _Near(path) as near:
            sock.connect(near)
        check_peer(sock)
    except BaseException:
        sock.close()
        raise
    return Channel(sock, timeout_s)


def check_peer(sock: socket.socket) -> int:
    """The pid at the other end. Raises PermissionError unless it is of our user, or root."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(credentials)
    if uid not in (os.geteuid(), 0):
        raise PermissionError(f"process {pid} there is of another user ({uid})")
    return int(pid)


class _Near:
    """A short name for a path: addresses of sockets have room for 107 bytes only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> str:
        self._directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._directory}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._directory)
