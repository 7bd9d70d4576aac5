"""Clients and endpoints that speak HTTP/1.1."""

from tests.whole.book import Answer, Asked, Book, Given, Hearing, content
from tests.whole.kernel import Far
from tests.whole.messages import CLOSE, RAW, Http1Party
from tests.whole.tunnels import Flow

METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE")
STATUSES = (200, 200, 200, 200, 204, 304, 404, 500)
HINT = "</style.css>"  # of a 103
_MOST_REQUESTS = 12  # of a connection


class Http1Client(Http1Party):
    """Sends requests one after another, or behind one another without waiting."""

    kind = "client"

    def __init__(self, book: Book, far: Far, upgrades: float) -> None:
        super().__init__(book, far)
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
        self.put_body(asked.number, asked.size, chunked=chunked)
        self._ends.append((self.queued, asked))
        self.push(self.some_bytes())

    def ask(self) -> None:
        kernel = self.kernel
        method = METHODS[kernel.below(len(METHODS))]
        size = self.some_size() if method in ("POST", "PUT") else 0
        asked = self.book.ask(method, size)
        self.waiting.append(asked)
        lines = f"{method} /{asked.number} HTTP/{self.version}\r\nHost: site.example\r\n"
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
                self.put_body(asked.number, size, chunked=chunked)
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


class Http1Endpoint(Http1Party):
    """Answers one request after another, soon or late, in any framing."""

    kind = "endpoint"

    def __init__(self, book: Book, far: Far, fails: float) -> None:
        super().__init__(book, far)
        self.given: Given | None = None
        self.answer: Answer | None = None
        self._begun = False  # a request came that is not answered yet
        self._ends_at = 0  # where on the connection the answer is all sent
        self._fails = fails  # how often it answers 503
        self._closes = False  # once this answer is sent
        self._body_at = -1  # where an answer begins whose end is the connection's; -1: it has one
        self._later: tuple[int, int, int] | None = None  # what is still to be streamed
        self._asked_for = ""  # another protocol, by this request
        self.flow: Flow | None = None  # since it agreed to one

    def __repr__(self) -> str:
        return f"{super().__repr__()} {self.far.row}"

    def act(self) -> bool:
        roll = self.kernel.random()
        if self.reading and roll < 0.4 and self.read(self.some_bytes()):
            return True
        if self.over:
            return False
        if self.out and roll < 0.85:
            return self.push(self.some_bytes())
        if self._later is not None:
            self._stream_on()
            return True
        given = self.given
        if given is not None and self.answer is None and (given.whole or roll > 0.97):
            self.reply(given)
            return True
        return False

    def finish(self) -> bool:
        self.reading = True
        moved = self.read(1 << 20)
        if self.over:
            return moved
        given = self.given
        if given is not None and self.answer is None and (given.whole or given.asked.over):
            self.reply(given)
            moved = True
        while self._later is not None:
            self._stream_on()
        return self.push(1 << 20) or moved

    # --- requests ---------------------------------------------------------------------------

    def on_head(self, start: str, fields: dict[str, str]) -> None:
        assert not self._begun, f"{self} gets a request before it has answered the last one"
        method, target, version = start.split(" ")
        assert version == "HTTP/1.1", start
        assert fields["host"] == "site.example", fields
        self._begun = True
        if "expect" in fields and self.kernel.random() < 0.8:
            self.put(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._asked_for = fields.get("upgrade", "")
        self.given = Given(self.book, target, method)
        self.kernel.note(self, "gets", target)
        self.await_body(fields, bodiless=False, until_close=False)

    def on_body(self, data: bytes) -> None:
        given = self.given
        assert given is not None
        if self.flow is not None:
            self.flow.take(data)
        else:
            given.body(data)

    def on_message_end(self) -> None:
        given = self.given
        assert given is not None
        given.end()
        if self.answer is not None and self.answer.finished:
            self._done()

    def on_end(self, in_order: bool) -> None:
        """The balancer has no more for it."""
        if in_order and self.flow is not None:
            self.flow.check_end()

    def still_sends(self) -> bool:
        return self.flow is not None and not self.far.shut

    # --- answers ----------------------------------------------------------------------------

    def _agree(self, asked: Asked) -> None:
        """Change the protocol."""
        self.answer = answer = self.book.answer(asked, 101, self.some_size())
        self.kernel.note(self, "agrees to tunnel", asked.number, "with", answer.number)
        told = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: raw\r\n"
        self.put(f"{told}X-Answer: {answer.number}\r\n\r\n".encode())
        self.state = RAW
        self.flow = flow = Flow(self, answer)
        flow.other = asked
        self.push(self.some_bytes())

    def reply(self, given: Given) -> None:
        kernel = self.kernel
        asked = given.asked
        if self._asked_for and kernel.random() < 0.8:
            assert self._asked_for == "raw"
            self._agree(asked)
            return
        status = STATUSES[kernel.below(len(STATUSES))]
        if self._fails and kernel.random() < self._fails:
            status = 503
            self.book.disturb("an endpoint that answers 503")
        bodiless = asked.method == "HEAD" or status in (204, 304)
        size = self.some_size()
        answer = self.book.answer(asked, status, 0 if bodiless else size)
        self.answer = answer
        framing = kernel.below(10)
        lines = f"HTTP/1.1 {status} Said\r\nX-Answer: {answer.number}\r\n"
        if kernel.random() < 0.05:
            self.put(b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % HINT.encode())
        chunked = until_close = False
        self._closes = False
        if status == 204:
            pass
        elif framing < 5:
            lines += f"Content-Length: {size}\r\n"
        elif framing < 9 or bodiless:
            lines += "Transfer-Encoding: chunked\r\n"
            chunked = True
        else:
            self._closes = until_close = True
        if not self._closes and kernel.random() < 0.05:
            lines += "Connection: close\r\n"
            self._closes = True
        kernel.note(self, "answers", asked.number, "with", answer.number, status, size)
        self.put(lines.encode() + b"\r\n")
        self._ends_at = -1
        self._body_at = self.queued if until_close else -1
        if bodiless:
            self._ends_at = self.queued
        elif chunked and size > 200 and kernel.random() < 0.5:
            self._later = (answer.number, 0, size)
        else:
            self.put_body(answer.number, size, chunked=chunked)
            self._ends_at = self.queued
        self.push(self.some_bytes())

    def _stream_on(self) -> None:
        """The next chunk of an answer that is not all there."""
        assert self._later is not None
        number, at, size = self._later
        end = min(size, at + 1 + self.kernel.below(max(size // 8, 64)))
        self.put(b"%x\r\n%b\r\n" % (end - at, content(number, at, end)))
        self._later = (number, end, size)
        if end == size:
            self._later = None
            self.put(b"0\r\n\r\n")
            self._ends_at = self.queued
        self.push(self.some_bytes())

    def on_sent(self) -> None:
        if self.flow is not None:
            self.flow.on_sent()
            return
        answer = self.answer
        if answer is None or self.far.sent != self._ends_at:
            return
        answer.finished = True
        if self._closes:
            self.kernel.note(self, "closes after", answer.number)
            self.far.half_close()
        given = self.given
        if given is not None and given.whole:
            self._done()

    def _done(self) -> None:
        self.given = None
        self.answer = None
        self._begun = False

    def leave(self, how: str) -> None:
        answer = self.answer
        self._later = None
        if self.flow is not None:
            self.flow.leave(how)
        elif answer is not None and not answer.finished and 0 <= self._body_at <= self.far.sent:
            in_order = how == "half-close" or (how == "close" and not self.far.inbox)
            if in_order:  # nobody can tell that it was to have more
                answer.size = self.far.sent - self._body_at
                answer.finished = True
        super().leave(how)

    def babble(self) -> None:
        """What is no HTTP."""
        self.put(b"\0 is no answer\r\n\r\n")
        self.push(1 << 20)
