"""Bytes that are relayed unread: connections of TCP, and requests that changed their protocol."""

from tests.whole.book import Answer, Asked, Book, content
from tests.whole.kernel import Far
from tests.whole.party import Party

_NUMBER_BYTES = 8  # of TCP, before all else: which request it is, or which answer


class Flow:
    """Both ways of a tunnel, as one side has them.

    An end in order tells that this was all: nobody may see one that the other side did not make.
    """

    def __init__(self, party: Party, own: Asked | Answer) -> None:
        self.party = party
        self.own = own
        self.other: Asked | Answer | None = None  # whose bytes come
        self.at = 0  # of them
        party.put(content(own.number, 0, own.size))
        self._ends_at = party.queued
        self._begins_at = party.queued - own.size

    def take(self, data: bytes) -> None:
        other = self.other
        assert other is not None
        start = self.at
        self.at = end = start + len(data)
        assert end <= other.size, f"{self.party} gets more than {other.size} bytes"
        if data != content(other.number, start, end):
            raise AssertionError(f"{self.party}: lost, doubled or changed at {start}")

    def on_sent(self) -> None:
        far = self.party.far
        if far.sent == self._ends_at and not far.shut:
            far.half_close()
            self._end(self.own.size)

    def leave(self, how: str) -> None:
        """Before its end, perhaps: an end in order is one."""
        far = self.party.far
        if (
            not far.shut
            and not far.dead
            and (how == "half-close" or (how == "close" and not far.inbox))
        ):
            self._end(max(far.sent - self._begins_at, 0))

    def _end(self, size: int) -> None:
        own = self.own
        own.size = size
        if isinstance(own, Asked):
            own.sent = True
        else:
            own.finished = True

    def check_end(self) -> None:
        """The balancer ended in order."""
        other = self.other
        assert other is not None
        ended = other.sent if isinstance(other, Asked) else other.finished
        assert ended, f"{self.party} sees an end that nobody made"
        assert self.at == other.size, f"{self.party} sees the end at {self.at} of {other.size}"


class TcpParty(Party):
    """One side of a TCP connection."""

    flow: Flow | None = None
    _early = b""

    def act(self) -> bool:
        roll = self.kernel.random()
        if self.reading and roll < 0.5 and self.read(self.some_bytes()):
            return True
        if self.over:
            return False
        if self.out:
            return self.push(self.some_bytes())
        return False

    def finish(self) -> bool:
        self.reading = True
        moved = self.read(1 << 20)
        return (not self.over and self.push(1 << 20)) or moved

    def on_sent(self) -> None:
        if self.flow is not None:
            self.flow.on_sent()

    def still_sends(self) -> bool:
        return self.flow is not None and not self.far.shut

    def take(self, data: bytes) -> None:
        flow = self.flow
        if flow is None or flow.other is None:
            self._early += data
            if len(self._early) < _NUMBER_BYTES:
                return
            data = self._early[_NUMBER_BYTES:]
            flow = self.begin(int(self._early[:_NUMBER_BYTES]))
        if data:
            flow.take(data)

    def begin(self, number: int) -> Flow:
        """The other side told its number."""
        raise NotImplementedError

    def leave(self, how: str) -> None:
        if self.flow is not None:
            self.flow.leave(how)
        super().leave(how)


class TcpClient(TcpParty):
    kind = "client"

    def __init__(self, book: Book, far: Far) -> None:
        super().__init__(book, far)
        self.asked = book.ask("TUNNEL", self.some_size())
        self.kernel.note(self, "tunnels", self.asked.number, self.asked.size)
        self.put(b"%08d" % self.asked.number)
        self.flow = Flow(self, self.asked)

    @property
    def waiting(self) -> list[Asked]:
        return [] if self.asked.ended else [self.asked]

    def begin(self, number: int) -> Flow:
        flow = self.flow
        answer = self.book.answers[number]
        assert answer.asked is self.asked, "somebody else's tunnel"
        assert flow is not None
        flow.other = answer
        return flow

    def on_end(self, in_order: bool) -> None:
        flow = self.flow
        assert flow is not None
        if in_order and flow.other is not None:
            flow.check_end()
        else:
            self.book.end(self.asked, "cut" if flow.other is not None else "not answered")

    def on_over(self) -> None:
        if not self.asked.ended:
            self.book.end(self.asked, "answered" if self.asked.sent else "cut")

    def leave(self, how: str) -> None:
        super().leave(how)
        if self.left and not self.asked.ended:
            self.book.end(self.asked, "left")


class TcpEndpoint(TcpParty):
    kind = "endpoint"

    def begin(self, number: int) -> Flow:
        asked = self.book.asked[number]
        self.book.given(asked)
        answer = self.book.answer(asked, 0, self.some_size())
        self.kernel.note(self, "tunnels", number, "with", answer.number, answer.size)
        self.put(b"%08d" % answer.number)
        self.flow = flow = Flow(self, answer)
        flow.other = asked
        return flow

    def on_end(self, in_order: bool) -> None:
        if in_order and self.flow is not None:
            self.flow.check_end()
