"""Whole lines to a syslog daemon, each in a datagram of its own.

To a socket file as local daemons read it (RFC 3164, without time and host, which they know), to a
port as RFC 5424 and 5426 have it. Datagrams may be lost; those that cannot be sent are counted.
"""

import os
import socket
from typing import Final

from penstock.dataplane.record.line_writer import LineWriter
from penstock.dataplane.record.time_of_day import time_stamp

_PRIORITY: Final = 16 * 8 + 6  # local0, informational (RFC 5424, 6.2.1)
_MOST_BYTES: Final = 8192  # of a line; what daemons take at most
_NAME: Final = b"penstock"


class SyslogWriter(LineWriter):
    """``place``: the path of a socket file, or ``address:port`` with an IP address."""

    def __init__(self, place: str) -> None:
        super().__init__(-1, owned=False)
        self._place: str = place
        self._local: bool = place.startswith("/")
        self._host: bytes = socket.gethostname().encode("ascii", "replace") or b"-"
        self._sock: socket.socket | None = None

    def _write(self, data: bytes) -> None:
        for line in data.split(b"\n"):
            if not line:
                continue
            sent = self._send(line[:_MOST_BYTES])
            with self._changed:
                self._bytes -= len(line) + 1
                if not sent:
                    self.dropped += 1

    def _send(self, line: bytes) -> bool:
        """Once more where the daemon was restarted meanwhile."""
        message = self._message(line)
        for _ in range(2):
            try:
                if self._sock is None:
                    self._sock = self._connected()
                self._sock.send(message)
            except OSError as error:
                self.trouble = error.strerror or str(error)
                self._disconnect()
                continue
            self.trouble = ""
            return True
        return False

    def _message(self, line: bytes) -> bytes:
        if self._local:
            return b"<%d>%b[%d]: %b" % (_PRIORITY, _NAME, os.getpid(), line)
        head = (_PRIORITY, time_stamp(), self._host, _NAME, os.getpid())
        return b"<%d>1 %b %b %b %d request - " % head + line

    def _connected(self) -> socket.socket:
        family: int = socket.AF_UNIX
        if not self._local:
            family = socket.AF_INET6 if self._place.startswith("[") else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            if self._local:
                sock.connect(self._place)
            else:
                host, _, port = self._place.rpartition(":")
                sock.connect((host.strip("[]"), int(port)))
        except BaseException:
            sock.close()
            raise
        return sock

    def _disconnect(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _close(self) -> None:
        self._disconnect()
