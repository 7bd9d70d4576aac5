"""HTTP/1.1 as it comes, read strictly."""

from tests.whole.book import Answer, Asked, Book
from tests.whole.kernel import Far
from tests.whole.party import Party

HEAD, _LENGTH, _SIZE, _CHUNK, _CHUNK_END, _LAST, CLOSE, RAW = range(8)
_PIECE = 16_000  # of a chunk, at most


class Http1Party(Party):
    """Reads messages of one direction."""

    def __init__(self, book: Book, far: Far) -> None:
        super().__init__(book, far)
        self.state = HEAD
        self._buffer = bytearray()
        self._left = 0

    def on_head(self, start: str, fields: dict[str, str]) -> None:
        raise NotImplementedError

    def on_body(self, data: bytes) -> None:
        raise NotImplementedError

    def on_message_end(self) -> None:
        raise NotImplementedError

    def await_body(self, fields: dict[str, str], *, bodiless: bool, until_close: bool) -> None:
        """What comes behind the head."""
        length = fields.get("content-length")
        chunked = "transfer-encoding" in fields
        assert not (chunked and length is not None), fields
        if bodiless:
            self.on_message_end()
        elif chunked:
            self.state = _SIZE
        elif length is not None and int(length):
            self.state = _LENGTH
            self._left = int(length)
        elif length is None and until_close:
            self.state = CLOSE
        else:
            self.on_message_end()

    @property
    def in_message(self) -> bool:
        return self.state != HEAD

    def take(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while buffer:
            state = self.state
            if state == HEAD:
                if not self._take_head():
                    return
            elif state in (_LENGTH, _CHUNK):
                piece = bytes(buffer[: self._left])
                del buffer[: self._left]
                self._left -= len(piece)
                self.on_body(piece)
                if self._left == 0:
                    self.state = HEAD if state == _LENGTH else _CHUNK_END
                    if state == _LENGTH:
                        self.on_message_end()
            elif state in (CLOSE, RAW):
                piece = bytes(buffer)
                buffer.clear()
                self.on_body(piece)
            elif not self._take_line(state):
                return

    def _take_line(self, state: int) -> bool:
        """That of a chunk's size, its end, or the last one."""
        buffer = self._buffer
        at = buffer.find(b"\r\n")
        if at < 0:
            assert len(buffer) < 20, bytes(buffer)
            return False
        line = bytes(buffer[:at])
        del buffer[: at + 2]
        if state == _SIZE:
            assert line.isalnum(), f"no size of a chunk: {line!r}"
            self._left = int(line, 16)
            self.state = _CHUNK if self._left else _LAST
        else:
            assert not line, line
            self.state = _SIZE
            if state == _LAST:
                self.state = HEAD
                self.on_message_end()
        return True

    def _take_head(self) -> bool:
        buffer = self._buffer
        at = buffer.find(b"\r\n\r\n")
        if at < 0:
            return False
        start, *lines = buffer[:at].decode("latin-1").split("\r\n")
        del buffer[: at + 4]
        fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            name = name.lower()
            assert colon, line
            assert name not in fields, f"{name} stands twice"
            fields[name] = value
        self.on_head(start, fields)
        return True

    def put_body(self, what: Asked | Answer, *, chunked: bool) -> None:
        size = what.size
        if not chunked:
            self.put(what.piece(0, size))
            return
        at = 0
        while at < size:
            end = min(size, at + 1 + self.kernel.below(_PIECE))
            self.put(b"%x\r\n%b\r\n" % (end - at, what.piece(at, end)))
            at = end
        self.put(b"0\r\n\r\n")
