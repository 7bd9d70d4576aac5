"""The request log: one line for each request, handed to a writer in batches by the sweep."""

from typing import Final

from penstock.dataplane.io.loop import Chore
from penstock.dataplane.record.line_writer import LineWriter, append_to
from penstock.dataplane.record.log_shape import EVERYTHING, LogShape
from penstock.dataplane.record.syslog_writer import SyslogWriter

_BATCH_BYTES: Final = 256 * 1024  # handed over before the sweep
_STDOUT: Final = 1
_PLAIN: Final = bytes(c for c in range(0x20, 0x7F) if c not in b'"\\')  # needs no escape


class Destination:
    """What a log writes to, opened. ``target`` is "off", "stdout", "file" with its path, or
    "syslog" with a socket file's path or an address."""

    def __init__(self, target: str, path: str) -> None:
        """Raises OSError when it cannot be opened."""
        self.target: str = target
        self.path: str = path
        self.writer: LineWriter | None = None
        if target == "file":
            self.writer = append_to(path)
        elif target == "stdout":
            self.writer = LineWriter(_STDOUT, owned=False)
        elif target == "syslog":
            self.writer = SyslogWriter(path)

    def end(self) -> None:
        if self.writer is not None:
            self.writer.end()


class RequestLog(Chore):
    """Lines are joined in memory and handed over four times a second.

    When they cannot be written as fast as they come, lines beyond 4 MiB are dropped and counted:
    neither a full disk nor a reader that stalls may stop the traffic.
    """

    def __init__(self, name: str = "request log") -> None:
        self.name: str = name
        self.enabled: bool = False
        self.shape: LogShape = EVERYTHING
        self.notices: list[dict[str, object]] = []  # for the supervisor's log
        self._to: Destination = Destination("off", "")
        self._lines: list[bytes] = []
        self._bytes: int = 0
        self._replaced: list[LineWriter] = []  # that may have something left to write
        self._dropped_before: int = 0  # by writers that ended
        self._told_dropped: int = 0
        self._dropping: bool = False

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        dropped = self._dropped_before
        for writer in self._replaced:
            dropped += writer.dropped
        current = self._to.writer
        return dropped + (current.dropped if current is not None else 0)

    def opened(self, target: str, path: str) -> Destination:
        """What ``use`` takes; nothing changes before. Raises OSError when it cannot be opened."""
        if target == self._to.target and path == self._to.path:
            return self._to
        return Destination(target, path)

    def use(self, destination: Destination) -> None:
        """Write there from here on."""
        if destination is self._to:
            return
        self.flush()
        if self._to.writer is not None:
            self._to.writer.end()
            self._replaced.append(self._to.writer)
        self._to = destination
        self.enabled = destination.target != "off"

    def release(self, destination: Destination) -> None:
        """What ``opened`` gave is not used."""
        if destination is not self._to:
            destination.end()

    def configure(self, target: str, path: str) -> None:
        """``opened`` and ``use``. Raises OSError, and then nothing changed."""
        self.use(self.opened(target, path))

    def reopen(self) -> None:
        """Open the file by its name again, after it was moved away."""
        if self._to.target == "file":
            try:
                self.use(Destination("file", self._to.path))
            except OSError as error:
                self._tell("stays", f"the {self.name} stays where it was: {error}")

    def write(self, line: bytes) -> None:
        """One line, with its end; empty: none."""
        if not line:
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > _BATCH_BYTES:
            self.flush()

    def on_sweep(self, now: float) -> None:
        if self._lines:
            self.flush()
        if self._replaced or self._dropping or self.dropped != self._told_dropped:
            self._review()

    def flush(self) -> None:
        """Hand everything to the writer."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        self._lines = []
        self._bytes = 0
        writer = self._to.writer
        if writer is not None:
            writer.put(data)

    def end(self) -> None:
        """Have the last lines written; further ones are not taken."""
        self.flush()
        if self._to.writer is not None:
            self._to.writer.end()

    def join(self, patience_s: float) -> None:
        """Wait until the last lines are written, for so long at most."""
        if self._to.writer is not None:
            self._to.writer.join(patience_s)

    def take_notices(self) -> list[dict[str, object]]:
        """What the supervisor is to log."""
        notices = self.notices
        self.notices = []
        return notices

    def _review(self) -> None:
        """Tell of lines that are lost, once when it begins and once when it is over."""
        for writer in list(self._replaced):
            if not writer.alive:
                self._replaced.remove(writer)
                self._dropped_before += writer.dropped
        writing = self._to.writer
        lost = self.dropped - self._told_dropped
        if lost and not self._dropping:
            self._dropping = True
            why = writing.trouble if writing is not None else ""
            why = why or "they are not taken as fast as they come"
            self._tell("dropping", f"lines of the {self.name} are lost: {why}")
        elif self._dropping and (writing is None or not writing.behind):
            self._dropping = False
            self._told_dropped += lost
            self._tell("resumed", f"the {self.name} is written again; {lost} lines of it are lost")

    def _tell(self, what: str, message: str) -> None:
        self.notices.append({"event": f"{self.name.replace(' ', '_')}.{what}", "message": message})


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
