"""One connection to the shared store for what is published there, in both directions.

RESP3 (Redis 7.0 and Valkey speak it) tells of publications on the connection that publishes, so
one is enough. What is sent is not waited for: two hundred messages a second through a client that
awaits each answer cost four times as much. The parser is hiredis, which the client brings.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import hiredis

from penstock.config.compile.configured import StoreSettings
from penstock.control.store.store import StoreError

ANSWER_S: Final = 1.0  # a server that says nothing for so long is gone
_PING_S: Final = 0.25
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0
_MOST_UNSENT: Final = 1024 * 1024  # bytes; a server that is slower loses messages instead
MOST_MESSAGE: Final = 4 * 1024 * 1024  # bytes; who sends longer ones is not one of us
_PONG: Final = b"PONG"
Locate = Callable[[], Awaitable[tuple[str, int]]]


class Feed:
    """``connected`` says whether it works, ``problem`` why not.

    ``on_message`` gets a channel and what was published there, ``on_connected`` is called whenever
    it works again: what was published meanwhile is lost.
    """

    def __init__(
        self, settings: StoreSettings, locate: Locate, channels: tuple[bytes, ...], rng: Random
    ) -> None:
        self._settings = settings
        self._locate = locate
        self._channels = channels
        self._rng = rng
        self._tls = tls_context(settings) if settings.tls else None
        self._connection: _Connection | None = None
        self.connected = False
        self.problem = "not connected yet"
        self.connects = 0
        self.dropped = 0  # messages that were not sent, because the server is slow or gone
        self.on_message: Callable[[bytes, bytes], None] = _nobody
        self.on_connected: Callable[[], None] = _no_one
        self.on_lost: Callable[[str], None] = _no_body

    def publish(self, channel: bytes, message: bytes) -> bool:
        """Send it, if the server takes it; never waits."""
        connection = self._connection
        if connection is None or not self.connected or connection.unsent() > _MOST_UNSENT:
            self.dropped += 1
            return False
        connection.send(b"PUBLISH", channel, message)
        return True

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        failures = 0
        while True:
            try:
                await self._serve()
            except (TimeoutError, OSError, StoreError, ValueError) as error:
                if self.connected:
                    failures = 0
                self._lost(str(error) or "it does not answer")
            finally:
                self._close()
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures, 10))
            failures += 1
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.0))

    async def _serve(self) -> None:
        """Connect and stay until that fails. Raises OSError, StoreError and TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(2 * ANSWER_S):
            host, port = await self._locate()
            connection = _Connection(self._heard, len(self._channels))
            await loop.create_connection(
                lambda: connection,
                host,
                port,
                ssl=self._tls,
                server_hostname=host if self._tls is not None else None,
            )
            self._connection = connection
            connection.send(*self._hello())
            connection.send(b"SUBSCRIBE", *self._channels)
            await connection.subscribed
        self.connected = True
        self.problem = ""
        self.connects += 1
        self.on_connected()
        while True:
            connection.send(b"PING")
            done, _ = await asyncio.wait([connection.lost], timeout=_PING_S)
            if done:
                raise StoreError(connection.lost.result())
            if loop.time() - connection.heard_at > ANSWER_S:
                raise StoreError(f"it has said nothing for {ANSWER_S:g} s")

    def _hello(self) -> tuple[bytes, ...]:
        settings = self._settings
        if not settings.password:
            return (b"HELLO", b"3")
        user = (settings.username or "default").encode()
        return (b"HELLO", b"3", b"AUTH", user, settings.password.encode())

    def _heard(self, channel: bytes, message: bytes) -> None:
        self.on_message(channel, message)

    def _lost(self, problem: str) -> None:
        was = self.connected
        self.connected = False
        self.problem = problem
        if was:
            self.on_lost(problem)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        self.connected = False


class _Connection(asyncio.Protocol):
    """``subscribed`` and ``lost`` (with the reason) are told as futures."""

    def __init__(self, on_message: Callable[[bytes, bytes], None], channels: int) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._on_message = on_message
        self._channels = channels
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._unparsed = 0
        self.heard_at = loop.time()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, *words: bytes) -> None:
        if self._transport is not None and not self.lost.done():
            self._transport.write(packed(words))

    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.subscribed.cancel()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._unparsed += len(data)
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._unparsed = 0
                self._take(reply)
        except hiredis.ProtocolError as error:
            self._fail(f"what it says is not its protocol: {error}")
        if self._unparsed > MOST_MESSAGE:
            self._fail(f"it sends more than {MOST_MESSAGE} bytes at once")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}" if exc else "it closed the connection")

    def _take(self, reply: object) -> None:
        if isinstance(reply, list) and len(reply) == 3:
            kind, channel, message = reply
            if kind == b"message" and isinstance(message, bytes):
                self._on_message(channel, message)
            elif (kind, message) == (b"subscribe", self._channels) and not self.subscribed.done():
                self.subscribed.set_result(None)
        elif isinstance(reply, hiredis.ReplyError):
            text = str(reply)
            if not self.subscribed.done() or text.startswith(("READONLY", "NOAUTH", "LOADING")):
                self._fail(text)

    def _fail(self, problem: str) -> None:
        if not self.lost.done():
            self.lost.set_result(problem)
        if not self.subscribed.done():
            self.subscribed.set_exception(StoreError(problem))
        if self._transport is not None:
            self._transport.abort()


def packed(words: tuple[bytes, ...]) -> bytes:
    """A command as servers read it (RESP, "Sending commands to a Redis server")."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


def tls_context(settings: StoreSettings) -> ssl.SSLContext:
    """What the server's certificate is checked by. Raises OSError and ssl.SSLError."""
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key or None)
    return context


def _nobody(channel: bytes, message: bytes) -> None:
    """Wants to know."""


def _no_one() -> None:
    """Wants to know."""


def _no_body(problem: str) -> None:
    """Wants to know."""
