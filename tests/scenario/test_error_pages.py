"""Pages that a site puts in place of errors."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.snapshot import ErrorPage, Limits, Match
from tests.harness.endpoint import EndpointConnection
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import get, post
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, route, world

pytestmark = pytest.mark.both_fronts

BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
PROGRAM = "Accept: application/json"
AWAY = ErrorPage((502, 503), html="<p>away</p>", json='{"away": true}', text="away\n")
LOST = ErrorPage((404,), html="<p>lost</p>")
OURS = ErrorPage((404, 500, 503), html="<p>ours</p>", replaces_endpoints=True)


def failing(status: int = 500, *headers: tuple[str, str]) -> Callable[..., Answer]:
    return lambda _: Answer(status, b"Traceback of 10.0.0.7", headers)


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        (BROWSER, "text/html; charset=utf-8", b"<p>away</p>"),
        (PROGRAM, "application/json", b'{"away": true}'),
        ("Accept: */*", "text/plain; charset=utf-8", b"away\n"),
        ("X-None: of it", "text/plain; charset=utf-8", b"away\n"),
    ],
)
def test_an_error_comes_in_the_form_that_its_client_accepts(
    start: Callable[..., Worker], refusing: Address, accept: str, content_type: str, body: bytes
) -> None:
    worker = start(world(pool(refusing, error_pages=(AWAY,))))

    answered = worker.connect().request(get("/", accept))

    assert (answered.status, answered.body) == (502, body)
    assert answered.headers.all("content-type") == [content_type]
    assert answered.headers.all("vary") == ["Accept"]


def test_a_page_keeps_what_the_error_says_of_when_to_come_again(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, error_pages=(AWAY,))))
    worker.drain("main", endpoint)

    answered = worker.connect().request(get("/", BROWSER))

    assert (answered.status, answered.body) == (503, b"<p>away</p>")
    assert answered.headers.all("retry-after") == ["1"]


def test_head_gets_the_page_without_its_body(
    start: Callable[..., Worker], refusing: Address
) -> None:
    worker = start(world(pool(refusing, error_pages=(AWAY,))))

    client = worker.connect()
    answered = client.request(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", method="HEAD")

    assert (answered.status, answered.body) == (502, b"")
    assert answered.headers.all("content-length") == ["5"]


def test_the_nearest_page_counts(start: Callable[..., Worker], refusing: Address) -> None:
    """A route's before its pool's, and that before those of the whole configuration."""
    everywhere = (ErrorPage((404, 500, 502), text="everywhere"),)
    of_pool = (ErrorPage((502,), text="pool"),)
    of_route = (ErrorPage((502,), text="route"),)
    routes = [
        route("main", match=Match(path_kind="prefix", path="/a"), error_pages=of_route),
        route("main", match=Match(path_kind="prefix", path="/b"), name="b"),
        route("other", match=Match(path_kind="prefix", path="/c"), name="c"),
    ]
    pools = [pool(refusing, error_pages=of_pool), pool(refusing, name="other")]
    client = start(world(*pools, routes=routes, error_pages=everywhere)).connect()

    given = [client.request(get(path)).body for path in ("/a", "/b", "/c", "/none")]

    assert given == [b"route", b"pool", b"everywhere", b"everywhere"]


def test_what_is_refused_before_it_has_a_route_gets_the_page_of_all(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    page = ErrorPage((413,), html="<p>too large</p>")
    small = listener(limits=Limits(body_bytes=10))
    worker = start(world(pool(endpoint), listeners=[small], error_pages=(page,)))

    answered = worker.connect().request(post(BROWSER, "Content-Length: 11", body=b"x" * 11))

    assert (answered.status, answered.body) == (413, b"<p>too large</p>")


def test_endpoints_errors_pass_unless_they_are_to_be_replaced(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, error_pages=(LOST,))))
    endpoint.answer = failing(404)

    assert worker.connect().request(get("/", BROWSER)).body == b"Traceback of 10.0.0.7"


def test_an_endpoints_error_is_replaced_with_what_says_how_to_go_on(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, error_pages=(OURS,))))
    told = (("Retry-After", "120"), ("Server", "inner/1.2"), ("Content-Encoding", "br"))
    endpoint.answer = failing(500, *told)
    client = worker.connect()

    replaced = client.request(get("/", BROWSER))
    for_programs = client.request(get("/", PROGRAM))

    assert (replaced.status, replaced.body) == (500, b"<p>ours</p>")
    assert replaced.headers.all("retry-after") == ["120"]
    assert not replaced.headers.all("server") + replaced.headers.all("content-encoding")
    assert for_programs.status == 500  # whose form there is not: ours, and nothing of the endpoint
    assert b"10.0.0.7" not in for_programs.body
    assert for_programs.headers.all("content-type") == ["application/json"]


def test_a_replaced_answer_that_never_ends_is_given_up(
    start: Callable[..., Worker], scripted: Callable[..., Any]
) -> None:
    def endless(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n")
        connection.receive_to_end()

    worker = start(world(pool(scripted(endless), error_pages=(OURS,))))

    assert worker.connect().get("/", BROWSER).body == b"<p>ours</p>"


def test_clients_of_language_models_read_errors_as_their_api_has_them(
    start: Callable[..., Worker], refusing: Address
) -> None:
    """Unless the pool itself has pages."""
    routes = [
        route("plain", match=Match(path_kind="prefix", path="/a")),
        route("paged", match=Match(path_kind="prefix", path="/b")),
    ]
    pools = [
        pool(refusing, name="plain", kind="llm"),
        pool(refusing, name="paged", kind="llm", error_pages=(AWAY,)),
    ]
    client = start(world(*pools, routes=routes, error_pages=(AWAY,))).connect()

    assert b'"type": "bad_gateway"' in client.request(get("/a/v1/x", BROWSER)).body
    assert client.request(get("/b/v1/x", BROWSER)).body == b"<p>away</p>"


def test_grpc_keeps_its_own_errors(start: Callable[..., Worker], refusing: Address) -> None:
    worker = start(world(pool(refusing, error_pages=(AWAY,)), error_pages=(AWAY,)))
    called = post("Content-Type: application/grpc", "Content-Length: 0", target="/a.B/C")

    answered = worker.connect().request(called)

    assert (answered.status, answered.body) == (200, b"")
    assert answered.headers.all("grpc-status") == ["14"]


def test_errors_name_nothing_of_ours(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    """Pools and endpoints are no client's business."""
    secret = pool(at(endpoint, name="inner-7:0"), name="secret")
    worker = start(world(secret, routes=[route("secret", name="hidden-route")]))
    worker.drain("secret", Address(0, "inner-7"))

    answered = worker.connect().request(get("/"))

    assert answered.status == 503
    for name in (b"secret", b"inner-7", b"hidden-route", str(endpoint.port).encode()):
        assert name not in answered.body
