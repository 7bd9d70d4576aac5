"""What happened, for people: one log line for each event, and a bounded history for status."""

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from penstock._visible import visible
from penstock.dataplane.record.line_writer import LineWriter

_LOGGER: Final = logging.getLogger("penstock")
_KEPT: Final = 1000  # events; a few hundred bytes each
_STDERR: Final = 2
FORMAT_VARIABLE: Final = "PENSTOCK_LOG_FORMAT"  # "text" or "json"

Field = str | int | float | bool | None


@dataclass(frozen=True)
class Event:
    """``at`` is in seconds since 1970; ``kind`` is stable, for programs; ``fields`` say of what."""

    at: float
    level: str
    kind: str
    message: str
    fields: dict[str, Field]


class Events:
    """Where every part of the supervisor reports what it did and why."""

    def __init__(self, wall_clock: Callable[[], float] = time.time, kept: int = _KEPT) -> None:
        self._wall_clock = wall_clock
        self._history: deque[Event] = deque(maxlen=kept)

    def info(self, kind: str, message: str, **fields: Field) -> None:
        """Something went as it should."""
        self._note(logging.INFO, kind, message, fields)

    def warning(self, kind: str, message: str, **fields: Field) -> None:
        """Something that a person may want to look into."""
        self._note(logging.WARNING, kind, message, fields)

    def error(self, kind: str, message: str, **fields: Field) -> None:
        """Something that was asked for and could not be done."""
        self._note(logging.ERROR, kind, message, fields)

    def bug(self, message: str, error: BaseException) -> None:
        """Something that must not happen; logged with its traceback."""
        self._note(logging.ERROR, "bug", f"{message}: {error!r}", {}, error)

    def recent(self, count: int) -> list[Event]:
        """The newest ``count`` events, oldest first."""
        return list(self._history)[-count:]

    def _note(
        self,
        level: int,
        kind: str,
        message: str,
        fields: dict[str, Field],
        error: BaseException | None = None,
    ) -> None:
        name = logging.getLevelName(level).lower()
        event = Event(self._wall_clock(), name, kind, message, fields)
        self._history.append(event)
        _LOGGER.log(level, message, extra={"event": event}, exc_info=error)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z warning endpoint main/a is down: …``"""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback after it if there is one."""
        line = f"{_time_of(record)} {record.levelname.lower()} {visible(record.getMessage())}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, event, message, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        event = getattr(record, "event", None)
        said: dict[str, Field] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "event": event.kind if event is not None else record.name,
            "message": record.getMessage(),
        }
        if event is not None:
            said.update(event.fields)
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


class LogHandler(logging.Handler):
    """Writes the log in a thread: a reader that stalls must not stop checks and reloads."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self._told_dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits; what is not taken is counted, and told when lines are taken again."""
        if self._put(record) and (lost := self._writer.dropped - self._told_dropped):
            self._told_dropped += lost
            kind, message = (
                "log.resumed",
                f"{lost} lines of this log were dropped: its reader was too slow",
            )
            event = Event(time.time(), "warning", kind, message, {"lines": lost})
            told = logging.makeLogRecord(
                {"name": "penstock", "levelno": logging.WARNING, "levelname": "WARNING"}
                | {"msg": message, "event": event}
            )
            self._put(told)

    def _put(self, record: logging.LogRecord) -> bool:
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - as the handlers of the standard library do
            self.handleError(record)
            return False
        return self._writer.put(line.encode("utf-8", "backslashreplace"))


def configure_logging(fd: int = _STDERR) -> LineWriter:
    """Send the supervisor's log to standard error: text on a terminal, JSON lines elsewhere.

    What libraries say of their own errors goes there too, in the same form.
    The environment variable ``PENSTOCK_LOG_FORMAT`` (``text`` or ``json``) decides if set.
    Returns the writer, which counts lines that are lost and has to be joined at the end.
    """
    chosen = os.environ.get(FORMAT_VARIABLE) or ("text" if os.isatty(fd) else "json")
    writer = LineWriter(fd, owned=False)
    handler = LogHandler(writer)
    handler.setFormatter(TextFormatter() if chosen == "text" else JsonFormatter())
    logging.getLogger().handlers[:] = [handler]
    _LOGGER.setLevel(logging.INFO)
    return writer


def _time_of(record: logging.LogRecord) -> str:
    event = getattr(record, "event", None)
    at = datetime.fromtimestamp(event.at if event is not None else record.created, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
