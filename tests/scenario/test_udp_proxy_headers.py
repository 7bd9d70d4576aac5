"""PROXY headers in datagrams: the client is who a trusted proxy says it is, and its endpoint is
told."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock.core.snapshot import (
    HashKey,
    Limits,
    Match,
    PolicyChoice,
    Pool,
    RequestLog,
    Snapshot,
)
from penstock.dataplane.board.layout import (
    DATAGRAM_DROPS,
    W_DATAGRAM_DROPS,
    W_DATAGRAMS_FROM_CLIENTS,
    W_REFUSED_ADDRESS,
    W_SESSIONS,
    W_SESSIONS_OPENED,
)
from penstock.wire.proxy_protocol import PROXY, TCP, UDP, ProxyHeader, read_proxy_datagram
from penstock.wire.proxy_writing import V2_LOCAL, write_v2
from tests.harness.datagrams import Answers, UdpEndpoint, echo
from tests.harness.log import lines_of
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import HasAddress, listener, pool, route, world

Start = Callable[..., Worker]
Answering = Callable[..., UdpEndpoint]

PROXY_HOST = "127.0.0.2"  # in front of Penstock, and trusted
STRANGER = "127.0.0.3"
CLIENT = "198.51.100.7"
OTHER_CLIENT = "2001:db8::7"


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Makes endpoints."""
    with ExitStack() as stack:

        def make(answers: Answers = echo) -> UdpEndpoint:
            return stack.enter_context(UdpEndpoint(answers))

        yield make


def of(source: str = CLIENT, port: int = 50123, transport: str = UDP) -> bytes:
    """A header of that client, which sent to the proxy's own address."""
    destination = "2001:db8::1" if ":" in source else "203.0.113.1"
    return write_v2(ProxyHeader(PROXY, transport, source, port, destination, 443))


def reading(
    *endpoints: HasAddress,
    mode: str = "require",
    datagrams: str = "each",
    limits: Limits | None = None,
    listening: dict[str, Any] | None = None,
    others: dict[str, Any] | None = None,
    **settings: Any,
) -> Snapshot:
    """A listener that reads headers before a pool of these endpoints."""
    arena = listener(
        protocol="udp",
        proxy_protocol=mode,
        proxy_datagrams=datagrams,
        trusted_proxies=(f"{PROXY_HOST}/32",),
        limits=limits or Limits(),
        **(listening or {}),
    )
    served = pool(*endpoints, protocol="udp", **settings)
    return world(served, listeners=[arena], **(others or {}))


def writing(*endpoints: HasAddress, datagrams: str, **settings: Any) -> Pool:
    """A pool whose endpoints are told who their clients are."""
    return pool(
        *endpoints, protocol="udp", proxy_protocol="v2", proxy_datagrams=datagrams, **settings
    )


def dropped(worker: Worker, why: str) -> int:
    worker.wait_until_published()
    return worker.count(W_DATAGRAM_DROPS + DATAGRAM_DROPS.index(why))


def split(data: bytes) -> tuple[ProxyHeader | None, bytes]:
    """What a datagram begins with, and the rest."""
    read = read_proxy_datagram(data)
    return read.header, data[read.size :]


def echo_behind_header(data: bytes) -> list[bytes]:
    """Of an endpoint that is told who its clients are."""
    return [split(data)[1]]


# --- read --------------------------------------------------------------------------------------


def test_clients_behind_one_socket_of_a_proxy_have_sessions_of_their_own(
    start: Start, answering: Answering, tmp_path: Path
) -> None:
    endpoints = [answering() for _ in range(2)]
    log = tmp_path / "requests.jsonl"
    recorded = {"request_log": RequestLog("file", str(log))}
    worker = start(reading(*endpoints, others=recorded), held=True)
    proxy = worker.udp(source=PROXY_HOST)
    clients = [of(), of(port=50124), of(OTHER_CLIENT)]
    first = [proxy.ask(client + b"who") for client in clients]
    again = [proxy.ask(client + b"who") for client in clients]
    assert first == again
    assert {len(set(first)), worker.in_flight()} == {2, 3}
    worker.pass_time(61.0)
    told = {(line["client"], line["client_port"]) for line in lines_of(log, 3)}
    assert told == {(CLIENT, 50123), (CLIENT, 50124), (OTHER_CLIENT, 50123)}


def test_client_whose_address_is_told_has_a_session_at_each_of_the_proxys_sockets(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    worker = start(reading(endpoint))
    one, other = worker.udp(source=PROXY_HOST), worker.udp(source=PROXY_HOST)
    for number in range(3):
        for proxy in (one, other):
            data = b"%d of %d" % (number, proxy.socket.getsockname()[1])
            assert proxy.ask(of() + data) == endpoint.mark + data
    worker.wait_until_published()
    assert worker.count(W_SESSIONS) == worker.in_flight() == 2


@pytest.mark.parametrize("datagrams", ["each", "first"])
def test_told_address_is_hashed_routed_and_refused_by(
    start: Start, answering: Answering, datagrams: str
) -> None:
    endpoints = [answering() for _ in range(4)]
    special = answering()
    settings: dict[str, Any] = {
        "policy": PolicyChoice("maglev"),
        "hash_key": HashKey("source"),
    }
    served = pool(*endpoints, protocol="udp", **settings)
    apart = pool(special, name="apart", protocol="udp")
    arena = listener(
        protocol="udp",
        proxy_protocol="require",
        proxy_datagrams=datagrams,
        trusted_proxies=(f"{PROXY_HOST}/32",),
        deny=("192.0.2.0/24",),
    )
    routes = [route("apart", match=Match(sources=("2001:db8::/32",))), route("main")]
    worker = start(world(served, apart, listeners=[arena], routes=routes))

    def whom(source: str, port: int) -> bytes:
        return worker.udp(source=PROXY_HOST).ask(of(source, port) + b"who")

    by_source = {whom(CLIENT, port) for port in range(50000, 50008)}
    assert len(by_source) == 1
    assert len({whom(f"198.51.100.{host}", 50000) for host in range(16)}) > 1
    assert whom(OTHER_CLIENT, 50000) == special.mark + b"who"
    worker.udp(source=PROXY_HOST).send(of("192.0.2.1") + b"hello?")
    wait_until(lambda: dropped(worker, "denied") == 1, "it is dropped")
    assert worker.count(W_REFUSED_ADDRESS) == 1


def test_rate_is_that_of_the_told_address(start: Start, answering: Answering) -> None:
    endpoint = answering()
    worker = start(reading(endpoint, limits=Limits(datagrams_per_s=2)), held=True)
    proxy = worker.udp(source=PROXY_HOST)
    for _ in range(5):
        proxy.send(of() + b"x")
    wait_until(lambda: dropped(worker, "rate") == 3, "too many are dropped")
    proxy.waiting(2)
    assert proxy.ask(of(OTHER_CLIENT) + b"y") == endpoint.mark + b"y"


@pytest.mark.parametrize(
    ("source", "data", "why"),
    [
        (PROXY_HOST, b"no header", "proxy_missing"),
        (PROXY_HOST, b"", "proxy_missing"),
        (PROXY_HOST, of()[:-1], "proxy_bad"),
        (PROXY_HOST, b"PROXY UDP4 1.1.1.1 2.2.2.2 3 4\r\nx", "proxy_missing"),
        (STRANGER, of() + b"forged", "proxy_untrusted"),
        (STRANGER, b"no header", "proxy_untrusted"),
    ],
)
@pytest.mark.parametrize("datagrams", ["each", "first"])
def test_where_headers_are_required_others_are_dropped(
    start: Start, answering: Answering, source: str, data: bytes, why: str, datagrams: str
) -> None:
    endpoint = answering()
    worker = start(reading(endpoint, datagrams=datagrams))
    worker.udp(source=source).send(data)
    wait_until(lambda: dropped(worker, why) == 1, "it is dropped")
    assert worker.udp(source=PROXY_HOST).ask(of() + b"x") == endpoint.mark + b"x"
    worker.wait_until_published()
    drops = [worker.count(W_DATAGRAM_DROPS + index) for index in range(len(DATAGRAM_DROPS))]
    assert sum(drops) == worker.count(W_SESSIONS_OPENED) == 1
    assert endpoint.payloads() == [b"x"]


def test_where_headers_are_accepted_others_are_the_peers_own(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    worker = start(reading(endpoint, mode="accept"))
    proxy, stranger = worker.udp(source=PROXY_HOST), worker.udp(source=STRANGER)
    assert proxy.ask(b"my own") == endpoint.mark + b"my own"
    assert proxy.ask(of() + b"a client's") == endpoint.mark + b"a client's"
    forged = of() + b"a stranger's"
    assert stranger.ask(forged) == endpoint.mark + forged
    worker.wait_until_published()
    assert worker.count(W_SESSIONS) == 3


@pytest.mark.parametrize("header", [V2_LOCAL, of(transport=TCP)])
def test_proxy_that_tells_of_no_udp_client_speaks_for_itself(
    start: Start, answering: Answering, tmp_path: Path, header: bytes
) -> None:
    endpoint = answering()
    log = tmp_path / "requests.jsonl"
    recorded = {"request_log": RequestLog("file", str(log))}
    worker = start(reading(endpoint, others=recorded), held=True)
    proxy = worker.udp(source=PROXY_HOST)
    assert proxy.ask(header + b"ping") == endpoint.mark + b"ping"
    worker.pass_time(61.0)
    (line,) = lines_of(log, 1)
    assert (line["client"], line["client_port"]) == proxy.socket.getsockname()


def test_what_follows_the_first_header_is_the_clients_and_names_nobody(
    start: Start, answering: Answering
) -> None:
    """Else the client behind the proxy could say that it is somebody else."""
    endpoint = answering()
    worker = start(reading(endpoint, datagrams="first"))
    proxy = worker.udp(source=PROXY_HOST)
    assert proxy.ask(of() + b"hello") == endpoint.mark + b"hello"
    forged = of(OTHER_CLIENT) + b"it is me"
    for data in (b"goes on", forged, b""):
        assert proxy.ask(data) == endpoint.mark + data
    worker.wait_until_published()
    assert worker.count(W_SESSIONS) == worker.count(W_SESSIONS_OPENED) == 1
    assert worker.count(W_DATAGRAMS_FROM_CLIENTS) == 4


# --- written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("datagrams", ["each", "first"])
def test_endpoint_is_told_who_the_client_is(
    start: Start, answering: Answering, datagrams: str
) -> None:
    endpoint = answering(echo_behind_header)
    arena = listener(protocol="udp", host="0.0.0.0")
    worker = start(world(writing(endpoint, datagrams=datagrams), listeners=[arena]))
    client = worker.udp()
    client.address = ("127.0.0.5", worker.address()[1])
    for data in (b"one", b"two", b"three"):
        client.ask(data)
    came = [split(data) for data in endpoint.payloads()]
    assert [data for _, data in came] == [b"one", b"two", b"three"]
    with_header = [header for header, _ in came if header is not None]
    assert len(with_header) == (3 if datagrams == "each" else 1)
    for header in with_header:
        assert header.transport == UDP
        assert (header.source, header.source_port) == client.socket.getsockname()
        assert (header.destination, header.destination_port) == client.address
        assert len(header.unique_id) == (0 if datagrams == "each" else 32)


@pytest.mark.parametrize("datagrams", ["each", "first"])
def test_what_was_told_is_passed_on(start: Start, answering: Answering, datagrams: str) -> None:
    endpoint = answering(echo_behind_header)
    made = reading(endpoint, proxy_protocol="v2", proxy_datagrams=datagrams)
    worker = start(made)
    worker.udp(source=PROXY_HOST).ask(of(OTHER_CLIENT) + b"hello")
    header, data = split(endpoint.payloads()[0])
    assert data == b"hello"
    assert header is not None
    assert (header.source, header.source_port) == (OTHER_CLIENT, 50123)
    assert (header.destination, header.destination_port) == ("2001:db8::1", 443)


@pytest.mark.parametrize("datagrams", ["each", "first"])
def test_endpoint_that_a_session_moves_to_is_told_anew_and_once(
    start: Start, answering: Answering, datagrams: str
) -> None:
    """What ICMP brings back begins with the header that went with it."""
    gone, alive = answering(), answering(echo_behind_header)
    gone.close()
    worker = start(
        world(writing(gone, alive, datagrams=datagrams), listeners=[listener(protocol="udp")])
    )
    for _ in range(4):
        assert worker.udp().ask(b"first words") == alive.mark + b"first words"
    assert len(alive.received) == 4
    for data in alive.payloads():
        header, rest = split(data)
        assert header is not None
        assert rest == b"first words"
