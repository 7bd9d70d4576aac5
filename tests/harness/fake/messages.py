"""Reads HTTP/1.1 as it arrives: what is there of each message, and whether it is whole.

Written for what tests send and the balancer writes, and strict: anything else fails the test.
"""

from dataclasses import dataclass, field

LENGTH, CHUNKED, UNTIL_CLOSE = "length", "chunked", "until close"
_LINE_END = -1  # the one after a chunk is next


@dataclass
class Message:
    """``start`` is its first line."""

    start: str
    fields: dict[str, str]
    framing: str
    left: int = 0
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]


class MessageReader:
    """Of one direction of one connection; ``methods`` are of the requests that are answered."""

    def __init__(self, methods: list[str] | None = None) -> None:
        self.messages: list[Message] = []
        self.interim: list[Message] = []
        self._methods = methods
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def end(self) -> None:
        """The other side closed in order."""
        if self.messages and self.messages[-1].framing == UNTIL_CLOSE:
            self.messages[-1].complete = True

    @property
    def current(self) -> Message | None:
        """The one that is not whole."""
        return self.messages[-1] if self.messages and not self.messages[-1].complete else None

    def _step(self) -> bool:
        message = self.current
        if message is None:
            return self._read_head()
        if message.framing == CHUNKED and message.left == _LINE_END:
            return self._read_line_end(message)
        if message.framing == CHUNKED and message.left == 0:
            return self._read_chunk_size(message)
        if not self._buffer:
            return False
        if message.framing == UNTIL_CLOSE:
            taken = len(self._buffer)
        else:
            taken = min(message.left, len(self._buffer))
            message.left -= taken
        message.body += self._buffer[:taken]
        del self._buffer[:taken]
        if message.framing == LENGTH:
            message.complete = message.left == 0
        elif message.framing == CHUNKED and message.left == 0:
            message.left = _LINE_END
        return True

    def _read_line_end(self, message: Message) -> bool:
        if len(self._buffer) < 2:
            return False
        assert self._buffer.startswith(b"\r\n"), self._buffer
        del self._buffer[:2]
        message.left = 0
        return True

    def _read_chunk_size(self, message: Message) -> bool:
        line, found, rest = bytes(self._buffer).partition(b"\r\n")
        if not found:
            return False
        size = int(line, 16)
        if size == 0:
            if not rest.startswith(b"\r\n"):
                assert b"\r\n".startswith(rest), rest
                return False
            rest = rest[2:]
            message.complete = True
        message.left = size
        self._buffer[:] = rest
        return True

    def _read_head(self) -> bool:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        self._buffer[:] = rest
        start, *lines = head.decode("latin-1").split("\r\n")
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in fields, f"{name} stands twice in {head!r}"
            fields[name.lower()] = value
        message = Message(start, fields, LENGTH)
        if self._methods is not None and 100 <= message.status < 200:
            self.interim.append(message)
            return True
        message.left = self._length(message, fields)
        message.complete = message.framing == LENGTH and message.left == 0
        self.messages.append(message)
        return True

    def _length(self, message: Message, fields: dict[str, str]) -> int:
        answers = self._methods
        if answers is not None:
            assert len(self.messages) < len(answers), f"nobody asked for {message}"
            if answers[len(self.messages)] == "HEAD" or message.status in (204, 304):
                return 0
        if "transfer-encoding" in fields:
            assert "content-length" not in fields
            message.framing = CHUNKED
            return 0
        if "content-length" in fields:
            return int(fields["content-length"])
        if answers is not None:
            message.framing = UNTIL_CLOSE
        return 0
