"""KEDA's external scaler (externalscaler.proto) over gRPC: how many replicas a pool wants.

The supervisor serves it, and not the workers: the number is the supervisor's alone, is asked for
every few seconds, and has no business on the path of requests. The address is its own, as KEDA can
send no token: it tells numbers of scaled pools and takes nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from penstock.control.background import Sleep
from penstock.control.events import Events
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.address import shown_address
from penstock.wire import external_scaler as messages
from penstock.wire.grpc import (
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    OK,
    UNAVAILABLE,
    UNIMPLEMENTED,
    trailers,
    trailers_only,
)
from penstock.wire.grpc_messages import MessageReader, encode_message
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import (
    HeaderBlock,
    plain_field,
    response_block,
    trailer_block,
)
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream, StreamReceiver

METRIC: Final = "penstock-desired"
# By pool, how many endpoints it wants. None: it is not known yet. Raises KeyError with a text.
Desired = Callable[[str], int | None]
_MESSAGE_BYTES: Final = 65536
_MOST_CONNECTIONS: Final = 64
_STREAMS: Final = 100  # calls at a time on each connection
_TICK_S: Final = 0.5  # between two looks at what streams are to be told
_AGAIN_S: Final = 5.0  # after an address that could not be listened on
_PATH: Final = f"/{messages.SERVICE}/".encode()


class CallError(Exception):
    """A call that ends with a status, and a text for people."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class ExternalScalers:
    """A server at every address that pools name in ``scale: {publish: {keda: …}}``."""

    def __init__(self, desired: Desired, events: Events, sleep: Sleep = asyncio.sleep) -> None:
        self._desired = desired
        self._events = events
        self._sleep = sleep
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self.ports: dict[tuple[str, int], int] = {}  # the real ones

    def configure(self, snapshot: Snapshot) -> None:
        """Follow what runs."""
        wanted = {
            (pool.scale.actuator.options["host"], pool.scale.actuator.options["port"])
            for pool in snapshot.pools
            if pool.scale is not None and pool.scale.actuator.options.get("host") is not None
            if pool.scale.actuator.name == "publish"
        }
        for address in self._tasks.keys() - wanted:
            self._tasks.pop(address).cancel()
        for address in wanted - self._tasks.keys():
            self._tasks[address] = asyncio.create_task(self._serve(address))

    async def stop(self) -> None:
        """Answer no more."""
        tasks = list(self._tasks.values())
        self._tasks = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, address: tuple[str, int]) -> None:
        """Runs until cancelled."""
        loop = asyncio.get_running_loop()
        connections: set[_Connection] = set()
        complained = ""
        while True:
            try:
                # Over an upgrade both versions listen for a moment.
                server = await loop.create_server(
                    lambda: _Connection(self._desired, connections),
                    *address,
                    reuse_port=address[1] != 0,
                )
                break
            except OSError as error:
                reason = error.strerror or str(error)
                if reason != complained:
                    shown = shown_address(*address)
                    text = f"{shown}, where KEDA is to ask, cannot be listened on: {reason}"
                    self._events.error("scale.keda", text)
                complained = reason
                await self._sleep(_AGAIN_S)
        self.ports[address] = server.sockets[0].getsockname()[1]
        try:
            while True:
                await self._sleep(_TICK_S)
                for connection in list(connections):
                    connection.tell_changes()
        finally:
            server.close()
            for connection in list(connections):
                connection.close()


class _Connection(asyncio.Protocol):
    """One client, of HTTP/2 without TLS."""

    def __init__(self, desired: Desired, others: "set[_Connection]") -> None:
        self.desired = desired
        self.watching: set[_Call] = set()
        self._others = others
        self._clock = asyncio.get_running_loop().time
        self._transport: asyncio.WriteTransport | None = None
        settings = Settings()
        settings.enable_push = False
        settings.max_concurrent_streams = _STREAMS
        self.codec = Http2Connection(False, settings, Limits(), _Receiver(self))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        if len(self._others) >= _MOST_CONNECTIONS:
            transport.abort()
            return
        self._others.add(self)
        self.codec.start()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.codec.receive(data, self._clock())
        self._flush()
        if self.codec.failed:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._others.discard(self)
        self.codec.lost()

    def tell_changes(self) -> None:
        """Streams are told when a pool wakes, or goes to sleep."""
        for call in list(self.watching):
            call.tell_change()
        self._flush()

    def close(self) -> None:
        """Once what is to be sent is sent."""
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        transport = self._transport
        while transport is not None and (pieces := self.codec.take_output()):
            transport.writelines(pieces)


class _Receiver(ConnectionReceiver):
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def on_stream(self, stream: Stream) -> StreamReceiver:
        return _Call(self._connection)


class _Call(StreamReceiver):
    """One call, with one message of the client."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._messages = MessageReader(_MESSAGE_BYTES)
        self._method = ""
        self._found: list[bytes] = []
        self._stream: Stream | None = None
        self._asked: messages.Asked | None = None
        self._told: bool | None = None  # what a stream was told last

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        path = block.path
        if path.startswith(_PATH):
            self._method = path[len(_PATH) :].decode("latin-1")
        if end:
            self._answer(stream)

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        self._found += self._messages.feed(data)
        self._connection.codec.consumed(stream, len(data))
        if end:
            self._answer(stream)

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        self._answer(stream)

    def on_reset(self, stream: Stream, code: int) -> None:
        self._connection.watching.discard(self)

    def tell_change(self) -> None:
        """On a stream that goes on."""
        assert self._stream is not None
        assert self._asked is not None
        try:
            active = self._wanted(self._asked) > 0
        except CallError as error:
            if error.status == UNAVAILABLE:
                return
            self._connection.watching.discard(self)
            end = trailer_block(trailers(error.status, str(error)))
            self._connection.codec.send_trailers(self._stream, end)
            return
        if active != self._told:
            self._told = active
            message = encode_message(messages.encode_active(active))
            self._connection.codec.send_data(self._stream, message, False)

    def _answer(self, stream: Stream) -> None:
        codec = self._connection.codec
        try:
            message = self._call(stream)
        except CallError as error:
            head = response_block(200, trailers_only(error.status, str(error)))
            codec.send_head(stream, head, True)
            return
        codec.send_head(stream, _grpc_head(), False)
        if message is None:  # a stream
            self._connection.watching.add(self)
            self.tell_change()
            return
        codec.send_data(stream, encode_message(message), False)
        codec.send_trailers(stream, trailer_block(trailers(OK)))

    def _call(self, stream: Stream) -> bytes | None:
        """The message that answers, None where a stream begins. Raises CallError."""
        if len(self._found) != 1 or self._messages.reason:
            raise CallError(INTERNAL, self._messages.reason or "one message is needed")
        try:
            if self._method == "GetMetrics":
                asked = messages.decode_metrics_request(self._found[0])
            else:
                asked = messages.decode_reference(self._found[0])
        except messages.Malformed as error:
            raise CallError(INVALID_ARGUMENT, f"the message is not understood: {error}") from error
        match self._method:
            case "IsActive":
                return messages.encode_active(self._wanted(asked) > 0)
            case "GetMetricSpec":
                self._wanted_pool(asked)
                return messages.encode_metric(METRIC, 1)  # of each replica
            case "GetMetrics":
                return messages.encode_metric(asked.metric or METRIC, self._wanted(asked))
            case "StreamIsActive":
                self._wanted_pool(asked)
                self._stream, self._asked = stream, asked
                return None
        raise CallError(UNIMPLEMENTED, f"there is no method {self._method!r} here")

    def _wanted_pool(self, asked: messages.Asked) -> int | None:
        pool = asked.metadata.get("pool", "")
        try:
            return self._connection.desired(pool)
        except LookupError as error:
            raise CallError(NOT_FOUND, str(error.args[0])) from error

    def _wanted(self, asked: messages.Asked) -> int:
        desired = self._wanted_pool(asked)
        if desired is None:
            raise CallError(UNAVAILABLE, "it is not known yet; what there is may stay")
        return desired


def _grpc_head() -> HeaderBlock:
    return response_block(200, [plain_field(b"content-type", b"application/grpc")])
