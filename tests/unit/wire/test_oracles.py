"""Whatever the codec accepts, h11 and llhttp read the same way: nothing is left to interpretation.

Messages are well-formed ones with pieces of the grammar put out of place, so that most are refused
and those that are not lie near the border.
"""

import contextlib
from collections.abc import Callable, Sequence

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.chunked import ChunkedReader
from penstock.wire.http1 import BadMessage, RequestHead, ResponseHead, parse_request, parse_response

Fields = list[tuple[bytes, bytes]]


class Reading:
    """What a parser makes of a message."""

    def __init__(self, start: tuple[bytes, ...], fields: Fields, body: bytes, rest: bytes) -> None:
        self.start = start
        self.fields = fields
        self.body = body
        self.rest = rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reading) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return repr(vars(self))


def read_by_h11(data: bytes, *, response: bool = False) -> Reading:
    """Raises h11.RemoteProtocolError, or AssertionError when the message is not whole."""
    judge = h11.Connection(h11.CLIENT if response else h11.SERVER, max_incomplete_event_size=2**20)
    if response:
        judge.send(h11.Request(method="GET", target="/", headers=[("Host", "judge")]))
        judge.send(h11.EndOfMessage())
    judge.receive_data(data)
    event = judge.next_event()
    assert isinstance(event, h11.Request | h11.Response)
    start = (event.method, event.target) if isinstance(event, h11.Request) else (event.reason,)
    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
    body = b""
    while not isinstance(event := judge.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += event.data
    return Reading(start, fields, body, judge.trailing_data[0])


class _Heard:
    """What llhttp calls back with."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: Fields = []
        self.body = b""
        self.whole = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True


def heard_by_llhttp(data: bytes) -> tuple[bytes, _Heard]:
    """The method and the rest. Raises httptools' errors."""
    heard = _Heard()
    parser = httptools.HttpRequestParser(heard)
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(data)
    return parser.get_method(), heard


def own_fields(head: RequestHead | ResponseHead) -> Fields:
    return [(lower, value) for lower, _, value in head.fields]


def spoiled(parts: Sequence[bytes], oddities: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """These parts joined, with up to two oddities put between bytes or in place of some."""

    def build(edits: list[tuple[float, int, bytes]]) -> bytes:
        data = b"".join(parts)
        for where, lost, oddity in edits:
            at = int(where * len(data))
            data = data[:at] + oddity + data[at + lost :]
        return data

    edit = st.tuples(st.floats(0.0, 1.0), st.integers(0, 2), st.sampled_from(oddities))
    return st.lists(edit, max_size=2).map(build)


ODDITIES = [bytes((byte,)) for byte in b"\r\n\t :;,=\x00\x7f\x80_-a0/#?*\"'\x0b"] + [
    b"\r\n",
    b"\r\n ",
    b"Content-Length: 2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer_encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Host: b\r\n",
    b"HTTP/1.0",
    b"http://x/",
    b"+2",
    b"0x",
]

REQUEST_HEADS = st.one_of(
    spoiled([b"GET /a?b=c HTTP/1.1\r\n", b"Host: a\r\n", b"X-One: 1\r\n", b"\r\n"], ODDITIES),
    spoiled([b"POST / HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 5\r\n", b"\r\n"], ODDITIES),
    spoiled(
        [b"PUT /x HTTP/1.1\r\n", b"Host: a\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n"],
        ODDITIES,
    ),
)
RESPONSE_HEADS = st.one_of(
    spoiled([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"X: y\r\n", b"\r\n"], ODDITIES),
    spoiled([b"HTTP/1.1 201 \r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n"], ODDITIES),
)
BODY = b"hello"
CHUNKED_BODY = b"5\r\nhello\r\n0\r\n\r\n"


def taken(parse: Callable[[bytes], RequestHead | ResponseHead], data: bytes) -> bytes:
    """The head at the beginning, if the codec accepts it; else b""."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return b""
    try:
        parse(data[:end])
    except BadMessage:
        return b""
    return data[:end]


def request(raw: bytes) -> RequestHead:
    return parse_request(raw, 8192, 100)


def response(raw: bytes) -> ResponseHead:
    return parse_response(raw)


def message_of(raw: bytes, head: RequestHead | ResponseHead) -> tuple[bytes, bytes]:
    """The head with a body framed as the codec understood it, and the body that this is."""
    if head.chunked:
        return raw + CHUNKED_BODY, BODY
    if head.content_length >= 0:
        body = b"x" * min(head.content_length, 10_000)
        return raw + body, body
    return raw, b""


def passed(data: bytes) -> RequestHead | None:
    """The request at the beginning, if the codec accepts it and its body is of a size to send."""
    raw = taken(request, data)
    head = request(raw) if raw else None
    return head if head is not None and head.content_length <= 10_000 else None


@given(REQUEST_HEADS)
def test_request_heads_that_pass_are_read_alike_by_h11(data: bytes) -> None:
    head = passed(data)
    if head is None:
        return
    message, body = message_of(head.raw, head)
    reading = read_by_h11(message + b"GET /next")
    kept = [field for field in reading.fields if b"_" not in field[0]]
    assert reading.start[0] == head.method
    assert reading.start[1].endswith(head.target) or reading.start[1].startswith(b"http")
    assert kept == [field for field in own_fields(head) if b"_" not in field[0]]
    assert (reading.body, reading.rest) == (body, b"GET /next")


@given(REQUEST_HEADS)
def test_request_heads_that_pass_are_read_alike_by_llhttp(data: bytes) -> None:
    head = passed(data)
    if head is None:
        return
    message, body = message_of(head.raw, head)
    try:
        method, heard = heard_by_llhttp(message)
    except httptools.HttpParserInvalidMethodError:
        return  # it knows no others than the registered ones
    kept = [field for field in heard.fields if b"_" not in field[0]]
    assert method == head.method
    assert heard.target.endswith(head.target) or heard.target.startswith(b"http")
    assert kept == [field for field in own_fields(head) if b"_" not in field[0]]
    assert (heard.body, heard.whole) == (body, True)


@given(RESPONSE_HEADS)
def test_response_heads_that_pass_are_read_alike_by_h11(data: bytes) -> None:
    raw = taken(response, data)
    if not raw:
        return
    head = response(raw)
    framed = head.chunked or 0 <= head.content_length <= 10_000
    if not framed or head.status < 200 or head.status in (204, 304):
        return
    message, body = message_of(raw, head)
    # h11 takes no white space before the colon, which is removed on its way (RFC 9112, 5.1).
    lines = [line for line in raw.split(b"\r\n")[1:] if line]
    if any(line.partition(b":")[0].rstrip(b" \t") != line.partition(b":")[0] for line in lines):
        return
    reading = read_by_h11(message, response=True)
    assert reading.fields == own_fields(head)
    assert reading.body == body


CHUNKED_ODDITIES = [bytes((byte,)) for byte in b"\r\n\t ;=\x00\x7f+-0a\"'"] + [
    b"\r\n",
    b"0x",
    b";a=b",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"fffffffffffffffff",
]
CHUNKED_BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=4).flatmap(
    lambda chunks: spoiled(
        [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks] + [b"0\r\n\r\n"],
        CHUNKED_ODDITIES,
    )
)
CUTS = st.lists(st.integers(1, 12), max_size=20)
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def fed(reader: ChunkedReader, data: bytes, cuts: Sequence[int]) -> tuple[bytes, bytes]:
    """What comes out when the data comes in pieces of these sizes, and what is left after it."""
    out = b""
    for size in [*cuts, len(data)]:
        if reader.done or not data:
            break
        piece, data = data[:size], data[size:]
        out += reader.feed(piece)
    return out, reader.rest + data


@pytest.mark.parametrize("read", ["h11", "llhttp"])
@given(body=CHUNKED_BODIES, cuts=CUTS)
def test_chunked_bodies_that_pass_are_read_alike(read: str, body: bytes, cuts: list[int]) -> None:
    """As they come, and as they are written anew."""
    bare, framed = ChunkedReader(False, 400), ChunkedReader(True, 400)
    try:
        payload, rest = fed(bare, body, cuts)
        anew, _ = fed(framed, body, cuts)
    except BadMessage:
        return
    if not bare.done:
        return
    consumed = body.removesuffix(rest)
    for message in (consumed, anew):
        try:
            if read == "h11":
                assert read_by_h11(POST + message).body == payload
            else:
                _, heard = heard_by_llhttp(POST + message)
                assert (heard.body, heard.whole) == (payload, True)
        except (h11.RemoteProtocolError, httptools.HttpParserError):
            # An extension is dropped, so that others need not like it; what goes out they must.
            assert message is consumed
            assert b";" in consumed


@given(chunks=st.lists(st.binary(min_size=1, max_size=5000), max_size=5), cuts=CUTS)
def test_every_well_formed_chunked_body_passes(chunks: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%X ;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    reader = ChunkedReader(False, 400)
    assert fed(reader, body, cuts) == (b"".join(chunks), b"")
    assert reader.done


@given(body=CHUNKED_BODIES, cuts=CUTS)
def test_where_packets_end_changes_nothing(body: bytes, cuts: list[int]) -> None:
    def outcome(cuts: Sequence[int]) -> tuple[object, ...]:
        reader = ChunkedReader(False, 400)
        try:
            return (*fed(reader, body, cuts), reader.done)
        except BadMessage:
            return ("refused",)

    assert outcome(cuts) == outcome([])
