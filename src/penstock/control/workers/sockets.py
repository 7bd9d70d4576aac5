"""Listening sockets: for every listener one ``SO_REUSEPORT`` socket per worker, kept open here.

Where the address is a socket file, all workers have the same one.

Because the supervisor holds them too, connections and datagrams that wait in a dead worker's queue
are served by its successor. A listener that is renamed keeps its sockets; only a new address opens
others.
"""

import errno
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from penstock.control.workers.holders import holders_of
from penstock.control.workers.socket_files import SocketFile
from penstock.core.snapshot import Listener
from penstock.core.snapshot.address import shown_address, socket_path
from penstock.dataplane.io.datagrams import IP_PKTINFO, LISTENER_ROOM_BYTES, ask_for_room

# Host, port, the listener's name where the port is 0, and whether it takes datagrams.
ListenKey = tuple[str, int, str, bool]
Address = tuple[str, int]  # the real one
# What only one balancer may have: a port, or the path of a socket file.
Place = int | str

_WHY: Final = {
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EMFILE: "no file descriptor is left (`ulimit -n`)",
    errno.ENOTSOCK: "a file that is no socket stands there, and is not replaced",
    errno.ENOENT: "its directory is not there: make it first",
}


class ListenError(Exception):
    """An address cannot be listened on. The text is for people."""


def listen_key(listener: Listener) -> ListenKey:
    """The key of a listener's sockets."""
    name = "" if listener.port or socket_path(listener.host) else listener.name
    return listener.host, listener.port, name, _takes_datagrams(listener)


def place_of(listener: Listener) -> Place:
    """What of its address only one balancer may have."""
    return socket_path(listener.host) or listener.port


@dataclass
class Handed:
    """The sockets of one listener, as one supervisor hands them to another."""

    sockets: list[socket.socket]
    file: tuple[int, int] | None = None  # device and inode of a socket file
    foreign: bool = False  # which is the service manager's, and never removed


class ListeningSockets:
    """All of them, by key, one per worker."""

    def __init__(
        self,
        workers: int,
        may_share: Callable[[Place], bool] = lambda place: False,
        handed: Mapping[ListenKey, Handed] | None = None,
    ) -> None:
        """``may_share`` says whether a place that is in use is ours to share, at a takeover.

        ``handed`` are a predecessor's, taken over instead of opening others.
        """
        self._workers = workers
        self._handed = dict(handed or {})
        self._may_share = may_share
        self._open: dict[ListenKey, list[socket.socket]] = {}
        self._files: dict[ListenKey, SocketFile] = {}
        self._ports: dict[ListenKey, int] = {}  # the real ones

    def open(self, listeners: Iterable[Listener]) -> None:
        """Open sockets that are not open yet. Raises ListenError, and then none was opened."""
        opened: list[ListenKey] = []
        try:
            for listener in listeners:
                key = listen_key(listener)
                if key in self._open:
                    self._adjust(listener)
                    continue
                if path := socket_path(listener.host):
                    self._files[key] = self._open_file(listener, path, key)
                    self._open[key] = [self._files[key].sock] * self._workers
                    self._ports[key] = 0
                else:
                    self._open[key] = self._open_all(listener, key)
                    self._ports[key] = self._open[key][0].getsockname()[1]
                opened.append(key)
        except BaseException:
            for key in opened:
                self._close(key)
            raise

    def of_worker(self, listener: Listener, worker: int) -> socket.socket:
        """The socket on which that worker accepts for that listener."""
        return self._open[listen_key(listener)][worker]

    def address(self, listener: Listener) -> Address:
        """The listener's real address: the host as configured, the port as bound."""
        return listener.host, self._ports[listen_key(listener)]

    def place(self, listener: Listener) -> Place:
        """What of its real address only one balancer may have."""
        return socket_path(listener.host) or self.address(listener)[1]

    def close_except(self, listeners: Iterable[Listener]) -> None:
        """Close the sockets of all other listeners."""
        kept = {listen_key(listener) for listener in listeners}
        for key in [key for key in self._open if key not in kept]:
            self._close(key)

    def to_hand(self) -> dict[ListenKey, Handed]:
        """All that are open, for a successor; they stay open here."""
        found = {}
        for key, sockets in self._open.items():
            file = self._files.get(key)
            own = sockets[:1] if file is not None else sockets
            found[key] = Handed(list(own))
            if file is not None:
                found[key] = Handed(list(own), file.identity, file.foreign)
        return found

    def port(self, key: ListenKey) -> int:
        """The real one; 0 of a socket file."""
        return self._ports[key]

    def let_go_of_handed(self) -> None:
        """Close what was handed over and is not wanted."""
        for handed in self._handed.values():
            for sock in handed.sockets:
                sock.close()
        self._handed = {}

    def leave_files(self) -> None:
        """Socket files are another supervisor's from here on, and are not removed."""
        for file in self._files.values():
            file.owned = False

    def own_files(self) -> None:
        """The other end of ``leave_files``."""
        for file in self._files.values():
            file.owned = True

    def close_all(self) -> None:
        """Close everything; addresses can still be asked for."""
        for sockets in self._open.values():
            for sock in sockets:
                sock.close()
        for file in self._files.values():
            file.close()

    def _adjust(self, listener: Listener) -> None:
        key = listen_key(listener)
        if not _takes_datagrams(listener):
            for sock in self._open[key]:
                sock.listen(listener.backlog)
        if key in self._files:
            self._files[key].allow(listener.mode)

    def _close(self, key: ListenKey) -> None:
        del self._ports[key]
        for sock in self._open.pop(key):
            sock.close()
        if key in self._files:
            self._files.pop(key).close()

    def _open_file(self, listener: Listener, path: str, key: ListenKey) -> SocketFile:
        try:
            handed = self._handed.pop(key, None)
            if handed is not None and handed.file is not None:
                file = SocketFile.handed(path, handed.sockets[0], handed.file)
                file.foreign = handed.foreign
                file.sock.listen(listener.backlog)
                file.allow(listener.mode)
                return file
            return SocketFile(path, listener.mode, listener.backlog, replace=self._may_share(path))
        except OSError as error:
            raise ListenError(
                f"listener {listener.name!r} cannot listen on {listener.host}: {_reason(error, 0)}"
            ) from error

    def _open_all(self, listener: Listener, key: ListenKey) -> list[socket.socket]:
        shown = shown_address(listener.host, listener.port)
        handed = self._handed.pop(key, None)
        sockets: list[socket.socket] = handed.sockets if handed is not None else []
        try:
            family, address = _resolve(listener.host, listener.port)
            bound = bound_for_datagrams if _takes_datagrams(listener) else _bound
            if sockets:
                address = sockets[0].getsockname()
            elif listener.port and not self._may_share(listener.port):
                bound(family, address, shared=False).close()  # raises when somebody listens there
            while len(sockets) > self._workers:
                sockets.pop().close()  # the predecessor's worker takes what waits there
            while len(sockets) < self._workers:
                sock = bound(family, address, shared=True)
                sockets.append(sock)
                address = sock.getsockname()  # where the port is 0, the first one's counts
            if not _takes_datagrams(listener):
                for sock in sockets:
                    sock.listen(listener.backlog)
        except OSError as error:
            for sock in sockets:
                sock.close()
            raise ListenError(
                f"listener {listener.name!r} cannot listen on {shown}: "
                f"{_reason(error, 0 if _takes_datagrams(listener) else listener.port)}"
            ) from error
        return sockets


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # AF_INET6 has two more parts


def _takes_datagrams(listener: Listener) -> bool:
    return listener.protocol == "udp"


def bound_for_datagrams(family: int, address: tuple[str, int], *, shared: bool) -> socket.socket:
    """A socket for datagrams. On a wildcard address it tells which address each was sent to."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if shared:  # SO_REUSEADDR would let anybody take datagrams away
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            both = address[0] == "::"
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        ask_for_room(sock, LISTENER_ROOM_BYTES)
        if address[0] == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif address[0] == "0.0.0.0":  # noqa: S104 - compared with, not bound
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _bound(family: int, address: tuple[str, int], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            both = address[0] == "::"  # the any-address takes IPv4 too, as people expect
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (port and holders_of(port)) or "another program, or another Penstock, listens there"
    return _WHY.get(error.errno or 0, error.strerror or str(error))
