"""In place of the operating system: everything a worker asks of it, in memory."""

import errno
import os
from random import Random
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN
from typing import Any, Literal

from penstock.dataplane.io.system import System
from tests.harness.fake.stream import ROOM_BYTES, End

Sockaddr = tuple[Any, ...]
Manner = Literal["accept", "refuse", "hang", "unreachable"]  # of taking connections
_FIRST_FD = 1000
_UNASKED = EPOLLERR | EPOLLHUP


class FakeServer:
    """What stands at an address, and how it takes connections."""

    def __init__(self) -> None:
        self.manner: Manner = "accept"
        self.room = ROOM_BYTES
        self.accepted: list[End] = []
        self.attempts = 0  # of connecting

    def connect(self, near: End) -> None:
        self.attempts += 1
        if self.manner == "unreachable":
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        if self.manner == "hang":
            near.connecting = True
        elif self.manner == "refuse":
            near.fail_to_connect(errno.ECONNREFUSED)
        else:
            far = End(room=self.room)
            near.join(far)
            self.accepted.append(far)


class FakeListening:
    """A listening socket, with those who wait in its queue."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.queue: list[End] = []
        self.closed = False

    def fileno(self) -> int:
        return self.fd

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def ready(self) -> int:
        return EPOLLIN if self.queue else 0

    def close(self) -> None:
        self.closed = True
        for waiting in self.queue:
            waiting.close()


class FakePoller:
    """epoll, which computes readiness when it is asked; level-triggered, but where EPOLLET is."""

    def __init__(self, system: "FakeSystem") -> None:
        self.system = system
        self.watched: dict[int, int] = {}
        self.told: dict[int, int] = {}  # of those with EPOLLET
        self.stop: Any = None  # called before each batch: the loop handles one and returns

    def register(self, fd: int, events: int) -> None:
        assert fd not in self.watched, f"{fd} is watched already"
        held = self.system.open.get(fd)
        assert held is not None, f"{fd} is not open"
        assert not held.closed, f"{fd} is closed"
        self.watched[fd] = events

    def modify(self, fd: int, events: int) -> None:
        assert fd in self.watched, f"{fd} is not watched"
        self.watched[fd] = events
        self.told.pop(fd, None)

    def unregister(self, fd: int) -> None:
        del self.watched[fd]
        self.told.pop(fd, None)

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        self.stop()
        ready = self.ready()
        self.system.shuffle(ready)
        self.note_told(ready[:most])
        return ready[:most]

    def note_told(self, ready: list[tuple[int, int]]) -> None:
        for fd, events in ready:
            if self.watched[fd] & EPOLLET:
                self.told[fd] = events

    def ready(self) -> list[tuple[int, int]]:
        found = []
        for fd, wanted in self.watched.items():
            events = self.system.open[fd].ready() & (wanted | _UNASKED)
            if events and self.told.get(fd) != events:
                found.append((fd, events))
        return found


class FakeSystem(System):
    """Time stands still until it is moved; the lowest free descriptor is given out, as Linux does.

    ``shuffles``: events of a batch come in an order of chance, drawn of ``rng``.
    """

    def __init__(self, rng: Random | None = None, shuffles: bool = False) -> None:
        super().__init__(lambda: self.now, lambda: self.now, rng or Random(1))
        self.now = 1000.0
        self.shuffles = shuffles
        self.open: dict[int, End | FakeListening] = {}  # by descriptor
        self.servers: dict[Sockaddr, FakeServer] = {}
        self.no_descriptors = False
        self.made_poller = FakePoller(self)

    def can_splice(self) -> bool:
        return False

    def poller(self) -> Any:
        return self.made_poller

    def connect(self, family: int, sockaddr: Sockaddr) -> Any:
        if self.no_descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        near = self._end()
        try:
            self.servers[sockaddr].connect(near)
        except OSError:
            near.close()
            raise
        return near

    def inherited(self, fd: int) -> Any:
        return self.open[fd]

    def accept(self, listening: Any) -> tuple[Any, tuple[str, int]] | None:
        if not listening.queue:
            return None
        return listening.queue.pop(0), ("192.0.2.1", 50000)

    def prepare_listening(self, listening: Any) -> None:
        pass

    def shuffle(self, ready: list[tuple[int, int]]) -> None:
        if self.shuffles:
            self.rng.shuffle(ready)

    # --- for tests --------------------------------------------------------------------------

    def listen(self) -> FakeListening:
        made = FakeListening(self._free_fd())
        self.open[made.fd] = made
        return made

    def client(self, listening: FakeListening, room: int = ROOM_BYTES) -> End:
        """The client's end of a connection that waits to be accepted."""
        near, far = self._end(), End(room=room)
        near.join(far)
        listening.queue.append(near)
        return far

    def forget_closed(self) -> None:
        """Descriptors that were closed are free again."""
        for fd in [fd for fd, held in self.open.items() if held.closed]:
            assert fd not in self.made_poller.watched, f"{fd} was closed while it was watched"
            del self.open[fd]

    def _end(self) -> End:
        made = End(self._free_fd())
        self.open[made.fd] = made
        return made

    def _free_fd(self) -> int:
        self.forget_closed()
        fd = _FIRST_FD
        while fd in self.open:
            fd += 1
        return fd
