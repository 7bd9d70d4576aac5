"""Cases 67 and 68: a PROXY header that is wrong, late, missing or a stranger's names no client."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from penstock.core.snapshot import Match
from penstock.dataplane.board.layout import (
    W_CONNECTIONS,
    W_PROXY_BAD,
    W_PROXY_MISSING,
    W_PROXY_UNTRUSTED,
)
from penstock.wire.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, route, world
from tests.security.site import Delivery
from tests.unit.wire.proxy_headers import BAD_HEADERS, BAD_LINES, IPV4_ADDRESSES, tlv, v2

BALANCER = "127.0.0.2"
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
GOOD = b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n"
LISTENERS = ("http-accept", "http-require", "tcp-accept", "tcp-require", "tls-passthrough-require")
REQUIRING = tuple(name for name in LISTENERS if name.endswith("require"))
TOO_LONG = {
    "a line over 107 bytes": b"PROXY UNKNOWN " + b"x" * MAX_V1_BYTES + b"\r\n",
    "a line without an end": b"PROXY TCP4 " + b"1" * MAX_V1_BYTES,
    "a header over its bound": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(4, bytes(MAX_V2_BYTES))),
}
BAD = {line: line.encode() + b"\r\n" for line in BAD_LINES} | BAD_HEADERS | TOO_LONG


class Site:
    """A worker that reads headers in every way before one endpoint."""

    def __init__(self) -> None:
        self.endpoint = HttpEndpoint()
        made = []
        for name in LISTENERS:
            protocol, _, mode = name.rpartition("-")
            made.append(
                listener(name, protocol=protocol, proxy_protocol=mode, trusted_proxies=(BALANCER,))
            )
        routes = [
            route("http", match=_of(*LISTENERS[:2])),
            route("tcp", match=_of(*LISTENERS[2:])),
        ]
        pools = [pool(self.endpoint, name=name, protocol=name) for name in ("http", "tcp")]
        self.worker = Worker(world(*pools, listeners=made, routes=routes))

    def refuses(
        self, names: tuple[str, ...], data: bytes, deliver: Delivery, cell: int, source: str
    ) -> None:
        """That ends without an answer at each listener, and is counted; nothing of it goes on."""
        before = self.worker.count(cell)
        self.endpoint.forget()
        for name in names:
            with self.worker.connect(name, source=source) as client:
                deliver(client, data)
                client.expect_end()
        wait_until(lambda: self.worker.count(cell) == before + len(names), "all were counted")
        assert self.endpoint.received == b""


def _of(*names: str) -> Match:
    return Match(listeners=names)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        made = Site()
        stack.enter_context(made.endpoint)
        stack.enter_context(made.worker)
        yield made


@pytest.mark.parametrize("which", BAD)
def test_case67_bad_header_ends_the_connection(site: Site, deliver: Delivery, which: str) -> None:
    """Where headers are only accepted too: what begins like one is no request."""
    site.refuses(LISTENERS, BAD[which] + REQUEST, deliver, W_PROXY_BAD, BALANCER)


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b" " + GOOD + REQUEST,
        b"\r\n" + GOOD + REQUEST,
        b"\0" + v2(0x21, 0x11, IPV4_ADDRESSES),
        b"proxy tcp4 192.0.2.1 198.51.100.2 1 2\r\n" + REQUEST,
        b"\x16\x03\x01\0\x04\x01\0\0\0",
    ],
    ids=["request", "space", "empty-line", "byte", "lower-case", "tls"],
)
def test_case67_missing_header_ends_the_connection(
    site: Site, deliver: Delivery, data: bytes
) -> None:
    site.refuses(REQUIRING, data, deliver, W_PROXY_MISSING, BALANCER)


@pytest.mark.parametrize("header", [GOOD, v2(0x21, 0x11, IPV4_ADDRESSES)])
def test_case68_strangers_header_is_never_believed(
    site: Site, deliver: Delivery, header: bytes
) -> None:
    site.refuses(REQUIRING, header + REQUEST, deliver, W_PROXY_UNTRUSTED, "127.0.0.1")
    site.endpoint.forget()
    with site.worker.connect("http-accept") as client:
        deliver(client, header + REQUEST)
        assert client.read_response().status == 400
    assert not site.endpoint.requests


def test_case67_second_header_is_no_header(site: Site, deliver: Delivery) -> None:
    """Else whoever is behind the balancer could name itself."""
    with site.worker.connect("http-require", source=BALANCER) as client:
        deliver(client, GOOD + GOOD + REQUEST)
        assert client.read_response().status == 400


def test_case67_good_header_is_served_after_all_that(site: Site, deliver: Delivery) -> None:
    for name in LISTENERS[:4]:
        with site.worker.connect(name, source=BALANCER) as client:
            deliver(client, GOOD + REQUEST)
            assert client.read_response().status == 200
    wait_until(lambda: site.worker.count(W_CONNECTIONS) == 0, "all have left")
