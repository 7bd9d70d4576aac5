"""Clients that speak HTTP/1.1, and what endpoints of either protocol answer."""

from tests.whole.book import Asked, Book, Hearing
from tests.whole.kernel import Far
from tests.whole.messages import CLOSE, RAW, Http1Party
from tests.whole.tunnels import Flow
from tests.whole.wishes import Wish, anything

HINT = "</style.css>"  # of a 103
_MOST_REQUESTS = 12  # of a connection


class Http1Client(Http1Party):
    """Sends requests one after another, or behind one another without waiting."""

    kind = "client"

    def __init__(self, book: Book, far: Far, upgrades: float, wish: Wish = anything) -> None:
        super().__init__(book, far)
        self.wish = wish
        self._upgrades = upgrades  # how often it asks for another protocol
        self.flow: Flow | None = None  # once it has it
        self.waiting: list[Asked] = []
        self._ends: list[tuple[int, Asked]] = []  # where on the connection requests are all sent
        self._hearing: Hearing | None = None
        self._pipelines = 1 + self.kernel.below(3)
        self._to_ask = 1 + self.kernel.below(_MOST_REQUESTS)
        self._later: tuple[Asked, bool] | None = None  # whose body waits for a 100; in chunks?
        self.version = "1.1"
        if self.kernel.random() < 0.1:
            self.version = "1.0"
            self._to_ask = 1
        self.asks = True

    # --- asking -----------------------------------------------------------------------------

    def act(self) -> bool:
        roll = self.kernel.random()
        if self.reading and roll < 0.45 and self.read(self.some_bytes()):
            return True
        if self.over:
            return False
        if self.out and roll < 0.8:
            return self.push(self.some_bytes())
        if self._later is not None:
            if roll > 0.9:
                self._send_body()
            return roll > 0.9
        if self.asks and len(self.waiting) < self._pipelines:
            self.ask()
            return True
        if not self.asks and not self.waiting:
            self.leave("close")
            return True
        return False

    def finish(self) -> bool:
        self.reading = True
        self.asks = False
        moved = self.read(1 << 20)
        if self._later is not None and not self.over:
            self._send_body()
        return (not self.over and self.push(1 << 20)) or moved

    def _send_body(self) -> None:
        """That of a request which waited to be told to go on."""
        assert self._later is not None
        asked, chunked = self._later
        self._later = None
        self.put_body(asked, chunked=chunked)
        self._ends.append((self.queued, asked))
        self.push(self.some_bytes())

    def ask(self) -> None:
        kernel = self.kernel
        asked = self.wish(self)
        method, size = asked.method, asked.size
        self.waiting.append(asked)
        lines = f"{method} {asked.target} HTTP/{self.version}\r\nHost: site.example\r\n"
        lines += "".join(f"{name}: {value}\r\n" for name, value in asked.fields)
        modern = self.version == "1.1"
        chunked = modern and size > 0 and kernel.random() < 0.5
        waits = modern and size > 0 and kernel.random() < 0.1
        if waits:
            lines += "Expect: 100-continue\r\n"
        if chunked:
            lines += "Transfer-Encoding: chunked\r\n"
        elif method in ("POST", "PUT"):
            lines += f"Content-Length: {size}\r\n"
        self._to_ask -= 1
        if modern and method == "GET" and kernel.random() < self._upgrades:
            lines += "Connection: Upgrade\r\nUpgrade: raw\r\n"
            self.asks = False
        elif self._to_ask == 0:
            self.asks = False
            if kernel.random() < 0.5:
                lines += "Connection: close\r\n"
        kernel.note(self, "asks", asked.number, method, size, "chunked" if chunked else "")
        self.put(lines.encode() + b"\r\n")
        if waits:
            self._later = (asked, chunked)
        else:
            if size:
                self.put_body(asked, chunked=chunked)
            self._ends.append((self.queued, asked))
        if kernel.random() < 0.7:
            self.push(self.some_bytes())

    def on_sent(self) -> None:
        if self.flow is not None:
            self.flow.on_sent()
        ends = self._ends
        while ends and ends[0][0] <= self.far.sent:
            ends.pop(0)[1].sent = True

    # --- what comes -------------------------------------------------------------------------

    def on_head(self, start: str, fields: dict[str, str]) -> None:
        version, status, _ = start.split(" ", 2)
        assert version == "HTTP/1.1", start
        if status == "101":
            self._switch(fields)
            return
        if status == "100":
            if self._later is not None:  # it may have sent it without
                self._send_body()
            return
        if status.startswith("1"):
            assert fields["link"] == HINT, fields
            return
        assert self.waiting, f"{self} is answered and has asked nothing: {start}"
        asked = self.waiting[0]
        self._hearing = Hearing(self.book, asked, int(status), fields.get("x-answer", ""))
        self.kernel.note(self, "hears", status, "to", asked.number)
        if fields.get("connection", "").lower() == "close":
            self.asks = False
            self._last = True
        bodiless = asked.method == "HEAD" or status in ("204", "304")
        self.await_body(fields, bodiless=bodiless, until_close=True)

    _last = False  # this answer is

    def _switch(self, fields: dict[str, str]) -> None:
        """The endpoint agreed to what was asked last."""
        assert fields["upgrade"] == "raw", fields
        assert len(self.waiting) == 1, f"{self} changes its protocol before it has all answers"
        asked = self.waiting[0]
        self._hearing = hearing = Hearing(self.book, asked, 101, fields["x-answer"])
        self.kernel.note(self, "tunnels", asked.number)
        self.state = RAW
        asked.size = self.some_size()
        asked.sent = False
        self.flow = flow = Flow(self, asked)
        flow.other = hearing.answer
        flow.on_sent()  # where it has nothing to send

    def on_body(self, data: bytes) -> None:
        hearing = self._hearing
        assert hearing is not None
        if self.flow is not None:
            self.flow.take(data)
        else:
            hearing.body(data)

    def on_message_end(self) -> None:
        hearing = self._hearing
        assert hearing is not None
        asked = self.waiting.pop(0)
        self._hearing = None
        if self._later is not None and self._later[0] is asked:
            self._later = None  # nobody wants it
            self.asks = False
        hearing.whole()

    def on_end(self, in_order: bool) -> None:
        hearing = self._hearing
        if self.flow is not None:
            if in_order:
                self.flow.check_end()
            return
        if hearing is not None:
            self.waiting.pop(0)
            if in_order and self.state == CLOSE:
                hearing.whole()
            else:
                hearing.cut()
        for asked in self.waiting:
            self._not_answered(asked)
        self.waiting.clear()

    def on_over(self) -> None:
        if self.flow is not None and self.waiting:
            asked = self.waiting.pop(0)
            whole = self.far.ended and asked.sent
            self.book.end(asked, "answered" if whole else "cut")

    def still_sends(self) -> bool:
        return self.flow is not None and not self.far.shut

    def _not_answered(self, asked: Asked) -> None:
        """The connection ended before its turn. After an answer that said so it was not looked at,
        and can be asked again (RFC 9112, 9.6)."""
        if self._last:
            assert not asked.given, f"request {asked.number} was done, and not answered"
            self.book.end(asked, "left")
        else:
            self.book.end(asked, "not answered")

    def leave(self, how: str) -> None:
        if self.flow is not None:
            self.flow.leave(how)
        super().leave(how)
        self.asks = False
        self._later = None
        for asked in self.waiting:
            asked.over = True
        if self.left:
            for asked in self.waiting:
                self.book.end(asked, "left")
            self.waiting.clear()
