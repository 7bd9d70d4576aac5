"""Connections to an endpoint that speaks HTTP/2: few of them, with many streams."""

from typing import Final

from penstock.core.ticket import CONNECT_FAILED, RESET
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.endpoint.connection import HANDSHAKE, EndpointConnection
from penstock.dataplane.endpoint.connector import Connector
from penstock.dataplane.endpoint.http2_owner import Http2Owner, OwnedStream
from penstock.dataplane.endpoint.http2_stream import Http2EndpointStream
from penstock.dataplane.endpoint.stream import EndpointStream, StreamSource
from penstock.dataplane.io.loop import Flushable
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings

# At a time on one connection, whatever the peer allows, and until it has said what it does.
MAX_STREAMS: Final = 100
_MEMORY_BYTES: Final = 1024 * 1024  # that a connection may hold, of all its streams

# Of the age that is configured: connections that were made together do not end together.
_LEAST_AGE: Final = 0.8
_AGE_SPREAD: Final = 0.4


def _settings() -> Settings:
    settings = Settings()
    settings.enable_push = False
    return settings


_SETTINGS: Final = _settings()
_LIMITS: Final = Limits(_MEMORY_BYTES)


class _Receiver(ConnectionReceiver):
    """What the codec tells of the connection goes to it. Apart, as it is no ``Pollable``."""

    def __init__(self, connection: "Http2EndpointConnection") -> None:
        self._connection: Http2EndpointConnection = connection

    def on_settings(self) -> None:
        self._connection.on_settings()

    def on_opening(self) -> None:
        self._connection.let_begin()

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self._connection.on_goaway()

    def on_failure(self, code: int, reason: str) -> None:
        self._connection.why = f"what the endpoint sent is not HTTP/2: {reason}"


class Http2EndpointConnection(EndpointConnection, Http2Owner, Flushable):
    """What its streams send while a batch of events is handled leaves in one piece at its end."""

    def __init__(
        self,
        connector: Connector,
        sock: Socket,
        address: Address,
        tls: TlsChannel | None,
    ) -> None:
        super().__init__(connector, sock, address, tls)
        self.codec: Http2Connection = Http2Connection(True, _SETTINGS, _LIMITS, _Receiver(self))
        self.why: str = ""  # it is over
        self.goes_away: bool = False  # the endpoint takes no more streams on it
        self._waiting: list[OwnedStream] = []  # for the connection, or for room on it
        self._running: dict[OwnedStream, None] = {}  # in their order
        self._answering: list[OwnedStream] = []  # whose heads came with the bytes at hand
        self._asking: list[OwnedStream] = []  # who wait to know what the endpoint can do
        self._flush_asked: bool = False
        self._started: bool = False
        # As many as the endpoint is known to have room for, whatever its settings say.
        self._most_running: int = MAX_STREAMS
        self._idle_until: float = 0.0
        self._retires_at: float = 0.0  # gets no further streams from then on; 0.0: never

    # --- streams ----------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether another stream can begin at once."""
        if not self._started or not self.is_usable() or self._waiting:
            return False
        codec = self.codec
        most = self._most_running if codec.settings_received else 1
        return len(self._running) < most and codec.can_open()

    def is_joinable(self, most: int) -> bool:
        """Whether it is being made, for fewer streams than it is expected to have room for."""
        made = self._started and self.codec.settings_received
        return self.is_usable() and not made and len(self._waiting) + len(self._running) < most

    def is_usable(self) -> bool:
        """Whether it may get further streams; not where it told the client of its first one, and
        not for ever: others may stand behind the same name or address meanwhile."""
        connector = self.connector
        return (
            self.open
            and not self.goes_away
            and self.proxy_version == 0
            and not self._is_old()
            and not connector.removed
            and self.address_generation == connector.address_generation
        )

    def _is_old(self) -> bool:
        return 0.0 < self._retires_at <= self.loop.env.now

    def new_stream(self) -> Http2EndpointStream:
        """One that may begin at once where there is room, else waits."""
        self.requests += 1
        stream = Http2EndpointStream(self, self.requests == 1, self.address.shown)
        if self.has_room():
            self._running[stream] = None
        else:
            self._waiting.append(stream)
        self._idle_until = 0.0
        return stream

    def let_begin(self) -> None:
        """Those that wait begin as far as there is room; only one before the endpoint has said how
        much there is."""
        codec = self.codec
        most = self._most_running if codec.settings_received else 1
        while self._waiting and len(self._running) < most and codec.can_open():
            stream = self._waiting.pop(0)
            self._running[stream] = None
            stream.on_connected()

    def on_settings(self) -> None:
        """The endpoint has said how many streams it takes, and what it can do."""
        self._tell_asking()
        self.let_begin()
        self._turn_away_waiting()

    def _tell_asking(self) -> None:
        asking = self._asking
        self._asking = []
        for stream in asking:
            stream.on_settings()

    def _turn_away_waiting(self) -> None:
        """There is no room for them here: they find another connection, or endpoint."""
        waiting = self._waiting
        self._waiting = []
        for stream in waiting:
            stream.turn_away()

    def stream_over(self, stream: OwnedStream) -> None:
        if stream in self._running:
            del self._running[stream]
            if self._most_running < MAX_STREAMS:
                self._most_running += 1
        elif stream in self._waiting:
            self._waiting.remove(stream)
        if self._waiting and self._started:  # the preface goes before anything else
            self.let_begin()
        if self._running or self._waiting or not self.open:
            return
        if not self._started or not self.is_usable():
            self._end()
            return
        timeout = self.connector.settings.idle_timeout_s
        self._idle_until = self.arm_stream(timeout)
        if self._retires_at > 0.0:
            self.look_at(self._retires_at)

    def release(self) -> list[OwnedStream]:
        """The streams that wait, for whoever carries them on: HTTP/2 is not spoken here."""
        waiting = self._waiting
        self._waiting = []
        return waiting

    def close_if_unused(self) -> None:
        """Its endpoint is removed, or stands elsewhere."""
        if self._started and not self._running and not self._waiting:
            self._end()

    def on_refused(self) -> None:
        """Those that it left out go to another connection; here more begin one by one."""
        self._most_running = max(len(self._running), 1)

    def http2(self) -> Http2Connection:
        return self.codec

    def scheme(self) -> bytes:
        return b"http" if self.tls is None else b"https"

    def will_answer(self, stream: OwnedStream) -> None:
        self._answering.append(stream)

    def await_settings(self, stream: OwnedStream) -> None:
        self._asking.append(stream)
        if self.codec.settings_received:
            self.touch()

    def count_sent(self, size: int) -> None:
        self.tally.bytes_sent += size

    # --- connecting -------------------------------------------------------------------------

    def connected(self) -> None:
        if self.tls is not None and self.tls.agreed_protocol() != "h2":
            self.fail(CONNECT_FAILED, "the endpoint does not speak HTTP/2 (ALPN)")
            return
        self._started = True
        age = self.connector.settings.http2_age_s
        if age > 0.0:
            env = self.loop.env
            self._retires_at = env.now + age * (_LEAST_AGE + _AGE_SPREAD * env.random())
        self.codec.start()
        if self.early:
            self.codec.receive(self.early, self.loop.env.now)
            self.early = b""
        self.touch()
        self.let_begin()

    def fail(self, outcome: int, reason: str) -> None:
        self.close()
        self._fail_all(outcome, reason)

    def _fail_all(self, outcome: int, reason: str) -> None:
        streams = [*self._waiting, *self._running]
        self._waiting = []
        self._running = {}
        for stream in streams:
            stream.fail(outcome, reason, late=self.timed_out)

    # --- reading and writing ----------------------------------------------------------------

    def on_readable(self) -> None:
        data = self.receive()
        if self.phase == HANDSHAKE:
            self.after_handshake(data)
            return
        if data is None:
            return
        if data == b"":
            self._on_end()
            return
        self.tally.bytes_received += len(data)
        self.codec.receive(data, self.loop.env.now)
        answering = self._answering
        if answering:
            self._answering = []
            for stream in answering:
                stream.answer()
        self.touch()

    def touch(self) -> None:
        if not self._flush_asked:
            self._flush_asked = True
            self.loop.flush_after_batch(self)

    def flush(self) -> None:
        self._flush_asked = False
        codec = self.codec
        if self._asking and codec.settings_received:
            self._tell_asking()
        while self.open and self.unsent is None:
            pieces = codec.take_output()
            if not pieces:
                break
            self.send(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if codec.failed and self.open:
            self._on_end()

    def on_drained(self) -> None:
        self.flush()

    def _on_end(self) -> None:
        """The endpoint closed, or the connection is of no use any more."""
        self.close()
        self.codec.lost()
        self._fail_all(RESET, self.why or self.told_end())

    def on_goaway(self) -> None:
        """Streams that it did not process were reset before, and are repeated elsewhere."""
        self.goes_away = True
        self._turn_away_waiting()
        if not self._running and self.open:
            self._end()

    def _end(self) -> None:
        if self._started and not self.codec.failed:
            self.codec.goaway()
            self.flush()
        self.close_in_order()

    # --- time -------------------------------------------------------------------------------

    def arm_stream(self, timeout: float) -> float:
        if timeout <= 0.0:
            return 0.0
        at = self.loop.env.now + timeout
        self.look_at(at)
        return at

    def look_at(self, at: float) -> None:
        race = self.race
        if race is not None:
            race.deadline = at if race.deadline == 0.0 else min(race.deadline, at)
            at = race.next_look(self.loop.env.now)
        if self.deadline == 0.0 or at < self.deadline:
            self.deadline = at

    def stream_idle_s(self) -> float:
        return self.connector.settings.stream_idle_s

    def now(self) -> float:
        return self.loop.env.now

    def on_deadline(self) -> None:
        if not self._started:
            self.connect_late()
            return
        now = self.loop.env.now
        unused = not self._running and not self._waiting
        if unused and (0.0 < self._idle_until <= now or self._is_old()):
            self._end()
            return
        for stream in [*self._running, *self._waiting]:
            if 0.0 < stream.due_at() <= now:
                stream.run_out_of_time()
        earliest = self._idle_until
        if unused and self._retires_at > 0.0 and (earliest == 0.0 or self._retires_at < earliest):
            earliest = self._retires_at
        for stream in [*self._running, *self._waiting]:
            at = stream.due_at()
            if at > 0.0 and (earliest == 0.0 or at < earliest):
                earliest = at
        self.deadline = earliest

    def on_crash(self) -> None:
        self.close()
        self._fail_all(RESET, "internal error; see the balancer's standard error")


class Http2Connections(StreamSource):
    """All of one endpoint in one worker."""

    def __init__(self) -> None:
        self._connections: list[Http2EndpointConnection] = []
        self._most: int = MAX_STREAMS  # of one connection, as the endpoint said last

    def ready(self) -> EndpointStream | None:
        for connection in self._connections:
            if connection.codec.settings_received:
                told = connection.codec.peer.max_concurrent_streams
                self._most = max(min(told, MAX_STREAMS), 1)
            if connection.has_room():
                return connection.new_stream()
        return None

    def close_idle(self) -> None:
        for connection in list(self._connections):
            connection.close_if_unused()

    def joinable(self) -> Http2EndpointStream | None:
        """A stream of a connection that is being made; None where there is none to join."""
        for connection in self._connections:
            if connection.is_joinable(self._most):
                return connection.new_stream()
        return None

    def add(self, connection: Http2EndpointConnection) -> Http2EndpointStream:
        """One that is being made, and its first stream."""
        self._connections = [each for each in self._connections if each.open]
        self._connections.append(connection)
        return connection.new_stream()
