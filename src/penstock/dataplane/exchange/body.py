"""The body of a request, as far as it has come: what is kept of it, and the memory that takes."""

from typing import Final

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.mirror import Mirror

# Request bytes kept for another attempt; a longer body can be sent once only.
MAX_REPLAY_BYTES: Final = 65536


class RequestBody:
    """Pieces are in the client's framing, and kept until nothing can be sent again."""

    # Defaults stand in the class body: set one by one they cost more.
    replayable: bool = True  # all of what came is kept
    # Of the body that is sent in the client's place: its length, -1 while the client's own is sent,
    # and whether its content coding was taken off.
    other_length: int = -1
    decoded: bool = False
    room: int = 0  # taken by one that is read whole, of the worker's for all of them
    heard: int = -1  # tokens of its conversation that its endpoint has; -1: all stands here
    mirror: Mirror | None = None  # that gets a copy of it

    def __init__(self, data: bytes, complete: bool) -> None:
        self.complete: bool = complete
        self.size: int = len(data)  # of what came while it was kept
        self.first: bytes = data
        self._more: list[bytes] | None = None

    def add(self, data: bytes, complete: bool, keep: bool) -> None:
        """The next piece came; ``keep``: for sending it later, or again."""
        self.complete = complete
        if keep and self.replayable:
            self.size += len(data)
            if self._more is None:
                self._more = [data]
            else:
                self._more.append(data)
        if self.mirror is not None:
            self.mirror.feed(data, complete)

    def copy_to(self, mirror: Mirror | None) -> None:
        """A mirror gets what came, and what follows; None: there is none after all."""
        self.mirror = mirror
        if mirror is not None:
            mirror.feed(self.first, self.complete)

    def kept(self) -> bytes:
        """All that is kept, in one piece."""
        if self._more is not None:
            self.first = b"".join([self.first, *self._more])
            self._more = None
        return self.first

    def pieces(self) -> list[bytes]:
        """All that is kept, as it came."""
        first = [self.first] if self.first else []
        return first if self._more is None else [*first, *self._more]

    def replace(self, data: bytes, length: int) -> None:
        """That is sent in the place of what came; ``length`` of the whole, -1 as the client's."""
        self.first = data
        self._more = None
        self.other_length = length

    def forget(self) -> None:
        """It was handed on, and nothing is repeated from here on."""
        self.first = b""
        self._more = None
        self.replayable = False

    def take_room(self, context: Context, size: int) -> bool:
        """Take memory for so many bytes of it; False when the worker has too little for them."""
        self.room += size
        context.prompt_bytes += size
        return context.prompt_bytes <= context.prompt_room

    def give_room_back(self, context: Context) -> None:
        """The other end of ``take_room``."""
        context.prompt_bytes -= self.room
        self.room = 0

    def end(self, context: Context, *, refused: bool = False) -> None:
        """Its exchange ended: nothing more comes of it, and nobody needs what is kept. Of one that
        was ``refused`` here no copy goes on either."""
        if self.mirror is not None and (refused or not self.complete):
            self.mirror.give_up()
        if self.room:
            self.give_room_back(context)
