"""CPU for each exchange of HTTP/2 codecs behind one interface: our own, ngh2 and h2.

    python -m benchmarks.http2_codec [--exchanges N] [own ngh2 h2]

No sockets: the peer's bytes are made beforehand, by libnghttp2 where it is installed (as curl,
nghttp and h2load send them), else by ours. What is measured is what a proxy does with a codec:
take the bytes, find the head's plan, answer, take the output. Prints microseconds of CPU; the
least of several rounds, since on a shared machine noise only adds. docs/adr/http2-codec.md says
what came out.
"""

import gc
import sys
from collections.abc import Callable
from importlib import import_module
from time import process_time
from typing import Any

import click

from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import HeaderBlock, request_block, response_block
from penstock.wire.http2.receiver import ConnectionReceiver
from penstock.wire.http2.settings import Settings
from penstock.wire.http2.stream import Stream, StreamReceiver

ROUNDS = 5
WIDE = 1 << 30
CHUNK = bytes(16384)
BODY = b"x" * 200
PAIR = tuple[bytes, bytes]

REQUEST_FIELDS: list[PAIR] = [
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9,de;q=0.8"),
    (b"authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"origin", b"https://app.example.com"),
    (b"referer", b"https://app.example.com/orders"),
]
RESPONSE_FIELDS: list[PAIR] = [
    (b"server", b"uvicorn"),
    (b"date", b"Sun, 29 Nov 2026 21:00:00 GMT"),
    (b"content-type", b"application/json"),
    (b"content-length", b"200"),
    (b"cache-control", b"no-cache"),
    (b"vary", b"Accept-Encoding, Origin"),
    (b"x-request-id", b"5f7c2a14-9c1e-4a65-8a3c-2f6d1f0e9b77"),
]


def request_pairs(number: int, changing: bool) -> list[PAIR]:
    """A request of twelve fields; a changing one has two that are new each time."""
    path = b"/api/v1/orders/%d/items?page=2" % (number if changing else 7)
    head = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"api.example.com"),
        (b":path", path),
    ]
    extra = [(b"traceparent", b"00-%032x-%016x-01" % (number, number))] if changing else []
    return [*head, *REQUEST_FIELDS[: 8 - len(extra)], *extra]


def response_pairs(number: int, changing: bool) -> list[PAIR]:
    """A response of eight fields; a changing one has an id that is new each time."""
    fields = list(RESPONSE_FIELDS)
    if changing:
        fields[-1] = (b"x-request-id", b"%032x" % number)
    return [(b":status", b"200"), *fields]


def block_of(pairs: list[PAIR]) -> HeaderBlock:
    """The same as our codec's value."""
    fields = [(name, name, value) for name, value in pairs if not name.startswith(b":")]
    told = dict(pairs)
    if b":status" in told:
        return response_block(int(told[b":status"]), fields)
    return request_block(
        told[b":method"], told[b":scheme"], told[b":authority"], told[b":path"], fields
    )


class Codec:
    """What a proxy does with a codec. ``seen`` counts what arrived whole."""

    def __init__(self, is_client: bool) -> None:
        self.seen = 0
        self.plans: dict[Any, bytes] = {}

    def feed(self, data: bytes) -> bytes:
        """Bytes came; as a server answer each request; what is to be sent."""
        raise NotImplementedError

    def prepare(self, number: int, changing: bool) -> Any:
        """A request's fields, as the codec takes them."""
        raise NotImplementedError

    def request(self, fields: Any) -> bytes:
        """As a client send a request; its bytes."""
        raise NotImplementedError

    def download(self) -> bytes:
        """As a server send a chunk on the first stream; its bytes."""
        raise NotImplementedError


class OwnStream(StreamReceiver):
    def __init__(self, codec: "Own") -> None:
        self.codec = codec

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        codec = self.codec
        if block.derived is None:
            block.derived = b"plan of " + block.path
        if codec.is_client or not end:
            codec.stream = stream
            return
        codec.seen += 1
        connection = codec.connection
        if codec.changing:
            number = codec.seen
            extra = [(b"x-request-id", b"x-request-id", b"%032x" % number)]
            connection.send_head(stream, codec.shorter, False, extra)
        else:
            connection.send_head(stream, codec.answer, False)
        connection.send_data(stream, BODY, True)

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        self.codec.connection.consumed(stream, len(data))
        self.codec.seen += end


class Own(Codec, ConnectionReceiver):
    def __init__(self, is_client: bool, changing: bool) -> None:
        super().__init__(is_client)
        self.is_client = is_client
        self.changing = changing
        self.stream: Stream | None = None
        self.answer = block_of(response_pairs(0, False))
        self.shorter = block_of(response_pairs(0, False)[:-1])
        self.repeated = block_of(request_pairs(0, False))
        settings = Settings()
        settings.initial_window_bytes = 1 << 20
        limits = Limits()
        limits.connection_window_bytes = 1 << 24
        self.connection = Http2Connection(is_client, settings, limits, self)
        self.connection.start()

    def on_stream(self, stream: Stream) -> StreamReceiver:
        return OwnStream(self)

    def feed(self, data: bytes) -> bytes:
        self.connection.receive(data, 1.0)
        return b"".join(self.connection.take_output())

    def prepare(self, number: int, changing: bool) -> Any:
        return block_of(request_pairs(number, True)) if changing else self.repeated

    def request(self, fields: Any) -> bytes:
        stream = self.connection.open(OwnStream(self))
        self.connection.send_head(stream, fields, True)
        return b"".join(self.connection.take_output())

    def download(self) -> bytes:
        assert self.stream is not None
        self.connection.send_data(self.stream, CHUNK, False)
        return b"".join(self.connection.take_output())


class Ngh2(Codec):
    def __init__(self, is_client: bool, changing: bool) -> None:
        super().__init__(is_client)
        ngh2: Any = import_module("ngh2")  # no dependency of ours: pip install ngh2
        self.ngh2 = ngh2
        self.changing = changing
        self.repeated_answer = response_pairs(0, False)
        self.repeated = request_pairs(0, False)
        role = ngh2.Role.CLIENT if is_client else ngh2.Role.SERVER
        config = ngh2.Configuration(auto_window_update=False, max_inbound_header_count=128)
        self.connection = ngh2.Connection(role, config)
        self.connection.initiate_connection({4: 1 << 20})
        self.connection.set_local_window_size(1 << 24)

    def feed(self, data: bytes) -> bytes:
        connection = self.connection
        connection.receive_data(data)
        kinds = self.ngh2
        for event in connection.events():
            kind = type(event)
            if kind is kinds.RequestReceived or kind is kinds.ResponseReceived:
                headers = event.headers
                plan = self.plans.get(headers)
                if plan is None:
                    plan = b"plan of " + dict(headers).get(b":path", b"")
                    if len(self.plans) > 64:
                        self.plans.clear()
                    self.plans[headers] = plan
                if kind is kinds.ResponseReceived or not event.end_stream:
                    continue
                self.seen += 1
                answer = self.repeated_answer
                if self.changing:
                    answer = [*answer[:-1], (b"x-request-id", b"%032x" % self.seen)]
                connection.send_response(event.stream_id, answer)
                connection.send_data(event.stream_id, BODY, end_stream=True)
            elif kind is kinds.DataReceived:
                connection.acknowledge_received_data(len(event.data), event.stream_id)
                self.seen += event.end_stream
        return bytes(connection.data_to_send())

    def prepare(self, number: int, changing: bool) -> Any:
        return request_pairs(number, True) if changing else self.repeated

    def request(self, fields: Any) -> bytes:
        self.connection.send_request(fields, end_stream=True)
        return bytes(self.connection.data_to_send())

    def download(self) -> bytes:
        self.connection.send_data(1, CHUNK)
        return bytes(self.connection.data_to_send())


class H2(Codec):
    def __init__(self, is_client: bool, changing: bool) -> None:
        import h2.config
        import h2.connection
        import h2.events

        super().__init__(is_client)
        self.events = h2.events
        self.changing = changing
        config = h2.config.H2Configuration(client_side=is_client, header_encoding=None)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.connection.update_settings({4: 1 << 20})
        self.connection.increment_flow_control_window(1 << 24)

    def feed(self, data: bytes) -> bytes:
        connection = self.connection
        events = self.events
        for event in connection.receive_data(data):
            if isinstance(event, events.RequestReceived):
                if event.stream_ended:
                    self.seen += 1
                    pairs = response_pairs(self.seen, self.changing)
                    connection.send_headers(event.stream_id, pairs)
                    connection.send_data(event.stream_id, BODY, end_stream=True)
            elif isinstance(event, events.DataReceived):
                connection.acknowledge_received_data(len(event.data), event.stream_id)
                self.seen += event.stream_ended is not None
        return bytes(connection.data_to_send())

    def prepare(self, number: int, changing: bool) -> Any:
        return request_pairs(number, changing)

    def request(self, fields: Any) -> bytes:
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, fields, end_stream=True)
        return bytes(self.connection.data_to_send())

    def download(self) -> bytes:
        self.connection.send_data(1, CHUNK)
        return bytes(self.connection.data_to_send())


KINDS: dict[str, Callable[[bool, bool], Codec]] = {"own": Own, "ngh2": Ngh2, "h2": H2}


def peer_codec(is_client: bool, changing: bool) -> Codec:
    """Who makes the other side's bytes."""
    try:
        return Ngh2(is_client, changing)
    except ImportError:
        return Own(is_client, changing)


def widen(data: bytes) -> bytes:
    """A window of a gigabyte more, so that no measured response waits for an update."""
    return data + bytes((0, 0, 4, 8, 0, 0, 0, 0, 0)) + WIDE.to_bytes(4, "big")


def serving(kind: str, exchanges: int, changing: bool) -> float:
    """Requests come, responses go: seconds of CPU for each."""
    codec = KINDS[kind](False, changing)
    peer = peer_codec(True, changing)
    twin = Own(False, changing)  # answers the peer, which would open no more streams without
    hello = widen(peer.feed(b""))
    codec.feed(hello)
    peer.feed(twin.feed(hello))
    requests = []
    for number in range(exchanges):
        requests.append(peer.request(peer.prepare(number, changing)))
        peer.feed(twin.feed(requests[-1]))
    began = process_time()
    for data in requests:
        codec.feed(data)
    took = process_time() - began
    assert codec.seen == exchanges, (codec.seen, exchanges)
    return took / exchanges


def asking(kind: str, exchanges: int, changing: bool) -> float:
    """Requests go, responses come."""
    codec = KINDS[kind](True, changing)
    peer = peer_codec(False, changing)
    twin = KINDS[kind](True, changing)  # sends the same, so that the peer's answers can be made
    hello = peer.feed(widen(twin.feed(b"")))
    twin.feed(hello)
    answers = []
    for number in range(exchanges):
        answers.append(peer.feed(twin.request(twin.prepare(number, changing))))
        twin.feed(answers[-1])
    codec.feed(hello)
    requests = [codec.prepare(number, changing) for number in range(exchanges)]
    began = process_time()
    for number in range(exchanges):
        codec.request(requests[number])
        codec.feed(answers[number])
    took = process_time() - began
    assert codec.seen == exchanges, (codec.seen, exchanges)
    return took / exchanges


def uploading(kind: str, exchanges: int, changing: bool) -> float:
    """Chunks of 16 KiB come on one stream."""
    codec = KINDS[kind](False, changing)
    peer = Own(True, changing)
    codec.feed(peer.feed(b""))
    stream = peer.connection.open(StreamReceiver())
    peer.connection.send_head(stream, block_of(request_pairs(0, False)), False)
    codec.feed(b"".join(peer.connection.take_output()))
    frame = bytes((0, 0x40, 0, 0, 0, 0, 0, 0, 1)) + CHUNK
    began = process_time()
    for _ in range(exchanges):
        codec.feed(frame)
    return (process_time() - began) / exchanges


def downloading(kind: str, exchanges: int, changing: bool) -> float:
    """Chunks of 16 KiB go on one stream."""
    codec = KINDS[kind](False, changing)
    peer = Own(True, changing)
    codec.feed(widen(peer.feed(b"")))
    stream = peer.connection.open(StreamReceiver())
    peer.connection.send_head(stream, block_of(request_pairs(0, False)), False)
    codec.feed(b"".join(peer.connection.take_output()))
    codec.feed(bytes((0, 0, 4, 8, 0, 0, 0, 0, 1)) + WIDE.to_bytes(4, "big"))
    answer = response_pairs(0, False)
    if isinstance(codec, Own):
        assert codec.stream is not None
        codec.connection.send_head(codec.stream, block_of(answer[:2]), False)
    elif isinstance(codec, Ngh2):
        codec.connection.send_response(1, answer[:2])
    elif isinstance(codec, H2):
        codec.connection.send_headers(1, answer[:2])
    began = process_time()
    for _ in range(exchanges):
        codec.download()
    return (process_time() - began) / exchanges


MEASURES: list[tuple[str, Callable[[str, int, bool], float], bool]] = [
    ("server, repeated heads", serving, False),
    ("server, changing heads", serving, True),
    ("client, repeated heads", asking, False),
    ("client, changing heads", asking, True),
    ("16 KiB of DATA received", uploading, False),
    ("16 KiB of DATA sent", downloading, False),
]


@click.command()
@click.argument("codecs", nargs=-1, type=click.Choice(sorted(KINDS)))
@click.option("--exchanges", default=5000, show_default=True, help="For each round.")
def main(codecs: tuple[str, ...], exchanges: int) -> None:
    """Measure codecs, all by default."""
    names = codecs or ("own", "ngh2", "h2")
    form = sys.modules[Http2Connection.__module__].__file__ or ""
    print(f"own: {'interpreted' if form.endswith('.py') else 'compiled'}")
    print(f"{'µs of CPU':26}" + "".join([f"{name:>9}" for name in names]))
    for title, measure, changing in MEASURES:
        line = f"{title:26}"
        for name in names:
            least = 1.0
            for _ in range(ROUNDS):
                gc.collect()
                least = min(least, measure(name, exchanges, changing))
            line += f"{least * 1e6:9.2f}"
        print(line)


if __name__ == "__main__":
    main()
