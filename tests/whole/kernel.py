"""A kernel of chance: sockets, readiness and time in memory, with all that Linux may do to them.

Reads and writes are cut short, or find that there is nothing to do though something was told;
events come in any order, and some of them later; connections take their time, are refused or are
gone before they are accepted; and descriptors and buffers run out.
"""

import errno
import os
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from select import EPOLLERR, EPOLLHUP
from typing import Any, Literal

from tests.harness.fake.stream import End
from tests.harness.fake.system import FakeListening, FakePoller, FakeSystem, Sockaddr

Manner = Literal["accept", "later", "refuse", "unreachable"]  # of taking connections
LAST_EVENTS = 400  # that are kept to be shown
_FIRST_FD = 1000
_UNASKED = EPOLLERR | EPOLLHUP
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_CONNECT_ERRORS = (*_OUT_OF, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EHOSTUNREACH)
_ACCEPT_ERRORS = (*_OUT_OF, errno.ECONNABORTED, errno.EPERM, errno.EPROTO)
_ADDRESSES = ("192.0.2.1", "192.0.2.2", "198.51.100.7")


def error_of(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class Near(End):
    """The balancer's end of a connection."""

    def __init__(self, kernel: "Kernel", fd: int) -> None:
        super().__init__(fd)
        self.kernel = kernel

    def recv(self, size: int, flags: int = 0) -> bytes:
        kernel = self.kernel
        roll = kernel.random()
        if roll < kernel.short:
            if roll < kernel.short * 0.1 and not flags:
                raise BlockingIOError(errno.EAGAIN, "told, and yet there is nothing")
            size = min(size, kernel.few())
        elif roll > kernel.sound:
            kernel.note("recv of", self.fd, "finds no buffer")
            kernel.on_fault()
            raise error_of(errno.ENOBUFS)
        data = super().recv(size, flags)
        if kernel.loses and len(data) > 1 and kernel.random() < kernel.loses:
            middle = len(data) // 2
            return data[:middle] + data[middle + 1 :]
        return data

    def send(self, data: bytes | bytearray) -> int:
        kernel = self.kernel
        roll = kernel.random()
        if roll < kernel.short:
            if roll < kernel.short * 0.1:
                self._check_open()
                raise BlockingIOError(errno.EAGAIN, "no memory for it now")
            data = data[: kernel.few()]
        elif roll > kernel.sound:
            self._check_open()
            kernel.note("send of", self.fd, "finds no buffer")
            kernel.on_fault()
            raise error_of(errno.ENOBUFS)
        kernel.hot.add(self.fd)  # a send may find the other end gone
        return super().send(data)

    def shutdown(self, how: int) -> None:
        self.kernel.hot.add(self.fd)
        super().shutdown(how)

    def take_reset(self) -> None:
        self.kernel.hot.add(self.fd)
        super().take_reset()

    def fail_to_connect(self, code: int) -> None:
        self.kernel.hot.add(self.fd)
        super().fail_to_connect(code)

    def join(self, peer: End) -> None:
        self.kernel.hot.add(self.fd)
        super().join(peer)

    def close(self) -> None:
        if not self.closed:
            self.kernel.closed.append(self)
        super().close()


class Far(End):
    """The other end: a client's or an endpoint's."""

    def __init__(self, kernel: "Kernel", room: int, row: int = -1) -> None:
        super().__init__(room=room)
        self.kernel = kernel
        self.row = row  # of the endpoint
        self.sent = 0  # bytes that the balancer's kernel has or had
        self.told = ""  # by whom it was connected, for who looks at the events

    def push(self, out: bytearray, most: int) -> int:
        """Send what fits of so much; how much that was."""
        peer = self.peer
        if peer is None or not out:
            return 0
        try:
            sent = self.send(out[:most])
        except OSError:
            return 0
        del out[:sent]
        self.sent += sent
        self.kernel.hot.add(peer.fd)
        return sent

    def take(self, most: int) -> bytes:
        data = bytes(self.inbox[:most])
        del self.inbox[:most]
        if data and self.peer is not None:
            self.kernel.hot.add(self.peer.fd)
        return data

    def _end(self) -> None:
        super()._end()
        if self.peer is not None:
            self.kernel.hot.add(self.peer.fd)


class Place:
    """What stands at an address."""

    def __init__(self, kernel: "Kernel", row: int) -> None:
        self.kernel = kernel
        self.row = row
        self.manner: Manner = "accept"

    def connect(self, near: Near) -> None:
        kernel = self.kernel
        manner = self.manner
        if manner == "unreachable":
            raise error_of(errno.ENETUNREACH)
        if manner == "refuse":
            near.fail_to_connect(errno.ECONNREFUSED)
        elif manner == "later" or kernel.random() < 0.2:
            near.connecting = True
            kernel.connecting.append((near, self))
        else:
            self.accept(near)

    def accept(self, near: Near) -> None:
        far = Far(self.kernel, self.kernel.some_room(), self.row)
        near.join(far)
        self.kernel.arrived.append(far)


class Poller(FakePoller):
    """Looks only at descriptors to which something happened, or that were ready when it looked."""

    system: "Kernel"

    def register(self, fd: int, events: int) -> None:
        super().register(fd, events)
        self.system.hot.add(fd)

    def modify(self, fd: int, events: int) -> None:
        super().modify(fd, events)
        self.system.hot.add(fd)

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        self.stop()
        ready = self.ready()
        if len(ready) > 1:
            self.system.shuffle(ready)
            if self.system.random() < 0.2:
                ready = ready[: 1 + self.system.below(len(ready))]
        self.note_told(ready)
        return ready

    def ready(self) -> list[tuple[int, int]]:
        found = []
        kernel = self.system
        watched = self.watched
        hot = kernel.hot
        for fd in list(hot):
            wanted = watched.get(fd)
            events = 0
            if wanted is not None:
                events = kernel.open[fd].ready() & (wanted | _UNASKED)
            if events and self.told.get(fd) != events:
                found.append((fd, events))
            else:
                hot.remove(fd)
        return found


class Kernel(FakeSystem):
    """``calm``: nothing happens that a client may be refused for."""

    def __init__(self, rng: Random, calm: bool) -> None:
        super().__init__(rng, shuffles=True)
        self.random: Callable[[], float] = rng.random
        self.events: deque[tuple[float, tuple[Any, ...]]] = deque(maxlen=LAST_EVENTS)
        self.hot: set[int] = set()
        self.closed: list[Near] = []
        self.connecting: list[tuple[Near, Place]] = []
        self.arrived: list[Far] = []  # at endpoints, that nobody has taken there
        self.places: list[Place] = []
        self.loses = 0.0  # how often a byte is lost, to see whether that is noticed
        self.short = rng.choice((0.0, 0.05, 0.3))
        self.sound = 1.0 if calm or rng.random() < 0.5 else 0.9995
        self.shaky = 0.0 if calm else rng.choice((0.0, 0.0, 0.05))  # connects and accepts that fail
        self.rooms = rng.choice(((65536,), (4096, 65536), (1, 300, 4096)))
        self.faults = 0
        self._free: list[int] = []
        self._next_fd = _FIRST_FD
        self.made_poller: Poller = Poller(self)

    def note(self, *said: Any) -> None:
        """Remember an event, to show it if the run fails."""
        self.events.append((self.now, said))

    def on_fault(self) -> None:
        """Something happened that a client may be refused for."""
        self.faults += 1

    def below(self, bound: int) -> int:
        return int(self.random() * bound)

    def few(self) -> int:
        """Bytes."""
        return 1 + int(self.random() ** 3 * 2000)

    def some_room(self) -> int:
        return self.rng.choice(self.rooms)

    def calm_down(self) -> None:
        """From here on all goes well."""
        self.short = 0.0
        self.sound = 1.0
        self.shaky = 0.0
        self.no_descriptors = False
        self.rooms = (65536,)
        for each in self.open.values():
            if isinstance(each, Near):
                each.room = 65536
                if each.peer is not None:
                    each.peer.room = 65536
        for place in self.places:
            place.manner = "accept"

    # --- as the worker has it ---------------------------------------------------------------

    def connect(self, family: int, sockaddr: Sockaddr) -> Any:
        if self.no_descriptors:
            raise error_of(errno.EMFILE)
        if self.random() < self.shaky:
            code = self.rng.choice(_CONNECT_ERRORS)
            self.note("connect:", os.strerror(code))
            self.on_fault()
            raise error_of(code)
        near = self._end()
        try:
            self.servers[sockaddr].connect(near)
        except OSError:
            near.close()
            raise
        return near

    def accept(self, listening: Any) -> tuple[Any, tuple[str, int]] | None:
        if not listening.queue:
            return None
        if self.no_descriptors:
            raise error_of(errno.EMFILE)
        if self.random() < self.shaky:
            code = self.rng.choice(_ACCEPT_ERRORS)
            self.note("accept:", os.strerror(code))
            self.on_fault()
            if code in (errno.ECONNABORTED, errno.EPERM, errno.EPROTO):
                listening.queue.pop(0).close()
            raise error_of(code)
        return listening.queue.pop(0), (self.rng.choice(_ADDRESSES), 50000)

    # --- what happens by itself -------------------------------------------------------------

    def someone_gets_through(self, willing: bool) -> None:
        """A connection that was on its way is made, or refused."""
        near, place = self.connecting.pop(self.below(len(self.connecting)))
        if near.closed:
            return
        if willing:
            self.note(near.fd, "is connected at last to endpoint", place.row)
            place.accept(near)
        else:
            self.note(near.fd, "is refused at last by endpoint", place.row)
            self.on_fault()
            near.fail_to_connect(errno.ETIMEDOUT)

    def come(self, listening: FakeListening) -> Far:
        """The client's end of a connection that waits to be accepted."""
        near, far = self._end(), Far(self, self.some_room())
        near.room = self.some_room()
        near.join(far)
        listening.queue.append(near)
        self.hot.add(listening.fd)
        return far

    def forget_closed(self) -> None:
        while self.closed:
            near = self.closed.pop()
            assert near.fd not in self.made_poller.watched, f"{near.fd} was closed while watched"
            del self.open[near.fd]
            heappush(self._free, near.fd)

    def descriptors(self) -> int:
        """Open ones, but for listening sockets."""
        return sum(isinstance(each, Near) and not each.closed for each in self.open.values())

    def _end(self) -> Near:
        made = Near(self, self._free_fd())
        self.open[made.fd] = made
        return made

    def _free_fd(self) -> int:
        self.forget_closed()
        if self._free:
            return heappop(self._free)
        self._next_fd += 1
        return self._next_fd
