"""Datagrams are relayed: a session keeps its endpoint, replies reach who asked and nobody else, and
only what a dead endpoint served goes elsewhere."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import (
    Admission,
    HashKey,
    Limits,
    Match,
    PolicyChoice,
    Pool,
    PoolTimeouts,
    Queue,
    RequestLog,
    Snapshot,
)
from penstock.dataplane.board.layout import (
    DATAGRAM_DROPS,
    L_CONNECT_FAILURES,
    P_REQUESTS,
    S_HEALTH,
    SESSION_ENDS,
    W_DATAGRAM_DROPS,
    W_DATAGRAMS_FROM_CLIENTS,
    W_DATAGRAMS_TO_CLIENTS,
    W_REFUSED_ADDRESS,
    W_SESSION_ENDS,
    W_SESSIONS,
    W_SESSIONS_MOVED,
    W_SESSIONS_OPENED,
)
from penstock.dataplane.tunnel.session_table import HEADER_BYTES
from tests.harness.datagrams import Answers, UdpClient, UdpEndpoint, echo
from tests.harness.log import lines_of
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, HasAddress, at, listener, pool, route, world

Start = Callable[..., Worker]
Answering = Callable[..., UdpEndpoint]
IDLE_S = 60.0


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Makes endpoints."""
    with ExitStack() as stack:

        def make(answers: Answers = echo) -> UdpEndpoint:
            return stack.enter_context(UdpEndpoint(answers))

        yield make


def udp(*endpoints: HasAddress, **settings: Any) -> Pool:
    return pool(*endpoints, protocol="udp", **settings)


def udp_world(*pools: Pool, settings: dict[str, Any] | None = None, **others: Any) -> Snapshot:
    """One listener that relays all to the first pool."""
    return world(*pools, listeners=[listener(protocol="udp", **(settings or {}))], **others)


def dropped(worker: Worker, why: str) -> int:
    worker.wait_until_published()
    return worker.count(W_DATAGRAM_DROPS + DATAGRAM_DROPS.index(why))


def ended(worker: Worker, how: str) -> int:
    worker.wait_until_published()
    return worker.count(W_SESSION_ENDS + SESSION_ENDS.index(how))


def sessions(worker: Worker) -> int:
    worker.wait_until_published()
    return worker.count(W_SESSIONS)


def received(worker: Worker) -> int:
    worker.wait_until_published()
    return worker.count(W_DATAGRAMS_FROM_CLIENTS)


def end_of(client: UdpClient) -> int:
    """Whom it talks to: an endpoint's port."""
    return int(client.ask(b"who").split()[0])


def test_datagrams_are_passed_on_both_ways(start: Start, answering: Answering) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint)))
    client = worker.udp()
    for data in (b"", b"\0\xff", b"x" * 60_000):
        assert client.ask(data) == endpoint.mark + data
    assert client.heard_from == worker.address()
    worker.wait_until_published()
    assert worker.count(W_SESSIONS) == worker.count(W_SESSIONS_OPENED) == worker.in_flight() == 1
    assert worker.count(W_DATAGRAMS_FROM_CLIENTS) == 3
    assert worker.count(W_DATAGRAMS_TO_CLIENTS) == 3


def test_session_keeps_its_endpoint_and_replies_reach_who_asked(
    start: Start, answering: Answering
) -> None:
    endpoints = [answering() for _ in range(3)]
    worker = start(udp_world(udp(*endpoints)))
    clients = [worker.udp() for _ in range(30)]
    chosen = [end_of(client) for client in clients]
    assert set(Counter(chosen).values()) == {10}
    for turn in range(5):
        for number, client in enumerate(clients):
            client.send(b"%d of %d" % (turn, number))
        for number, client in enumerate(clients):
            assert client.receive() == b"%d %d of %d" % (chosen[number], turn, number)


def test_sessions_of_an_endpoint_have_a_socket_each_and_share_them_between_endpoints(
    start: Start, answering: Answering
) -> None:
    endpoints = [answering() for _ in range(4)]
    worker = start(udp_world(udp(*endpoints)))
    before = worker.open_descriptors()
    for client in [worker.udp() for _ in range(40)]:
        end_of(client)
    assert worker.open_descriptors() - before == 10
    for endpoint in endpoints:
        assert len({address for _, address in endpoint.received}) == 10


def test_an_endpoint_may_answer_often_and_unasked(start: Start, answering: Answering) -> None:
    endpoint = answering(lambda data: [data] * 3)
    worker = start(udp_world(udp(endpoint), settings={"limits": Limits(amplification=0.0)}))
    client = worker.udp()
    client.send(b"three")
    assert client.waiting(3) == [endpoint.mark + b"three"] * 3
    for number in range(50):
        endpoint.send(b"unasked %d" % number, endpoint.received[0][1])
    assert client.waiting(50) == [b"unasked %d" % number for number in range(50)]


# --- endpoints that die, drain and go ----------------------------------------------------------


def test_refused_datagram_goes_to_another_endpoint_at_once(
    start: Start, answering: Answering
) -> None:
    gone, alive = answering(), answering()
    gone.close()
    worker = start(udp_world(udp(gone, alive)))
    for _ in range(4):
        assert worker.udp().ask(b"first words") == alive.mark + b"first words"
    worker.wait_until_published()
    assert worker.load(gone, L_CONNECT_FAILURES) == worker.count(W_SESSIONS_MOVED) > 0
    assert worker.load(gone) == 0
    assert worker.load(alive) == 4


@pytest.mark.large
def test_of_a_thousand_sessions_only_those_of_the_killed_endpoint_move(
    start: Start, answering: Answering
) -> None:
    endpoints = [answering() for _ in range(3)]
    worker = start(udp_world(udp(*endpoints)))
    clients = [worker.udp() for _ in range(1000)]
    before = [end_of(client) for client in clients]
    killed = endpoints[1]
    killed.close()
    for client in clients:
        client.send(b"who")
    after = []
    for client in clients:
        if not client.has_some():  # the retry budget did not have the lost datagram sent again
            client.send(b"who")
        after.append(int(client.receive().split()[0]))
    moved = [was for was, now in zip(before, after, strict=True) if was != now]
    assert set(moved) == {killed.port}
    assert len(moved) == before.count(killed.port)
    worker.wait_until_published()
    assert worker.count(W_SESSIONS_MOVED) == len(moved)
    assert worker.load(killed) == 0
    assert worker.in_flight() == worker.count(W_SESSIONS) == 1000


def test_without_any_endpoint_alive_datagrams_are_dropped_until_one_is_back(
    start: Start, answering: Answering
) -> None:
    gone = answering()
    gone.close()
    worker = start(udp_world(udp(gone)), held=True)
    client = worker.udp()
    client.send(b"lost")
    wait_until(lambda: dropped(worker, "unreachable") == 1, "the datagram is dropped")
    assert ended(worker, "refused") == 1
    with UdpEndpoint(port=gone.port) as back:
        client.send(b"too soon")
        wait_until(lambda: dropped(worker, "unreachable") == 2, "it is refused for a second")
        worker.pass_time(1.25)
        assert client.ask(b"again") == back.mark + b"again"
    worker.wait_until_published()
    assert worker.count(W_DATAGRAMS_FROM_CLIENTS) == 3  # the last one began anew, and came once
    assert worker.count(W_DATAGRAMS_TO_CLIENTS) == 1


@pytest.mark.parametrize("how", ["down", "removed"])
def test_sessions_of_a_dead_endpoint_go_on_with_another(
    start: Start, answering: Answering, how: str
) -> None:
    dead, alive = answering(), answering()
    worker = start(udp_world(udp(dead, alive)))
    clients = [worker.udp() for _ in range(4)]
    assert [end_of(client) for client in clients] == [dead.port, alive.port] * 2
    if how == "down":
        worker.set_state("main", dead, S_HEALTH, DOWN)
    else:
        worker.apply(udp_world(udp(alive)))
    assert [end_of(client) for client in clients] == [alive.port] * 4
    worker.wait_until_published()
    assert worker.count(W_SESSIONS_MOVED) == 2
    assert worker.count(W_SESSIONS) == worker.load(alive) == 4
    if how == "down":
        worker.set_state("main", dead, S_HEALTH, UP)
        assert [end_of(client) for client in clients] == [alive.port] * 4


def test_draining_endpoint_keeps_its_sessions_and_gets_no_others(
    start: Start, answering: Answering
) -> None:
    draining, other = answering(), answering()
    worker = start(udp_world(udp(draining, other)))
    clients = [worker.udp() for _ in range(4)]
    before = [end_of(client) for client in clients]
    worker.drain("main", draining)
    assert [end_of(client) for client in clients] == before
    assert [end_of(worker.udp()) for _ in range(3)] == [other.port] * 3


def test_endpoints_that_are_all_down_are_used_where_panic_says_so(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint, panic_threshold=0.5)))
    client = worker.udp()
    client.ask(b"one")
    worker.set_state("main", endpoint, S_HEALTH, DOWN)
    assert client.ask(b"two") == endpoint.mark + b"two"
    worker.wait_until_published()
    assert worker.count(W_SESSIONS_MOVED) == 0


# --- how long, and how many --------------------------------------------------------------------


def test_session_without_a_datagram_either_way_ends(
    start: Start, answering: Answering, tmp_path: Path
) -> None:
    endpoint = answering()
    log = tmp_path / "requests.jsonl"
    recorded = RequestLog("file", str(log))
    limits = {"limits": Limits(amplification=0.0)}
    worker = start(udp_world(udp(endpoint), settings=limits, request_log=recorded), held=True)
    client = worker.udp()
    client.ask(b"hello")
    for _ in range(3):
        worker.pass_time(IDLE_S - 10.0)
        endpoint.send(b"I count too", endpoint.received[0][1])
        client.receive()
    assert sessions(worker) == 1
    worker.pass_time(IDLE_S + 1.0)
    assert sessions(worker) == worker.in_flight() == 0
    assert ended(worker, "idle") == 1
    (line,) = lines_of(log, 1)
    told = {key: line[key] for key in ("protocol", "listener", "route", "pool", "endpoint", "end")}
    assert told == {
        "protocol": "udp",
        "listener": "main",
        "route": "all",
        "pool": "main",
        "endpoint": endpoint.name,
        "end": "idle",
    }
    assert (line["client"], line["client_port"]) == client.socket.getsockname()
    assert line["bytes_from_client"] == 5
    assert line["bytes"] == len(endpoint.mark) + 5 + 3 * len(b"I count too")
    assert (line["datagrams_from_client"], line["datagrams"], line["dropped"]) == (1, 4, 0)
    assert line["attempts"] == 1
    assert client.ask(b"anew") == endpoint.mark + b"anew"
    assert worker.pool_count(P_REQUESTS) == 1


def test_what_an_endpoint_sends_to_a_session_that_ended_reaches_nobody(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint)), held=True)
    former = worker.udp()
    former.ask(b"hello")
    worker.pass_time(IDLE_S + 1.0)
    assert sessions(worker) == 0
    latter = worker.udp()
    latter.ask(b"hello")
    endpoint.send(b"late", endpoint.received[0][1])
    wait_until(lambda: dropped(worker, "late") == 1, "it was dropped")
    assert latter.is_silent()
    assert former.is_silent()


def test_for_one_session_too_many_the_longest_idle_one_ends(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint), settings={"limits": Limits(sessions=3)}), held=True)
    clients = []
    for _ in range(3):
        clients.append(worker.udp())
        clients[-1].ask(b"hello")
        worker.pass_time(1.0)
    clients[0].ask(b"still here")
    worker.pass_time(1.0)
    worker.udp().ask(b"one more")
    assert sessions(worker) == 3
    assert ended(worker, "evicted") == 1
    clients[0].ask(b"kept")
    clients[2].ask(b"kept")
    worker.wait_until_published()
    assert worker.count(W_SESSIONS_OPENED) == 4
    clients[1].ask(b"opened anew")
    worker.wait_until_published()
    assert worker.count(W_SESSIONS_OPENED) == 5


def test_max_in_flight_bounds_sessions_and_the_rest_waits_or_is_refused(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(at(endpoint, max_in_flight=1))), held=True)
    first, second = worker.udp(), worker.udp()
    first.ask(b"in")
    second.send(b"out")
    wait_until(lambda: dropped(worker, "no_endpoint") == 1, "it is dropped")
    queue = Admission(queue=Queue(length=2, timeout_s=300.0))
    worker.apply(udp_world(udp(at(endpoint, max_in_flight=1), admission=queue)))
    third = worker.udp()
    worker.pass_time(IDLE_S / 2)
    for number in range(10):
        third.send(b"kept %d" % number)
    wait_until(lambda: dropped(worker, "queue_full") == 2, "so many are kept")
    worker.pass_time(IDLE_S / 2 + 1.0)
    assert third.waiting(8) == [endpoint.mark + b"kept %d" % number for number in range(8)]


def test_what_waited_with_a_session_that_ends_is_dropped_and_counted_with_it(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    queue = Admission(queue=Queue(length=2, timeout_s=300.0))
    full = udp(at(endpoint, max_in_flight=1), admission=queue)
    worker = start(udp_world(full, settings={"limits": Limits(sessions=2)}), held=True)
    served, waiting, another = worker.udp(), worker.udp(), worker.udp()
    served.ask(b"in")
    for _ in range(3):
        waiting.send(b"kept")
    wait_until(lambda: received(worker) == 4, "they came")
    worker.pass_time(1.0)
    served.ask(b"still here")
    another.send(b"one too many")
    wait_until(lambda: dropped(worker, "no_endpoint") == 3, "they are dropped")
    assert ended(worker, "evicted") == 1


# --- where a session goes ----------------------------------------------------------------------


@pytest.mark.parametrize("by", ["bytes", "source", "source_port"])
def test_hash_key_says_where_a_session_goes(start: Start, answering: Answering, by: str) -> None:
    endpoints = [answering() for _ in range(4)]
    key = HashKey(by, offset=2, length=4) if by == "bytes" else HashKey(by)  # type: ignore[arg-type]
    hashed = udp(*endpoints, policy=PolicyChoice("maglev"), hash_key=key)
    worker = start(udp_world(hashed))
    clients = [worker.udp() for _ in range(24)]
    chosen: dict[bytes, set[bytes]] = {}
    for number, client in enumerate(clients):
        token = b"%04d" % (number % 8)
        chosen.setdefault(token, set()).add(client.ask(b"__" + token).split()[0])
    everywhere = set().union(*chosen.values())
    if by == "bytes":
        assert all(len(each) == 1 for each in chosen.values())
        assert len(everywhere) > 1
    else:
        assert (len(everywhere) == 1) is (by == "source")
    assert sessions(worker) == 24


def test_routes_by_source_and_refused_sources(start: Start, answering: Answering) -> None:
    endpoint = answering()
    refusing = {"deny": ("127.0.0.7/32",)}
    worker = start(udp_world(udp(endpoint), settings=refusing))
    denied = worker.udp(source="127.0.0.7")
    denied.send(b"hello")
    wait_until(lambda: dropped(worker, "denied") == 1, "it is dropped")
    assert worker.count(W_REFUSED_ADDRESS) == 1
    assert worker.udp(source="127.0.0.8").ask(b"x") == endpoint.mark + b"x"
    assert endpoint.payloads() == [b"x"]


def test_datagram_without_a_route_is_dropped(start: Start, answering: Answering) -> None:
    worker = start(udp_world(udp(answering()), routes=[]))
    worker.udp().send(b"hello")
    wait_until(lambda: dropped(worker, "no_route") == 1, "it is dropped")


def test_reply_leaves_from_the_address_that_was_asked(start: Start, answering: Answering) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint), settings={"host": "0.0.0.0"}))
    port = worker.address()[1]
    client = worker.udp()
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
        client.address = (host, port)
        client.ask(b"hello")
        assert client.heard_from == (host, port)
    assert sessions(worker) == 2


# --- no amplifier ------------------------------------------------------------------------------


def test_source_that_has_not_gone_on_gets_no_more_than_a_multiple_of_what_it_sent(
    start: Start, answering: Answering
) -> None:
    endpoint = answering(lambda data: [b"." * 94] * 10)  # 100 bytes with the mark, ten times
    worker = start(udp_world(udp(endpoint)))
    client = worker.udp()
    client.send(b"x" * 100)
    each = len(endpoint.mark) + 94 + HEADER_BYTES
    allowed = 3 * (100 + HEADER_BYTES) // each
    assert allowed < 10
    client.waiting(allowed)
    wait_until(lambda: dropped(worker, "amplification") == 10 - allowed, "the rest is dropped")
    assert client.is_silent()
    client.send(b"x")  # it heard, and goes on
    assert len(client.waiting(10)) == 10


def test_amplification_may_be_let_be(start: Start, answering: Answering) -> None:
    endpoint = answering(lambda data: [b"." * 1000] * 5)
    worker = start(udp_world(udp(endpoint), settings={"limits": Limits(amplification=0.0)}))
    client = worker.udp()
    client.send(b"x")
    assert len(client.waiting(5)) == 5


def test_source_address_sends_so_many_datagrams_a_second(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    limits = Limits(datagrams_per_s=5)
    worker = start(udp_world(udp(endpoint), settings={"limits": limits}), held=True)
    one, another = worker.udp(), worker.udp()
    for _ in range(4):
        one.send(b"x")
        another.send(b"x")
    wait_until(lambda: dropped(worker, "rate") == 3, "too many are dropped")
    assert worker.udp(source="127.0.0.9").ask(b"y") == endpoint.mark + b"y"
    wait_until(lambda: len(endpoint.received) == 6, "the others came")
    worker.pass_time(1.0)
    assert len([one.ask(b"z"), another.ask(b"z")]) == 2


def test_source_that_sends_too_many_bytes_is_held_to_its_rate(
    start: Start, answering: Answering
) -> None:
    endpoint = answering()
    limits = Limits(datagram_bytes_per_s=1000)
    worker = start(udp_world(udp(endpoint), settings={"limits": limits}), held=True)
    client = worker.udp()
    for _ in range(5):
        client.send(b"." * 500)
    wait_until(lambda: dropped(worker, "byte_rate") == 3, "too many are dropped")
    assert dropped(worker, "rate") == 0
    client.waiting(2)
    worker.pass_time(1.0)
    assert client.ask(b"z") == endpoint.mark + b"z"


# --- reloads, and the end ----------------------------------------------------------------------


def test_reloads_lose_no_datagram_and_no_session(start: Start, answering: Answering) -> None:
    endpoints = [answering() for _ in range(2)]
    worker = start(udp_world(udp(*endpoints)))
    clients = [worker.udp() for _ in range(20)]
    before = [end_of(client) for client in clients]
    for turn in range(30):
        for client in clients:
            client.send(b"%d" % turn)
        worker.apply(udp_world(udp(*endpoints), via=f"v{turn}"))
    for number, client in enumerate(clients):
        assert client.waiting(30) == [b"%d %d" % (before[number], turn) for turn in range(30)]
    worker.wait_until_published()
    assert worker.count(W_SESSIONS_OPENED) == worker.in_flight() == 20


def test_sessions_of_a_listener_that_is_removed_end(start: Start, answering: Answering) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint)))
    worker.udp().ask(b"hello")
    others = world(udp(endpoint), listeners=[listener("other", protocol="udp")])
    worker.apply(others)
    wait_until(lambda: sessions(worker) == worker.in_flight() == 0, "its session ended")
    assert ended(worker, "cut") == 1


def test_stop_lets_sessions_go_on_and_begins_none(start: Start, answering: Answering) -> None:
    endpoint = answering()
    worker = start(udp_world(udp(endpoint)))
    client, late = worker.udp(), worker.udp()
    client.ask(b"hello")
    worker.send({"kind": "stop", "deadline_s": 3.0})
    late.send(b"hello?")
    wait_until(lambda: dropped(worker, "stopping") == 1, "it is not let in")
    assert client.ask(b"goes on") == endpoint.mark + b"goes on"
    worker.wait_for_exit()
    assert worker.in_flight() == 0


@pytest.mark.large
def test_many_sessions_leave_every_count_at_zero(start: Start, answering: Answering) -> None:
    endpoints = [answering() for _ in range(2)]
    gone = answering()
    gone.close()
    short = PoolTimeouts(session_idle_s=0.3)
    limits = Limits(sessions=50)
    world_of = udp_world(udp(*endpoints, gone, timeouts=short), settings={"limits": limits})
    worker = start(world_of)
    before = worker.open_descriptors()
    for _ in range(40):
        clients = [UdpClient(worker.address()) for _ in range(50)]
        for client in clients:
            client.send(b"hello")
        for client in clients:
            client.close()
    wait_until(lambda: sessions(worker) == worker.in_flight() == 0, "all are over")
    opened = worker.count(W_SESSIONS_OPENED)
    assert opened == sum(worker.count(W_SESSION_ENDS + how) for how in range(len(SESSION_ENDS)))
    assert opened > 500
    wait_until(lambda: worker.open_descriptors() == before, "its sockets are closed")


def test_an_address_at_which_nobody_is_costs_no_other_session_anything(
    start: Start, answering: Answering
) -> None:
    """Sessions share sockets, and the kernel tells of one's error when another sends."""
    good = answering()
    bad = Address(1)
    worker = start(
        udp_world(
            udp(good, name="good"),
            udp(bad, name="bad"),
            routes=[route("good", name="all")],
        )
    )
    worker.apply(
        world(
            udp(good, name="good"),
            udp(bad, name="bad"),
            listeners=[listener(protocol="udp"), listener("second", protocol="udp")],
            routes=[
                route("good", match=Match(listeners=("main",))),
                route("bad", match=Match(listeners=("second",))),
            ],
        )
    )
    client, unlucky = worker.udp(), worker.udp("second")
    for number in range(200):
        unlucky.send(b"x")
        assert client.ask(b"%d" % number) == good.mark + b"%d" % number
