"""Endpoints that speak HTTP/1.1."""

from tests.whole.book import Answer, Asked, Book, Given
from tests.whole.http1 import HINT
from tests.whole.kernel import Far
from tests.whole.messages import RAW, Http1Party
from tests.whole.tunnels import Flow
from tests.whole.wishes import reply_to


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
        self._later: tuple[Answer, int] | None = None  # what is still to be streamed, from where
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
        if self.over:
            return True
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
        self.given = Given(self.book, target, method, fields.get("x-number", ""))
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
        answer, fields = reply_to(self, given, self._fails)
        self.answer = answer
        status = answer.status
        bodiless = asked.method == "HEAD" or status in (204, 304)
        size = self.some_size() if bodiless else answer.size
        framing = kernel.below(10)
        lines = f"HTTP/1.1 {status} Said\r\nX-Answer: {answer.number}\r\n"
        lines += "".join(f"{name}: {value}\r\n" for name, value in fields)
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
        elif chunked and size > 200 and kernel.random() < (0.8 if answer.data else 0.5):
            self._later = (answer, 0)
        else:
            self.put_body(answer, chunked=chunked)
            self._ends_at = self.queued
        self.push(self.some_bytes())

    def _stream_on(self) -> None:
        """The next chunk of an answer that is not all there."""
        assert self._later is not None
        answer, at = self._later
        size = answer.size
        if self._fails and answer.data and self.kernel.random() < self._fails:
            self.book.disturb("an engine that dies")
            self.leave(self.kernel.rng.choice(("close", "reset", "half-close")))
            return
        end = min(size, at + 1 + self.kernel.below(max(size // 8, 64)))
        self.put(b"%x\r\n%b\r\n" % (end - at, answer.piece(at, end)))
        self._later = (answer, end)
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
                answer.truncated = True
                answer.finished = True
        super().leave(how)

    def babble(self) -> None:
        """What is no HTTP."""
        self.put(b"\0 is no answer\r\n\r\n")
        self.push(1 << 20)
