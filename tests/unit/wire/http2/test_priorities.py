"""RFC 9218: what priorities say and in which order streams write."""

import pytest

from penstock.wire.http2.codes import PROTOCOL_ERROR
from penstock.wire.http2.header_block import response_block
from penstock.wire.http2.priority import priority_value, read_priority
from tests.unit.wire.http2.recording import Endpoint, client, frame, frames, get, server

DATA, HEADERS, WINDOW_UPDATE, PRIORITY_UPDATE = 0, 1, 8, 16
GET = bytes((0x82, 0x87, 0x84, 0x01, 1)) + b"a"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"", (3, False)),
        (b"u=0", (0, False)),
        (b"u=7, i", (7, True)),
        (b"i", (3, True)),
        (b"i=?1,u=2", (2, True)),
        (b"i=?0", (3, False)),
        (b"i, i=?0", (3, False)),
        (b"u=5;x=1, i;y", (5, True)),
        (b"u=8", (3, False)),
        (b"u=-1", (3, False)),
        (b"u=2.0", (3, False)),
        (b"u=a, other=1, i", (3, True)),
        (b"U=1", (3, False)),
        (b"u=1" + b", x" * 200, (3, False)),
    ],
)
def test_4_what_is_unknown_or_wrong_in_a_priority_is_passed_over(
    value: bytes, read: tuple[int, bool]
) -> None:
    assert read_priority(value) == read


@pytest.mark.parametrize("urgency", range(8))
@pytest.mark.parametrize("incremental", [False, True])
def test_a_priority_that_we_write_is_read_back(urgency: int, incremental: bool) -> None:
    assert read_priority(priority_value(urgency, incremental)) == (urgency, incremental)


def waiting(ours: Endpoint, priorities: dict[int, bytes]) -> None:
    """Streams with these priorities, each with content of 40,000 bytes, and no window at all."""
    blocker = max(priorities) + 2
    for stream_id in [blocker, *priorities] if blocker < min(priorities) else [*priorities]:
        value = priorities.get(stream_id, b"")
        field = b"\x00\x08priority" + bytes((len(value),)) + value if value else b""
        ours.receive(frame(HEADERS, 5, stream_id, GET + field))
    ours.connection.send_window = 0
    for stream_id in priorities:
        got = ours.received[stream_id]
        assert got.stream is not None
        ours.connection.send_head(got.stream, response_block(200, []), False)
        got.send(bytes(40_000), True)
    ours.output()


def order(ours: Endpoint) -> list[int]:
    """The streams in the order of their DATA, each run once."""
    found: list[int] = []
    ours.receive(frame(WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")))
    for kind, _, stream_id, _ in frames(ours.output()):
        if kind == DATA and found[-1:] != [stream_id]:
            found.append(stream_id)
    return found


def test_10_the_most_urgent_write_first_then_in_the_order_of_their_ids() -> None:
    ours = server()
    waiting(ours, {1: b"u=5", 3: b"", 5: b"u=0", 7: b"", 9: b"u=5"})
    assert order(ours) == [5, 3, 7, 1, 9]


def test_10_incremental_streams_take_turns() -> None:
    ours = server()
    waiting(ours, {1: b"i", 3: b"i", 5: b"u=1, i"})
    turns = order(ours)
    assert turns[0] == 5
    assert turns[1:5] == [1, 3, 1, 3]


def test_7_1_a_priority_update_moves_a_stream_that_waits() -> None:
    ours = server()
    waiting(ours, {1: b"", 3: b"", 5: b""})
    ours.receive(frame(PRIORITY_UPDATE, 0, 0, (5).to_bytes(4, "big") + b"u=0"))
    assert order(ours) == [5, 1, 3]


def test_7_1_a_priority_update_may_come_before_its_stream_and_wins_over_the_field() -> None:
    ours = server()
    ours.receive(frame(PRIORITY_UPDATE, 0, 0, (3).to_bytes(4, "big") + b"u=1"))
    waiting(ours, {1: b"u=2", 3: b"u=7"})
    assert order(ours) == [3, 1]


@pytest.mark.parametrize(
    "data",
    [
        frame(PRIORITY_UPDATE, 0, 1, bytes(3) + b"\x01u=1"),
        frame(PRIORITY_UPDATE, 0, 0, bytes(4) + b"u=1"),
        frame(PRIORITY_UPDATE, 0, 0, bytes(3) + b"\x02u=1"),
    ],
    ids=["on a stream", "about stream 0", "about a server's stream"],
)
def test_7_1_a_priority_update_that_is_none_ends_the_connection(data: bytes) -> None:
    ours = server()
    ours.receive(data)
    assert ours.failure is not None
    assert ours.failure[0] == PROTOCOL_ERROR


def test_7_1_a_server_never_sends_one_and_a_client_may() -> None:
    ours = client()
    ours.receive(frame(PRIORITY_UPDATE, 0, 0, bytes(3) + b"\x01u=1"))
    assert ours.failure is not None
    ours = client()
    asked = ours.open(get())
    ours.output()
    assert asked.stream is not None
    ours.connection.send_priority(asked.stream, 6, True)
    assert frames(ours.output()) == [(PRIORITY_UPDATE, 0, 0, bytes(3) + b"\x01u=6, i")]
