"""Misbehaving endpoints: what they send wrongly is never passed on as if it were right.

Before the answer's first byte went to the client, the client gets 502. After that its connection
ends so that the answer cannot be taken for whole. Either way that endpoint connection is given up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from penstock.core.snapshot import Connections
from penstock.dataplane.board.layout import L_IRREGULAR
from penstock.wire.http1 import IRREGULARITIES
from tests.harness.client import Client, IncompleteResponse, Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.flow import send_repeated
from tests.harness.messages import HELLO, LAST, answer, chunked_answer, head
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, pool, world


@dataclass(frozen=True)
class Answer:
    """What an endpoint sends, and the number of the row in the table that it belongs to."""

    number: int
    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"case{self.number}-{self.name}"


BLOCKED_S = 0.3  # nothing taken for so long: the other side is full
LENGTH = "Content-Length: 5"
CHUNKED = "Transfer-Encoding: chunked"

BAD_HEADS = [
    Answer(48, "differing-lengths", answer(LENGTH, "Content-Length: 6")),
    Answer(48, "list-of-lengths", answer("Content-Length: 5, 6")),
    Answer(48, "plus", answer("Content-Length: +5")),
    Answer(48, "minus", answer("Content-Length: -1")),
    Answer(48, "hexadecimal", answer("Content-Length: 0x5")),
    Answer(48, "empty", answer("Content-Length:")),
    Answer(48, "over-two-to-the-63", answer(f"Content-Length: {2**63}")),
    Answer(48, "length-and-differing", answer(LENGTH, CHUNKED, "Content-Length: 6")),
    Answer(
        2,
        "chunked-twice",
        answer("Transfer-Encoding: chunked, chunked", body=HELLO + LAST),
    ),
    Answer(
        3,
        "chunked-not-last",
        answer("Transfer-Encoding: chunked, gzip", body=HELLO + LAST),
    ),
    Answer(
        4,
        "unknown-coding",
        answer("Transfer-Encoding: gzip, chunked", body=HELLO + LAST),
    ),
    Answer(5, "xchunked", answer("Transfer-Encoding: xchunked", body=HELLO + LAST)),
    Answer(6, "two-codings", answer(CHUNKED, CHUNKED, body=HELLO + LAST)),
    Answer(24, "obs-fold", answer(LENGTH, "X-A: b", " c")),
    Answer(25, "space-before-first", answer(" X-A: b", LENGTH)),
    Answer(26, "nul", answer(LENGTH, "X-A: b\0c")),
    Answer(26, "cr", answer(LENGTH, "X-A: b\rSet-Cookie: evil")),
    Answer(26, "lf", answer(LENGTH, "X-A: b\nSet-Cookie: evil")),
    Answer(27, "name", answer(LENGTH, "X A: b")),
    Answer(27, "name-8-bit", answer(LENGTH, b"X\xe9: b")),
    Answer(28, "no-colon", answer(LENGTH, "X-A")),
    Answer(28, "empty-name", answer(LENGTH, ": b")),
    Answer(29, "bare-lf", answer(LENGTH).replace(b"\r\n", b"\n")),
    Answer(29, "bare-lf-status-line", answer(LENGTH).replace(b"\r\n", b"\n", 1)),
    Answer(29, "bare-lf-last", answer(LENGTH).replace(b"\r\n\r\n", b"\r\n\n")),
    Answer(36, "0.9", b"<html>hello</html>\r\n\r\n"),
    Answer(36, "2.0", answer(LENGTH).replace(b"HTTP/1.1", b"HTTP/2.0")),
    Answer(36, "other-protocol", answer(LENGTH).replace(b"HTTP/1.1", b"ICY")),
    Answer(36, "garbage", b"\x00\x01\x02\x03" * 100 + b"\r\n\r\n"),
    Answer(36, "status-of-four-digits", answer(LENGTH, status="2000 OK")),
    Answer(36, "status-of-two-digits", answer(LENGTH, status="99 OK")),
    Answer(36, "status-no-number", answer(LENGTH, status="abc OK")),
    Answer(36, "status-below-100", answer(LENGTH, status="000 OK")),
    Answer(26, "nul-in-reason", answer(LENGTH, status="200 O\0K")),
    Answer(26, "cr-in-reason", answer(LENGTH, status="200 OK\rSet-Cookie: evil")),
    Answer(38, "one-big", answer(LENGTH, "X-A: " + "b" * 1_100_000)),
    Answer(38, "too-many", answer(LENGTH, *[f"X-{n}: b" for n in range(20_000)])),
    Answer(38, "without-end", answer(LENGTH)[:-7] + b"X-A: b\r\n" * 200_000),
    Answer(45, "101", answer("Connection: Upgrade", "Upgrade: x", status="101 Switching")),
    Answer(48, "flood-of-1xx", answer(status="103 Early Hints", body=b"") * 50_000),
    Answer(22, "nothing", b""),
    Answer(22, "part-of-a-head", answer(LENGTH)[:30]),
    Answer(22, "only-1xx", answer(status="103 Early Hints", body=b"")),
]

# What there is one way to read: read so, passed on canonical, and the connection ended.
IRREGULAR = [
    Answer(48, "length-and-coding", answer("Content-Length: 3", CHUNKED, body=HELLO + LAST)),
    Answer(48, "coding-and-length", answer(CHUNKED, "Content-Length: 500", body=HELLO + LAST)),
    Answer(48, "equal-lengths", answer(LENGTH, "X-A: b", LENGTH)),
    Answer(48, "list-of-equal-lengths", answer("Content-Length: 5, 5,5")),
    Answer(7, "chunked-in-1.0", chunked_answer(HELLO + LAST).replace(b"1.1", b"1.0", 1)),
    Answer(
        7,
        "chunked-in-1.0-kept-alive",
        answer(CHUNKED, "Connection: keep-alive", body=HELLO + LAST).replace(b"1.1", b"1.0", 1),
    ),
    Answer(13, "blanks-after-a-size", chunked_answer(b"5  \r\nhello\r\n0 \t\r\n\r\n")),
]

BAD_BODIES = [
    Answer(13, "prefix-0x", chunked_answer(HELLO + b"0x5\r\nworld\r\n" + LAST)),
    Answer(13, "plus", chunked_answer(HELLO + b"+5\r\nworld\r\n" + LAST)),
    Answer(13, "minus", chunked_answer(HELLO + b"-5\r\nworld\r\n" + LAST)),
    Answer(13, "underscore", chunked_answer(HELLO + b"0_5\r\nworld\r\n" + LAST)),
    Answer(13, "leading-space", chunked_answer(HELLO + b" 5\r\nworld\r\n" + LAST)),
    Answer(13, "empty-size", chunked_answer(HELLO + b"\r\nworld\r\n" + LAST)),
    Answer(13, "first-chunk", chunked_answer(b"xyz\r\n")),
    Answer(14, "overflow", chunked_answer(HELLO + b"10000000000000005\r\nworld\r\n" + LAST)),
    Answer(15, "bare-lf", chunked_answer(HELLO + b"5\nworld\r\n" + LAST)),
    Answer(15, "bare-lf-at-the-end", chunked_answer(HELLO + b"0\r\n\n")),
    Answer(15, "bare-lf-in-a-trailer", chunked_answer(HELLO + b"0\r\nX-A: b\nX-B: c\r\n\r\n")),
    Answer(16, "cr-in-extension", chunked_answer(HELLO + b"5;a\rb\r\nworld\r\n" + LAST)),
    Answer(
        17,
        "long-extension",
        chunked_answer(HELLO + b"5;" + b"a" * 300_000 + b"\r\nworld\r\n" + LAST),
    ),
    Answer(17, "long-trailers", chunked_answer(HELLO + b"0\r\n" + b"X-A: b\r\n" * 50_000)),
    Answer(18, "no-crlf-after-data", chunked_answer(b"5\r\nhelloXX" + LAST)),
    Answer(18, "too-long-chunk", chunked_answer(b"5\r\nhello!\r\n" + LAST)),
    Answer(22, "chunked-cut-at-start", chunked_answer(b"")),
    Answer(22, "chunked-cut-within-chunk", chunked_answer(HELLO + b"5\r\nwor")),
    Answer(22, "chunked-cut-between-chunks", chunked_answer(HELLO)),
    Answer(22, "chunked-cut-before-trailers-end", chunked_answer(HELLO + b"0\r\nX-A: b\r\n")),
    Answer(22, "length-cut", answer("Content-Length: 10")),
    Answer(22, "length-cut-at-start", answer("Content-Length: 10", body=b"")),
]


class Stage:
    """One worker before one endpoint whose next answers are set by the test."""

    def __init__(self) -> None:
        self.data = b""
        self.piece_bytes = 0
        self.resets = False
        self.endpoint = ScriptedEndpoint(self._play)
        self.worker = Worker(world(pool(self.endpoint, retry=NEVER_REPEAT)))

    def set_answer(self, data: bytes, piece_bytes: int, resets: bool = False) -> int:
        """The endpoint sends this and ends; the number that its next connection will have."""
        self.data = data
        self.piece_bytes = piece_bytes
        self.resets = resets
        return len(self.endpoint.connections)

    def _play(self, connection: EndpointConnection) -> None:
        connection.receive_head()
        for at in range(0, len(self.data), self.piece_bytes):
            connection.send(self.data[at : at + self.piece_bytes])
        if self.resets:
            connection.go_on.wait()
            connection.reset()
        else:
            connection.end_sending()
            connection.receive_to_end()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    with made.endpoint, made.worker:
        yield made


@pytest.fixture(params=["whole", "bytewise"])
def piece_bytes(request: pytest.FixtureRequest) -> Callable[[bytes], int]:
    """How many bytes the endpoint sends at once; long answers in longer pieces."""
    if request.param == "whole":
        return lambda data: len(data) or 1
    return lambda data: 1 if len(data) < 2000 else len(data) // 500


@pytest.mark.parametrize("bad", BAD_HEADS, ids=str)
def test_malformed_head_is_a_bad_gateway(
    stage: Stage, bad: Answer, piece_bytes: Callable[[bytes], int]
) -> None:
    number = stage.set_answer(bad.data, piece_bytes(bad.data))
    with stage.worker.connect() as client:
        response = client.get()
        assert response.status == 502
        assert len(response.interim) < 1000
        assert b"hello" not in response.body
        assert "set-cookie" not in response.headers
    stage.endpoint.wait_for_end(number)
    assert len(stage.endpoint.connections) == number + 1


@pytest.mark.parametrize("irregular", IRREGULAR, ids=str)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_irregular_framing_with_one_reading_is_passed_on_in_order(
    stage: Stage, irregular: Answer, version: str, piece_bytes: Callable[[bytes], int]
) -> None:
    """Whatever follows on that connection could be a part of it to another reader."""
    data = irregular.data + answer(LENGTH, body=b"EVIL!")
    number = stage.set_answer(data, piece_bytes(data))
    before = irregular_responses(stage)
    with stage.worker.connect() as client:
        client.send(head(f"GET / HTTP/{version}", "Connection: keep-alive"))
        raw = client.read_until(b"\r\n\r\n")
        framings = raw.lower().count(b"content-length") + raw.lower().count(b"transfer-encoding")
        assert framings <= 1
        client.put_back(raw)
        assert client.read_response().body == b"hello"
        stage.endpoint.wait_for_end(number)
    stage.worker.wait_until_published()
    assert irregular_responses(stage) == before + 1
    assert len(stage.endpoint.connections) == number + 1


def irregular_responses(stage: Stage) -> int:
    cells = range(L_IRREGULAR, L_IRREGULAR + len(IRREGULARITIES))
    return sum(stage.worker.load(stage.endpoint, cell) for cell in cells)


@pytest.mark.parametrize("status", ["600 Odd", "777 Odd", "999 Denied"])
def test_status_without_a_class_is_passed_on(stage: Stage, status: str) -> None:
    data = answer(LENGTH, status=status)
    stage.set_answer(data, len(data))
    with stage.worker.connect() as client:
        response = client.get()
        assert (str(response.status), response.body) == (status[:3], b"hello")


def test_any_number_of_fields_within_the_bound_is_passed_on(
    stage: Stage, piece_bytes: Callable[[bytes], int]
) -> None:
    data = answer(LENGTH, *[f"X-{n}: b" for n in range(2000)])
    stage.set_answer(data, piece_bytes(data))
    with stage.worker.connect() as client:
        assert client.get().headers["x-1999"] == "b"


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 502)])
def test_case38_one_bound_for_a_head_that_comes_in_one_piece_or_in_many(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    piece_bytes: Callable[[bytes], int],
    more: int,
    status: int,
) -> None:
    bound = 3000
    fixed = len(answer(LENGTH, "X-A: ", body=b""))
    data = answer(LENGTH, "X-A: " + "b" * (bound - fixed + more))

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        piece = piece_bytes(data)
        for at in range(0, len(data), piece):
            connection.send(data[at : at + piece])
        connection.receive_to_end()

    bounded = Connections(response_header_bytes=bound)
    members = pool(scripted(play), retry=NEVER_REPEAT, connections=bounded)
    assert start(world(members)).connect().get().status == status


def outcome(client: Client) -> tuple[Response, bool]:
    """What came of a response, and whether the client may take it for whole."""
    try:
        return client.read_response(), True
    except IncompleteResponse as cut:
        return cut.partial, False


@pytest.mark.parametrize("bad", BAD_BODIES, ids=str)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_malformed_body_is_never_taken_for_whole(
    stage: Stage, bad: Answer, version: str, piece_bytes: Callable[[bytes], int]
) -> None:
    """A client of HTTP/1.0, told the end by the connection's end, sees that end as a reset."""
    number = stage.set_answer(bad.data, piece_bytes(bad.data))
    with stage.worker.connect() as client:
        client.send(head(f"GET / HTTP/{version}"))
        response, is_whole = outcome(client)
    if is_whole:
        assert response.status == 502, f"taken for whole: {response}"
        assert b"hello" not in response.body
    else:
        assert b"hellowor".startswith(response.body)
    stage.endpoint.wait_for_end(number)


@pytest.mark.parametrize(
    "data",
    [
        answer("Content-Length: 10"),
        chunked_answer(HELLO),
        answer("Connection: close"),
        answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["length", "chunked", "until-close", "http-1.0"],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_case22_reset_within_a_body_is_never_taken_for_its_end(
    stage: Stage, data: bytes, version: str
) -> None:
    number = stage.set_answer(data, len(data), resets=True)
    with stage.worker.connect() as client:
        client.send(head(f"GET / HTTP/{version}"))
        client.read_until(b"\r\n\r\n")
        client.read_until(b"hello")
        stage.endpoint.connection(number).go_on.set()
        rest = client.read_to_end()
        is_framed = version == "1.1" or b"Content-Length" in data
        assert client.was_reset or (is_framed and LAST not in rest)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_case22_reset_that_sending_meets_first_is_never_taken_for_the_end(
    stage: Stage, version: str
) -> None:
    """The system tells of a reset once, and here the rest of the request is told, not reading."""
    data = answer("Connection: close")
    number = stage.set_answer(data, len(data), resets=True)
    with stage.worker.connect() as client:
        client.send(head(f"POST / HTTP/{version}", "Content-Length: 100000000"))
        client.read_until(b"hello")
        sent = send_repeated(client.socket, b"x" * 65536, 0, 100_000_000, BLOCKED_S)
        assert sent < 100_000_000, "the endpoint's side is full, so the balancer waits to send"
        stage.endpoint.connection(number).go_on.set()
        rest = client.read_to_end()
        assert client.was_reset or (version == "1.1" and LAST not in rest)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_body_until_close_is_whole_when_the_endpoint_closes_in_order(
    stage: Stage, version: str
) -> None:
    data = answer("Connection: close")
    stage.set_answer(data, len(data))
    with stage.worker.connect() as client:
        response = client.request(head(f"GET / HTTP/{version}"))
        assert (response.status, response.body) == (200, b"hello")


def test_case49_body_beyond_its_length_is_dropped_with_the_connection(
    stage: Stage, piece_bytes: Callable[[bytes], int]
) -> None:
    data = answer(LENGTH, body=b"hello, smuggled")
    number = stage.set_answer(data, piece_bytes(data))
    with stage.worker.connect() as client:
        assert client.get().body == b"hello"
        stage.endpoint.wait_for_end(number)
        assert client.get().body == b"hello"
    stage.endpoint.wait_for_end(number + 1)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_case49_body_where_none_can_be_is_dropped_with_the_connection(
    stage: Stage, status: str
) -> None:
    data = answer(status=status, body=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
    number = stage.set_answer(data, len(data))
    with stage.worker.connect() as client:
        for turn in range(2):
            response = client.get()
            assert (str(response.status), response.body) == (status[:3], b"")
            stage.endpoint.wait_for_end(number + turn)


def test_case23_space_before_the_colon_is_removed_or_refused(stage: Stage) -> None:
    """RFC 9112, 5.1."""
    data = answer("Content-Length : 5", "X-A\t: b")
    stage.set_answer(data, len(data))
    with stage.worker.connect() as client:
        response = client.get()
        assert response.status == 502 or response.headers["x-a"] == "b"


def test_case19_trailers_never_change_the_answers_framing(stage: Stage) -> None:
    data = chunked_answer(
        HELLO + b"0\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\nX-A: b\r\n\r\n"
    )
    stage.set_answer(data, len(data))
    with stage.worker.connect() as client:
        response = client.get()
        assert response.body == b"hello"
        assert not {"content-length", "transfer-encoding"} & response.trailers.names()


def test_fields_for_one_hop_are_not_passed_back(stage: Stage) -> None:
    data = answer(
        LENGTH,
        "Connection: close, X-Secret",
        "X-Secret: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "X-Other: 2",
    )
    stage.set_answer(data, len(data))
    with stage.worker.connect() as client:
        response = client.get()
        assert response.headers["x-other"] == "2"
        assert not {"x-secret", "keep-alive", "proxy-authenticate"} & response.headers.names()
        assert not response.closes, "the endpoint's close is no reason to close the client's"
