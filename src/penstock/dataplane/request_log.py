"""The request log: one JSON line for each request, written in batches by the sweep."""

import os
import sys
from time import time
from typing import Final

from penstock.dataplane.loop import Chore

_MAX_PENDING_BYTES: Final = 4 * 1024 * 1024
_PLAIN: Final = bytes(c for c in range(0x20, 0x7F) if c not in b'"\\')  # needs no escape


class RequestLog(Chore):
    """Lines are joined in memory and written four times a second.

    When the file cannot take them, lines beyond 4 MiB are dropped and counted, because a full disk
    must not stop the traffic.
    """

    def __init__(self) -> None:
        self.enabled: bool = False
        self.dropped: int = 0
        self._fd: int = -1
        self._path: str = ""
        self._lines: list[bytes] = []
        self._bytes: int = 0

    def configure(self, target: str, path: str) -> None:
        """ "off", "stdout", or "file" with its path. Raises OSError when it cannot be opened."""
        if target == "file" and path == self._path and self._fd >= 0:
            return
        fd = -1
        if target == "file":
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self.flush()
        if self._path and self._fd >= 0:
            os.close(self._fd)
        self._path = path if target == "file" else ""
        self._fd = 1 if target == "stdout" else fd
        self.enabled = target != "off"

    def reopen(self) -> None:
        """Open the file by its name again, after it was moved away."""
        if self._path:
            path = self._path
            self.flush()
            try:
                fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            except OSError as error:
                print(f"penstock: the request log stays where it was: {error}", file=sys.stderr)
                return
            os.close(self._fd)
            self._fd = fd

    def write(self, line: bytes) -> None:
        """One line, with its end."""
        if self._bytes > _MAX_PENDING_BYTES:
            self.dropped += 1
            return
        self._lines.append(line)
        self._bytes += len(line)

    def on_sweep(self, now: float) -> None:
        if self._lines:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the system."""
        if not self._lines or self._fd < 0:
            return
        data = b"".join(self._lines)
        self._lines = []
        self._bytes = 0
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self.dropped += data.count(b"\n")


def json_text(text: bytes) -> bytes:
    """Bytes from the wire as the inside of a JSON string."""
    if not text.translate(None, _PLAIN):
        return text
    return "".join(
        [
            character
            if ord(character) < 0x7F and character.encode() in _PLAIN
            else f"\\u{ord(character):04x}"
            for character in text.decode("latin-1")
        ]
    ).encode()


def wall_clock() -> float:
    """Seconds since 1970, for the log's time stamps."""
    return time()
