"""Whole lines to a descriptor that may stall: a pipe nobody reads, a full disk, a FIFO.

A thread writes, so that whoever has something to say never waits. Descriptors that do not block
would not do: on files they have no effect, and on an inherited pipe the flag is shared with every
process that has it.
"""

import os
import stat
import threading
from collections import deque
from select import POLLOUT, poll
from typing import Final

_MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
# Written in one piece whoever else writes (PIPE_BUF, pipe(7)): workers share their standard output.
_PIPE_PIECE_BYTES: Final = 4096
_FILE_PIECE_BYTES: Final = 256 * 1024  # with O_APPEND each write is one piece (write(2))
_RETRY_S: Final = 1.0
_RETRY_MS: Final = 1000


class LineWriter:
    """``put`` never blocks: lines beyond ``max_bytes`` that wait are dropped and counted."""

    def __init__(self, fd: int, *, owned: bool, max_bytes: int = _MAX_WAITING_BYTES) -> None:
        """``owned``: the descriptor is closed at the end."""
        self.dropped: int = 0  # lines
        self.trouble: str = ""  # why nothing can be written at the moment
        self._fd: int = fd
        self._owned: bool = owned
        self._max_bytes: int = max_bytes
        self._is_file: bool = _is_file(fd)
        self._waiting: deque[bytes] = deque()
        self._bytes: int = 0  # that wait or are being written
        self._changed: threading.Condition = threading.Condition()
        self._ended: bool = False
        # Not `_thread`: in C, `__thread` is a keyword.
        self._writing: threading.Thread | None = None

    @property
    def behind(self) -> bool:
        """Whether much waits, or nothing can be written."""
        return self._bytes > self._max_bytes // 2 or self.trouble != ""

    @property
    def alive(self) -> bool:
        """Whether it still has something to do."""
        return self._writing is not None and self._writing.is_alive()

    def put(self, lines: bytes) -> bool:
        """Whole lines, with their ends; False when they were dropped."""
        with self._changed:
            if self._ended or self._bytes + len(lines) > self._max_bytes:
                self.dropped += lines.count(b"\n")
                return False
            self._waiting.append(lines)
            self._bytes += len(lines)
            if self._writing is None:
                self._writing = threading.Thread(target=self._run, name="log", daemon=True)
                self._writing.start()
            self._changed.notify()
        return True

    def end(self) -> None:
        """Write what waits, as long as that is possible, take no more, and close."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._writing is None:
            self._close()

    def join(self, patience_s: float) -> None:
        """``end``, and wait until all is written, for so long at most."""
        self.end()
        if self._writing is not None:
            self._writing.join(patience_s)

    def _run(self) -> None:
        data = self._next()
        while data:
            self._write(data)
            data = self._next()
        self._close()

    def _next(self) -> bytes:
        """What waits, as soon as anything does; empty when no more will come."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            data = b"".join(self._waiting)
            self._waiting.clear()
        return data

    def _write(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            end = self._end_of_piece(data, at)
            try:
                written = os.write(self._fd, data[at:end])
            except BlockingIOError:  # whoever started us made it so
                waiter = poll()
                waiter.register(self._fd, POLLOUT)
                waiter.poll(_RETRY_MS)
                continue
            except OSError as error:
                self.trouble = error.strerror or str(error)
                torn_at = self._size()
                if not self._may_retry():
                    with self._changed:
                        self._bytes -= len(data) - at
                        self.dropped += data.count(b"\n", at)
                    return
                at = self._resume_at(data, at, torn_at)
                continue
            self.trouble = ""
            at += written
            with self._changed:
                self._bytes -= written

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """As many whole lines as are written in one piece, one at least."""
        most = _FILE_PIECE_BYTES if self._is_file else _PIPE_PIECE_BYTES
        if len(data) - at <= most:
            return len(data)
        end = data.rfind(b"\n", at, at + most) + 1
        return end or data.find(b"\n", at) + 1

    def _may_retry(self) -> bool:
        """After a while; False when the end was asked for meanwhile."""
        with self._changed:
            if not self._ended:
                self._changed.wait(_RETRY_S)
            return not self._ended

    def _resume_at(self, data: bytes, at: int, size: int) -> int:
        """Where to go on after a write failed.

        A full disk may have taken half a line, of this process or of another, and others may have
        written since: then lines go on on a line of their own.
        """
        if not self._is_file:
            return at
        begun = data.rfind(b"\n", 0, at) + 1
        if begun < at and self._size() == size:
            return at
        if not self._ends_whole():
            try:
                os.write(self._fd, b"\n")
            except OSError:
                return at
        with self._changed:
            self._bytes += at - begun
        return begun

    def _ends_whole(self) -> bool:
        try:
            return os.pread(self._fd, 1, max(self._size() - 1, 0)) in (b"\n", b"")
        except OSError:  # not to be read by us
            return False

    def _size(self) -> int:
        return os.fstat(self._fd).st_size if self._is_file else 0

    def _close(self) -> None:
        if self._owned:
            self._owned = False
            os.close(self._fd)


def _is_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:  # it was closed before we were started
        return False


def append_to(path: str) -> LineWriter:
    """Lines for the end of a file, which is made if need be. Raises OSError.

    Opened for reading as well: else opening a FIFO waits for a reader, and one that leaves breaks
    it (fifo(7)).
    """
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(path, flags | os.O_RDWR, 0o640)
    except PermissionError:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise
        fd = os.open(path, flags | os.O_WRONLY, 0o640)
    return LineWriter(fd, owned=True)


class LineStream:
    """Stands in for ``sys.stderr`` where writing must not block."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer: LineWriter = writer
        self._begun: str = ""

    def write(self, text: str) -> int:
        """Lines are written when they are whole."""
        self._begun += text
        whole, end, rest = self._begun.rpartition("\n")
        if end:
            self._begun = rest
            self._writer.put((whole + end).encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but a line that is not whole."""
