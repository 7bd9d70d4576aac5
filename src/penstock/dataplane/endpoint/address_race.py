"""Connecting to an endpoint that has several addresses: Happy Eyeballs (RFC 8305).

The next address is tried when one refuses, or does not answer for a moment; the first that
connects is used, and the others are given up.
"""

import errno
import socket
from typing import Any, Final

from mypy_extensions import trait

from penstock.core import snapshot
from penstock.core.snapshot.address import SOCKET_FILE, shown_address, socket_path
from penstock.dataplane.io.loop import WRITABLE, Loop, Pollable
from penstock.dataplane.io.system import Socket

# RFC 8305, 5: Connection Attempt Delay.
_NEXT_ATTEMPT_S: Final = 0.25
# Of no address in particular: trying another would not help.
_NOTHING_LEFT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Address:
    """Where an endpoint is reached, as the socket module takes it and as logs show it."""

    def __init__(self, family: int, sockaddr: Any) -> None:
        self.family: int = family
        self.sockaddr: Any = sockaddr  # host and port first, or the path of a socket file
        if family == socket.AF_UNIX:
            self.shown: bytes = f"{SOCKET_FILE}{sockaddr}".encode()
        else:
            self.shown = shown_address(str(sockaddr[0]), sockaddr[1]).encode()


def addresses_of(spec: snapshot.Endpoint) -> list[Address]:
    """Those that the supervisor found, or the host where it is an address itself."""
    if path := socket_path(spec.host):
        return [Address(socket.AF_UNIX, path)]
    found: list[Address] = []
    for host in spec.addresses or (spec.host,):
        try:
            info = socket.getaddrinfo(
                host, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
        except OSError:  # a name without an address
            continue
        found.append(Address(info[0], info[4]))
    return found


@trait
class Racer:
    """The connection that is to be made; it has one of the sockets."""

    def take_socket(self, sock: Socket, address: Address) -> None:
        """Go on with this one instead."""
        raise NotImplementedError

    def on_won(self) -> None:
        """The socket it has is connected."""
        raise NotImplementedError


class Rival(Pollable):
    """A socket that is connecting beside the racer's own."""

    def __init__(self, race: "AddressRace", sock: Socket, address: Address) -> None:
        super().__init__(sock.fileno())
        self.sock: Socket = sock
        self.address: Address = address
        self._race: AddressRace = race

    def on_ready(self, events: int) -> None:
        self._race.on_rival(self)

    def on_crash(self) -> None:
        self._race.cancel()


class AddressRace:
    """One connection's attempts. ``deadline`` is when there must be one; 0.0: at any time."""

    def __init__(self, loop: Loop, addresses: list[Address]) -> None:
        self.deadline: float = 0.0
        self.failed: list[str] = []  # addresses, and why
        self._loop: Loop = loop
        self._racer: Racer | None = None
        self._left: list[Address] = list(addresses)
        self._rivals: list[Rival] = []

    def open_next(self) -> tuple[Socket, Address]:
        """The next that can be begun. Raises OSError, which tells of all, when there is none."""
        code = errno.EHOSTUNREACH
        while self._left:
            address = self._left.pop(0)
            try:
                return self._loop.system.connect(address.family, address.sockaddr), address
            except OSError as error:
                if error.errno in _NOTHING_LEFT:
                    raise
                code = error.errno or code
                self._note(address, code)
        raise OSError(errno.EHOSTUNREACH, ", ".join(self.failed))

    def begin(self, racer: Racer) -> None:
        """The first is under way."""
        self._racer = racer

    def next_look(self, now: float) -> float:
        """When the racer is to come back, on the loop's clock."""
        if not self._left:
            return self.deadline
        at = now + _NEXT_ATTEMPT_S
        return at if self.deadline == 0.0 else min(at, self.deadline)

    def start_another(self, now: float) -> bool:
        """Beside those that do not answer; False when all are tried or the time is up."""
        if not self._left or 0.0 < self.deadline <= now:
            return False
        self._start_rival()
        return True

    def goes_on(self, address: Address, code: int) -> bool:
        """The racer's own failed; False when there is nothing to replace it."""
        self._note(address, code)
        racer = self._racer
        assert racer is not None
        if self._left:
            try:
                sock, other = self.open_next()
            except OSError:
                pass
            else:
                racer.take_socket(sock, other)
                return True
        if not self._rivals:
            return False
        rival = self._rivals.pop(0)
        self._loop.remove(rival)
        racer.take_socket(rival.sock, rival.address)
        return True

    def on_rival(self, rival: Rival) -> None:
        """It connected, or failed."""
        self._loop.remove(rival)
        self._rivals.remove(rival)
        code: int = rival.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            rival.sock.close()
            self._note(rival.address, code)
            self._start_rival()
            return
        racer = self._racer
        assert racer is not None
        racer.take_socket(rival.sock, rival.address)
        racer.on_won()

    def cancel(self) -> None:
        """Give up the others."""
        while self._rivals:
            rival = self._rivals.pop()
            self._loop.remove(rival)
            rival.sock.close()
        self._left.clear()

    def waiting(self, own: Address) -> str:
        """Those that have not answered, and what the others said."""
        waiting = [own] + [rival.address for rival in self._rivals]
        said = [f"{address.shown.decode()} does not answer" for address in waiting]
        return ", ".join(self.failed + said)

    def _start_rival(self) -> None:
        try:
            sock, address = self.open_next()
        except OSError:
            return  # the racer's own goes on
        rival = Rival(self, sock, address)
        self._rivals.append(rival)
        self._loop.add(rival, WRITABLE)

    def _note(self, address: Address, code: int) -> None:
        self.failed.append(f"{address.shown.decode()}: {errno.errorcode.get(code, code)}")
