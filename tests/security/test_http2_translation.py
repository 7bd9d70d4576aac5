"""What comes over HTTP/2 is no way around the rules of HTTP/1.1: nothing is smuggled."""

import pytest

from tests.harness.http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOOD,
    HEADERS,
    Field,
    FrameClient,
    block,
    frame,
    literal,
    request,
)
from tests.security.site import Site

PROTOCOL_ERROR = 1
MALFORMED = ("reset", PROTOCOL_ERROR)
REFUSED = ("status", 400)

_BAD_OCTETS = {"cr": b"\r", "lf": b"\n", "crlf": b"\r\n", "nul": b"\0", "del": b"\x7f"}


def without(name: bytes) -> tuple[Field, ...]:
    return tuple(field for field in GOOD if field[0] != name)


def instead(name: bytes, value: bytes) -> tuple[Field, ...]:
    return tuple((key, value if key == name else old) for key, old in GOOD)


def named() -> dict[str, tuple[Field, ...]]:
    """Malformed heads by name (RFC 9113, 8.1.1 to 8.3.1)."""
    rows: dict[str, tuple[Field, ...]] = {}
    for name, octet in _BAD_OCTETS.items():
        rows[f"{name}-in-value"] = (*GOOD, (b"x-a", b"a" + octet + b"x-b: c"))
        rows[f"{name}-in-name"] = (*GOOD, (b"x-a" + octet + b"b", b"c"))
        rows[f"{name}-in-path"] = instead(b":path", b"/a" + octet + b"b")
        rows[f"{name}-in-method"] = instead(b":method", b"GET" + octet + b"X")
        rows[f"{name}-in-authority"] = instead(b":authority", b"a" + octet + b"b")
        rows[f"{name}-in-scheme"] = instead(b":scheme", b"http" + octet)
    for octet in (b" ", b":", b"\t", b'"', b"(", b"/", b"\x80"):
        rows[f"name-with-{octet.hex()}"] = (*GOOD, (b"x" + octet + b"a", b"b"))
    rows["request-in-value"] = (*GOOD, (b"x", b"a\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"))
    rows["request-line-in-path"] = instead(b":path", b"/ HTTP/1.1\r\nX: y\r\n\r\nGET /")
    rows["space-in-path"] = instead(b":path", b"/a b")
    rows["space-in-method"] = instead(b":method", b"GET /x HTTP/1.1 ")
    rows["space-before-value"] = (*GOOD, (b"x-a", b" b"))
    rows["space-after-value"] = (*GOOD, (b"x-a", b"b "))
    rows["tab-after-value"] = (*GOOD, (b"x-a", b"b\t"))
    rows["empty-name"] = (*GOOD, (b"", b"b"))
    rows["upper-case"] = (*GOOD, (b"X-A", b"b"))
    rows["upper-case-length"] = (*GOOD, (b"Content-Length", b"0"))
    rows["upper-case-pseudo"] = (*without(b":path"), (b":Path", b"/"))
    rows["connection"] = (*GOOD, (b"connection", b"x-a"))
    rows["keep-alive"] = (*GOOD, (b"keep-alive", b"5"))
    rows["proxy-connection"] = (*GOOD, (b"proxy-connection", b"close"))
    rows["upgrade"] = (*GOOD, (b"upgrade", b"websocket"))
    rows["te-gzip"] = (*GOOD, (b"te", b"gzip"))
    rows["te-list"] = (*GOOD, (b"te", b"trailers, gzip"))
    rows["chunked"] = (*GOOD, (b"transfer-encoding", b"chunked"))
    rows["identity"] = (*GOOD, (b"transfer-encoding", b"identity"))
    rows["length-without-content"] = (*GOOD, (b"content-length", b"5"))
    rows["two-lengths"] = (*GOOD, (b"content-length", b"0"), (b"content-length", b"5"))
    for value in (b"", b"-1", b"+5", b"5, 5", b"0x5", b"5 ", b"1e1", b"9" * 30):
        rows[f"length-{value[:8].decode()}"] = (*GOOD, (b"content-length", value))
    for pseudo, value in GOOD:
        key = pseudo.decode()[1:]
        rows[f"doubled-{key}"] = (*GOOD, (pseudo, value))
        rows[f"empty-{key}"] = instead(pseudo, b"")
        if pseudo != b":authority":
            rows[f"missing-{key}"] = without(pseudo)
        rows[f"{key}-after-fields"] = (*without(pseudo), (b"x", b"y"), (pseudo, value))
    rows["no-authority-no-host"] = without(b":authority")
    rows["unknown-pseudo"] = (*GOOD, (b":unknown", b"a"))
    rows["status"] = (*GOOD, (b":status", b"200"))
    rows["protocol"] = (*GOOD, (b":protocol", b"websocket"))
    rows["other-host"] = (*GOOD, (b"host", b"other.example"))
    rows["other-port"] = (*GOOD, (b"host", b"site.example:81"))
    rows["two-hosts"] = (*GOOD, (b"host", b"site.example"), (b"host", b"site.example"))
    rows["bad-host"] = (*without(b":authority"), (b"host", b"a/b"))
    for value in (
        b"a@b",
        b"user:pass@site.example",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a b",
        b"[::1",
        b"a:b",
    ):
        rows[f"authority-{value.decode()}"] = instead(b":authority", value)
    rows["path-without-slash"] = instead(b":path", b"a/b")
    rows["path-absolute"] = instead(b":path", b"http://other.example/a")
    rows["path-fragment"] = instead(b":path", b"/a#b")
    rows["path-star-get"] = instead(b":path", b"*")
    rows["path-query-only"] = instead(b":path", b"?a=b")
    rows["path-obs-text"] = instead(b":path", b"/\xc3\xa4")
    rows["connect-with-path"] = instead(b":method", b"CONNECT")
    rows["connect-without-authority"] = ((b":method", b"CONNECT"),)
    rows["extended-connect-without-authority"] = (
        *[field for field in instead(b":method", b"CONNECT") if field[0] != b":authority"],
        (b":protocol", b"websocket"),
    )
    return rows


ROWS = named()


def ask(site: Site, data: bytes) -> tuple[str, int]:
    """How the request on stream 1 ended."""
    site.endpoint.forget()
    with FrameClient(site.worker.address()) as client:
        client.send(data)
        return client.outcome(1)


@pytest.mark.parametrize("row", ROWS)
def test_malformed_request_is_reset_and_reaches_no_endpoint(site: Site, row: str) -> None:
    assert ask(site, request(1, *ROWS[row])) == MALFORMED
    site.assert_nothing_was_forwarded()


@pytest.mark.parametrize("row", [each for each in ROWS if each != "length-without-content"])
def test_malformed_request_with_content_is_reset_as_well(site: Site, row: str) -> None:
    told = request(1, *ROWS[row], end=False) + frame(DATA, END_STREAM, 1, b"hello")
    assert ask(site, told) == MALFORMED
    site.assert_nothing_was_forwarded()


@pytest.mark.parametrize(
    "path",
    [
        b"/../a",
        b"/a/../../b",
        b"/a/..;/b",
        b"/a/%2e%2e;x/b",
        b"/..%2fa",
        b"/a%00b",
        b"/a%0d%0ab",
        b"/a\\..\\b",
        b"/a%5c..%5cb",
        b"/%",
        b"/%zz",
        b"/%c0%ae%c0%ae/",
    ],
)
def test_paths_fare_as_over_http_1(site: Site, path: bytes) -> None:
    over_1 = site.send(b"GET " + path + b" HTTP/1.1\r\nHost: site.example\r\n\r\n")
    seen_1 = [each.target for each in site.endpoint.requests]
    found = ask(site, request(1, *instead(b":path", path)))
    assert found == ("status", over_1.status)
    assert [each.target for each in site.endpoint.requests] == seen_1


def test_plain_connect_is_refused(site: Site) -> None:
    kind, code = ask(site, request(1, (b":method", b"CONNECT"), (b":authority", b"a.example:443")))
    assert (kind, code) in [("status", 400), ("status", 405), ("status", 501)]
    site.assert_nothing_was_forwarded()


@pytest.mark.parametrize("length", [b"3", b"7"])
def test_content_of_another_length_is_never_a_whole_request(site: Site, length: bytes) -> None:
    head = request(1, *instead(b":method", b"POST"), (b"content-length", length), end=False)
    assert ask(site, head + frame(DATA, END_STREAM, 1, b"hello")) == MALFORMED
    site.assert_nothing_whole_was_forwarded()


def test_trailers_before_the_whole_length_are_never_a_whole_request(site: Site) -> None:
    head = request(1, *instead(b":method", b"POST"), (b"content-length", b"7"), end=False)
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b"x", b"y"))
    assert ask(site, head + frame(DATA, 0, 1, b"hello") + trailers) == MALFORMED
    site.assert_nothing_whole_was_forwarded()


@pytest.mark.parametrize(
    "field",
    [(b":path", b"/"), (b"x", b"a\r\nb: c"), (b"transfer-encoding", b"chunked"), (b"X", b"y")],
)
def test_malformed_trailers_are_never_the_end_of_a_request(site: Site, field: Field) -> None:
    head = request(1, *instead(b":method", b"POST"), end=False)
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, block(field))
    assert ask(site, head + frame(DATA, 0, 1, b"hello") + trailers) == MALFORMED
    site.assert_nothing_whole_was_forwarded()


def test_content_that_looks_like_chunks_is_content(site: Site) -> None:
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    head = request(1, *instead(b":method", b"POST"), end=False)
    assert ask(site, head + frame(DATA, END_STREAM, 1, body)) == ("status", 200)
    assert [(each.target, each.body) for each in site.endpoint.requests] == [("/", body)]


@pytest.mark.parametrize("name", [b"content_length", b"transfer_encoding", b"x_forwarded_for"])
def test_names_that_servers_take_for_others_do_not_pass(site: Site, name: bytes) -> None:
    over_1 = site.send(b"GET / HTTP/1.1\r\nHost: site.example\r\n" + name + b": 5\r\n\r\n")
    seen_1 = [name.decode() in each.headers for each in site.endpoint.requests]
    assert ask(site, request(1, *GOOD, (name, b"5"))) == ("status", over_1.status)
    assert [name.decode() in each.headers for each in site.endpoint.requests] == seen_1


def test_authority_is_the_host_that_the_endpoint_gets(site: Site) -> None:
    fields = (*GOOD, (b"host", b"SITE.example:80"), (b"x-host", b"other"))
    assert ask(site, request(1, *fields)) == ("status", 200)
    assert site.endpoint.last.headers.all("host") == ["site.example"]


def test_crumbs_of_a_cookie_are_one_field(site: Site) -> None:
    assert ask(site, request(1, *GOOD, (b"cookie", b"a=1"), (b"cookie", b"b=2")))[1] == 200
    assert site.endpoint.last.headers["cookie"] == "a=1; b=2"


def test_refusal_of_a_head_request_has_no_content(site: Site) -> None:
    with FrameClient(site.worker.address()) as client:
        fields = tuple(
            (name, {b":method": b"HEAD", b":path": b"/a/..;/b"}.get(name, value))
            for name, value in GOOD
        )
        client.send(request(1, *fields))
        assert client.outcome(1) == REFUSED
        client.ping()
        assert client.find(DATA, 1) is None
