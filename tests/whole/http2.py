"""Clients and endpoints that speak HTTP/2."""

from tests.harness.http2_frames import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    block,
    frame,
    setting,
)
from tests.whole.book import Asked, Book, Given, Hearing
from tests.whole.http1 import HINT
from tests.whole.kernel import Far
from tests.whole.streams import STREAMS, Fields, Http2Party, Sending
from tests.whole.wishes import Wish, anything, reply_to

_AT_ONCE = 4  # streams of a client
_MOST_REQUESTS = 20  # of a connection


class Http2Client(Http2Party):
    """Asks on some streams at a time."""

    kind = "client"

    def __init__(self, book: Book, far: Far, wish: Wish = anything) -> None:
        super().__init__(book, far)
        self.wish = wish
        self.asks = True
        self._next = 1
        self._streams: dict[int, Asked] = {}
        self._hearing: dict[int, Hearing] = {}
        self._at_once = 1 + self.kernel.below(_AT_ONCE)
        self._to_ask = 1 + self.kernel.below(_MOST_REQUESTS)
        self.put(PREFACE + setting((2, 0), *self._told))
        self.push(self.some_bytes())

    @property
    def waiting(self) -> list[Asked]:
        return list(self._streams.values())

    def go_on(self, roll: float) -> bool:
        if roll < 0.9 and self.send_on():
            return True
        if self.asks and len(self._streams) < min(self._at_once, self.peer_streams):
            self.ask()
            return True
        if not self.asks and not self._streams and not self._sending:
            self.leave("close")
            return True
        return False

    def finish(self) -> bool:
        self.reading = True
        self.asks = False
        moved = self.read(1 << 20)
        if self.over:
            return moved
        self.widen()
        moved = self.give_back() or moved
        moved = self.send_on(all_of_it=True) or moved
        return self.push(1 << 20) or moved

    def ask(self) -> None:
        kernel = self.kernel
        asked = self.wish(self)
        method, size = asked.method, asked.size
        stream = self._next
        self._next += 2
        self._streams[stream] = asked
        self.open_stream(stream)
        fields = [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", b"site.example"),
            (b":path", asked.target.encode()),
            *((name.lower().encode(), value.encode()) for name, value in asked.fields),
        ]
        if size and kernel.random() < 0.5:
            fields.append((b"content-length", b"%d" % size))
        kernel.note(self, "asks", asked.number, method, size, "on", stream)
        flags = END_HEADERS if size else END_HEADERS | END_STREAM
        self.put(frame(HEADERS, flags, stream, block(*fields)))
        if size:
            self._sending[stream] = Sending(asked)
        else:
            self._ends.append((self.queued, asked))
        self._to_ask -= 1
        if self._to_ask == 0:
            self.asks = False
        self.push(self.some_bytes())

    # --- what comes -------------------------------------------------------------------------

    def on_fields(self, stream: int, fields: Fields, *, end: bool) -> None:
        status = fields.get(":status", "")
        if status.startswith("1"):
            assert not end
            assert fields["link"] == HINT, fields
            return
        asked = self._streams.get(stream)
        assert asked is not None, f"{self} is answered on {stream}, where it asked nothing"
        assert stream not in self._hearing, f"{self} is answered twice on {stream}"
        hearing = Hearing(self.book, asked, int(status), fields.get("x-answer", ""))
        self._hearing[stream] = hearing
        self.kernel.note(self, "hears", status, "to", asked.number)

    def on_data(self, stream: int, data: bytes) -> None:
        hearing = self._hearing.get(stream)
        assert hearing is not None, f"{self} gets a body on {stream}, and no head"
        hearing.body(data)

    def on_stream_end(self, stream: int) -> None:
        hearing = self._hearing.pop(stream)
        asked = self._streams.pop(stream)
        if asked.method == "HEAD" and hearing.answer is not None:
            assert hearing.at == 0
        hearing.whole()

    def on_reset(self, stream: int, code: int) -> None:
        asked = self._streams.pop(stream, None)
        hearing = self._hearing.pop(stream, None)
        if hearing is not None:
            hearing.cut()
        elif asked is not None:
            self.book.end(asked, f"reset with {code}")

    def on_goaway(self, last: int, code: int) -> None:
        self.asks = False
        for stream in [each for each in self._streams if each > last]:
            asked = self._streams.pop(stream)
            self._sending.pop(stream, None)
            assert not asked.given, f"request {asked.number} was done, and is said not to be"
            self.book.end(asked, "left" if code == 0 else "not answered")

    def on_end(self, in_order: bool) -> None:
        for stream, asked in self._streams.items():
            hearing = self._hearing.get(stream)
            if hearing is not None:
                hearing.cut()
            else:
                self.book.end(asked, "not answered")
        self._streams.clear()
        self._hearing.clear()

    def cancel(self) -> None:
        """One of its requests."""
        stream = self.kernel.rng.choice(list(self._streams))
        asked = self._streams.pop(stream)
        self.kernel.note(self, "cancels", asked.number)
        asked.over = True
        self.book.end(asked, "left")
        self._hearing.pop(stream, None)
        self.give_up(stream)

    def leave(self, how: str) -> None:
        super().leave(how)
        self.asks = False
        self._sending.clear()
        for asked in self._streams.values():
            asked.over = True
            if self.left:
                self.book.end(asked, "left")
        if self.left:
            self._streams.clear()
            self._hearing.clear()


class Http2Endpoint(Http2Party):
    """Answers streams in any order."""

    kind = "endpoint"

    def __init__(self, book: Book, far: Far, fails: float) -> None:
        super().__init__(book, far)
        self._given: dict[int, Given] = {}  # that are not answered yet
        self._reading: dict[int, Given] = {}  # that are not whole yet
        self._fails = fails
        self._preface = False
        told = self._told
        if self.kernel.random() < 0.3:
            told.append((STREAMS, 1 + self.kernel.below(3)))
        self.put(setting(*told))

    def __repr__(self) -> str:
        return f"{super().__repr__()} {self.far.row}"

    def take(self, data: bytes) -> None:
        if not self._preface:
            self._buffer += data
            if len(self._buffer) < len(PREFACE):
                return
            assert self._buffer.startswith(PREFACE), bytes(self._buffer[:40])
            self._preface = True
            data = bytes(self._buffer[len(PREFACE) :])
            self._buffer.clear()
        super().take(data)

    def go_on(self, roll: float) -> bool:
        if self._fails and roll > 0.88 and self._sending and self.kernel.random() < self._fails:
            self._die()
            return True
        if roll < 0.9 and self.send_on():
            return True
        for stream, given in self._given.items():
            if given.whole or roll > 0.98:
                self.reply(stream, given)
                return True
        return False

    def finish(self) -> bool:
        self.reading = True
        moved = self.read(1 << 20)
        if self.over:
            return moved
        self.widen()
        moved = self.give_back() or moved
        for stream, given in list(self._given.items()):
            if given.whole or given.asked.over:
                self.reply(stream, given)
                moved = True
        moved = self.send_on(all_of_it=True) or moved
        return self.push(1 << 20) or moved

    # --- requests ---------------------------------------------------------------------------

    def on_fields(self, stream: int, fields: Fields, *, end: bool) -> None:
        assert stream not in self._reading, f"{self} gets a second head on {stream}"
        self.kernel.note(self, "gets", fields[":path"], "on", stream)
        assert fields[":authority"] == "site.example", fields
        given = Given(self.book, fields[":path"], fields[":method"], fields.get("x-number", ""))
        self.open_stream(stream)
        self._given[stream] = self._reading[stream] = given

    def on_data(self, stream: int, data: bytes) -> None:
        given = self._reading.get(stream)
        assert given is not None, f"{self} gets a body on {stream}, and no head"
        given.body(data)

    def on_stream_end(self, stream: int) -> None:
        self._reading.pop(stream).end()

    def on_reset(self, stream: int, code: int) -> None:
        self._given.pop(stream, None)
        self._reading.pop(stream, None)

    def on_goaway(self, last: int, code: int) -> None:
        """It gets no more."""

    def on_end(self, in_order: bool) -> None:
        self._given.clear()
        self._sending.clear()

    # --- answers ----------------------------------------------------------------------------

    def reply(self, stream: int, given: Given) -> None:
        kernel = self.kernel
        del self._given[stream]
        asked = given.asked
        answer, more = reply_to(self, given, self._fails)
        status, size = answer.status, answer.size
        bodiless = asked.method == "HEAD" or status in (204, 304)
        fields = [(b":status", b"%d" % status), (b"x-answer", b"%d" % answer.number)]
        fields += [(name.lower().encode(), value.encode()) for name, value in more]
        if size and kernel.random() < 0.5:
            fields.append((b"content-length", b"%d" % size))
        kernel.note(self, "answers", asked.number, "with", answer.number, status, size)
        if kernel.random() < 0.05:
            hint = block((b":status", b"103"), (b"link", HINT.encode()))
            self.put(frame(HEADERS, END_HEADERS, stream, hint))
        ends = bodiless or (size == 0 and kernel.random() < 0.5)
        flags = END_HEADERS | END_STREAM if ends else END_HEADERS
        self.put(frame(HEADERS, flags, stream, block(*fields)))
        if ends:
            self._ends.append((self.queued, answer))
        else:
            sending = self._sending[stream] = Sending(answer)
            sending.trickles = kernel.random() < 0.3
        self.push(self.some_bytes())

    def refuse(self) -> None:
        """One of its streams, before it did anything for it."""
        stream = self.kernel.rng.choice(list(self._given))
        given = self._given.pop(stream)
        self.kernel.note(self, "resets", given.asked.number)
        self._reading.pop(stream, None)
        self.give_up(stream)

    def _die(self) -> None:
        """In the middle of an answer, alone or with all others."""
        self.book.disturb("an engine that dies")
        if self.kernel.random() < 0.5:
            self.leave(self.kernel.rng.choice(("close", "reset")))
            return
        stream = self.kernel.rng.choice(list(self._sending))
        self.kernel.note(self, "breaks off on", stream)
        self._reading.pop(stream, None)
        self.give_up(stream)

    @property
    def may_refuse(self) -> bool:
        return bool(self._given)

    def leave(self, how: str) -> None:
        super().leave(how)
        self._sending.clear()
        self._given.clear()
