"""A client's connection that speaks HTTP/2: many streams, each with an exchange of its own."""

from socket import SHUT_WR
from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE
from penstock.dataplane.board.layout import (
    W_BAD_REQUESTS,
    W_HTTP2_CONNECTIONS,
    W_HTTP2_FLOODS,
    W_HTTP2_STREAM_FAULTS,
)
from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.client.http2_stream import Http2Stream
from penstock.dataplane.client.identity import header_of
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.client.silence import Silence
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.log_line import refusal_line
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import READABLE, Alarm, Flushable
from penstock.wire.client_certificate import ClientCertificate
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.stream import Stream, StreamReceiver
from penstock.wire.proxy_protocol import ProxyHeader

_LINGER_S: Final = 2.0  # for the client to read why its connection ended
_LINGER_BYTES: Final = 1048576  # of what it sends meanwhile
_LAST_STREAM_S: Final = 1.0  # for streams that were on their way when the end was announced
_PING: Final = b"penstock"
_BEGIN_AT_ONCE: Final = 16  # streams, within one batch of events


class _Receiver(ConnectionReceiver):
    """What the codec tells of the connection goes to it. Apart, as it is no ``Pollable``."""

    def __init__(self, client: "Http2Client") -> None:
        self._client: Http2Client = client

    def on_stream(self, stream: Stream) -> StreamReceiver:
        return self._client.new_stream(stream)

    def on_ping_ack(self, payload: bytes) -> None:
        if payload == _PING:
            self._client.say_goaway()

    def on_stream_fault(self, stream_id: int, code: int, reason: str) -> None:
        self._client.on_stream_fault(reason)

    def on_failure(self, code: int, reason: str) -> None:
        self._client.on_failure(reason)


class _FurtherStreams(Alarm):
    """Those that did not begin yet. Apart, as the connection is a ``Pollable``."""

    def __init__(self, client: "Http2Client") -> None:
        self._client: Http2Client = client

    def ring(self, now: float) -> None:
        self._client.begin_streams()

    def on_crash(self) -> None:
        self._client.on_crash()


class Http2Client(Connection, Http2Host, Flushable):
    """Goes on in the place of the connection that found HTTP/2 on itself.

    What its streams send while a batch of events is handled leaves in one piece at its end.
    """

    def __init__(
        self, context: Context, before: Connection, address: str, settings: ClientSettings
    ) -> None:
        super().__init__(before.loop, before.sock, before.tls)
        self.context: Context = context
        self.settings: ClientSettings = settings
        self.address: str = address
        self.told: ProxyHeader | None = None  # that its connection began with
        self.certificate: ClientCertificate | None = None  # that it showed, and was verified
        self.requests: int = 0
        self.codec: Http2Connection = Http2Connection(
            False, settings.http2_settings, settings.http2_limits, _Receiver(self)
        )
        self._silence: Silence = Silence(self.codec, settings.silence_s)
        self._before: Connection = before
        self._streams: dict[int, Http2Stream] = {}  # those with an exchange, or yet to send
        self._beginning: list[Http2Stream] = []  # whose heads came
        self._flush_asked: bool = False
        self._ending: bool = False  # told so, and shut down: what comes is thrown away
        self._thrown_away: int = 0  # bytes since its end was told
        self._announced: bool = False  # the end, which follows after a round trip
        self._idle_until: float = 0.0  # while there is no stream; 0.0: for ever
        self._take_until: float = 0.0  # while the client's system takes nothing more
        self._progressed_at: float = 0.0
        self._waiting_bytes: int = 0  # of answers, in all streams
        self._short: bool = False
        self._most_waiting_bytes: int = settings.http2_limits.waiting_bytes
        self.take_over(before)
        if self.unsent is not None:
            self._await_taking()
        context.counters.bump(W_HTTP2_CONNECTIONS)
        self.codec.start()
        self._await_stream(settings.headers_s)
        self.touch()

    def left(self) -> None:
        self._before.left()

    # --- reading ----------------------------------------------------------------------------

    def on_readable(self) -> None:
        data = self.receive()
        if data is None:
            return
        if data == b"":
            self._on_gone()
            return
        self.take(data)

    def take(self, data: bytes) -> None:
        """Bytes came."""
        self.context.counters.bytes_from_clients += len(data)
        if self._ending or self.codec.failed:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:
                self.reset()
            return
        self.codec.receive(data, self.loop.env.now)
        if self._beginning:
            self.begin_streams()
        self.touch()

    def begin_streams(self) -> None:
        """Some of those whose heads are there; others of the loop have their turn before the rest.

        A hundred requests that came at once took as long as fifteen milliseconds, for which all
        other clients waited.
        """
        beginning = self._beginning
        self._beginning = []
        if len(beginning) > _BEGIN_AT_ONCE:
            self._beginning = beginning[_BEGIN_AT_ONCE:]
            beginning = beginning[:_BEGIN_AT_ONCE]
            self.loop.ring_next(_FurtherStreams(self))
        for stream in beginning:
            stream.begin()

    def new_stream(self, stream: Stream) -> Http2Stream:
        """The client opened one; its exchange begins when all bytes at hand were read, which may
        hold its body, or its end."""
        self.requests += 1
        made = Http2Stream(self.context, self, stream, self.settings, self.address)
        self._streams[stream.id] = made
        self._beginning.append(made)
        self._idle_until = 0.0
        self._silence.watch(self)
        limit = self.settings.requests
        if limit and self.requests >= limit:
            self.say_goaway()
        return made

    def stream_over(self, stream: Stream) -> None:
        self._streams.pop(stream.id, None)
        if not self._streams:
            timeout = self.settings.keep_alive_s
            if self._announced and (timeout == 0.0 or timeout > _LAST_STREAM_S):
                timeout = _LAST_STREAM_S
            self._await_stream(timeout)

    def is_secure(self) -> bool:
        return self.tls is not None

    def shown_certificate(self) -> ClientCertificate | None:
        return self.certificate

    def proxy_header(self) -> ProxyHeader:
        return header_of(self, self.address, self.told, self.certificate)

    # --- what waits for the client ----------------------------------------------------------

    def note_waiting(self, more: int) -> None:
        self._waiting_bytes += more
        if self._waiting_bytes > self._most_waiting_bytes and not self._short:
            self._short = True
            for stream in list(self._streams.values()):
                stream.fit()

    def is_short(self) -> bool:
        return self._short

    def room(self, stream: Stream) -> int:
        codec = self.codec
        output = codec.limits.output_bytes - codec.output_bytes
        if self.unsent is not None:
            output = 0
        return min(stream.send_window, codec.send_window, output)

    def progressed_at(self) -> float:
        return self._progressed_at

    def _look_for_room(self) -> None:
        """After something was sent, or windows changed."""
        if self._waiting_bytes * 2 <= self._most_waiting_bytes:
            self._short = False
        for stream in list(self._streams.values()):
            if self._short:
                stream.fit()
            else:
                stream.be_free()

    # --- writing ----------------------------------------------------------------------------

    def http2(self) -> Http2Connection:
        return self.codec

    def touch(self) -> None:
        if not self._flush_asked:
            self._flush_asked = True
            self.loop.flush_after_batch(self)

    def flush(self) -> None:
        self._flush_asked = False
        codec = self.codec
        while self.open and self.unsent is None:
            pieces = codec.take_output()
            if not pieces:
                break
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.context.counters.bytes_to_clients += len(data)
            self._progressed_at = self.loop.env.now
            if not self.send(data):
                self._await_taking()
        if not self.open:
            return
        if self._short:
            self._look_for_room()
        if self.unsent is None:
            if not self.events & READABLE:
                self.resume_reading()
            if codec.finished() and not self._ending:
                self._end()
        elif codec.output_bytes > codec.limits.output_bytes and self.events & READABLE:
            self.pause_reading()  # it asks for more and takes nothing

    def _await_taking(self) -> None:
        timeout = self.settings.write_idle_s
        if timeout > 0.0:
            self._take_until = self.loop.env.now + timeout
            self.watch_until(self._take_until)

    def on_drained(self) -> None:
        self._take_until = 0.0
        if self._ending:
            self._shut_down()
        else:
            self._progressed_at = self.loop.env.now
            self.touch()

    def on_progress(self) -> None:
        self._progressed_at = self.loop.env.now
        self._await_taking()

    # --- time -------------------------------------------------------------------------------

    def watch_until(self, at: float) -> None:
        """Look at all deadlines then, or before."""
        if self.deadline == 0.0 or at < self.deadline:
            self.deadline = at

    def _await_stream(self, timeout: float) -> None:
        if timeout > 0.0:
            self._idle_until = self.loop.env.now + timeout
            self.watch_until(self._idle_until)

    def _rearm(self) -> None:
        """The next of all deadlines."""
        earliest = self._idle_until
        if self._take_until > 0.0 and (earliest == 0.0 or self._take_until < earliest):
            earliest = self._take_until
        for stream in self._streams.values():
            at = stream.deadline
            if at > 0.0 and (earliest == 0.0 or at < earliest):
                earliest = at
        self.deadline = self._silence.sooner(earliest)

    def on_deadline(self) -> None:
        now = self.loop.env.now
        if self._ending:
            self.close()
            return
        why = self._silence.why_over(now)
        if 0.0 < self._take_until <= now:
            why = f"the client took nothing for {self.settings.write_idle_s:g} s"
        if why:
            self._cut_all(CLIENT_GONE, why)
            self.reset()
            return
        if 0.0 < self._idle_until <= now and not self._streams:
            self._idle_until = 0.0
            self.say_goaway()
        for stream in list(self._streams.values()):
            if 0.0 < stream.deadline <= now:
                stream.run_out_of_time()
        self._rearm()
        self.touch()

    # --- ends -------------------------------------------------------------------------------

    def say_goaway(self) -> None:
        """No further stream is taken; those that are open go on."""
        if not self.codec.goaway_sent:
            self.codec.goaway()
        self.touch()

    def close_if_idle(self) -> None:
        """The worker stops: streams on their way are still taken, for one round trip."""
        if self._streams:
            self._announced = True
            self.codec.announce_goaway()
            self.codec.ping(_PING)
        else:
            self.codec.goaway()
        self.touch()

    def listener_gone(self, listener: str) -> None:
        if self.settings.listener == listener:
            self.close_if_idle()

    def go_away(self) -> None:
        self.say_goaway()
        for stream in list(self._streams.values()):
            stream.go_away()

    def cut_off(self) -> None:
        self._cut_all(ABANDONED, "the balancer stopped, and its deadline passed")
        self.reset()

    def on_stream_fault(self, reason: str) -> None:
        """A stream was reset for what the client sent."""
        self.context.counters.bump(W_HTTP2_STREAM_FAULTS)
        self._log(reason)

    def on_failure(self, reason: str) -> None:
        """The connection is over for what the client did: say so, and close."""
        counters = self.context.counters
        counters.bump(W_BAD_REQUESTS)
        exceeded = self.codec.floods.exceeded
        if exceeded >= 0:
            counters.bump(W_HTTP2_FLOODS + exceeded)
        self._log(reason)
        self.touch()

    def _log(self, reason: str) -> None:
        log = self.context.log
        if log.enabled:
            told = f"HTTP/2: {reason}"
            log.write(refusal_line(self.address, b"", 400, told, log.shape))

    def _on_gone(self) -> None:
        """The client closed its connection, or its side of it: it waits for nothing any more."""
        self.codec.lost()
        self.close()

    def on_peer_closed(self) -> None:
        self._on_gone()

    def _cut_all(self, outcome: int, why: str) -> None:
        for stream in list(self._streams.values()):
            stream.cut_off(outcome, why)
        self._streams.clear()

    def on_crash(self) -> None:
        try:
            self._cut_all(ABANDONED, "internal error; see the balancer's standard error")
        finally:
            self.reset()

    def _end(self) -> None:
        """Everything was said: close, so that the client reads it even if it is still sending."""
        self._ending = True
        self._streams.clear()
        if self.unsent is None:
            self._shut_down()

    def _shut_down(self) -> None:
        tls = self.tls
        if tls is not None and tls.established:
            self.send(tls.farewell(), True)
        self.tls = None
        self.deadline = self.loop.env.now + _LINGER_S
        if not self.events & READABLE:
            self.resume_reading()
        try:
            self.sock.shutdown(SHUT_WR)
        except OSError:
            self.close()
