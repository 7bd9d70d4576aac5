"""Cases 1–22: a request whose end two parsers could see in different places is never forwarded."""

import re
from collections.abc import Callable

import pytest

from penstock.core.snapshot import Limits
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.messages import HELLO, LAST, chunked, head, post
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, pool, world
from tests.security.site import Case, Delivery, Site

CHUNKED = "Transfer-Encoding: chunked"
LENGTH = "Content-Length: 5"
BODY = HELLO + LAST

HEAD_CASES = [
    Case(1, "length-then-coding", post(LENGTH, CHUNKED, body=BODY)),
    Case(1, "coding-then-length", post(CHUNKED, LENGTH, body=BODY)),
    Case(1, "zero-length-and-coding", post("Content-Length: 0", CHUNKED, body=BODY)),
    Case(2, "chunked-twice", post("Transfer-Encoding: chunked, chunked", body=BODY)),
    Case(3, "chunked-not-last", post("Transfer-Encoding: chunked, gzip", body=BODY)),
    Case(3, "no-chunked", post("Transfer-Encoding: gzip", body=BODY)),
    Case(3, "identity", post("Transfer-Encoding: identity", body=BODY), (400, 501)),
    Case(4, "unknown-coding", post("Transfer-Encoding: gzip, chunked", body=BODY), (501,)),
    Case(5, "empty-element-first", post("Transfer-Encoding: ,chunked", body=BODY)),
    Case(5, "empty-element-last", post("Transfer-Encoding: chunked,", body=BODY)),
    Case(5, "empty", post("Transfer-Encoding:", body=BODY)),
    Case(5, "xchunked", post("Transfer-Encoding: xchunked", body=BODY)),
    Case(5, "vertical-tab", post("Transfer-Encoding: \x0bchunked", body=BODY)),
    Case(5, "quoted", post('Transfer-Encoding: "chunked"', body=BODY)),
    Case(5, "inner-space", post("Transfer-Encoding: chun ked", body=BODY)),
    Case(5, "nul", post("Transfer-Encoding: chunked\0", body=BODY)),
    Case(5, "parameter", post("Transfer-Encoding: chunked;q=1", body=BODY)),
    Case(6, "two-lines", post(CHUNKED, CHUNKED, body=BODY)),
    Case(6, "two-lines-one-unknown", post("Transfer-Encoding: gzip", CHUNKED, body=BODY)),
    Case(6, "two-lines-one-empty", post("Transfer-Encoding:", CHUNKED, body=BODY)),
    Case(7, "http-1.0", head("POST / HTTP/1.0", CHUNKED) + BODY),
    Case(8, "differing", post(LENGTH, "Content-Length: 6", body=b"hello!")),
    Case(9, "list-of-equals", post("Content-Length: 5, 5", body=b"hello")),
    Case(9, "two-equal-lines", post(LENGTH, LENGTH, body=b"hello")),
    Case(9, "list-of-differing", post("Content-Length: 5, 6", body=b"hello")),
    Case(10, "plus", post("Content-Length: +5", body=b"hello")),
    Case(10, "minus", post("Content-Length: -1", body=b"hello")),
    Case(10, "hexadecimal", post("Content-Length: 0x10", body=b"hello")),
    Case(10, "underscore", post("Content-Length: 1_0", body=b"hello")),
    Case(10, "empty", post("Content-Length:", body=b"hello")),
    Case(10, "inner-space", post("Content-Length: 5 5", body=b"hello")),
    Case(10, "exponent", post("Content-Length: 1e1", body=b"hello")),
    Case(10, "fraction", post("Content-Length: 5.0", body=b"hello")),
    Case(10, "other-digits", post("Content-Length: ٥".encode(), body=b"hello")),
    Case(10, "latin-1-digit", post(b"Content-Length: \xb2", body=b"hello")),
    Case(11, "two-to-the-63", post(f"Content-Length: {2**63}", body=b"hello")),
    Case(11, "two-to-the-64-plus-5", post(f"Content-Length: {2**64 + 5}", body=b"hello")),
    Case(11, "very-long", post("Content-Length: " + "9" * 500, body=b"hello")),
    Case(12, "empty-then-valid", post("Content-Length:", LENGTH, body=b"hello")),
    Case(12, "valid-then-empty", post(LENGTH, "Content-Length:", body=b"hello")),
]

BODY_CASES = [
    Case(13, "prefix-0x", chunked(b"0x5\r\nhello\r\n" + LAST)),
    Case(13, "plus", chunked(b"+5\r\nhello\r\n" + LAST)),
    Case(13, "minus", chunked(b"-5\r\nhello\r\n" + LAST)),
    Case(13, "underscore", chunked(b"0_5\r\nhello\r\n" + LAST)),
    Case(13, "leading-space", chunked(b" 5\r\nhello\r\n" + LAST)),
    Case(13, "leading-tab", chunked(b"\t5\r\nhello\r\n" + LAST)),
    Case(13, "empty-size", chunked(b"\r\nhello\r\n" + LAST)),
    Case(13, "only-extension", chunked(b";a=b\r\nhello\r\n" + LAST)),
    Case(13, "not-hexadecimal", chunked(b"g\r\nhello\r\n" + LAST)),
    Case(13, "last-chunk-minus-zero", chunked(HELLO + b"-0\r\n\r\n")),
    Case(14, "17-digits", chunked(b"10000000000000005\r\nhello\r\n" + LAST)),
    Case(14, "all-f", chunked(b"FFFFFFFFFFFFFFFFF\r\nhello\r\n" + LAST)),
    Case(14, "endless-zeros", chunked(b"0" * 1000 + b"5\r\nhello\r\n" + LAST)),
    Case(14, "over-any-limit", chunked(b"7fffffffffffffff\r\nhello\r\n"), (400, 413)),
    Case(15, "bare-lf-after-size", chunked(b"5\nhello\r\n" + LAST)),
    Case(15, "bare-lf-after-extension", chunked(b"5;a\nhello\r\n" + LAST)),
    Case(15, "bare-lf-after-last-size", chunked(HELLO + b"0\n\r\n")),
    Case(15, "bare-lf-at-the-end", chunked(HELLO + b"0\r\n\n")),
    Case(15, "bare-lf-in-a-trailer", chunked(HELLO + b"0\r\nX-A: b\n\r\n")),
    Case(15, "bare-cr-after-size", chunked(b"5\rhello\r\n" + LAST)),
    Case(16, "cr-in-extension", chunked(b"5;a\rb\r\nhello\r\n" + LAST)),
    Case(16, "cr-in-last-extension", chunked(HELLO + b"0;a\rb\r\n\r\n")),
    Case(
        17,
        "one-long",
        chunked(b"5;" + b"a" * 70_000 + b"\r\nhello\r\n" + LAST),
        (400, 413, 431),
    ),
    Case(17, "without-end", chunked(b"5;" + b"a" * 300_000), (400, 413, 431)),
    Case(17, "long-trailers", chunked(HELLO + b"0\r\n" + b"X-A: b\r\n" * 10_000), (400, 413, 431)),
    Case(18, "other-bytes", chunked(b"5\r\nhelloXX" + LAST)),
    Case(18, "nothing", chunked(b"5\r\nhello" + LAST)),
    Case(18, "bare-lf", chunked(b"5\r\nhello\n" + LAST)),
    Case(18, "only-cr", chunked(b"5\r\nhello\rX" + LAST)),
]


@pytest.mark.parametrize("case", HEAD_CASES, ids=str)
def test_ambiguous_head_is_refused_and_nothing_is_forwarded(
    site: Site, case: Case, deliver: Delivery
) -> None:
    assert site.refuse(case.data, deliver).status in case.statuses
    site.assert_nothing_was_forwarded()


@pytest.mark.parametrize("case", BODY_CASES, ids=str)
def test_malformed_chunked_body_is_refused_and_never_completed(
    site: Site, case: Case, deliver: Delivery
) -> None:
    assert site.refuse(case.data, deliver).status in case.statuses
    site.assert_nothing_whole_was_forwarded()


@pytest.mark.parametrize("case", HEAD_CASES + BODY_CASES, ids=str)
def test_what_follows_a_refused_request_is_not_taken_for_a_request(site: Site, case: Case) -> None:
    smuggled = head("GET /smuggled HTTP/1.1")
    assert site.refuse(case.data + smuggled).status in case.statuses
    site.assert_nothing_whole_was_forwarded()
    assert b"/smuggled" not in site.endpoint.received


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (post(LENGTH, body=b"hello"), b"hello"),
        (post("content-LENGTH:5", body=b"hello"), b"hello"),
        (post("Content-Length: 005", body=b"hello"), b"hello"),
        (post("Content-Length: 0"), b""),
        (post("transfer-encoding: Chunked", body=BODY), b"hello"),
        (chunked(b'005;a=b;c="d"\r\nhello\r\n' + LAST), b"hello"),
        (chunked(b"A\r\n0123456789\r\n" + LAST), b"0123456789"),
        (chunked(LAST), b""),
    ],
    ids=["length", "names-fold", "zeros", "nothing", "coding-folds", "extension", "hex", "empty"],
)
def test_unambiguous_framing_is_accepted(
    site: Site, data: bytes, body: bytes, deliver: Delivery
) -> None:
    assert site.send(data, deliver).status == 200
    assert site.endpoint.last.body == body


@pytest.mark.parametrize("field", ["Content-Length: 3", "Transfer-Encoding: gzip", "Host: evil"])
def test_case19_trailers_never_change_framing_or_host(
    site: Site, field: str, deliver: Delivery
) -> None:
    name = field.partition(":")[0].lower()
    site.send(chunked(HELLO + b"0\r\n" + field.encode() + b"\r\n\r\n"), deliver)
    for request in site.endpoint.requests:
        assert request.body == b"hello"
        assert name not in request.trailers
        assert request.headers["host"] == "site.example"
        assert field.partition(": ")[2] not in request.headers.all(name)


@pytest.mark.parametrize("data", [post(LENGTH, body=b"hello"), chunked(BODY)], ids=["cl", "te"])
def test_case21_body_of_a_get_is_forwarded_framed(site: Site, data: bytes) -> None:
    assert site.send(data.replace(b"POST", b"GET", 1)).status == 200
    assert (site.endpoint.last.method, site.endpoint.last.body) == ("GET", b"hello")
    assert {"content-length", "transfer-encoding"} & site.endpoint.last.headers.names()


TRUNCATED = {
    "length": post("Content-Length: 10", body=b"hello"),
    "within-a-chunk": chunked(b"a\r\nhello"),
    "before-the-last-chunk": chunked(HELLO),
    "within-the-trailers": chunked(HELLO + b"0\r\nX-A: b"),
}
LEAVING = {"close": Client.close, "reset": Client.reset, "half-close": Client.end_sending}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
@pytest.mark.parametrize("data", TRUNCATED.values(), ids=TRUNCATED.keys())
def test_case22_truncated_body_aborts_the_endpoints_connection(
    site: Site, data: bytes, leave: Callable[[Client], None]
) -> None:
    site.endpoint.forget()
    with site.worker.connect() as client:
        client.send(data)
        site.wait_for_head()
        leave(client)
        (begun,) = site.endpoint.requests
        site.endpoint.wait_for_end(begun.connection)
    assert not begun.whole
    site.probe()
    assert site.endpoint.last.connection != begun.connection


def answer_at_once(answer: bytes) -> Script:
    """Answers every request before its body came."""

    def play(connection: EndpointConnection) -> None:
        while True:
            length = re.search(rb"(?i)\r\nContent-Length: (\d+)", connection.receive_head())
            connection.send(answer)
            connection.receive_bytes(int(length[1]) if length else 0)

    return play


@pytest.mark.parametrize("status", ["200 OK", "413 Content Too Large", "401 Unauthorized"])
def test_case20_answer_before_the_body_never_lets_the_rest_pass_for_a_request(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    status: str,
) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode()
    endpoint = scripted(answer_at_once(answer))
    worker = start(world(pool(endpoint, retry=NEVER_REPEAT)))
    body = head("GET /smuggled HTTP/1.1") * 1000
    with worker.connect() as client:
        client.send(post(f"Content-Length: {len(body)}", body=body[:100]))
        assert client.read_response("POST").status == int(status[:3])
        if client.send_while_open(body[100:] + head("GET /next HTTP/1.1")):
            client.read_response_or_end()
    for connection in endpoint.connections:
        request, _, rest = bytes(connection.received).partition(b"\r\n\r\n")
        if request.startswith(b"POST /form"):
            assert body.startswith(rest[: len(body)])
            assert rest[len(body) :] == b"" or rest[len(body) :].startswith(b"GET /next")
        else:
            assert request.startswith(b"GET /next")


def test_refused_body_does_not_cost_the_client_the_answer() -> None:
    """The answer can be read although the client never stopped sending: no reset overtakes it."""
    with Site(Limits(body_bytes=1000)) as site, site.worker.connect() as client:
        client.send_while_open(post("Content-Length: 3000000", body=b"x" * 3_000_000))
        assert client.read_response("POST").status == 413
