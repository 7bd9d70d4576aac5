"""Cases 41–50: what is meant for this hop stays here, and nobody is believed without reason."""

from collections.abc import Callable, Iterator

import pytest

from penstock.core.snapshot import EndpointTls
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, get, head, post
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, at, listener, pool, world
from tests.security.site import Case, Delivery, Site

PROXY = "127.0.0.1"  # a trusted hop of `trusting`
STRANGER = "127.0.0.2"  # not


# Case 41: what Connection nominates.


@pytest.mark.parametrize(
    "nominated",
    ["X-Secret", "x-secret", "close, X-Secret", "X-Secret,,", "keep-alive,\tX-Secret"],
)
def test_case41_nominated_fields_are_stripped(site: Site, nominated: str) -> None:
    site.send(get("/", f"Connection: {nominated}", "X-Secret: 1", "X-Secret: 2", "X-Other: 3"))
    assert "x-secret" not in site.endpoint.last.headers
    assert site.endpoint.last.headers["x-other"] == "3"


def test_case41_fields_nominated_on_several_lines_are_stripped(site: Site) -> None:
    site.send(get("/", "Connection: X-A", "X-A: 1", "Connection: X-B", "X-B: 2"))
    assert not {"x-a", "x-b"} & site.endpoint.last.headers.names()


def test_case41_nomination_takes_away_neither_host_nor_our_own_fields(site: Site) -> None:
    site.send(get("/", "Connection: X-Forwarded-For, Host, Via, X-Request-ID, X-Forwarded-Proto"))
    headers = site.endpoint.last.headers
    assert headers["host"] == "site.example"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert {"via", "x-request-id", "x-forwarded-proto"} <= headers.names()


@pytest.mark.parametrize("nominated", ["Content-Length", "Transfer-Encoding"])
def test_case41_nomination_does_not_touch_framing(site: Site, nominated: str) -> None:
    site.send(post("Content-Length: 5", f"Connection: {nominated}", body=b"hello"))
    assert site.endpoint.last.body == b"hello"
    assert site.endpoint.last.whole


@pytest.mark.parametrize(
    "line",
    [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers, gzip",
        "Proxy-Authorization: Basic eDp5",
    ],
)
def test_fields_for_one_hop_are_stripped_without_being_nominated(site: Site, line: str) -> None:
    site.send(get("/", line))
    assert line not in site.endpoint.received.decode()


# Case 42: forwarding headers of strangers.

SPOOFED = (
    "X-Forwarded-For: 9.9.9.9",
    "X-Forwarded-For: 8.8.8.8",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "Forwarded: for=9.9.9.9;proto=https;host=evil.example",
    "X-Real-IP: 9.9.9.9",
    "X-Forwarded-Port: 1",
    "X-Request-ID: evil",
)


@pytest.fixture(scope="module")
def trusting() -> Iterator[tuple[Worker, HttpEndpoint]]:
    """A balancer behind one trusted proxy."""
    listeners = [listener(trusted_proxies=(PROXY + "/32",))]
    with HttpEndpoint() as endpoint, Worker(world(pool(endpoint), listeners=listeners)) as worker:
        yield worker, endpoint


def test_case42_strangers_are_not_believed(trusting: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = trusting
    with worker.connect(source=STRANGER) as client:
        client.get("/", *SPOOFED)
    headers = endpoint.last.headers
    assert headers["x-forwarded-for"] == STRANGER
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "site.example"
    assert headers["x-request-id"] != "evil"
    assert STRANGER in headers["forwarded"]
    received = repr(headers.fields)
    assert "9.9.9.9" not in received
    assert "8.8.8.8" not in received
    assert "evil" not in received
    assert "x-forwarded-port" not in headers


def test_case42_trusted_hops_are_continued(trusting: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = trusting
    with worker.connect(source=PROXY) as client:
        client.get("/", *SPOOFED)
    headers = endpoint.last.headers
    assert headers["x-forwarded-for"] == f"9.9.9.9, 8.8.8.8, {PROXY}"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-host"] == "evil.example"
    assert headers["x-request-id"] == "evil"
    before, _, ours = headers["forwarded"].rpartition(",")
    assert before == "for=9.9.9.9;proto=https;host=evil.example"
    assert f"for={PROXY}" in ours


# Cases 43–45: no tunnel is ever opened.


def test_case43_h2c_upgrade_is_stripped(site: Site) -> None:
    response = site.send(
        get(
            "/",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        )
    )
    assert response.status == 200
    assert not {"upgrade", "http2-settings", "connection"} & site.endpoint.last.headers.names()


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "h2c, websocket"])
def test_case43_h2c_is_never_passed_on(site: Site, protocol: str) -> None:
    site.send(get("/", "Connection: Upgrade", f"Upgrade: {protocol}"))
    assert b"h2c" not in site.endpoint.received.lower()


@pytest.mark.parametrize("protocol", ["websocket", "WebSocket"])
def test_case44_what_follows_a_refused_upgrade_is_no_tunnel(site: Site, protocol: str) -> None:
    """It is no handshake, for want of a key. Bytes behind it are requests, or are not read."""
    site.endpoint.forget()
    lines = ("Connection: Upgrade", f"Upgrade: {protocol}", "Sec-WebSocket-Version: 13")
    with site.worker.connect() as client:
        assert client.request(get("/", *lines)).status == 400
        client.send_while_open(b"\x81\x05hello\r\n\r\n")
        rest = client.read_to_end()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
    site.assert_nothing_was_forwarded()


@pytest.mark.parametrize("lines", [(), ("Connection: Upgrade", "Upgrade: h2c")])
def test_case45_unrequested_101_is_a_bad_gateway(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    lines: tuple[str, ...],
) -> None:
    def switch(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\nEVIL"
        )
        connection.receive_to_end()

    endpoint = scripted(switch)
    worker = start(world(pool(endpoint, retry=NEVER_REPEAT)))
    client = worker.connect()
    response = client.get("/", *lines)
    assert (response.status, response.interim) == (502, [])
    assert b"EVIL" not in response.body
    endpoint.wait_for_end()


# Case 46: expectations.


@pytest.mark.parametrize(
    "expectation", ["200-ok", "100-continue, x", "100-continue;q=1", "100", "x=y"]
)
def test_case46_unknown_expectation_fails(site: Site, expectation: str, deliver: Delivery) -> None:
    data = post("Content-Length: 5", f"Expect: {expectation}", body=b"hello")
    assert site.send(data, deliver).status == 417
    site.assert_nothing_was_forwarded()


# Case 47: requests that end here.

LOCAL = [
    Case(47, "trace", head("TRACE / HTTP/1.1"), (405, 501)),
    Case(47, "trace-max-forwards", head("TRACE / HTTP/1.1", "Max-Forwards: 0"), (405, 501, 200)),
    Case(47, "options", head("OPTIONS / HTTP/1.1", "Max-Forwards: 0"), (200, 204)),
    Case(47, "options-00", head("OPTIONS / HTTP/1.1", "Max-Forwards: 00"), (200, 204)),
    Case(47, "options-many-0", head("OPTIONS / HTTP/1.1", "Max-Forwards: " + "0" * 5000), (200,)),
    Case(47, "options-asterisk", head("OPTIONS * HTTP/1.1", "Max-Forwards: 0"), (200, 204)),
]


@pytest.mark.parametrize("case", LOCAL, ids=str)
def test_request_that_may_go_no_further_is_answered_here(site: Site, case: Case) -> None:
    assert site.send(case.data).status in case.statuses
    site.assert_nothing_was_forwarded()


def test_case47_max_forwards_is_counted_down(site: Site) -> None:
    """RFC 9110, 7.6.2: each hop that passes on an OPTIONS takes one off."""
    assert site.send(head("OPTIONS / HTTP/1.1", "Max-Forwards: 5")).status == 200
    assert site.endpoint.last.headers["max-forwards"] == "4"


@pytest.mark.parametrize(
    ("value", "next_value"),
    [("01", "0"), ("0000000000001", "0"), ("9" * 5000, str(2**31 - 2)), ("-1", "-1"), ("x", "x")],
)
def test_case47_max_forwards_of_any_length_is_a_number_or_left_alone(
    site: Site, value: str, next_value: str
) -> None:
    assert site.send(head("OPTIONS / HTTP/1.1", f"Max-Forwards: {value}")).status == 200
    assert site.endpoint.last.headers["max-forwards"] == next_value


def test_refusals_of_a_method_and_final_answers_to_options_say_which_are_allowed(
    site: Site,
) -> None:
    """RFC 9110, 15.5.6 and 9.3.7."""
    refused = site.send(head("TRACE / HTTP/1.1"))
    assert refused.status == 405
    assert "POST" in refused.headers["allow"]
    ended = site.send(head("OPTIONS / HTTP/1.1", "Max-Forwards: 0"))
    assert ended.headers["allow"] == refused.headers["allow"]


@pytest.mark.parametrize("minor", range(2, 10))
def test_a_higher_minor_version_is_taken_for_the_highest_known(site: Site, minor: int) -> None:
    """RFC 9110, 2.5."""
    with site.worker.connect() as client:
        for _ in range(2):
            response = client.request(head(f"GET / HTTP/1.{minor}"))
            assert (response.status, response.closes) == (200, False)


def test_options_for_a_server_as_a_whole_in_absolute_form_goes_on_as_such(site: Site) -> None:
    """RFC 9112, 3.2.4."""
    assert site.send(head("OPTIONS http://site.example HTTP/1.1")).status == 200
    assert site.endpoint.last.target == "*"
    assert site.send(head("OPTIONS http://site.example/ HTTP/1.1")).status == 200
    assert site.endpoint.last.target == "/"


def test_case47_max_forwards_means_nothing_for_get(site: Site) -> None:
    assert site.send(get("/", "Max-Forwards: 0")).status == 200
    assert site.endpoint.last.headers["max-forwards"] == "0"


# Cases 49, 50: bytes that no request asked for. (48 is in test_responses.py.)

EVIL = answer_of(b"EVIL")
GOOD = answer_of(b"good")


@pytest.mark.parametrize(
    "more", [EVIL, b"\r\n", b"x", b"0\r\n\r\n"], ids=["answer", "crlf", "byte", "chunk"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_case49_bytes_after_an_answer_cost_the_connection(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    more: bytes,
    method: str,
) -> None:
    body = b"" if method == "HEAD" else b"good"

    def answer_and_more(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body + more)
        connection.receive_to_end()

    endpoint = scripted(answer_and_more)
    client = start(world(pool(endpoint))).connect()
    for number in range(3):
        response = client.request(head(f"{method} / HTTP/1.1"), method)
        assert (response.status, response.body) == (200, body)
        endpoint.wait_for_end(number)
    assert len(endpoint.connections) == 3


def test_case49_bytes_on_an_idle_connection_cost_it(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_then_speak(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(GOOD)
        connection.go_on.wait()
        connection.send(EVIL)
        connection.receive_to_end()

    endpoint = scripted(answer_then_speak)
    client = start(world(pool(endpoint))).connect()
    for number in range(2):
        assert client.get().body == b"good"
        endpoint.connection(number).go_on.set()
        endpoint.wait_for_end(number)


def test_case50_plaintext_before_tls_is_never_believed(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def speak_first(connection: EndpointConnection) -> None:
        connection.send(EVIL)
        connection.receive_to_end()

    endpoint = scripted(speak_first)
    members = pool(at(endpoint, tls=True), retry=NEVER_REPEAT, tls=EndpointTls(verify=False))
    client: Client = start(world(members)).connect()
    response = client.get("/secret")
    assert response.status == 502
    assert b"EVIL" not in response.body
    endpoint.wait_for_end()
    assert b"/secret" not in endpoint.received
