"""An answer in the making: the engine's sequence, its text, and who listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from penstock.fleet.engine.frame import NUMBER_BYTES, TOKEN_ID_BYTES, Frame, with_token
from penstock.fleet.engine.text import TOKEN_BYTES
from penstock.sim.sequence import Sequence


class Listener(Protocol):
    """Told of each token as it is emitted."""

    def token(self, text: bytes, last: bool) -> None: ...


class Sink(Protocol):
    """What events are written to."""

    def write(self, data: bytes) -> None: ...


class Generation(Sequence):
    """A request that an engine works on. ``data`` is prompt and answer in whole tokens."""

    __slots__ = ("adapter", "block_tokens", "data", "listener", "stopped")

    def __init__(
        self,
        prompt: bytes,
        answer: bytes,
        blocks: list[int],
        *,
        block_tokens: int,
        stopped: bool,
        adapter: str,
    ) -> None:
        super().__init__(len(prompt) // TOKEN_BYTES, len(answer) // TOKEN_BYTES, blocks)
        self.data = prompt + answer
        self.block_tokens = block_tokens
        self.stopped = stopped  # ends by itself, not by a limit
        self.adapter = adapter
        self.listener: Listener | None = None

    @property
    def answer(self) -> bytes:
        return self.data[self.prompt_tokens * TOKEN_BYTES :]

    def tokens_of_block(self, position: int) -> memoryview:
        """The text of one of its full blocks."""
        size = self.block_tokens * TOKEN_BYTES
        return memoryview(self.data)[position * size : (position + 1) * size]

    def emit(self) -> None:
        """Hand the token that was just generated to the listener."""
        if self.listener is not None:
            start = (self.prompt_tokens + self.generated - 1) * TOKEN_BYTES
            self.listener.token(self.data[start : start + TOKEN_BYTES], self.finished)


class WholeAnswer:
    """Waits for the last token."""

    def __init__(self) -> None:
        self._done = asyncio.get_running_loop().create_future()

    def token(self, text: bytes, last: bool) -> None:
        if last and not self._done.done():
            self._done.set_result(None)

    async def wait(self) -> None:
        await self._done


class StreamedAnswer:
    """Writes one server-sent event for each token, framed in advance, straight to the socket.

    A token costs one ``send``: no task wakes up for it. ``opening`` goes out with the first one.
    Tokens that come before ``attach`` wait.
    """

    def __init__(self, opening: bytes, frame: Frame, chunked: bool, first_number: int = -1) -> None:
        before, after, after_last = frame
        self._before, self._after = _framed(before, after, chunked)
        self._before_last, self._after_last = _framed(before, after_last, chunked)
        self._early = _chunk(opening) if chunked and opening else opening
        self._number = first_number
        self._tells_ids = TOKEN_ID_BYTES in after
        self._tokens = 0
        self._transport: Sink | None = None
        self._done = asyncio.get_running_loop().create_future()

    def event(self, text: bytes, last: bool) -> bytes:
        """Of that token."""
        before, after = self._before, self._after
        if last:
            before, after = self._before_last, self._after_last
        event = before + text + (with_token(after, text) if self._tells_ids else after)
        if self._number >= 0:
            # As many bytes as the mark has, so that the chunk's size holds.
            event = event.replace(NUMBER_BYTES, b"%9d" % self._number, 1)
            self._number += 1
        return event

    def token(self, text: bytes, last: bool) -> None:
        event = self.event(text, last)
        self._tokens += 1
        if self._transport is None:
            self._early += event
        elif self._early:
            self._transport.write(self._early + event)
            self._early = b""
        else:
            self._transport.write(event)
        if last and not self._done.done():
            self._done.set_result(None)

    def attach(self, transport: Sink) -> None:
        """Write the tokens that wait, and further ones as they come."""
        self._transport = transport
        if self._tokens:
            transport.write(self._early)
            self._early = b""

    async def wait(self) -> None:
        await self._done


class CumulativeAnswer(StreamedAnswer):
    """The same of events that tell all that came so far: ``event_of`` makes the one of so many
    tokens, of which it says whether they are all."""

    def __init__(self, event_of: Callable[[int, bool], bytes], chunked: bool) -> None:
        super().__init__(b"", Frame(b"", b"", b""), chunked)
        self._event_of = event_of
        self._chunked = chunked

    def event(self, text: bytes, last: bool) -> bytes:
        event = self._event_of(self._tokens + 1, last)
        return _chunk(event) if self._chunked else event


def _chunk(data: bytes) -> bytes:
    """``data`` as a chunk of HTTP/1.1 (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _framed(before: bytes, after: bytes, chunked: bool) -> tuple[bytes, bytes]:
    """The halves of an event, in a chunk unless the connection's end frames the answer."""
    if not chunked:
        return before, after
    size = len(before) + TOKEN_BYTES + len(after)
    return b"%x\r\n" % size + before, after + b"\r\n"
