"""Clients and endpoints of the state machine, and what each of them has sent and received."""

from dataclasses import dataclass, field
from typing import Literal

from tests.harness.fake.messages import UNTIL_CLOSE, Message, MessageReader
from tests.harness.fake.stream import End

_PATTERN = b"".join(b"%d," % number for number in range(9000))

Framing = Literal["none", "length", "chunked", "until close"]


def content(number: int, size: int) -> bytes:
    """A body that no other has: no byte can be lost, doubled or exchanged unnoticed."""
    start = number * 997 % 4000
    return (b"<%d>" % number + _PATTERN[start : start + size])[:size]


def encoded(body: bytes, framing: Framing, piece: int = 700) -> bytes:
    """As it goes over the wire."""
    if framing != "chunked":
        return body
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in [*pieces, b""])


@dataclass
class Asked:
    """A request, as its client sends it."""

    number: int
    method: str
    body: bytes
    head: bytes
    wire: bytes  # of the body
    last: bool  # on its connection
    begins_at: int  # on the client's connection

    @property
    def repeatable(self) -> bool:
        return self.method != "POST"


@dataclass
class Answer:
    """What an endpoint says to a request."""

    number: int  # of the answer
    asked: Asked
    status: int
    body: bytes  # that the client is to have
    sent: MessageReader  # what was sent so far, read as a client would
    finished: bool = False
    must_arrive: bool = False


@dataclass
class ClientSide:
    end: End
    out: bytearray = field(default_factory=bytearray)
    sent_bytes: int = 0
    asked: list[Asked] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    reading: bool = True
    half_closed: bool = False
    ended: bool = False  # it saw the worker's end, in order
    reset: bool = False  # or a reset

    def __post_init__(self) -> None:
        self.reader = MessageReader(self.methods)

    @property
    def open(self) -> bool:
        return not (self.end.closed or self.end.dead or self.end.ended or self.half_closed)

    @property
    def may_ask(self) -> bool:
        return self.open and not (self.asked and self.asked[-1].last)

    def send(self, most: int) -> None:
        before = len(self.out[:most])
        rest = len(self.end.offer(bytes(self.out[:most])))
        del self.out[: before - rest]
        self.sent_bytes += before - rest

    def sent_body(self, asked: Asked) -> bytes:
        """What of a request's body left this client."""
        wire = self.sent_bytes - asked.begins_at - len(asked.head)
        if wire <= 0:
            return b""
        reader = MessageReader()
        reader.feed(asked.head + asked.wire[:wire])
        return bytes(reader.messages[0].body)

    def read(self) -> bool:
        """What came; whether anything did."""
        data = self.end.read()
        if data:
            self.reader.feed(data)
        if self.end.ended and not self.ended:
            self.ended = True
            self.reader.end()
        return bool(data)

    def response_to(self, asked: Asked) -> Message | None:
        at = self.asked.index(asked)
        messages = self.reader.messages
        return messages[at] if at < len(messages) else None


@dataclass
class EndpointSide:
    row: int
    end: End
    out: bytearray = field(default_factory=bytearray)
    reading: bool = True
    reader: MessageReader = field(default_factory=MessageReader)
    answers: list[Answer] = field(default_factory=list)
    closes_after: bool = False  # the answer under way is until the close

    @property
    def open(self) -> bool:
        return not (self.end.closed or self.end.dead or self.end.shut)

    @property
    def unanswered(self) -> Message | None:
        """A request whose head came and that has no answer yet."""
        messages = self.reader.messages
        return messages[len(self.answers)] if len(messages) > len(self.answers) else None

    def answer(self, number: int, asked: Asked, status: int, framing: Framing, size: int) -> Answer:
        """Begin; nothing is sent before ``send``."""
        body = content(number, size)
        bodiless = asked.method == "HEAD" or status in (204, 304)
        lines = [f"HTTP/1.1 {status} Said", f"X-Answer: {number}"]
        if framing == "length" and status != 204:
            lines.append(f"Content-Length: {size}")
        elif framing == "chunked" and status != 204:
            lines.append("Transfer-Encoding: chunked")
        self.closes_after = framing == "until close"
        self.out += "\r\n".join([*lines, "", ""]).encode()
        if not bodiless:
            self.out += encoded(body, framing)
        made = Answer(
            number, asked, status, b"" if bodiless else body, MessageReader([asked.method])
        )
        self.answers.append(made)
        return made

    def send(self, most: int) -> None:
        data = bytes(self.out[:most])
        sent = data[: len(data) - len(self.end.offer(data))]
        del self.out[: len(sent)]
        if not self.answers:
            return
        answer = self.answers[-1]
        answer.sent.feed(sent)
        if not self.out and self.closes_after:
            self.end.half_close()
            answer.sent.end()
        messages = answer.sent.messages
        answer.finished = bool(messages) and messages[-1].complete

    def left(self) -> None:
        """It ended without a word; of an answer until the close, nobody can tell."""
        self.out.clear()
        answer = self.answers[-1] if self.answers else None
        given = answer.sent.current if answer is not None else None
        near = self.end.peer
        in_order = near is not None and near.ended
        if answer is not None and given is not None and given.framing == UNTIL_CLOSE and in_order:
            answer.body = bytes(given.body)
            answer.finished = True

    def read(self) -> bool:
        data = self.end.read()
        if data:
            self.reader.feed(data)
        return bool(data)
