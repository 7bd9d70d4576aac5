"""A WebSocket towards an endpoint, for one client's WebSocket: one response at a time."""

from typing import Final

from mypy_extensions import trait

from penstock.core.ticket import ABANDONED, GARBAGE, RESET, TIMEOUT
from penstock.dataplane.context import Context
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.tunnel.relay import side_of
from penstock.dataplane.tunnel.side import NOWHERE, SideOwner, TunnelSide
from penstock.wire.response_events import about_another
from penstock.wire.session_keys import session_hash
from penstock.wire.websocket import GOING_AWAY, MASK_BYTES, close_frame
from penstock.wire.websocket_messages import (
    BINARY,
    CLOSE,
    NORMAL,
    PING,
    PONG,
    TEXT,
    UNSUPPORTED,
    Message,
    MessageReader,
    message_frame,
)

_MAX_SHOWN: Final = 80  # characters of the reason of a close


@trait
class SocketUser:
    """The response that is under way on it."""

    def on_event(self, message: bytes) -> None:
        """The engine says something."""
        raise NotImplementedError

    def on_socket_lost(self, outcome: int, why: str) -> None:
        """Nothing more comes. ``outcome`` is of ``core.ticket``; the socket is over."""
        raise NotImplementedError


@trait
class SocketKeeper:
    """The client's WebSocket, which it is for."""

    def on_unasked(self, socket: "EndpointSocket", message: bytes) -> None:
        """The engine says something while no response is under way."""
        raise NotImplementedError

    def on_closed(self, socket: "EndpointSocket") -> None:
        """It is over."""
        raise NotImplementedError


class EndpointSocket(SideOwner):
    """Open until either side closes it; between two responses it waits for the next one."""

    user: SocketUser | None = None
    # Of the answer that came on it last: the hash of its name, its model, and the tokens of the
    # conversation that it ended.
    answer: int = 0
    told_as: str = ""  # its name, as the client knows it, where another engine began it
    known_as: str = ""  # and what it is called here
    model: str = ""
    heard: int = 0
    open: bool = True
    _chokes: bool = False  # it takes none of the answers to its pings

    def __init__(
        self,
        context: Context,
        keeper: SocketKeeper,
        endpoint: LiveEndpoint,
        before: Handed,
        most: int,
    ) -> None:
        self.endpoint: LiveEndpoint = endpoint
        self._context: Context = context
        self._keeper: SocketKeeper | None = keeper
        self._reader: MessageReader = MessageReader(False, most)
        self._counts: bool = isinstance(before, Connection)
        self._expires_at: float = 0.0  # the response under way; 0.0: never
        self._idle_s: float = 0.0  # that the next event may take
        self._held: bool = False
        self._side: TunnelSide = side_of(self, before)
        endpoint.long_lived.tunnels.add(self)

    def begin(self, received: bytes) -> None:
        """These bytes came before."""
        self._side.begin(received)

    # --- for a response -----------------------------------------------------------------------

    def carry(self, user: SocketUser, message: bytes, expires_at: float) -> None:
        """Ask for one; what comes from here on is its own."""
        self.user = user
        self._expires_at = expires_at
        settings = self.endpoint.connector.settings
        self._idle_s = settings.stream_idle_s
        self._wait(settings.first_byte_s)
        self.say(message)

    def follow(self, user: SocketUser) -> None:
        """The engine began one by itself."""
        self.user = user
        self._idle_s = self.endpoint.connector.settings.stream_idle_s
        self._wait(self._idle_s)

    def is_about(self, response: str) -> bool:
        """Whether that was answered on it last."""
        return self.answer == session_hash(response.encode("utf-8", "surrogatepass"))

    def say(self, message: bytes) -> None:
        """Send the engine one more."""
        if self.known_as:
            message = about_another(message, self.told_as, self.known_as)
        self._send(message_frame(TEXT, message, self._mask()))

    def release(self, idle_s: float) -> None:
        """Its response is over; the next one may come within so long."""
        self.user = None
        self._expires_at = 0.0
        self._idle_s = idle_s
        self._wait(idle_s)

    def hold(self) -> None:
        """The client takes no more for now."""
        if self.open:
            self._held = True
            self._side.hold()
            self._side.expire_at(self._expires_at)  # it owes nothing meanwhile

    def take_on(self) -> None:
        """The client takes more."""
        if self.open and self._held:
            self._held = False
            self._wait(self._idle_s)
            if not self._chokes:
                self._side.go_on()

    def _wait(self, seconds: float) -> None:
        """The next thing must come within so long; 0.0: at any time."""
        if self._held:
            return
        at = self._context.env.now + seconds if seconds > 0.0 else 0.0
        expires_at = self._expires_at
        self._side.expire_at(min(at, expires_at) if at and expires_at else at or expires_at)

    # --- what comes -----------------------------------------------------------------------------

    def pass_on(self, side: TunnelSide, data: bytes) -> None:
        if not self.open:
            return
        if self._counts:
            self.endpoint.tally.bytes_received += len(data)
        reader = self._reader
        for message in reader.feed(data):
            self._take(message)
            if not self.open:
                return
        if reader.code:
            self._end(
                GARBAGE, f"the endpoint broke off its WebSocket: {reader.reason}", reader.code
            )

    def _take(self, message: Message) -> None:
        kind = message.kind
        if kind == TEXT:
            self._wait(self._idle_s)
            if self.user is not None:
                self.user.on_event(message.data)
            elif self._keeper is not None:
                self._keeper.on_unasked(self, message.data)
        elif kind == PING:
            if not self._send(message_frame(PONG, message.data, self._mask())):
                self._chokes = True
                self._side.hold()
        elif kind == CLOSE:
            told = message.data.decode()[:_MAX_SHOWN]
            told = f": {told}" if told else ""
            self._end(RESET, f"the endpoint closed its WebSocket ({message.code}{told})", NORMAL)
        elif kind == BINARY:
            self._end(GARBAGE, "the endpoint sent a binary message", UNSUPPORTED)

    def _send(self, data: bytes) -> bool:
        """A client that asks for more than its endpoint takes is bounded by what it may ask for."""
        self.endpoint.tally.bytes_sent += len(data)
        return self._side.take(data)

    def _mask(self) -> bytes:
        return self._context.loop.system.rng.randbytes(MASK_BYTES)

    # --- ends -------------------------------------------------------------------------------

    def close(self) -> None:
        """Nobody wants more of it: the endpoint sees that at once."""
        self.user = None
        self._end(ABANDONED, "", GOING_AWAY)

    def _end(self, outcome: int, why: str, code: int) -> None:
        """Say so by a close, unless ``code`` is 0, and tell whoever waits for more."""
        if not self.open:
            return
        self.open = False
        if code:
            self._side.take(close_frame(code, mask=self._mask()))
            self._side.close_in_order()
        else:
            self._side.reset()
        self._side = NOWHERE
        self.endpoint.long_lived.tunnels.discard(self)
        user = self.user
        keeper = self._keeper
        self.user = None
        self._keeper = None
        if keeper is not None:
            keeper.on_closed(self)
        if user is not None:
            user.on_socket_lost(outcome, why)

    def drained(self, side: TunnelSide) -> None:
        """It takes more; nobody was held up by it but itself."""
        if self._chokes:
            self._chokes = False
            if not self._held:
                self._side.go_on()

    def limit_other(self, side: TunnelSide, most: int) -> None:
        """The other is the client, which is asked for no more than it asks for."""

    def end_of(self, side: TunnelSide) -> None:
        self._end(RESET, "the endpoint closed its connection", 0)

    def broke(self, side: TunnelSide) -> None:
        self._end(RESET, "the endpoint's connection broke", 0)

    def drain(self, code: int) -> None:
        """Its endpoint has been going out of service for as long as it may."""
        self._end(ABANDONED, "its endpoint goes out of service", GOING_AWAY)

    def run_out_of_time(self) -> None:
        if self.user is None:
            self._end(ABANDONED, "", GOING_AWAY)
        elif 0.0 < self._expires_at <= self._context.env.now:
            self._end(TIMEOUT, "the whole request took too long", GOING_AWAY)
        else:
            self._end(TIMEOUT, "the endpoint's next event took too long", GOING_AWAY)

    def cut_off(self) -> None:
        self._end(ABANDONED, "the balancer ended it", 0)
