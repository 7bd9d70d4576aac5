"""RFC 9113, section 8, RFC 8441 and RFC 9110 where it binds: what a message may be.

What is malformed ends its stream with PROTOCOL_ERROR and is never told to who would pass it on.
"""

import hpack
import pytest

from penstock.wire.http2.codes import PROTOCOL_ERROR
from penstock.wire.http2.header_block import HeaderBlock, request_block, response_block
from penstock.wire.http2.settings import Settings
from tests.unit.wire.http2.recording import Endpoint, client, frame, frames, get, server

Pairs = list[tuple[bytes, bytes]]
DATA, HEADERS, RST_STREAM = 0, 1, 3
METHOD = (b":method", b"GET")
SCHEME = (b":scheme", b"https")
PATH = (b":path", b"/")
AUTHORITY = (b":authority", b"example.com")
HEAD = [METHOD, SCHEME, PATH, AUTHORITY]
CONNECT = [(b":method", b"CONNECT"), AUTHORITY]
EXTENDED = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, PATH, AUTHORITY]


def encoded(pairs: Pairs) -> bytes:
    return bytes(hpack.Encoder().encode(pairs, huffman=False))


def with_path(path: bytes, method: bytes = b"GET") -> Pairs:
    return [(b":method", method), SCHEME, (b":path", path), AUTHORITY]


def with_authority(authority: bytes) -> Pairs:
    return [METHOD, SCHEME, PATH, (b":authority", authority)]


def case(name: str, pairs: Pairs) -> object:
    return pytest.param(pairs, id=name)


MALFORMED_FIELDS = [
    case("8.2.1 capital letter in a name", [(b"X-Thing", b"1")]),
    case("8.2.1 space in a name", [(b"x thing", b"1")]),
    case("8.2.1 NUL in a name", [(b"x\0thing", b"1")]),
    case("8.2.1 CR in a name", [(b"x\rthing", b"1")]),
    case("8.2.1 LF in a name", [(b"x\nthing", b"1")]),
    case("8.2.1 DEL in a name", [(b"x\x7f", b"1")]),
    case("8.2.1 octet over 0x7f in a name", [(b"x\xe4", b"1")]),
    case("8.2.1 colon in a name", [(b"x:thing", b"1")]),
    case("8.2.1 no name", [(b"", b"1")]),
    case("RFC 9110, 5.1 delimiter in a name", [(b"x(thing)", b"1")]),
    case("8.2.1 NUL in a value", [(b"x", b"a\0b")]),
    case("8.2.1 CR in a value", [(b"x", b"a\rb")]),
    case("8.2.1 LF in a value", [(b"x", b"a\nb")]),
    case("8.2.1 CRLF and a field in a value", [(b"x", b"a\r\ntransfer-encoding: chunked")]),
    case("8.2.1 a value begins with space", [(b"x", b" a")]),
    case("8.2.1 a value ends with space", [(b"x", b"a ")]),
    case("8.2.1 a value begins with HTAB", [(b"x", b"\ta")]),
    case("8.2.1 a value ends with HTAB", [(b"x", b"a\t")]),
    case("8.2.1 a value is one space", [(b"x", b" ")]),
    case("RFC 9110, 5.5 control character in a value", [(b"x", b"a\x01b")]),
    case("8.2.1 LF in a cookie", [(b"cookie", b"a=1\nx: y")]),
    case("8.2.1 space around a priority", [(b"priority", b" u=1")]),
    case("8.2.2 connection", [(b"connection", b"close")]),
    case("8.2.2 proxy-connection", [(b"proxy-connection", b"keep-alive")]),
    case("8.2.2 keep-alive", [(b"keep-alive", b"timeout=5")]),
    case("8.2.2 transfer-encoding", [(b"transfer-encoding", b"chunked")]),
    case("8.2.2 upgrade", [(b"upgrade", b"websocket")]),
    case("8.2.2 te with more than trailers", [(b"te", b"trailers, deflate")]),
    case("8.2.2 te without trailers", [(b"te", b"gzip")]),
    case("8.3 pseudo-header field after a regular one", [(b"x", b"1"), (b":path", b"/a")]),
    case("8.3 unknown pseudo-header field", [(b":unknown", b"1")]),
    case("8.3 pseudo-header field of no name", [(b":", b"1")]),
    case("8.6 content-length is no number", [(b"content-length", b"1x")]),
    case("8.6 content-length is signed", [(b"content-length", b"+1")]),
    case("8.6 content-length is empty", [(b"content-length", b"")]),
    case("8.6 content-length is a list", [(b"content-length", b"1, 1")]),
    case("8.6 content-length is over 63 bits", [(b"content-length", b"9223372036854775808")]),
    case(
        "RFC 9110, 8.6 two values of content-length",
        [(b"content-length", b"1"), (b"content-length", b"2")],
    ),
]

MALFORMED_REQUESTS = [
    case("8.3 :status in a request", [*HEAD, (b":status", b"200")]),
    case("8.3.1 no :method", [SCHEME, PATH, AUTHORITY]),
    case("8.3.1 no :scheme", [METHOD, PATH, AUTHORITY]),
    case("8.3.1 no :path", [METHOD, SCHEME, AUTHORITY]),
    case("8.3.1 no :authority and no host", [METHOD, SCHEME, PATH]),
    case("8.3 :method twice", [METHOD, *HEAD]),
    case("8.3 :scheme twice", [SCHEME, *HEAD]),
    case("8.3 :path twice", [PATH, *HEAD]),
    case("8.3 :authority twice", [AUTHORITY, *HEAD]),
    case("8.3.1 empty :method", [(b":method", b""), SCHEME, PATH, AUTHORITY]),
    case("8.3.1 space in :method", [(b":method", b"GET /x"), SCHEME, PATH, AUTHORITY]),
    case("8.3.1 LF in :method", [(b":method", b"GET\n"), SCHEME, PATH, AUTHORITY]),
    case("8.3.1 empty :scheme", [METHOD, (b":scheme", b""), PATH, AUTHORITY]),
    case("8.3.1 a URL in :scheme", [METHOD, (b":scheme", b"http://x"), PATH, AUTHORITY]),
    case("8.3.1 empty :path", with_path(b"")),
    case("8.3.1 :path without /", with_path(b"a/b")),
    case("8.3.1 :path is a URL", with_path(b"https://example.com/")),
    case("8.3.1 :path * of another method than OPTIONS", with_path(b"*")),
    case("8.3.1 :path begins with *", with_path(b"*a", b"OPTIONS")),
    case("8.3.1 space in :path", with_path(b"/a b")),
    case("8.3.1 HTTP/1.1's end of line in :path", with_path(b"/ HTTP/1.1\r\nx: y")),
    case("8.3.1 NUL in :path", with_path(b"/\0")),
    case("8.3.1 HTAB in :path", with_path(b"/\t")),
    case("8.3.1 octet over 0x7f in :path", with_path(b"/\xc3\xa4")),
    case("8.3.1 fragment in :path", with_path(b"/a#b")),
    case("8.3.1 empty :authority", with_authority(b"")),
    case("8.3.1 user information in :authority", with_authority(b"user@example.com")),
    case("8.3.1 path in :authority", with_authority(b"example.com/x")),
    case("8.3.1 space in :authority", with_authority(b"example.com x")),
    case("8.3.1 CRLF in :authority", with_authority(b"example.com\r\nx: y")),
    case("8.3.1 port of no digits in :authority", with_authority(b"example.com:x")),
    case("8.3.1 host is another than :authority", [*HEAD, (b"host", b"other.com")]),
    case("8.3.1 host of another port", [*HEAD, (b"host", b"example.com:80")]),
    case("RFC 9110, 7.2 host twice", [*HEAD, (b"host", b"example.com"), (b"host", b"example.com")]),
    case("RFC 9110, 7.2 host is no host", [METHOD, SCHEME, PATH, (b"host", b"a b")]),
    case("8.5 CONNECT with :scheme", [*CONNECT, SCHEME]),
    case("8.5 CONNECT with :path", [*CONNECT, PATH]),
    case("8.5 CONNECT without :authority", CONNECT[:1]),
    case("RFC 8441, 3 :protocol that was not offered", EXTENDED),
    case("8.1.1 content-length without content", [*HEAD, (b"content-length", b"1")]),
]

MALFORMED_RESPONSES = [
    case("8.3.2 no :status", [(b"x", b"1")]),
    case("8.3.2 :status twice", [(b":status", b"200"), (b":status", b"200")]),
    case("8.3.2 :status of four digits", [(b":status", b"2000")]),
    case("8.3.2 :status of no digits", [(b":status", b"abc")]),
    case("8.3.2 :status with a reason", [(b":status", b"200 OK")]),
    case("8.3.2 :status below 100", [(b":status", b"099")]),
    case("8.3 :method in a response", [(b":status", b"200"), METHOD]),
    case("8.3 :path in a response", [(b":status", b"200"), PATH]),
    case("8.3 :scheme in a response", [(b":status", b"200"), SCHEME]),
    case("8.3 :authority in a response", [(b":status", b"200"), AUTHORITY]),
    case("8.6 101 is not in HTTP/2", [(b":status", b"101")]),
]


def assert_refused(ours: Endpoint, stream_id: int = 1) -> None:
    assert ours.failure is None
    assert [fault[:2] for fault in ours.faults] == [(stream_id, PROTOCOL_ERROR)]
    assert ours.faults[0][2]
    reset = (RST_STREAM, 0, stream_id, PROTOCOL_ERROR.to_bytes(4, "big"))
    assert reset in frames(ours.output())
    assert ours.connection.streams == {}


@pytest.mark.parametrize("pairs", MALFORMED_FIELDS)
def test_a_request_with_such_a_field_is_refused(pairs: Pairs) -> None:
    ours = server()
    ours.receive(frame(HEADERS, 4, 1, encoded([*HEAD, *pairs])))
    assert ours.received == {}
    assert_refused(ours)


@pytest.mark.parametrize("pairs", MALFORMED_REQUESTS)
def test_such_a_request_is_refused(pairs: Pairs) -> None:
    ours = server()
    ours.receive(frame(HEADERS, 5, 1, encoded(pairs)))
    assert ours.received == {}
    assert_refused(ours)


@pytest.mark.parametrize("pairs", MALFORMED_FIELDS)
def test_a_response_with_such_a_field_is_refused(pairs: Pairs) -> None:
    ours = client()
    asked = ours.open(get())
    ours.receive(frame(HEADERS, 4, 1, encoded([(b":status", b"200"), *pairs])))
    assert (asked.head, asked.reset) == (None, PROTOCOL_ERROR)
    assert_refused(ours)


@pytest.mark.parametrize("pairs", MALFORMED_RESPONSES)
def test_such_a_response_is_refused(pairs: Pairs) -> None:
    ours = client()
    asked = ours.open(get())
    ours.receive(frame(HEADERS, 4, 1, encoded(pairs)))
    assert (asked.head, asked.reset) == (None, PROTOCOL_ERROR)
    assert_refused(ours)


@pytest.mark.parametrize("pairs", [*MALFORMED_FIELDS, case("8.1 pseudo", [PATH])])
def test_trailers_with_such_a_field_are_refused(pairs: Pairs) -> None:
    ours = server()
    ours.receive(frame(HEADERS, 4, 1, encoded(HEAD)) + frame(HEADERS, 5, 1, encoded(pairs)))
    asked = ours.received[1]
    assert (asked.trailers, asked.ended, asked.reset) == (None, False, PROTOCOL_ERROR)
    assert_refused(ours)


VALID_REQUESTS = [
    case("8.2.1 HTAB and obs-text inside a value", [*HEAD, (b"x", b"a\t\xff\x80b")]),
    case("8.2.1 empty value", [*HEAD, (b"x", b"")]),
    case("8.2.2 te: trailers", [*HEAD, (b"te", b"trailers")]),
    case("8.3.1 host in place of :authority", [METHOD, SCHEME, PATH, (b"host", b"a.b:81")]),
    case("8.3.1 host that is :authority", [*HEAD, (b"host", b"EXAMPLE.com:443")]),
    case("8.3.1 OPTIONS *", with_path(b"*", b"OPTIONS")),
    case("8.3.1 an address in :authority", with_authority(b"[2001:db8::1]:8443")),
    case(
        "8.3.1 another scheme, with its own path", [METHOD, (b":scheme", b"urn"), (b":path", b"x")]
    ),
    case("8.5 CONNECT", CONNECT),
    case("RFC 9110, 8.6 content-length said twice", [*HEAD, *[(b"content-length", b"0")] * 2]),
]


@pytest.mark.parametrize("pairs", VALID_REQUESTS)
def test_such_a_request_passes(pairs: Pairs) -> None:
    ours = server()
    ours.receive(frame(HEADERS, 5, 1, encoded(pairs)))
    assert ours.faults == []
    assert ours.received[1].ended


def block(pairs: Pairs, flags: int = 5) -> HeaderBlock:
    ours = server()
    ours.receive(frame(HEADERS, flags, 1, encoded(pairs)))
    head = ours.received[1].head
    assert head is not None
    return head


def test_8_2_3_cookie_crumbs_are_joined_where_the_first_stood() -> None:
    crumbs = [(b"cookie", b"a=1"), (b"x", b"1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")]
    fields = block([*HEAD, *crumbs]).fields
    assert [field[1:] for field in fields] == [(b"cookie", b"a=1; b=2; c=3"), (b"x", b"1")]


def test_9110_8_6_the_same_content_length_twice_is_passed_on_once() -> None:
    head = block([*HEAD, (b"content-length", b"3"), (b"content-length", b"3")], flags=4)
    assert head.content_length == 3
    assert len(head.fields) == 1


@pytest.mark.parametrize(
    ("length", "sent", "refused"),
    [(3, [3], False), (3, [2], True), (3, [2, 2], True), (3, [2, 1], False), (0, [1], True)],
)
def test_8_1_1_content_must_be_as_long_as_content_length(
    length: int, sent: list[int], refused: bool
) -> None:
    for closing in ("data", "trailers"):
        ours = server()
        head = [*HEAD, (b"content-length", b"%d" % length)]
        ours.receive(frame(HEADERS, 4, 1, encoded(head)))
        for size in sent[:-1]:
            ours.receive(frame(DATA, 0, 1, bytes(size)))
        ours.receive(frame(DATA, 1 if closing == "data" else 0, 1, bytes(sent[-1])))
        if closing == "trailers":
            ours.receive(frame(HEADERS, 5, 1, encoded([(b"x", b"1")])))
        assert ours.received[1].ended is not refused
        assert ours.received[1].reset == (PROTOCOL_ERROR if refused else None)


@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", 200), (b"GET", 304), (b"GET", 204)], ids=str
)
def test_8_1_1_a_response_without_content_may_tell_a_length_but_have_none(
    method: bytes, status: int
) -> None:
    for with_content in (False, True):
        ours = client()
        asked = ours.open(request_block(method, b"https", b"a", b"/", []))
        head = encoded([(b":status", b"%d" % status), (b"content-length", b"5")])
        if with_content:
            ours.receive(frame(HEADERS, 4, 1, head) + frame(DATA, 1, 1, b"12345"))
            assert asked.reset == PROTOCOL_ERROR
            assert asked.content == b""
        else:
            ours.receive(frame(HEADERS, 5, 1, head))
            assert asked.ended


def test_8_1_interim_responses_come_before_the_final_one_and_never_end_the_stream() -> None:
    ours = client()
    asked = ours.open(get())
    early = encoded([(b":status", b"103"), (b"link", b"</a>")])
    ours.receive(frame(HEADERS, 4, 1, early) * 2)
    assert asked.interims == [103, 103]
    ours.receive(frame(HEADERS, 5, 1, early))
    assert asked.reset == PROTOCOL_ERROR


def test_8_1_data_before_the_responses_head_is_refused() -> None:
    ours = client()
    asked = ours.open(get())
    ours.receive(frame(DATA, 0, 1, b"x"))
    assert asked.reset == PROTOCOL_ERROR


def test_8_1_a_second_final_head_is_taken_as_trailers_that_are_none() -> None:
    ours = client()
    asked = ours.open(get())
    ours.receive(frame(HEADERS, 4, 1, b"\x88") + frame(HEADERS, 5, 1, b"\x88"))
    assert (asked.ended, asked.reset) == (False, PROTOCOL_ERROR)


def test_8_1_a_whole_response_is_kept_though_the_server_then_resets_with_no_error() -> None:
    ours = client()
    asked = ours.open(get(), end=False)
    ours.receive(frame(HEADERS, 5, 1, b"\x88") + frame(RST_STREAM, 0, 1, bytes(4)))
    assert asked.ended
    assert asked.reset == 0


def test_8_5_on_a_connected_stream_headers_are_refused_and_lengths_mean_nothing() -> None:
    ours = server()
    ours.receive(frame(HEADERS, 4, 1, encoded(CONNECT)))
    asked = ours.received[1]
    assert asked.stream is not None
    ours.connection.send_head(asked.stream, response_block(200, []), False)
    ours.receive(frame(DATA, 0, 1, b"bytes"))
    assert asked.content == b"bytes"
    ours.receive(frame(HEADERS, 5, 1, encoded([(b"x", b"1")])))
    assert asked.reset == PROTOCOL_ERROR


def test_8441_4_extended_connect_needs_scheme_path_and_authority() -> None:
    settings = Settings()
    settings.connect_protocol = True
    for missing in EXTENDED[2:]:
        ours = server(settings)
        ours.receive(frame(HEADERS, 4, 1, encoded([each for each in EXTENDED if each != missing])))
        assert_refused(ours)
    ours = server(settings)
    ours.receive(frame(HEADERS, 4, 1, encoded(EXTENDED)))
    head = ours.received[1].head
    assert head is not None
    assert (head.method, head.protocol, head.path) == (b"CONNECT", b"websocket", b"/")


def test_8441_3_a_protocol_without_connect_is_refused() -> None:
    settings = Settings()
    settings.connect_protocol = True
    ours = server(settings)
    ours.receive(frame(HEADERS, 4, 1, encoded([METHOD, *EXTENDED[1:]])))
    assert_refused(ours)
