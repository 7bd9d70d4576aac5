"""QUIC clients find their server from wherever they come, by what it put into its connection ids;
so do clients with a token. Nobody gets what is for somebody else."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from penstock.core.health.health import DOWN
from penstock.core.snapshot import HashKey, Limits, PolicyChoice, Pool, QuicConnectionIds, Snapshot
from penstock.dataplane.board.layout import S_HEALTH, W_SESSIONS, W_UNKNOWN_SERVER_IDS
from tests.harness.datagrams import UdpClient, UdpEndpoint
from tests.harness.quic import long, made, short
from tests.harness.worker import Worker
from tests.harness.world import at, listener, pool, world

Start = Callable[..., Worker]
SERVERS = 3
LISTENER = listener(protocol="udp", limits=Limits(amplification=0.0))


@pytest.fixture
def endpoints() -> Iterator[list[UdpEndpoint]]:
    with ExitStack() as stack:
        yield [stack.enter_context(UdpEndpoint()) for _ in range(SERVERS)]


def id_of(server: int) -> bytes:
    return b"\0\0\0%c" % (server + 1)


def quic_pool(endpoints: list[UdpEndpoint], **settings: Any) -> Pool:
    """Each endpoint has its number as its server id, by configuration 2."""
    members = [
        at(each, quic_server_ids=(id_of(number),), **settings)
        for number, each in enumerate(endpoints)
    ]
    ids = (QuicConnectionIds(config=2, server_id_length=4),)
    return pool(*members, protocol="udp", quic_connection_ids=ids)


def quic_world(endpoints: list[UdpEndpoint]) -> Snapshot:
    return world(quic_pool(endpoints), listeners=[LISTENER])


def whom(client: UdpClient, data: bytes, endpoints: list[UdpEndpoint]) -> int:
    """The number of the endpoint that answers."""
    mark = client.ask(data).partition(b" ")[0] + b" "
    return [each.mark for each in endpoints].index(mark)


def unknown(worker: Worker) -> int:
    worker.wait_until_published()
    return worker.count(W_UNKNOWN_SERVER_IDS)


@pytest.mark.parametrize("packet", [long, short])
def test_client_from_a_new_address_finds_its_server(
    start: Start, endpoints: list[UdpEndpoint], packet: Callable[[bytes], bytes]
) -> None:
    worker = start(quic_world(endpoints))
    for server in (2, 2, 0, 1, 2):
        data = packet(made(id_of(server), configuration=2))
        assert whom(worker.udp(), data, endpoints) == server
    worker.wait_until_published()
    assert worker.count(W_SESSIONS) == 5
    assert unknown(worker) == 0


def test_first_id_of_a_client_tells_nothing_and_the_policy_chooses(
    start: Start, endpoints: list[UdpEndpoint]
) -> None:
    worker = start(quic_world(endpoints))
    own = [long(b"\x1f8 bytes."), long(b"\x5fmore than 8"), long(b"")]
    assert [whom(worker.udp(), data, endpoints) for data in own] == [0, 1, 2]
    assert unknown(worker) == 0


def test_where_the_server_is_not_known_the_policy_chooses_and_it_is_counted(
    start: Start, endpoints: list[UdpEndpoint]
) -> None:
    worker = start(quic_world(endpoints))
    nobodys = [
        short(made(b"\0\0\0\xff", configuration=2)),
        short(made(id_of(0), configuration=1)),
        short(made(id_of(0), configuration=7)),
        b"",
    ]
    assert [whom(worker.udp(), data, endpoints) for data in nobodys] == [0, 1, 2, 0]
    assert unknown(worker) == 4


def test_server_that_is_down_is_not_waited_for(start: Start, endpoints: list[UdpEndpoint]) -> None:
    worker = start(quic_world(endpoints))
    worker.set_state("main", endpoints[0], S_HEALTH, DOWN)
    first = short(made(id_of(0), configuration=2))
    assert whom(worker.udp(), first, endpoints) != 0
    assert unknown(worker) == 0


@pytest.mark.parametrize("by", ["server id", "token"])
def test_replies_go_to_the_address_that_asked_whatever_the_other_claims(
    start: Start, endpoints: list[UdpEndpoint], by: str
) -> None:
    """Who knows another's token or connection id gets a session of its own, on the same endpoint:
    it diverts nothing of the other's."""
    if by == "token":
        key = HashKey("bytes", offset=0, length=4)
        hashed = pool(*endpoints, protocol="udp", policy=PolicyChoice("maglev"), hash_key=key)
        made_world = world(hashed, listeners=[LISTENER])
        data = b"tokn and more"
    else:
        made_world = quic_world(endpoints)
        data = short(made(id_of(1), configuration=2))
    worker = start(made_world)
    owner, thief = worker.udp(), worker.udp()
    server = whom(owner, data, endpoints)
    assert whom(thief, data, endpoints) == server
    came_from = [address for _, address in endpoints[server].received]
    assert len(set(came_from)) == 2
    for number in range(3):
        endpoints[server].send(b"for the owner %d" % number, came_from[0])
    assert owner.waiting(3) == [b"for the owner %d" % number for number in range(3)]
    assert thief.is_silent()
    worker.wait_until_published()
    assert worker.count(W_SESSIONS) == worker.load(endpoints[server]) == 2
