"""What an endpoint is told about the client, and the edits that routes and pools make."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from penstock.core.snapshot import HeaderEdit, Match
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import answer, get, head
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, route, world
from tests.scenario.conftest import Serve

pytestmark = pytest.mark.both_fronts

PROXY = "127.0.0.1"  # the one trusted hop
LONG_AGO = "Tue, 15 Nov 1994 08:12:31 GMT"
STRANGER = "127.0.0.2"


@pytest.fixture(scope="module")
def trusting() -> Iterator[tuple[Worker, HttpEndpoint]]:
    """A worker that believes one address of 127/8, and one endpoint."""
    listeners = [listener(trusted_proxies=(PROXY,))]
    with HttpEndpoint() as endpoint, Worker(world(pool(endpoint), listeners=listeners)) as worker:
        yield worker, endpoint


@pytest.mark.http1_only
def test_endpoint_learns_who_asked_for_what(trusting: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = trusting
    worker.connect(source=STRANGER).get("/a?b", "User-Agent: test")
    headers = endpoint.last.headers
    assert endpoint.last.target == "/a?b"
    assert headers["host"] == "site.example"
    assert headers["user-agent"] == "test"
    assert headers["x-forwarded-for"] == STRANGER
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "site.example"
    assert headers["via"] == "1.1 penstock"
    assert "connection" not in headers


@pytest.mark.http1_only
@pytest.mark.parametrize(
    ("source", "before"), [(STRANGER, []), (PROXY, ["192.0.2.7"])], ids=["stranger", "proxy"]
)
def test_a_handshake_is_told_of_as_a_request_is(
    trusting: tuple[Worker, HttpEndpoint], source: str, before: list[str]
) -> None:
    """What a tunnel begins with is all that its endpoint learns of the client."""
    worker, endpoint = trusting
    handshake = head(
        "GET /chat HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: told.example",
        "X-Real-IP: 192.0.2.7",
    )
    assert worker.connect(source=source).request(handshake).status == 200  # it stays HTTP

    asked = endpoint.last.headers
    believed = source == PROXY
    assert asked["upgrade"] == "websocket"
    assert asked.all("x-forwarded-for") == [", ".join([*before, source])]
    assert asked.all("x-forwarded-proto") == ["https" if believed else "http"]
    assert asked.all("x-forwarded-host") == ["told.example" if believed else "site.example"]
    assert asked.all("x-real-ip") == (["192.0.2.7"] if believed else [])
    assert f"for={source};proto=http" in asked.all("forwarded")[-1]


def test_forwarded_says_the_same_in_the_standard_form(
    trusting: tuple[Worker, HttpEndpoint],
) -> None:
    """RFC 7239: a host with a colon is quoted."""
    worker, endpoint = trusting
    worker.connect(source=STRANGER).request(head("GET / HTTP/1.1", host="site.example:8080"))
    pairs = dict(part.split("=", 1) for part in endpoint.last.headers["forwarded"].split(";"))
    assert pairs == {"for": STRANGER, "proto": "http", "host": '"site.example:8080"'}


def test_fields_pass_byte_for_byte_and_in_order(trusting: tuple[Worker, HttpEndpoint]) -> None:
    """What is meant for the endpoint is none of ours; order has a meaning (RFC 9110, 5.3)."""
    worker, endpoint = trusting
    lines = ("X-Same: 1", "X-Other: \xe4\xff", "X-Same: 2, 3", 'X-Odd: "a;b\\", c=\td', "X-Same: ")
    endpoint.answer = lambda _: Answer(headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))
    response = worker.connect(source=STRANGER).get("/", *lines)
    headers = endpoint.last.headers
    assert headers.all("x-same") == ["1", "2, 3", ""]
    assert headers["x-other"] == "\xe4\xff"
    assert headers["x-odd"] == '"a;b\\", c=\td'
    assert response.headers.all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.http1_only
def test_via_is_continued_for_everybody(trusting: tuple[Worker, HttpEndpoint]) -> None:
    """RFC 9110, 7.6.3: it names the version that each hop received."""
    worker, endpoint = trusting
    lines = ("Via: 1.0 first", "Via: 1.1 second")
    worker.connect(source=STRANGER).request(head("GET / HTTP/1.0", *lines))
    assert endpoint.last.headers["via"] == "1.0 first, 1.1 second, 1.0 penstock"


def test_request_id_is_made_once_and_told_to_both_sides(
    trusting: tuple[Worker, HttpEndpoint],
) -> None:
    worker, endpoint = trusting
    client = worker.connect(source=STRANGER)
    made = set()
    for _ in range(5):
        response = client.get("/", "X-Request-ID: of-a-stranger")
        assert response.headers["x-request-id"] == endpoint.last.headers["x-request-id"]
        made.add(response.headers["x-request-id"])
    assert len(made) == 5
    assert "of-a-stranger" not in made


def test_request_id_of_a_trusted_hop_is_continued(trusting: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = trusting
    response = worker.connect(source=PROXY).get("/", "X-Request-ID: 1234")
    assert endpoint.last.headers["x-request-id"] == "1234"
    assert response.headers["x-request-id"] == "1234"


def test_same_head_from_two_clients_keeps_them_apart(
    trusting: tuple[Worker, HttpEndpoint],
) -> None:
    """Heads are remembered by their bytes; what is told about the client is not."""
    worker, endpoint = trusting
    told = []
    clients = [worker.connect(source=f"127.0.0.{n}") for n in (2, 3)]
    for client in clients * 2:
        client.get("/same")
        told.append(endpoint.last.headers["x-forwarded-for"])
    assert told == ["127.0.0.2", "127.0.0.3"] * 2


# Host


@pytest.mark.parametrize(
    ("host_header", "expected"),
    [("pass", "site.example"), ("endpoint", None), ("inner.example", "inner.example")],
)
def test_host_is_passed_or_rewritten_per_pool(
    start: Callable[..., Worker], endpoint: HttpEndpoint, host_header: str, expected: str | None
) -> None:
    start(world(pool(endpoint, host_header=host_header))).connect().get()
    assert endpoint.last.headers["host"] == (expected or endpoint.name)
    assert endpoint.last.headers["x-forwarded-host"] == "site.example"


@pytest.mark.parametrize(
    ("host_header", "request_head"),
    [
        ("endpoint", get()),
        ("pass", head("GET / HTTP/1.0", "Connection: keep-alive", host=None)),
    ],
    ids=["rewritten", "http-1.0-without-one"],
)
def test_host_of_the_endpoint_is_its_own_for_each(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    host_header: str,
    request_head: bytes,
) -> None:
    client = start(world(pool(endpoint, other_endpoint, host_header=host_header))).connect()
    for _ in range(4):
        client.request(request_head)
    for each in (endpoint, other_endpoint):
        assert {request.headers["host"] for request in each.requests} == {each.name}


# Edits


def test_request_headers_are_edited_by_route_then_pool(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    by_route = (
        HeaderEdit("set", "X-Set", "route"),
        HeaderEdit("add", "X-Add", "route"),
        HeaderEdit("remove", "X-Remove"),
    )
    by_pool = (HeaderEdit("set", "X-Set", "pool"), HeaderEdit("add", "X-Add", "pool"))
    snapshot = world(
        pool(endpoint, request_headers=by_pool),
        routes=[route("main", request_headers=by_route)],
    )
    lines = ("X-Set: client", "X-Set: twice", "X-Add: client", "x-remove: 1", "X-Keep: 1")
    start(snapshot).connect().get("/", *lines)
    headers = endpoint.last.headers
    assert headers["x-set"] == "pool"
    assert headers.all("x-add") == ["client", "route", "pool"]
    assert "x-remove" not in headers
    assert headers["x-keep"] == "1"


def test_response_headers_are_edited_by_pool_then_route(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda _: Answer(
        body=b"ok", headers=(("X-Set", "endpoint"), ("Server", "secret/1.0"), ("X-Keep", "1"))
    )
    by_pool = (HeaderEdit("set", "X-Set", "pool"), HeaderEdit("remove", "Server"))
    by_route = (HeaderEdit("set", "X-Set", "route"), HeaderEdit("add", "X-Add", "route"))
    snapshot = world(
        pool(endpoint, response_headers=by_pool),
        routes=[route("main", response_headers=by_route)],
    )
    headers = start(snapshot).connect().get().headers
    assert headers["x-set"] == "route"
    assert headers["x-add"] == "route"
    assert headers["x-keep"] == "1"
    assert "server" not in headers


def test_what_is_removed_or_set_cannot_come_in_under_an_underscore(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """CGI and WSGI servers take X_User for X-User."""
    edits = (HeaderEdit("remove", "X-User"), HeaderEdit("set", "X-Team-Name", "ours"))
    client = start(world(pool(endpoint), routes=[route("main", request_headers=edits)])).connect()
    client.get("/", "X_User: admin", "x_team-name: theirs", "X-Team_Name: theirs", "X_Other: stays")
    names = endpoint.last.headers.names()
    assert not {"x_user", "x_team-name", "x-team_name"} & names
    assert {"x-team-name", "x_other"} <= names


@pytest.mark.parametrize("name", ["Host", "Via", "X-Forwarded-For", "Forwarded"])
def test_fields_of_our_own_can_be_set_and_stay_single(
    start: Callable[..., Worker], endpoint: HttpEndpoint, name: str
) -> None:
    edits = (HeaderEdit("set", name, "edited"),)
    routes = [route("main", request_headers=edits)]
    client = start(world(pool(endpoint), routes=routes)).connect()
    assert client.get().status == 200
    assert endpoint.last.headers[name.lower()] == "edited"


@pytest.mark.skipif(not socket.has_ipv6, reason="the system has no IPv6")
def test_clients_and_endpoints_of_ipv6(serve: Serve) -> None:
    """Their addresses are written as each field wants (RFC 7239, 6)."""
    with HttpEndpoint(host="::1") as endpoint:
        balancer = serve({"listen": "[::1]:0", "endpoints": [endpoint.name]})
        with balancer.connect() as client:
            assert client.get().status == 200
        asked = endpoint.last.headers
        assert asked.all("x-forwarded-for") == ["::1"]
        assert 'for="[::1]"' in asked.all("forwarded")[0]


def test_date_is_added_where_a_response_lacks_one(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """RFC 9110, 6.6.1."""

    def play(connection: EndpointConnection) -> None:
        while True:
            asked = connection.receive_head()
            own = [f"Date: {LONG_AGO}"] if b"/dated" in asked else []
            connection.send(answer(*own, "Content-Length: 5"))

    removed = HeaderEdit("remove", "Date")
    without = Match(path_kind="prefix", path="/without")
    routes = [
        route("main", match=without, response_headers=(removed,)),
        route("main"),
    ]
    client = start(world(pool(scripted(play)), routes=routes)).connect()
    for _ in range(2):  # the second by the remembered head
        added = client.get("/").headers["date"]
        age = datetime.now(UTC) - parsedate_to_datetime(added)
        assert abs(age.total_seconds()) < 60
        assert client.get("/dated").headers["date"] == LONG_AGO
        assert "date" not in client.get("/without").headers.names()
