"""HTTP/2 by frames made by hand, so that no codec of ours checks itself."""

from hpack import Decoder

from tests.harness.http2_frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    setting,
)
from tests.whole.book import Answer, Asked, Book
from tests.whole.kernel import Far
from tests.whole.party import Party

_CONTINUATION = 9
_TABLE_SIZE, STREAMS, _WINDOW = 1, 3, 4  # of settings
_DEFAULT_WINDOW = 65_535
_MOST_FRAME = 16_384
_CANCEL = 8

Fields = dict[str, str]


class Sending:
    """A body that waits for the peer's windows. ``begun_at``: how much of it was put."""

    __slots__ = ("at", "size", "trickles", "what")

    def __init__(self, what: Asked | Answer) -> None:
        self.what = what
        self.size = what.size
        self.at = 0
        self.trickles = False


class Http2Party(Party):
    """One side of a connection with streams."""

    def __init__(self, book: Book, far: Far) -> None:
        super().__init__(book, far)
        self._buffer = bytearray()
        self._decoder = Decoder()
        self._window = _DEFAULT_WINDOW  # of the connection, that we may send
        self._windows: dict[int, int] = {}  # of streams
        self._first_window = _DEFAULT_WINDOW  # of streams, as the peer told
        self._sending: dict[int, Sending] = {}
        self._owed: dict[int, int] = {}  # windows that are to be given back, by stream
        self._ends: list[tuple[int, Asked | Answer]] = []  # where on the connection all is sent
        self._headers: tuple[int, int, bytes] | None = None  # a block that is not whole
        self.given_up: set[int] = set()  # streams that we reset; the peer may not know it yet
        self.peer_streams = 100
        kernel = book.kernel
        self.own_window = (1, 100, 3000, 65_535, 65_535, 500_000)[kernel.below(6)]
        told = [(_WINDOW, self.own_window)]
        if kernel.random() < 0.5:
            told.append((_TABLE_SIZE, (0, 100, 4096)[kernel.below(3)]))
        self._told = told

    # --- of either side ---------------------------------------------------------------------

    def on_fields(self, stream: int, fields: Fields, *, end: bool) -> None:
        raise NotImplementedError

    def on_data(self, stream: int, data: bytes) -> None:
        raise NotImplementedError

    def on_stream_end(self, stream: int) -> None:
        raise NotImplementedError

    def on_reset(self, stream: int, code: int) -> None:
        raise NotImplementedError

    def on_goaway(self, last: int, code: int) -> None:
        raise NotImplementedError

    def on_sent(self) -> None:
        ends = self._ends
        while ends and ends[0][0] <= self.far.sent:
            what = ends.pop(0)[1]
            if isinstance(what, Asked):
                what.sent = True
            else:
                what.finished = True

    # --- what comes -------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 9 and not self.left:
            size = int.from_bytes(buffer[:3], "big")
            if len(buffer) < 9 + size:
                return
            kind, flags = buffer[3], buffer[4]
            stream = int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
            payload = bytes(buffer[9 : 9 + size])
            del buffer[: 9 + size]
            self._take_frame(kind, flags, stream, payload)

    def _take_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._take_data(flags, stream, payload)
        elif kind == HEADERS:
            assert not flags & 0x28, "padding or priority, which the balancer does not send"
            self._take_block(stream, flags & END_STREAM, payload, flags & END_HEADERS)
        elif kind == _CONTINUATION:
            assert self._headers is not None
            stream, end, before = self._headers
            self._take_block(stream, end, before + payload, flags & END_HEADERS)
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += more
            elif stream in self._windows:
                self._windows[stream] += more
        elif kind == PING and not flags & ACK:
            self.put(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._sending.pop(stream, None)
            self._windows.pop(stream, None)
            self._owed.pop(stream, None)
            self.on_reset(stream, int.from_bytes(payload, "big"))
        elif kind == GOAWAY:
            last, code = int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")
            self.kernel.note(self, "is told to go away:", last, code, payload[8:])
            self.on_goaway(last, code)

    def _take_block(self, stream: int, end: int, data: bytes, whole: int) -> None:
        self._headers = None if whole else (stream, end, data)
        if not whole:
            return
        fields: Fields = {}
        for raw_name, raw_value in self._decoder.decode(data, raw=True):
            name = bytes(raw_name).decode("latin-1")
            assert name not in fields, f"{name} stands twice"
            fields[name] = bytes(raw_value).decode("latin-1")
        if stream in self.given_up:
            return
        self.on_fields(stream, fields, end=end != 0)
        if end:
            self.on_stream_end(stream)

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        if flags & 0x8:
            payload = payload[1 : size - payload[0]]
        self._owed[0] = self._owed.get(0, 0) + size
        if stream in self.given_up:
            return
        if not flags & END_STREAM:
            self._owed[stream] = self._owed.get(stream, 0) + size
        self.on_data(stream, payload)
        if flags & END_STREAM:
            self._owed.pop(stream, None)
            self.on_stream_end(stream)

    def give_up(self, stream: int) -> None:
        self.given_up.add(stream)
        self._sending.pop(stream, None)
        self._windows.pop(stream, None)
        self._owed.pop(stream, None)
        self.put(frame(RST_STREAM, 0, stream, _CANCEL.to_bytes(4, "big")))

    def _take_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            key = int.from_bytes(payload[at : at + 2], "big")
            value = int.from_bytes(payload[at + 2 : at + 6], "big")
            if key == _WINDOW:
                for stream in self._windows:
                    self._windows[stream] += value - self._first_window
                self._first_window = value
            elif key == STREAMS:
                self.peer_streams = value
        self.put(frame(SETTINGS, ACK))

    # --- what goes --------------------------------------------------------------------------

    def open_stream(self, stream: int) -> None:
        self._windows[stream] = self._first_window

    def give_back(self) -> bool:
        """Windows, for what was read."""
        if not self._owed:
            return False
        for stream, size in self._owed.items():
            if size:
                self.put(frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big")))
        self._owed.clear()
        return True

    def send_on(self, *, all_of_it: bool = False) -> bool:
        """More of a body, as far as the windows let; whether there was anything."""
        streams = list(self._sending)
        if not streams:
            return False
        kernel = self.kernel
        first = kernel.below(len(streams))
        sent = False
        for stream in streams[first:] + streams[:first]:
            while (sending := self._sending.get(stream)) is not None:
                most = min(self._window, self._windows[stream], _MOST_FRAME)
                if sending.trickles or kernel.random() < 0.3:
                    most = min(most, 1 + kernel.below(500))
                end = min(sending.size, sending.at + most)
                if end == sending.at and end < sending.size:
                    break
                self._send_data(stream, sending, end)
                sent = True
                if not all_of_it:
                    return True
        return sent

    def _send_data(self, stream: int, sending: Sending, end: int) -> None:
        data = sending.what.piece(sending.at, end)
        last = end == sending.size
        flags = END_STREAM if last else 0
        size = len(data)
        kernel = self.kernel
        room = min(self._window, self._windows[stream]) - size
        if not last and room > 20 and size < 16_000 and kernel.random() < 0.05:
            padding = kernel.below(19)
            data = bytes([padding]) + data + bytes(padding)
            flags |= 0x8
        self.put(frame(DATA, flags, stream, data))
        self._window -= len(data)
        self._windows[stream] -= len(data)
        sending.at = end
        if last:
            del self._sending[stream]
            self._ends.append((self.queued, sending.what))

    def widen(self) -> None:
        """Its window, where it is small: the end is to come soon."""
        if self.own_window < _DEFAULT_WINDOW:
            self.own_window = _DEFAULT_WINDOW
            self.put(setting((_WINDOW, _DEFAULT_WINDOW)))

    def act(self) -> bool:
        roll = self.kernel.random()
        if self.reading and roll < 0.4 and self.read(self.some_bytes()):
            return True
        if self.over:
            return False
        if self.out and roll < 0.7:
            return self.push(self.some_bytes())
        if self.reading and roll < 0.8 and self.give_back():
            return True
        return self.go_on(roll)

    def go_on(self, roll: float) -> bool:
        """What is its own part."""
        raise NotImplementedError
