"""Sockets towards UDP endpoints. Each serves one session of every endpoint at most, so that a reply
is told by the socket it comes to and the address it comes from.

They are not connected: a connected one would serve one session alone, and descriptors are few.
"""

import errno
from collections import deque
from typing import Any, Final

from mypy_extensions import mypyc_attr

from penstock.dataplane.board.layout import DATAGRAM_DROPS, W_DATAGRAM_DROPS
from penstock.dataplane.io.datagram_reader import DatagramReader, reader_of
from penstock.dataplane.io.datagrams import (
    MAX_DATAGRAM_BYTES,
    OUTLET_ROOM_BYTES,
    ask_for_room,
    queued_error,
    report_errors,
)
from penstock.dataplane.io.loop import BROKEN, EXHAUSTED, READABLE, Loop, Pollable
from penstock.dataplane.io.system import Socket

_LATE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("late")
_UNREACHABLE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("unreachable")
_TRIM_S: Final = 5.0  # between two looks for sockets that nobody uses
# How sending went.
SENT: Final = 0
FULL: Final = 1  # the socket's buffer
TOO_BIG: Final = 2
FAILED: Final = 3
MOVED: Final = 4  # not sent: its session learnt just now that its endpoint is gone
_FULL: Final = EXHAUSTED | {errno.EAGAIN}


# No trait: every reply comes through here, and a trait's methods are looked up.
@mypyc_attr(allow_interpreted_subclasses=True)
class OutletUser:
    """A session as its outlet sees it."""

    def on_reply(self, data: bytes) -> None:
        """Its endpoint sent a datagram."""
        raise NotImplementedError

    def on_unreachable(self, number: int, data: bytes) -> None:
        """ICMP says that nobody took what it sent; ``data`` is the beginning of that."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed while it was served."""
        raise NotImplementedError


class Outlet(Pollable):
    """One socket and its sessions, by the address of their endpoints."""

    def __init__(self, outlets: "Outlets", index: int, sock: Socket) -> None:
        super().__init__(sock.fileno())
        self.index: int = index
        self.sock: Socket = sock
        self.error: int = 0  # of the last failure to send
        self.unused_since: float = 0.0
        self.users: dict[Any, OutletUser] = {}  # by the key of their endpoint's datagrams
        self._reader: DatagramReader = reader_of(sock, 1, outlets.buffer)
        self._outlets: Outlets = outlets
        self._served: OutletUser | None = None

    def send(self, data: bytes, address: Any) -> int:
        """How it went: SENT, FULL, TOO_BIG, FAILED or MOVED.

        What fails may be the fault of what was sent before, to another endpoint: the kernel tells
        of it once, at the next occasion. So it is tried again.
        """
        for _ in range(2):
            try:
                self.sock.sendto(data, address)
                return SENT
            except OSError as error:
                number = error.errno or errno.EIO
                if number in _FULL:
                    return FULL
                if number == errno.EMSGSIZE:
                    return TOO_BIG
                self.error = number
            user = self.user_of(address)
            self._take_errors()
            if self.user_of(address) is not user:
                return MOVED  # it was about this one, which was told
        return FAILED

    def user_of(self, address: Any) -> OutletUser | None:
        """The session of that endpoint."""
        return self.users.get(self._reader.key_of(address))

    def add(self, address: Any, user: OutletUser) -> None:
        """A session of an endpoint that has none here."""
        self.users[self._reader.key_of(address)] = user

    def remove(self, address: Any) -> bool:
        """It has left, or had before."""
        return self.users.pop(self._reader.key_of(address), None) is not None

    def on_ready(self, events: int) -> None:
        if events & BROKEN:
            self._take_errors()
        self.on_readable()

    def on_readable(self) -> None:
        # One at a time: seldom is there another, and to see that costs as much as a further event.
        for data, key in self._reader.read():
            user = self.users.get(key)
            if user is None:
                self._outlets.values[_LATE] += 1
                return
            self._served = user
            user.on_reply(data)

    def on_crash(self) -> None:
        user = self._served
        self._served = None
        if user is not None:
            user.on_crash()

    def _take_errors(self) -> None:
        while (found := queued_error(self.sock)) is not None:
            address, number, data = found
            user = self.user_of(address)
            if user is not None:
                self._served = user
                user.on_unreachable(number, data)
            else:  # what was sent before its session ended or moved
                self._outlets.values[_UNREACHABLE] += 1

    def close(self) -> None:
        self._outlets.loop.remove(self)
        self.sock.close()


class _Slots:
    """Which sockets of a family have no session of one endpoint address."""

    def __init__(self) -> None:
        self.first_unused: int = 0  # from here on none has had any
        self.freed: deque[tuple[float, int]] = deque()  # from when on, and which


class Outlets:
    """All of them in a worker.

    A place that a session left stays empty for a while, as what its endpoint still sends must not
    reach another client; where descriptors have run out, the one that has been empty for the
    longest is taken all the same.
    """

    def __init__(self, loop: Loop, values: list[int], max_descriptors: int) -> None:
        self.loop: Loop = loop
        self.values: list[int] = values  # the worker's counters
        self.buffer: bytearray = bytearray(MAX_DATAGRAM_BYTES)
        self._max_descriptors: int = max_descriptors
        self._open: dict[int, list[Outlet | None]] = {}  # by family
        self._slots: dict[int, dict[Any, _Slots]] = {}
        self._trimmed_at: float = 0.0

    def take(self, family: int, address: Any, user: OutletUser) -> Outlet | None:
        """A socket for a session of that endpoint; None when no descriptor is left."""
        now = self.loop.env.now
        slots = self._slots.setdefault(family, {}).setdefault(address, _Slots())
        outlet: Outlet | None = None
        if slots.freed and slots.freed[0][0] <= now:
            outlet = self._at(family, slots.freed[0][1])
            if outlet is not None:
                slots.freed.popleft()
        if outlet is None:
            outlet = self._at(family, slots.first_unused)
            if outlet is not None:
                slots.first_unused += 1
            elif slots.freed:
                outlet = self._at(family, slots.freed[0][1])
                if outlet is not None:
                    slots.freed.popleft()
        if outlet is not None:
            outlet.add(address, user)
        return outlet

    def release(self, outlet: Outlet, family: int, address: Any, quiet_s: float) -> None:
        """The session is over; its place stays empty for ``quiet_s``."""
        now = self.loop.env.now
        if not outlet.remove(address):
            return
        outlet.unused_since = now
        self._slots[family][address].freed.append((now + quiet_s, outlet.index))

    def trim(self, now: float) -> None:
        """Close sockets that nobody uses, and forget addresses that nobody asks for."""
        if now - self._trimmed_at < _TRIM_S:
            return
        self._trimmed_at = now
        for opened in self._open.values():
            for index, outlet in enumerate(opened):
                if outlet is not None and not outlet.users and now - outlet.unused_since > _TRIM_S:
                    outlet.close()
                    opened[index] = None
        for of_family in self._slots.values():
            for address, slots in list(of_family.items()):
                freed = slots.freed
                if len(freed) == slots.first_unused and (not freed or freed[-1][0] <= now):
                    del of_family[address]

    def close_all(self) -> None:
        """The worker ends."""
        for opened in self._open.values():
            for outlet in opened:
                if outlet is not None:
                    outlet.close()
        self._open = {}

    def _at(self, family: int, index: int) -> Outlet | None:
        """The one with that number, opened if it is not open; None when that is not possible."""
        opened = self._open.setdefault(family, [])
        found = opened[index] if index < len(opened) else None
        if found is not None:
            return found
        if len(self.loop.by_fd) >= self._max_descriptors:
            return None
        try:
            sock = self.loop.system.datagrams(family)
        except OSError:
            return None
        ask_for_room(sock, OUTLET_ROOM_BYTES)
        report_errors(sock, family)
        made = Outlet(self, index, sock)
        while len(opened) <= index:
            opened.append(None)
        opened[index] = made
        self.loop.add(made, READABLE)
        return made
