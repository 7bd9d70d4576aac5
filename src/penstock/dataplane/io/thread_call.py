"""Something that takes long, done in a thread while the loop serves."""

import socket
import threading

from mypy_extensions import trait

from penstock.dataplane.io.loop import READABLE, Loop, Pollable


@trait
class Slow:
    """What is done."""

    def work(self) -> None:
        """In the thread: touches nothing that the loop's side uses meanwhile."""
        raise NotImplementedError

    def done(self) -> None:
        """On the loop, when it is done or has raised."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed in ``done``."""
        raise NotImplementedError


class ThreadCall(Pollable):
    """Begins at once."""

    def __init__(self, loop: Loop, slow: Slow) -> None:
        self._reader, self._writer = socket.socketpair()
        super().__init__(self._reader.fileno())
        self._loop: Loop = loop
        self._slow: Slow = slow
        loop.add(self, READABLE)
        threading.Thread(target=self._run, name="slow", daemon=True).start()

    def on_readable(self) -> None:
        self.on_ready(READABLE)

    def on_ready(self, events: int) -> None:
        self._loop.remove(self)
        self._reader.close()
        self._writer.close()
        self._slow.done()

    def on_crash(self) -> None:
        self._slow.on_crash()

    def _run(self) -> None:
        try:
            self._slow.work()
        finally:
            self._writer.send(b"!")
