"""Cases 23–40: a head is forwarded only if every server behind reads the same in it."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from penstock.core.snapshot import FixedResponse, HeaderEdit, Limits, Match, Rewrite
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import HELLO, chunked, head, post
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, route, world
from tests.security.site import Case, Delivery, Site

LENGTH = "Content-Length: 5"


def get(*lines: bytes | str, host: str | None = "site.example") -> bytes:
    return head("GET / HTTP/1.1", *lines, host=host)


def target(text: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return head(f"{method} {text} {version}")


FIELD_CASES = [
    Case(23, "host", get("Host : site.example", host=None)),
    Case(23, "content-length", post("Content-Length : 5", body=b"hello")),
    Case(23, "tab", get("X-A\t: b")),
    Case(24, "space", get("X-A: b", " c")),
    Case(24, "tab", get("X-A: b", "\tc")),
    Case(24, "only-white-space", get("X-A: b", " ")),
    Case(24, "hidden-length", post("X-A: b", " Content-Length: 5", body=b"hello")),
    Case(25, "space", b"GET / HTTP/1.1\r\n Host: site.example\r\n\r\n"),
    Case(25, "tab", b"GET / HTTP/1.1\r\n\tX-A: b\r\nHost: site.example\r\n\r\n"),
    Case(25, "line-of-space", b"GET / HTTP/1.1\r\n \r\nHost: site.example\r\n\r\n"),
    Case(26, "nul", get("X-A: b\0c")),
    Case(26, "cr", get("X-A: b\rc")),
    Case(26, "cr-then-field", get("X-A: b\rX-B: c")),
    Case(26, "lf", get("X-A: b\nX-B: c")),
    Case(26, "cr-at-the-end", get("X-A: b\r")),
    Case(26, "nul-in-host", get("Host: site\0.example", host=None)),
    *[
        Case(27, f"x{ord(byte):02x}", get(f"X{byte}A: b"))
        for byte in ' "(),/;<=>?@[\\]{}\0\x01\x7f\x80\xe9'
    ],
    Case(28, "no-colon", get("X-A")),
    Case(28, "empty-name", get(": b")),
    Case(28, "only-colon", get(":")),
    Case(29, "every-line", get("X-A: b").replace(b"\r\n", b"\n")),
    Case(29, "request-line", get("X-A: b").replace(b"\r\n", b"\n", 1)),
    Case(29, "last-field", get("X-A: b").replace(b"b\r\n", b"b\n")),
    Case(29, "empty-line", get("X-A: b")[:-2] + b"\n"),
    Case(29, "first-empty-line", get("X-A: b").replace(b"b\r\n\r\n", b"b\n\r\n")),
    Case(29, "only-cr", get("X-A: b").replace(b"\r\n", b"\r") + b"\r\n\r\n"),
    Case(31, "missing", get(host=None)),
    Case(31, "twice-the-same", get("Host: site.example")),
    Case(31, "twice", get("Host: evil.example")),
    Case(31, "space", get(host="site example")),
    Case(31, "list", get(host="site.example, evil.example")),
    Case(31, "path", get(host="site.example/evil")),
    Case(31, "user", get(host="user@site.example")),
    Case(31, "open-bracket", get(host="[::1")),
    Case(31, "not-a-port", get(host="site.example:http")),
    Case(31, "two-ports", get(host="site.example:80:81")),
    Case(31, "url", get(host="http://site.example")),
    Case(31, "empty", get(host="")),
    Case(31, "escaped", get(host="%61dmin.example")),
]

TARGET_CASES = [
    Case(33, "asterisk", target("*")),
    Case(33, "authority", target("site.example:80")),
    Case(33, "relative", target("index.html")),
    Case(33, "no-host", target("http:///path")),
    Case(33, "user", target("http://user@site.example/")),
    Case(34, "connect", target("site.example:443", "CONNECT"), (405, 501)),
    Case(34, "connect-path", target("/", "CONNECT"), (405, 501)),
    Case(35, "fragment", target("/a#b")),
    Case(35, "space", target("/a b")),
    Case(35, "tab", target("/a\tb")),
    Case(35, "two-spaces", b"GET  / HTTP/1.1\r\nHost: site.example\r\n\r\n"),
    Case(35, "control", target("/a\x01b")),
    Case(35, "nul", target("/a\0b")),
    Case(35, "delete", target("/a\x7fb")),
    Case(35, "cr", target("/a\rb")),
    Case(35, "space-before", b" GET / HTTP/1.1\r\nHost: site.example\r\n\r\n"),
    Case(35, "half-an-escape", target("/a%2")),
    Case(35, "escaped-nul", target("/a%00b")),
    Case(35, "overlong-utf-8", target("/a%c0%afb")),
    Case(35, "above-the-root", target("/a/../../b")),
    Case(35, "lower-case-method", target("/", "get")),
    Case(35, "bad-method", target("/", "G(T")),
    Case(36, "0.9", b"GET /\r\n\r\n", (400, 505)),
    Case(36, "1.32", target("/", version="HTTP/1.32"), (400, 505)),
    Case(36, "9.9", target("/", version="HTTP/9.9"), (400, 505)),
    Case(36, "2.0", target("/", version="HTTP/2.0"), (400, 505)),
    Case(36, "lower-case", target("/", version="http/1.1"), (400, 505)),
    Case(36, "no-minor", target("/", version="HTTP/1."), (400, 505)),
    Case(36, "inner-space", target("/", version="HTTP/ 1.1"), (400, 505)),
    Case(36, "trailing-space", target("/", version="HTTP/1.1 "), (400, 505)),
    Case(36, "comma", target("/", version="HTTP/1,1"), (400, 505)),
    Case(36, "other-protocol", target("/", version="ICY/1.1"), (400, 505)),
    Case(36, "tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, 505)),
    Case(36, "broken-http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", (400, 505)),
    Case(37, "over", target("/" + "a" * 8192), (414,)),
    Case(37, "far-over", target("/" + "a" * 200_000), (414, 431)),
    Case(37, "without-end", b"GET /" + b"a" * 200_000, (414, 431)),
    Case(38, "one-big", get("X-A: " + "b" * 33_000), (431,)),
    Case(38, "many-bytes", get(*[f"X-{n}: {'b' * 1000}" for n in range(40)]), (431,)),
    Case(38, "too-many", get(*[f"X-{n}: b" for n in range(101)]), (431,)),
    Case(38, "without-end", get("X-A: b")[:-2] + b"X-B: c\r\n" * 30_000, (431,)),
]


@pytest.mark.parametrize("case", FIELD_CASES + TARGET_CASES, ids=str)
def test_malformed_head_is_refused_and_nothing_is_forwarded(
    site: Site, case: Case, deliver: Delivery
) -> None:
    assert site.refuse(case.data, deliver).status in case.statuses
    site.assert_nothing_was_forwarded()


@pytest.mark.parametrize(
    "data",
    [
        get("X-A:b"),
        get("X-A: \t b \t "),
        get("X-A:"),
        get("!#$%&'*+-.^_`|~09azAZ: b"),
        get(b"X-A: \x80\xff"),
        get(host="[::1]:8080"),
        get(host="127.0.0.1"),
        head("GET / HTTP/1.0", host=None),
        head("OPTIONS * HTTP/1.1"),
        target("/a?b=c&d=%20;e[]=/?"),
        target("/" + "a" * 8000),
        get(*[f"X-{n}: b" for n in range(90)]),
    ],
    ids=lambda data: data[:40],
)
def test_well_formed_head_is_accepted(site: Site, data: bytes, deliver: Delivery) -> None:
    assert site.send(data, deliver).status == 200
    assert site.endpoint.last.method.encode() == data.split()[0]


@pytest.mark.parametrize("name", ["Transfer_Encoding", "transfer_encoding", "Transfer_encoding"])
def test_case30_underscored_framing_field_never_arrives(
    site: Site, name: str, deliver: Delivery
) -> None:
    response = site.send(post(LENGTH, f"{name}: chunked", body=b"hello"), deliver)
    assert response.status in (200, 400)
    for request in site.endpoint.requests:
        assert request.body == b"hello"
        assert not {"transfer_encoding", "transfer-encoding"} & request.headers.names()


@pytest.mark.parametrize("url", ["http://good.example/a?b", "HTTP://good.example/a?b"])
def test_case32_absolute_target_wins_over_host(site: Site, url: str, deliver: Delivery) -> None:
    response = site.send(head(f"GET {url} HTTP/1.1", host="evil.example"), deliver)
    assert response.status in (200, 400)
    for request in site.endpoint.requests:
        assert request.headers["host"] == "good.example"
        assert request.target == "/a?b"
        assert "evil.example" not in request.headers.all("x-forwarded-host")
    assert b"evil.example" not in site.endpoint.received


def test_case32_absolute_target_without_path_is_the_root(site: Site) -> None:
    assert site.send(target("http://site.example?q")).status == 200
    assert site.endpoint.last.target == "/?q"


DISGUISED = [
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2e/admin",
    "/public/..%2fadmin",
    "/public/..;/admin",
    "/public/..;x=y/admin",
    "/public//admin",
    "//admin",
    "/./admin",
    "/%61dmin",
    "/admin%2f..",
    "/public%2f..%2fadmin",
    "/public\\..\\admin",
    "/admin/..;/public",
    "/public/%00",
    "/public/%252e%252e/admin",
    "/%61dmin/x",
    "/adm%69n",
    "/admin%2fx",
    "/admin%2Fx/y",
    "/admin;x",
    "/admin;x=y/z",
    "/admin%3bx",
    "/admin\\x",
    "/admin%5cx",
    "/;x/admin",
    "/.;x/admin",
    "/%2fadmin",
    "/%c0%afadmin",
    "/x/.%2e/admin",
    "/../admin",
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Worker, HttpEndpoint]]:
    """Everything but /admin goes to the endpoint; routes name themselves in the answer."""
    routes = [
        route(
            "main",
            name=prefix,
            match=Match(path_kind="prefix", path=prefix),
            response_headers=(HeaderEdit("set", "X-Route", prefix),),
        )
        for prefix in ("/public", "/")
    ]
    forbidden = route(
        name="/admin",
        match=Match(path_kind="prefix", path="/admin"),
        respond=FixedResponse(status=403),
    )
    with (
        HttpEndpoint() as endpoint,
        Worker(world(pool(endpoint), routes=[forbidden, *routes])) as worker,
    ):
        yield worker, endpoint


@pytest.mark.parametrize("path", DISGUISED)
def test_case39_rules_match_exactly_what_is_forwarded(
    guarded: tuple[Worker, HttpEndpoint], path: str
) -> None:
    worker, endpoint = guarded
    endpoint.forget()
    with worker.connect() as client:
        response = client.get(path)
    if response.status == 200:
        forwarded = endpoint.last.target
        assert not is_under("/admin", forwarded)
        for read in (unquote(forwarded), as_servlets_read(forwarded)):
            assert not is_under("/admin", read)
        expected = "/public" if is_under("/public", forwarded) else "/"
        assert response.headers["x-route"] == expected
    else:
        assert response.status in (400, 403)
        assert endpoint.requests == []


@pytest.mark.parametrize("path", ["/%61dmin", "/public/../admin", "/public/%2e%2e/admin/x"])
def test_case39_rule_holds_for_every_equivalent_path(
    guarded: tuple[Worker, HttpEndpoint], path: str
) -> None:
    with guarded[0].connect() as client:
        assert client.get(path).status == 403


@pytest.mark.parametrize(
    ("path", "forwarded"),
    [
        ("/files/%7eme/%c3%bc", "/files/~me/%C3%BC"),
        ("/files/a%2fb", "/files/a%2Fb"),
        ("/files//b", "/files//b"),
        ("/files/a;b?c=%2e%2e/%2f", "/files/a;b?c=%2e%2e/%2f"),
        ("/public/a%2fb", "/public/a%2Fb"),
    ],
)
def test_case39_path_that_rules_do_not_tell_apart_goes_on(
    guarded: tuple[Worker, HttpEndpoint], path: str, forwarded: str
) -> None:
    worker, endpoint = guarded
    endpoint.forget()
    with worker.connect() as client:
        assert client.get(path).status == 200
    assert endpoint.last.target == forwarded


def test_case39_listener_merges_slashes_where_it_is_told_to() -> None:
    forbidden = route(
        match=Match(path_kind="prefix", path="/admin"), respond=FixedResponse(status=403)
    )
    merging = listener(merge_slashes=True)
    with HttpEndpoint() as endpoint:
        everything = world(pool(endpoint), routes=[forbidden, route("main")], listeners=[merging])
        with Worker(everything) as worker, worker.connect() as client:
            assert client.get("//admin").status == 403
            assert client.get("//v1///chat?a=//").status == 200
    assert endpoint.last.target == "/v1/chat?a=//"


def test_case39_rewrite_cannot_make_a_path_climb() -> None:
    careless = Rewrite("regex", "^/static(.*)$", r"/files/\1")
    with HttpEndpoint() as endpoint:
        routes = [route("main", rewrite=careless)]
        with Worker(world(pool(endpoint), routes=routes)) as worker, worker.connect() as client:
            assert client.get("/static/a").status == 200
            assert client.get("/static../secret").status == 400
    assert endpoint.last.target == "/files//a"


@pytest.mark.parametrize("host", ["admin.example.", "ADMIN.example.:80", "Admin.Example"])
def test_rule_on_a_host_holds_for_every_spelling_of_it(host: str) -> None:
    forbidden = route(match=Match(hosts=("admin.example",)), respond=FixedResponse(status=403))
    with HttpEndpoint() as endpoint:
        routes = [forbidden, route("main")]
        with Worker(world(pool(endpoint), routes=routes)) as worker, worker.connect() as client:
            assert client.request(get(host=host)).status == 403


def as_servlets_read(path: str) -> str:
    """Without parameters, decoded, backslashes as slashes."""
    return re.sub("/+", "/", unquote(re.sub(";[^/]*", "", path)).replace("\\", "/"))


def is_under(prefix: str, path: str) -> bool:
    """Whether that path, read literally, is the prefix or lies under it."""
    return path == prefix or path.startswith((prefix + "/", prefix + "?"))


LIMITED = Limits(body_bytes=1000)
TOO_BIG = [
    post("Content-Length: 1001", body=b"x" * 1001),
    post("Content-Length: 1001"),
    post("Content-Length: 1001", "Expect: 100-continue"),
]


@pytest.fixture(scope="module")
def limited() -> Iterator[Site]:
    with Site(LIMITED) as made:
        yield made


@pytest.mark.parametrize("data", TOO_BIG, ids=["sent", "announced", "expecting"])
def test_case40_announced_body_over_the_limit_is_refused_unread(
    limited: Site, data: bytes, deliver: Delivery
) -> None:
    response = limited.refuse(data, deliver)
    assert (response.status, response.interim) == (413, [])
    limited.assert_nothing_was_forwarded()


@pytest.mark.parametrize(
    "body",
    [b"3e9\r\n" + b"x" * 1001 + b"\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n", HELLO * 201],
    ids=["one-chunk", "one-byte-more", "many-chunks"],
)
def test_case40_chunked_body_over_the_limit_is_refused_and_never_completed(
    limited: Site, body: bytes, deliver: Delivery
) -> None:
    assert limited.refuse(chunked(body + b"0\r\n\r\n"), deliver).status == 413
    limited.assert_nothing_whole_was_forwarded()


@pytest.mark.parametrize(
    "data",
    [
        post("Content-Length: 1000", body=b"x" * 1000),
        chunked(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n"),
    ],
    ids=["length", "chunked"],
)
def test_case40_body_at_the_limit_passes(limited: Site, data: bytes) -> None:
    assert limited.send(data).status == 200
    assert limited.endpoint.last.body == b"x" * 1000


def test_limits_of_a_head_are_the_listeners() -> None:
    """Smaller limits refuse what larger ones let pass, each with its own status."""
    limits = Limits(header_bytes=1000, header_count=5, target_bytes=100)
    with Site(limits) as site:
        assert site.send(target("/" + "a" * 99)).status == 200
        assert site.refuse(target("/" + "a" * 100)).status == 414
        assert site.send(get("A: b", "C: d", "E: f", "G: h")).status == 200
        assert site.refuse(get("A: b", "C: d", "E: f", "G: h", "I: j")).status == 431
        assert site.send(get("X-A: " + "b" * 900)).status == 200
        assert site.refuse(get("X-A: " + "b" * 1000)).status == 431
