"""What a service manager is told (sd_notify(3)) and what it gives (sd_listen_fds(3)): systemd.

Where nothing of it is in the environment, nothing happens.
"""

import asyncio
import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from time import monotonic_ns
from typing import Final

from penstock.control.events import Events
from penstock.control.workers.sockets import Handed, ListenKey, listen_key
from penstock.core.snapshot import Listener
from penstock.core.snapshot.address import socket_path

_FIRST_DESCRIPTOR: Final = 3
ADMIN: Final = "admin"  # the name of the admin address among sockets that are given
# Of one process: a successor's are others, or none.
OF_ONE_PROCESS: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID")


class ActivationError(Exception):
    """Sockets that were given do not fit the configuration. The text is for people."""


class ServiceManager:
    """How it is told of states of the service."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)

    def ready(self) -> None:
        """Clients are served; also after a reload, and by a successor."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends."""
        self._tell("STOPPING=1")

    def succeeded_by(self, pid: int) -> None:
        """That process is the service's main one from here on; only the one before may say so."""
        self._tell(f"MAINPID={pid}")

    def status(self, text: str) -> None:
        """For people, in ``systemctl status``."""
        self._tell(f"STATUS={text}")

    async def watch(self) -> None:
        """Runs until cancelled: say that this loop turns, as often as is asked for."""
        while self._watchdog_s > 0.0:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2.0)
        await asyncio.Event().wait()

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            suppress(OSError),  # it may be restarting itself
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)
            sock.sendto(message.encode(), address)


def given_sockets(
    environment: MutableMapping[str, str] = os.environ, first: int = _FIRST_DESCRIPTOR
) -> dict[str, socket.socket]:
    """Those that the service manager listens on already, by name; they are ours to close."""
    count, pid = environment.get("LISTEN_FDS", ""), environment.get("LISTEN_PID", "")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        environment.pop(name, None)
    if not count.isdigit() or pid != str(os.getpid()):
        return {}
    found: dict[str, socket.socket] = {}
    for number in range(int(count)):
        descriptor = first + number
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        name = names[number] if number < len(names) and names[number] else f"unnamed-{number}"
        found[name if name not in found else f"{name}-{number}"] = sock
    return found


def assign(
    given: dict[str, socket.socket], listeners: Sequence[Listener], workers: int, events: Events
) -> dict[ListenKey, Handed]:
    """Whose sockets they are. ``FileDescriptorName=`` is the listener's name; where there is one of
    either, no name is needed. Raises ActivationError. What is nobody's is closed, and told."""
    left = {name: sock for name, sock in given.items() if name != ADMIN}
    names = [each.name for each in listeners]
    if len(left) == 1 and len(listeners) == 1 and not set(left) & set(names):
        left = {names[0]: next(iter(left.values()))}
    handed: dict[ListenKey, Handed] = {}
    for listener in listeners:
        sock = left.pop(listener.name, None)
        if sock is not None:
            handed[listen_key(listener)] = _handed(listener, sock, workers)
    for name, sock in left.items():
        sock.close()
        events.warning(
            "activation.unused",
            f"the socket {name!r} of the service manager is no listener's: FileDescriptorName= "
            f"is to be one of {', '.join(names)}, or {ADMIN}",
        )
    return handed


def _handed(listener: Listener, sock: socket.socket, workers: int) -> Handed:
    datagrams = listener.protocol == "udp"
    wanted = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    if sock.type != wanted:
        raise ActivationError(
            f"the service manager's socket for the listener {listener.name!r} is for "
            f"{'connections' if datagrams else 'datagrams'}: Listen"
            f"{'Datagram' if datagrams else 'Stream'}= is needed"
        )
    if (sock.family == socket.AF_UNIX) != bool(socket_path(listener.host)):
        raise ActivationError(
            f"the service manager's socket for the listener {listener.name!r} is "
            f"{sock.getsockname()!r}, its address {listener.host}"
        )
    if sock.family == socket.AF_UNIX:
        found = os.stat(sock.getsockname())
        return Handed([sock], (found.st_dev, found.st_ino), foreign=True)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) or workers == 1:
        return Handed([sock])
    if datagrams:
        raise ActivationError(
            f"the service manager's socket for the listener {listener.name!r} cannot be shared by "
            f"{workers} workers: ReusePort=yes is needed"
        )
    return Handed([sock, *(sock.dup() for _ in range(workers - 1))])


def _watchdog_s(environment: Mapping[str, str]) -> float:
    period, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not period.isdigit() or pid not in ("", str(os.getpid())):
        return 0.0
    return int(period) / 1e6
