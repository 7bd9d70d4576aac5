"""Both ways of reading datagrams tell the same: what came, from where, and where it was sent to."""

import socket
from collections.abc import Callable, Iterator

import pytest

from penstock.dataplane.io.datagram_reader import BatchReader, DatagramReader
from penstock.dataplane.io.datagrams import MAX_DATAGRAM_BYTES, asked_address, reply_control
from penstock.dataplane.io.system import Socket

Make = Callable[[Socket, int], DatagramReader]
IP_PKTINFO = 8
FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


def plain(sock: Socket, most: int) -> DatagramReader:
    return DatagramReader(sock, most, bytearray(MAX_DATAGRAM_BYTES))


def batch(sock: Socket, most: int) -> DatagramReader:
    module = pytest.importorskip("penstock._datagrams", reason="the C module is not built")
    return BatchReader(sock, most, bytearray(), module.receive)


@pytest.fixture(params=[plain, batch])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def sockets() -> Iterator[Callable[[int, str], socket.socket]]:
    opened: list[socket.socket] = []

    def bound(family: int, host: str) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        opened.append(sock)
        sock.bind((host, 0))
        sock.setblocking(False)
        return sock

    yield bound
    for sock in opened:
        sock.close()


Bound = Callable[[int, str], socket.socket]


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_what_came_and_from_where(make: Make, sockets: Bound, family: int, host: str) -> None:
    ours, one, other = (sockets(family, host) for _ in range(3))
    reader = make(ours, 64)
    assert reader.read() == []
    sent = [(one, b"a"), (other, b""), (one, b"x" * 60_000), (one, b"\0\xff")]
    for sock, data in sent:
        sock.sendto(data, ours.getsockname())
    came = reader.read()
    assert [data for data, _ in came] == [data for _, data in sent]
    sources = [reader.source_of(key) for _, key in came]
    assert sources == [(sock.getsockname(), []) for sock, _ in sent]
    for sock, _ in sent:
        assert reader.key_of(sock.getsockname()) in [key for _, key in came]
    assert came[0][1] == came[2][1] != came[1][1]


@pytest.mark.parametrize("most", [1, 3, 64])
def test_no_more_are_read_than_asked_for(make: Make, sockets: Bound, most: int) -> None:
    ours, theirs = (sockets(socket.AF_INET, "127.0.0.1") for _ in range(2))
    reader = make(ours, most)
    for number in range(100):
        theirs.sendto(b"%d" % number, ours.getsockname())
    heard: list[bytes] = []
    while came := reader.read():
        assert len(came) <= most
        heard += [data for data, _ in came]
    assert heard == [b"%d" % number for number in range(100)]


def test_address_that_was_asked_is_told_for_each_family(make: Make, sockets: Bound) -> None:
    ours = sockets(socket.AF_INET6, "::")
    ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    reader = make(ours, 64)
    port = ours.getsockname()[1]
    six, four = sockets(socket.AF_INET6, "::1"), sockets(socket.AF_INET, "127.0.0.1")
    six.sendto(b"six", ("::1", port))
    four.sendto(b"four", ("127.0.0.3", port))
    told = [asked_address(reply_control(reader.source_of(key)[1])) for _, key in reader.read()]
    assert told == ["::1", "::ffff:127.0.0.3"]
    ours = sockets(socket.AF_INET, "0.0.0.0")
    ours.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    reader = make(ours, 64)
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
        four.sendto(b"four", (host, ours.getsockname()[1]))
    keys = [key for _, key in reader.read()]
    assert [asked_address(reply_control(reader.source_of(key)[1])) for key in keys] == [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.1",
    ]
    assert keys[0] == keys[2] != keys[1]
    assert {reader.source_of(key)[0] for key in keys} == {four.getsockname()}


def test_an_error_ends_what_is_read_and_does_no_more(make: Make, sockets: Bound) -> None:
    ours, theirs = (sockets(socket.AF_INET, "127.0.0.1") for _ in range(2))
    reader = make(ours, 64)
    ours.connect(theirs.getsockname())
    theirs.close()
    ours.send(b"nobody is there")
    assert reader.read() == []
    ours.close()
    assert reader.read() == []
