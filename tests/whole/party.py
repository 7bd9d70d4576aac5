"""What clients and endpoints have in common."""

from tests.whole.book import MOST_BYTES, Book
from tests.whole.kernel import Far, Kernel


class Party:
    """One side of one connection, which does something now and then."""

    kind = "?"

    def __init__(self, book: Book, far: Far) -> None:
        self.book = book
        self.kernel: Kernel = book.kernel
        self.far = far
        self.out = bytearray()
        self.queued = 0  # bytes ever put into ``out``
        self.reading = True
        self.left = False  # it closed, or reset
        self.over = False  # nothing comes of it any more
        self.seen_end = False  # of what the balancer sends

    def __repr__(self) -> str:
        near = self.far.peer
        return f"{self.kind}({near.fd if near is not None else '-'})"

    def put(self, data: bytes) -> None:
        self.out += data
        self.queued += len(data)

    def act(self) -> bool:
        """Do something; whether there was anything to do."""
        raise NotImplementedError

    def finish(self) -> bool:
        """Do all that is left to do; whether there was anything."""
        raise NotImplementedError

    def push(self, most: int) -> bool:
        sent = self.far.push(self.out, most)
        if sent:
            self.on_sent()
        return sent > 0

    def on_sent(self) -> None:
        """Some of ``out`` is gone."""

    def read(self, most: int) -> bool:
        """What came; whether anything did."""
        far = self.far
        if self.left:
            return False
        if far.inbox:
            self.take(far.take(most))
            return True
        if self.over or not (far.ended or far.dead):
            return False
        told = self.seen_end
        if not told:
            self.seen_end = True
            self.kernel.note(self, "sees the end" if far.ended else "sees a reset")
            self.on_end(far.ended)
        if far.dead or not self.still_sends():
            self.over = True
            self.on_over()
            far.close()
            return True
        return not told

    def still_sends(self) -> bool:
        """Whether the other's end is not its own."""
        return False

    def on_over(self) -> None:
        """Both sides have ended, or it was a reset."""

    def take(self, data: bytes) -> None:
        raise NotImplementedError

    def on_end(self, in_order: bool) -> None:
        """The balancer closed, or reset."""
        raise NotImplementedError

    def leave(self, how: str) -> None:
        """Close, reset, or send no more."""
        self.kernel.note(self, how)
        if how == "half-close":
            self.far.half_close()
            self.out.clear()
            return
        self.left = True
        self.over = True
        if how == "reset":
            self.far.reset()
        else:
            self.far.close()

    def some_bytes(self) -> int:
        """To send or read at once."""
        roll = self.kernel.random()
        if roll < 0.5:
            return 1 << 20
        return 1 + int(roll * roll * 4000) if roll < 0.9 else 1 + int((roll - 0.9) * 100)

    def some_size(self) -> int:
        """Of a body."""
        roll = self.kernel.random()
        if roll < 0.2:
            return 0
        if roll < 0.9:
            return int((roll - 0.2) ** 3 * 3000)
        return int((roll - 0.9) * 10 * 40_000) if roll < 0.995 else MOST_BYTES
