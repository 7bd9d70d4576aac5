"""Which pool a request goes to, and what becomes of its path on the way."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from penstock.core.snapshot import (
    FixedResponse,
    HeaderEdit,
    HeaderMatch,
    Match,
    PoolTimeouts,
    Redirect,
    Rewrite,
    Route,
    WeightedPool,
)
from penstock.dataplane.board.layout import L_BYTES_SENT, P_COPIES_GIVEN_UP, P_CUT
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint, refuse_connections
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import chunked, get, head, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, listener, pool, route, world

pytestmark = pytest.mark.both_fronts


def saying(name: str, match: Match) -> Route:
    """A route that answers with its own name."""
    return route(name=name, match=match, respond=FixedResponse(status=200, body=name))


def on_path(kind: str, path: str) -> Match:
    assert kind in ("exact", "prefix", "regex")
    return Match(path_kind=kind, path=path)  # type: ignore[arg-type]


ROUTES = [
    saying("exact-host", Match(hosts=("a.example",))),
    saying("wildcard-host", Match(hosts=("*.b.example",))),
    saying("other-listener", Match(listeners=("other",))),
    saying("exact-path", on_path("exact", "/exact")),
    saying("prefix", on_path("prefix", "/api")),
    saying("regex", on_path("regex", r"/v[0-9]+/.*")),
    saying("method", Match(methods=("DELETE", "PUT"))),
    saying("present", Match(headers=(HeaderMatch("x-present"),))),
    saying("value", Match(headers=(HeaderMatch("x-value", "exact", "yes"),))),
    saying("value-prefix", Match(headers=(HeaderMatch("x-value", "prefix", "pre"),))),
    saying("value-regex", Match(headers=(HeaderMatch("x-value", "regex", "[0-9]+"),))),
    saying(
        "all-of",
        Match(methods=("POST",), headers=(HeaderMatch("x-a"), HeaderMatch("x-b"))),
    ),
    saying("absent", Match(methods=("POST",), headers=(HeaderMatch("x-c", invert=True),))),
    saying("any", Match(methods=("GET",))),
]


@pytest.fixture(scope="module")
def routing() -> Iterator[Worker]:
    listeners = [listener("main"), listener("other")]
    with Worker(world(pool(), routes=ROUTES, listeners=listeners)) as worker:
        yield worker


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (head("GET / HTTP/1.1", host="a.example"), "exact-host"),
        (head("GET / HTTP/1.1", host="A.Example:8080"), "exact-host"),
        (head("GET / HTTP/1.1", host="x.a.example"), "any"),
        (head("GET http://a.example/ HTTP/1.1", host="a.example"), "exact-host"),
        (head("GET / HTTP/1.1", host="x.b.example"), "wildcard-host"),
        (head("GET / HTTP/1.1", host="b.example"), "any"),
        (head("GET / HTTP/1.1", host="xb.example"), "any"),
        (get("/exact"), "exact-path"),
        (get("/exact?query"), "exact-path"),
        (get("/exact/"), "any"),
        (get("/Exact"), "any"),
        (get("/api"), "prefix"),
        (get("/api/x"), "prefix"),
        (get("/apix"), "any"),
        (get("/v1/x"), "regex"),
        (get("/v1"), "any"),
        (get("/x/v1/x"), "any"),
        (head("DELETE / HTTP/1.1"), "method"),
        (get("/", "X-Present:"), "present"),
        (get("/", "X-Value: yes"), "value"),
        (get("/", "X-Value: YES"), "any"),
        (get("/", "X-Value: prefixed"), "value-prefix"),
        (get("/", "X-Value: 123"), "value-regex"),
        (get("/", "X-Value: 123a"), "any"),
        (get("/", "X-Value: no", "X-Value: yes"), "value"),
        (post("X-A: 1", "X-B: 2", "X-C: 3"), "all-of"),
        (post("X-A: 1"), "absent"),
        (head("DELETE /exact HTTP/1.1", host="a.example"), "exact-host"),
    ],
)
def test_first_route_that_matches_wins(routing: Worker, request_head: bytes, expected: str) -> None:
    client = routing.connect()
    assert client.request(request_head).body.decode() == expected
    client.close()


def test_listeners_have_routes_of_their_own(routing: Worker) -> None:
    assert routing.connect("other").get().body == b"other-listener"


def test_request_that_no_route_wants_is_not_found(routing: Worker) -> None:
    response = routing.connect().request(post("X-A: 1", "X-C: 1"), "POST")
    assert response.status == 404
    assert "no route" in json.loads(response.body)["error"]["message"]


# Paths


@pytest.mark.parametrize(
    ("rewrite", "target", "expected"),
    [
        (Rewrite("prefix", "/api", ""), "/api/x?y=/api", "/x?y=/api"),
        (Rewrite("prefix", "/api", ""), "/api", "/"),
        (Rewrite("prefix", "/api", ""), "/api?x", "/?x"),
        (Rewrite("prefix", "/api", "/v2"), "/api/x", "/v2/x"),
        (Rewrite("prefix", "/api/", "/v2/"), "/api/x", "/v2/x"),
        (Rewrite("prefix", "/api", ""), "/other", "/other"),
        (Rewrite("regex", r"^/v1/(.*)$", r"/api/\1"), "/v1/x/y?z", "/api/x/y?z"),
        (Rewrite("regex", r"/u/([0-9]+)", r"/users/\1"), "/u/7/p", "/users/7/p"),
        (Rewrite("regex", r"^/v1/(.*)$", r"\1"), "/v1/x", "/x"),
    ],
)
def test_path_is_rewritten_and_the_query_kept(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    rewrite: Rewrite,
    target: str,
    expected: str,
) -> None:
    client = start(world(pool(endpoint), routes=[route("main", rewrite=rewrite)])).connect()
    assert client.get(target).status == 200
    assert endpoint.last.target == expected


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(scheme="https"), "https://site.example/a/b?c=d"),
        (Redirect(host="b.example"), "http://b.example/a/b?c=d"),
        (Redirect(host="b.example", port=8443), "http://b.example:8443/a/b?c=d"),
        (Redirect(status=302, path="/moved"), "/moved"),
        (Redirect(status=301, scheme="https", path="/"), "https://site.example/"),
    ],
)
def test_redirect_takes_the_parts_not_given_from_the_request(
    start: Callable[..., Worker], redirect: Redirect, expected: str
) -> None:
    client = start(world(pool(), routes=[route(redirect=redirect)])).connect()
    response = client.get("/a/b?c=d")
    assert (response.status, response.headers["location"]) == (redirect.status, expected)
    assert client.get("/a/b?c=d").status == redirect.status


@pytest.mark.parametrize(("trusted", "scheme"), [((), "http"), (("127.0.0.1",), "https")])
def test_redirect_keeps_the_scheme_that_a_trusted_proxy_tells(
    start: Callable[..., Worker], trusted: tuple[str, ...], scheme: str
) -> None:
    routes = [route(redirect=Redirect(host="b.example"))]
    worker = start(world(pool(), routes=routes, listeners=[listener(trusted_proxies=trusted)]))
    response = worker.connect().get("/a", "X-Forwarded-Proto: https")
    assert response.headers["location"] == f"{scheme}://b.example/a"


@pytest.mark.parametrize(
    "target", ["/old//evil.example/", "/old/%2f/evil.example", "//evil.example"]
)
@pytest.mark.parametrize("pattern", [r"^/old(/.*)$", "^/old/(.*)$"])
def test_redirect_never_leads_to_a_host_named_in_the_path(
    start: Callable[..., Worker], target: str, pattern: str
) -> None:
    """A location that begins with two slashes names another host (RFC 3986, 4.2)."""
    moved = route(redirect=Redirect(), rewrite=Rewrite("regex", pattern, r"\1"))
    response = start(world(pool(), routes=[moved])).connect().get(target)
    location = response.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_fixed_response_is_given_as_it_stands(start: Callable[..., Worker]) -> None:
    fixed = FixedResponse(status=418, body='{"teapot": "ü"}', content_type="application/json")
    client = start(world(pool(), routes=[route(respond=fixed)])).connect()
    for _ in range(2):
        response = client.get()
        assert (response.status, response.body.decode()) == (418, fixed.body)
        assert response.headers["content-type"] == "application/json"
    response = client.request(head("HEAD / HTTP/1.1"), "HEAD")
    assert response.headers["content-length"] == str(len(fixed.body.encode()))


def test_method_that_a_route_refuses_is_told_those_of_the_others(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """RFC 9110, 15.5.6: a 405 must have Allow; nobody should have to repeat the routes in it."""

    def refused(path: str, *edits: HeaderEdit) -> Route:
        return route(
            match=on_path("prefix", path), respond=FixedResponse(405), response_headers=edits
        )

    routes = [
        route("main", match=Match(path_kind="prefix", path="/v1", methods=("GET", "PURGE"))),
        route(match=Match(methods=("DELETE",)), respond=FixedResponse(403)),
        refused("/v1"),
        refused("/own", HeaderEdit("set", "Allow", "GET")),
        refused("/none"),
        route("main", match=Match(methods=("POST",), hosts=("other.example",))),
        refused("/"),
    ]
    client = start(world(pool(endpoint), routes=routes)).connect()

    def allowed(target: str) -> str:
        response = client.request(post(target=target))
        assert response.status == 405
        return response.headers["allow"]

    assert allowed("/v1/models") == "GET, DELETE, PURGE"
    assert allowed("/own") == "GET"
    assert allowed("/") == "DELETE"
    assert client.get("/v1/models").status == 200


@pytest.mark.parametrize("body", [b"x" * 100_000, b"x" * 10])
def test_body_sent_to_a_fixed_response_is_not_taken_for_a_request(
    start: Callable[..., Worker], body: bytes
) -> None:
    routes = [route(respond=FixedResponse(status=200, body="fixed"))]
    client = start(world(pool(), routes=routes)).connect()
    client.send_while_open(post(f"Content-Length: {len(body)}", body=body) + get())
    assert client.read_response("POST").body == b"fixed"
    after = client.read_response_or_end()
    assert after is None or after.body == b"fixed"


def test_fixed_responses_and_redirects_carry_the_routes_headers(
    start: Callable[..., Worker],
) -> None:
    edits = (HeaderEdit("set", "Strict-Transport-Security", "max-age=1"),)
    routes = [
        route(match=on_path("exact", "/r"), redirect=Redirect(path="/x"), response_headers=edits),
        route(respond=FixedResponse(status=200), response_headers=edits),
    ]
    client = start(world(pool(), routes=routes)).connect()
    for target in ("/", "/r"):
        assert client.get(target).headers["strict-transport-security"] == "max-age=1"


# Several pools


def test_split_follows_the_weights(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Of 400 requests a quarter; five deviations fail a right split once in a million runs."""
    split = Route(name="canary", pools=(WeightedPool("stable", 3.0), WeightedPool("canary", 1.0)))
    snapshot = world(
        pool(endpoint, name="stable"), pool(other_endpoint, name="canary"), routes=[split]
    )
    client = start(snapshot).connect()
    for _ in range(400):
        assert client.get().status == 200
    deviation = (400 * 0.25 * 0.75) ** 0.5
    assert abs(len(other_endpoint.requests) - 100) < 5 * deviation
    assert len(endpoint.requests) + len(other_endpoint.requests) == 400


def test_pool_without_weight_gets_nothing(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    split = Route(name="off", pools=(WeightedPool("stable"), WeightedPool("canary", 0.0)))
    snapshot = world(
        pool(endpoint, name="stable"), pool(other_endpoint, name="canary"), routes=[split]
    )
    client = start(snapshot).connect()
    for _ in range(50):
        assert client.get().status == 200
    assert other_endpoint.requests == []


@pytest.mark.parametrize(
    "request_bytes",
    [get("/m"), post("Content-Length: 5", body=b"hello"), chunked(b"5\r\nhello\r\n0\r\n\r\n")],
    ids=["get", "length", "chunked"],
)
def test_mirror_gets_a_copy_and_its_answers_are_dropped(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    request_bytes: bytes,
) -> None:
    snapshot = world(
        pool(endpoint),
        pool(other_endpoint, name="shadow"),
        routes=[route("main", mirror="shadow")],
    )
    worker = start(snapshot)
    client = worker.connect()
    for _ in range(3):
        response = client.request(request_bytes)
        assert response.body == endpoint.name.encode()
    for main, copy in zip(
        endpoint.wait_for_requests(3), other_endpoint.wait_for_requests(3), strict=True
    ):
        assert (copy.method, copy.target, copy.body) == (main.method, main.target, main.body)
    worker.wait_until_idle()
    wait_until(
        lambda: (
            0
            < worker.load(endpoint, L_BYTES_SENT)
            == worker.load(other_endpoint, L_BYTES_SENT, pool="shadow")
        ),
        "bytes of the copies are counted as those of the requests are",
    )


def wait_for(event: threading.Event) -> None:
    event.wait()


def stall(connection: EndpointConnection) -> None:
    connection.receive_to_end()


def hang_up(connection: EndpointConnection) -> None:
    connection.receive_head()


def babble(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(b"\x00garbage\r\n\r\n")
    connection.receive_to_end()


def test_a_copy_is_given_up_and_counted_when_its_endpoint_takes_too_little(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    done = threading.Event()
    shadow = scripted(lambda connection: wait_for(done))
    snapshot = world(
        pool(endpoint), pool(shadow, name="shadow"), routes=[route("main", mirror="shadow")]
    )
    worker = start(snapshot)
    body = b"x" * 16_000_000  # more than the sockets between them hold
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert worker.connect().request(request + body, "POST").status == 200
    worker.wait_until_published()
    done.set()
    assert worker.pool_count(P_COPIES_GIVEN_UP, "shadow") == 1


def test_a_copy_waits_for_the_rest_of_its_body_as_the_request_does(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Its endpoint is not late while the client pauses."""
    shadow = pool(other_endpoint, name="shadow", timeouts=PoolTimeouts(first_byte_s=1.0))
    snapshot = world(pool(endpoint), shadow, routes=[route("main", mirror="shadow")])
    worker = start(snapshot, held=True)
    client = worker.connect()
    client.send(post("Content-Length: 2", body=b"x"))
    wait_until(lambda: other_endpoint.received.endswith(b"x"), "the copy is under way")
    worker.pass_time(2.0)
    client.send(b"x")
    assert client.read_response("POST").status == 200
    assert other_endpoint.wait_for_requests(1)[0].body == b"xx"


@pytest.mark.parametrize("script", [stall, hang_up, babble])
def test_mirror_that_misbehaves_disturbs_nobody(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
) -> None:
    """Nor does one that never answers keep the worker from stopping with its counts at zero."""
    shadow = scripted(script)
    snapshot = world(
        pool(endpoint), pool(shadow, name="shadow"), routes=[route("main", mirror="shadow")]
    )
    client = start(snapshot).connect()
    for number in range(3):
        assert client.get().status == 200
        shadow.connection(number)


def test_mirror_that_is_down_disturbs_nobody(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    with refuse_connections() as nobody:
        shadow = pool(Address(nobody.getsockname()[1]), name="shadow")
        routes = [route("main", mirror="shadow")]
        worker = start(world(pool(endpoint), shadow, routes=routes))
        client = worker.connect()
        for _ in range(3):
            assert client.get().status == 200
        worker.wait_until_idle()
        worker.wait_until_published()
        assert worker.pool_count(P_CUT, "shadow") == 0, "no answer had begun"
        assert worker.pool_count(P_COPIES_GIVEN_UP, "shadow") == 3


def test_mirror_share_of_nothing_mirrors_nothing(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    routes = [route("main", mirror="shadow", mirror_share=0.0)]
    worker = start(world(pool(endpoint), pool(other_endpoint, name="shadow"), routes=routes))
    client = worker.connect()
    for _ in range(20):
        client.get()
    assert other_endpoint.connections == []


def test_client_that_leaves_takes_its_copy_along(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    main, shadow = scripted(stall), scripted(stall)
    routes = [route("main", mirror="shadow")]
    worker = start(world(pool(main), pool(shadow, name="shadow"), routes=routes))
    client = worker.connect()
    client.send(post("Content-Length: 10", body=b"hello"))
    wait_until(lambda: shadow.received.endswith(b"hello"), "the copy is under way")
    client.close()
    main.wait_for_end()
    shadow.wait_for_end()
    worker.wait_until_idle()
