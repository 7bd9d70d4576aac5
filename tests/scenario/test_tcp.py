"""Connections that are relayed unread: every byte arrives, ends mean what they meant, and a dead
endpoint costs no client anything as long as another takes it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.core.snapshot import (
    Admission,
    Match,
    PolicyChoice,
    Pool,
    PoolTimeouts,
    Queue,
    RequestLog,
    Snapshot,
)
from penstock.dataplane.board.layout import (
    L_CONNECT_FAILURES,
    P_RETRIES,
    W_CONNECTIONS,
    W_REFUSED_ADDRESS,
    W_TLS_FAILURES,
    W_UNROUTED,
)
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.log import lines_of
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, HasAddress, at, listener, pool, route, world
from tests.scenario.certificates import Authority

MUCH = 30_000_000
SOON_S = 0.3

Scripted = Callable[[Script], ScriptedEndpoint]
Start = Callable[..., Worker]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def echoing(scripted: Scripted) -> ScriptedEndpoint:
    return scripted(echo)


def echo(connection: EndpointConnection) -> None:
    while data := connection.receive():
        connection.send(data)
    connection.end_sending()


def greet(connection: EndpointConnection) -> None:
    """As a mail server does, which speaks first."""
    connection.send(b"220 ready\r\n")
    connection.receive_to_end()


def tcp(*endpoints: HasAddress, **settings: Any) -> Pool:
    return pool(*endpoints, protocol="tcp", **settings)


def tcp_world(*pools: Pool, settings: dict[str, Any] | None = None, **others: Any) -> Snapshot:
    """One listener that relays all to the first pool."""
    listeners = [listener(protocol="tcp", **(settings or {}))]
    return world(*pools, listeners=listeners, **others)


def is_idle(worker: Worker) -> bool:
    worker.wait_until_published()
    return worker.in_flight() == 0 and worker.count(W_CONNECTIONS) == 0


def test_bytes_are_passed_on_both_ways(start: Start, echoing: ScriptedEndpoint) -> None:
    client = start(tcp_world(tcp(echoing))).connect()
    for piece in (b"\0\xff not HTTP", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        client.send(piece)
        assert client.read_until(piece) == piece


def test_an_endpoint_may_speak_first(start: Start, scripted: Scripted) -> None:
    client = start(tcp_world(tcp(scripted(greet)))).connect()
    assert client.read_until(b"\r\n") == b"220 ready\r\n"


def test_half_close_is_passed_on_and_the_other_way_stays_open(
    start: Start, scripted: Scripted
) -> None:
    def answer_after_the_end(connection: EndpointConnection) -> None:
        connection.receive_to_end()
        connection.send(b"got %d" % len(connection.received))

    worker = start(tcp_world(tcp(scripted(answer_after_the_end))))
    client = worker.connect()
    client.send(b"all of it")
    client.end_sending()
    assert client.read_to_end() == b"got 9"
    assert not client.was_reset
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_endpoint_may_end_first_and_hear_the_rest(start: Start, scripted: Scripted) -> None:
    def end_and_listen(connection: EndpointConnection) -> None:
        connection.send(b"last words")
        connection.end_sending()
        connection.receive_to_end()

    endpoint = scripted(end_and_listen)
    worker = start(tcp_world(tcp(endpoint)))
    client = worker.connect()
    assert client.read_to_end() == b"last words"
    client.send(b"still heard")
    client.end_sending()
    wait_until(lambda: bytes(endpoint.connection().received) == b"still heard", "it was heard")
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_much_passes_unchanged_while_the_reader_is_slow(start: Start, scripted: Scripted) -> None:
    pattern = bytes(range(256)) * 256

    def send_much(connection: EndpointConnection) -> None:
        sent = 0
        while sent < MUCH:
            connection.send(pattern)
            sent += len(pattern)
        connection.end_sending()

    worker = start(tcp_world(tcp(scripted(send_much))))
    client = worker.connect(receive_buffer=4096)
    assert not client.is_silent(5.0)
    before = worker.memory_bytes()
    received = client.read_to_end()
    assert len(received) % len(pattern) == 0
    assert len(received) >= MUCH
    assert received == pattern * (len(received) // len(pattern))
    assert worker.memory_bytes("VmHWM") - before < 8 << 20


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_that_leaves_ends_the_endpoints_connection(
    start: Start, echoing: ScriptedEndpoint, how: str
) -> None:
    worker = start(tcp_world(tcp(echoing)))
    client = worker.connect()
    client.send(b"hello")
    client.read_until(b"hello")
    (client.reset if how == "reset" else client.close)()
    wait_until(lambda: echoing.connection().closed_at > 0.0, "the endpoint saw it leave")
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_endpoints_reset_is_a_reset_for_the_client(start: Start, scripted: Scripted) -> None:
    def die(connection: EndpointConnection) -> None:
        connection.send(b"begun")
        connection.receive_bytes(4)
        connection.reset()

    worker = start(tcp_world(tcp(scripted(die))))
    client = worker.connect()
    client.read_until(b"begun")
    client.send(b"more")
    assert client.read_to_end() == b""
    assert client.was_reset
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_endpoint_that_refuses_is_passed_over_before_a_byte_is_lost(
    start: Start, echoing: ScriptedEndpoint, refusing: Address
) -> None:
    worker = start(tcp_world(tcp(refusing, echoing)))
    for _ in range(4):
        with closing(worker.connect()) as client:
            client.send(b"first words")
            assert client.read_until(b"words") == b"first words"
    wait_until(lambda: is_idle(worker), "nothing is left of them")
    assert worker.load(refusing, L_CONNECT_FAILURES) > 0
    assert worker.pool_count(P_RETRIES) == worker.load(refusing, L_CONNECT_FAILURES)


def test_without_any_endpoint_the_client_is_closed(start: Start, refusing: Address) -> None:
    worker = start(tcp_world(tcp(refusing)))
    worker.connect().expect_end()
    wait_until(lambda: is_idle(worker), "nothing is left of it")


def test_who_connects_waits_in_the_queue_for_a_place(
    start: Start, echoing: ScriptedEndpoint
) -> None:
    limited = tcp(at(echoing, max_in_flight=1), admission=Admission(queue=Queue(length=2)))
    worker = start(tcp_world(limited))
    first, second = worker.connect(), worker.connect()
    first.send(b"one")
    first.read_until(b"one")
    second.send(b"two")
    assert second.is_silent(SOON_S)
    first.close()
    assert second.read_until(b"two") == b"two"


def test_policies_choose_for_each_connection(start: Start, scripted: Scripted) -> None:
    endpoints = [scripted(greet) for _ in range(3)]
    worker = start(tcp_world(tcp(*endpoints, policy=PolicyChoice("least-request"))))
    clients = [worker.connect() for _ in range(6)]
    for client in clients:
        client.read_until(b"\r\n")
    assert [len(each.connections) for each in endpoints] == [2, 2, 2]


def test_source_hash_returns_a_client_to_its_endpoint(start: Start, scripted: Scripted) -> None:
    endpoints = [scripted(greet) for _ in range(3)]
    worker = start(tcp_world(tcp(*endpoints, policy=PolicyChoice("maglev"))))
    for _ in range(5):
        with closing(worker.connect()) as client:
            client.read_until(b"\r\n")
    assert sorted(len(each.connections) for each in endpoints) == [0, 0, 5]


def test_idle_connection_ends_after_its_time(start: Start, echoing: ScriptedEndpoint) -> None:
    short = tcp(echoing, timeouts=PoolTimeouts(tunnel_idle_s=30.0))
    worker = start(tcp_world(short), held=True)
    client = worker.connect()
    client.send(b"hello")
    client.read_until(b"hello")
    worker.pass_time(29.0)
    client.send(b"again")
    client.read_until(b"again")
    worker.pass_time(29.0)
    assert client.is_silent(0.05)
    worker.pass_time(1.5)
    client.expect_end()
    wait_until(lambda: echoing.connection().closed_at > 0.0, "the endpoint's side ended too")


def test_tls_ends_here_and_the_endpoint_gets_plain_bytes(
    start: Start, echoing: ScriptedEndpoint, authority: Authority
) -> None:
    settings: dict[str, Any] = {"certificates": (authority.issue("localhost"),)}
    worker = start(tcp_world(tcp(echoing), settings=settings))
    client = worker.connect(tls=authority.client())
    client.send(b"secret")
    assert client.read_until(b"secret") == b"secret"
    assert bytes(echoing.connection().received) == b"secret"


def test_what_is_no_tls_ends_without_reaching_an_endpoint(
    start: Start, echoing: ScriptedEndpoint, authority: Authority
) -> None:
    settings: dict[str, Any] = {"certificates": (authority.issue("localhost"),)}
    worker = start(tcp_world(tcp(echoing), settings=settings))
    client = worker.connect()
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    client.read_to_end()
    wait_until(lambda: worker.count(W_TLS_FAILURES) == 1, "the failure was counted")
    assert not echoing.connections


@pytest.mark.parametrize(
    ("allow", "deny", "comes"),
    [
        ((), (), True),
        (("127.0.0.0/8",), (), True),
        (("10.0.0.0/8",), (), False),
        ((), ("127.0.0.2/32",), False),
        ((), ("127.0.0.3/32",), True),
        (("127.0.0.0/8",), ("127.0.0.2",), False),
    ],
)
@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_allow_and_deny_decide_who_may_connect(
    start: Start,
    scripted: Scripted,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    comes: bool,
    protocol: str,
) -> None:
    def answer(connection: EndpointConnection) -> None:
        connection.receive_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    made = pool(scripted(answer), protocol=protocol)
    listeners = [listener(protocol=protocol, allow=allow, deny=deny)]
    worker = start(world(made, listeners=listeners))
    client = worker.connect(source="127.0.0.2")
    client.send_while_open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    answered = client.read_some()
    assert (b"200 OK" in answered) == comes
    refused = 0 if comes else 1
    wait_until(lambda: worker.count(W_REFUSED_ADDRESS) == refused, "who was refused is counted")


def test_routes_tell_sources_apart(start: Start, scripted: Scripted) -> None:
    inner, outer = scripted(greet), scripted(greet)
    worker = start(
        tcp_world(
            tcp(inner, name="inner"),
            tcp(outer, name="outer"),
            routes=[
                route("inner", match=Match(sources=("127.0.0.2/32",))),
                route("outer"),
            ],
        )
    )
    worker.connect(source="127.0.0.2").read_until(b"\r\n")
    worker.connect().read_until(b"\r\n")
    assert (len(inner.connections), len(outer.connections)) == (1, 1)


def test_connection_without_a_route_is_closed_and_counted(
    start: Start, echoing: ScriptedEndpoint
) -> None:
    nobody = [route("main", match=Match(sources=("192.0.2.0/24",)))]
    worker = start(tcp_world(tcp(echoing), routes=nobody))
    worker.connect().expect_end()
    wait_until(lambda: worker.count(W_UNROUTED) == 1, "it was counted")


def test_each_connection_is_one_line_of_the_log(
    start: Start, echoing: ScriptedEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(tcp_world(tcp(echoing), request_log=RequestLog("file", str(log))))
    client = worker.connect()
    client.send(b"twelve bytes")
    client.read_until(b"twelve bytes")
    client.end_sending()
    client.read_to_end()
    (line,) = lines_of(log, 1)
    assert line["protocol"] == "tcp"
    assert line["client"] == "127.0.0.1"
    assert line["listener"] == "main"
    assert line["route"] == "all"
    assert line["pool"] == "main"
    assert line["endpoint"] == echoing.name
    assert line["endpoint_address"] == echoing.name
    assert line["bytes"] == line["bytes_from_client"] == 12
    assert line["attempts"] == 1
    assert line["end"] == "done"
    assert line["t_total"] >= line["t_first_byte"] >= 0.0


def test_reload_keeps_connections_and_new_ones_go_to_the_new_pool(
    start: Start, scripted: Scripted
) -> None:
    old, new = scripted(echo), scripted(echo)
    worker = start(tcp_world(tcp(old)))
    first = worker.connect()
    first.send(b"before")
    first.read_until(b"before")
    worker.apply(tcp_world(tcp(new)))
    first.send(b"after")
    assert first.read_until(b"after") == b"after"
    second = worker.connect()
    second.send(b"to the new one")
    second.read_until(b"to the new one")
    assert (len(old.connections), len(new.connections)) == (1, 1)


def test_connections_of_a_stopping_worker_end_at_its_deadline(
    start: Start, echoing: ScriptedEndpoint
) -> None:
    worker = start(tcp_world(tcp(echoing)))
    client = worker.connect()
    client.send(b"hello")
    client.read_until(b"hello")
    worker.send({"kind": "stop", "deadline_s": 0.3})
    client.send(b"still relayed")
    client.read_until(b"relayed")
    assert client.read_to_end() == b""


@pytest.mark.parametrize("towards", ["client", "endpoint"])
def test_much_and_little_by_turns_arrive_in_order(
    start: Start, scripted: Scripted, towards: str
) -> None:
    """The kernel moves much by itself, and little is copied: no byte overtakes another."""
    sizes = [3_000_000, 5, 2_000_000, 1, 70_000, 3] * 3
    pieces = [bytes((number,)) * size for number, size in enumerate(sizes)]

    def play(connection: EndpointConnection) -> None:
        if towards == "endpoint":
            connection.receive_to_end()
            connection.send(b"%d" % len(connection.received))
            return
        for piece in pieces:
            connection.send(piece)
            connection.receive_bytes(1)
        connection.end_sending()

    endpoint = scripted(play)
    client = start(tcp_world(tcp(endpoint))).connect()
    if towards == "client":
        for piece in pieces:
            received = b""
            while len(received) < len(piece):
                received += client.read_some()
            assert received == piece
            client.send(b"n")
        assert client.read_to_end() == b""
    else:
        for piece in pieces:
            client.send(piece)
        client.end_sending()
        assert client.read_to_end() == b"%d" % sum(sizes)
        assert bytes(endpoint.connection().received) == b"".join(pieces)


def test_pipes_are_closed_with_their_connections(start: Start, scripted: Scripted) -> None:
    def send_much(connection: EndpointConnection) -> None:
        for _ in range(40):
            connection.send(bytes(1_000_000))
        connection.end_sending()
        connection.receive_to_end()

    worker = start(tcp_world(tcp(scripted(send_much))))
    with closing(worker.connect()) as client:
        client.read_some()
        before = worker.open_descriptors()
        assert len(client.read_to_end()) > 30_000_000
    for _ in range(3):
        with closing(worker.connect()) as client:
            assert len(client.read_to_end()) == 40_000_000
    wait_until(lambda: is_idle(worker), "nothing is left of them")
    assert worker.open_descriptors() <= before
