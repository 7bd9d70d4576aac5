"""Server-sent events out of a stream that comes cut anywhere, each whole."""

from typing import Any, Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.usage import event_end

_LONGEST_BYTES: Final = 1024 * 1024  # of an event; a longer one cannot be told apart


class EventSplitter:
    """What is whole goes on; a client that gets half an event could not take another's.

    Of an event that is too long to be held, and of all that follows, nothing is told apart.
    """

    def __init__(self) -> None:
        self.overlong: bool = False
        self._tail: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """The whole events that the next bytes complete."""
        if self.overlong:
            return data
        if self._tail:
            data = self._tail + data
            self._tail = b""
        if data.endswith(b"\n\n"):
            return data
        end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\n\r\n") + 3)
        if end < 3:
            end = 0
        # Some servers part events by one newline, see ``event_end``.
        following = event_end(data, end)
        while following >= 0:
            end = following
            following = event_end(data, end)
        if len(data) - end > _LONGEST_BYTES:
            self.overlong = True
            return data
        self._tail = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What is left of a stream that ended."""
        rest = self._tail
        self._tail = b""
        return rest

    def split(self, data: bytes) -> list[bytes]:
        """Whole events, one by one."""
        return split_events(data)


class LineSplitter(EventSplitter):
    """The same of lines of JSON."""

    def feed(self, data: bytes) -> bytes:
        """The whole lines that the next bytes complete."""
        if self.overlong:
            return data
        if self._tail:
            data = self._tail + data
            self._tail = b""
        end = data.rfind(b"\n") + 1
        if len(data) - end > _LONGEST_BYTES:
            self.overlong = True
            return data
        self._tail = data[end:]
        return data[:end]

    def split(self, data: bytes) -> list[bytes]:
        """Whole lines, one by one."""
        return data.splitlines(keepends=True)


def split_events(data: bytes) -> list[bytes]:
    """One by one, each with the line ends behind it."""
    found: list[bytes] = []
    start = 0
    size = len(data)
    while start < size:
        end = event_end(data, start)
        if end < 0:
            end = size
        found.append(data[start:end])
        start = end
    return found


def data_of(event: bytes) -> bytes:
    """The data that an event brings; b"" where it brings none."""
    if event.startswith(b"data:") and event.count(b"\n") <= 2:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def fields_of(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object; none of what is no object."""
    if not data.startswith(b"{"):
        return {}
    try:
        return bodies.fields.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def object_in(event: bytes) -> dict[str, Any] | None:
    """What an event tells, where it is to be changed; None of [DONE], of what keeps a connection
    alive, and of what is no object: it passes as it came."""
    data = data_of(event)
    if not data.startswith(b"{"):
        return None
    try:
        told: Any = bodies.anything.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
