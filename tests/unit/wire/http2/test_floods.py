"""What a hostile peer can make a connection do, and hold: each attack with its bound."""

import tracemalloc
from collections.abc import Callable

import pytest

from penstock.wire.http2.codes import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    ConnectionFault,
)
from penstock.wire.http2.flood_limits import (
    EMPTY_FRAMES,
    FLOODS,
    INTERIM_RESPONSES,
    OTHER_FRAMES,
    PENDING_OUTPUT,
    PINGS,
    PRIORITIES,
    RESETS_PROVOKED,
    RESETS_RECEIVED,
    SETTINGS_FRAMES,
    WINDOW_UPDATES,
    FloodCounter,
    Limits,
)
from penstock.wire.http2.header_block import response_block
from penstock.wire.http2.settings import Settings
from tests.unit.wire.http2.recording import (
    SETTINGS_FRAME,
    Endpoint,
    client,
    frame,
    frames,
    get,
    server,
)

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING = 0, 1, 2, 3, 4, 6
WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE = 8, 9, 16
POST = bytes((0x83, 0x87, 0x84, 0x01, 1)) + b"a"
OPEN = frame(HEADERS, 4, 1, POST)


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def rapid_reset(turn: int) -> bytes:
    stream_id = 2 * turn + 1
    return frame(HEADERS, 5, stream_id, POST) + frame(RST_STREAM, 0, stream_id, number(8))


def provoked(turn: int) -> bytes:
    """A window update by nothing makes a server reset the stream (CVE-2025-8671)."""
    stream_id = 2 * turn + 1
    return frame(HEADERS, 5, stream_id, POST) + frame(WINDOW_UPDATE, 0, stream_id, number(0))


FLOOD_FRAMES: dict[int, Callable[[int], bytes]] = {
    RESETS_RECEIVED: rapid_reset,
    RESETS_PROVOKED: provoked,
    PINGS: lambda turn: frame(PING, 0, 0, bytes(8)),
    SETTINGS_FRAMES: lambda turn: SETTINGS_FRAME,
    EMPTY_FRAMES: lambda turn: (OPEN if turn == 0 else b"") + frame(DATA, 0, 1),
    WINDOW_UPDATES: lambda turn: frame(WINDOW_UPDATE, 0, 0, number(1)),
    PRIORITIES: lambda turn: frame(PRIORITY, 0, 2 * turn + 1, bytes(5)),
    OTHER_FRAMES: lambda turn: frame(99, 0, 0),
}


@pytest.mark.parametrize("kind", FLOOD_FRAMES, ids=lambda kind: FLOODS[kind])
def test_a_flood_ends_the_connection_at_its_bound_and_is_counted(kind: int) -> None:
    limits = Limits()
    ours = server(limits=limits)
    turns = 0
    while ours.failure is None:
        ours.receive(FLOOD_FRAMES[kind](turns))
        ours.output()
        turns += 1
        assert turns <= 2 * limits.burst[kind]
    assert ours.failure[0] == ENHANCE_YOUR_CALM
    assert FLOODS[kind].replace("_", " ") in ours.failure[1]
    assert turns <= limits.burst[kind] + 1
    assert ours.connection.floods.exceeded == kind
    assert limits.burst[kind] - 3 <= ours.connection.floods.counts[kind] <= limits.burst[kind] + 3


@pytest.mark.parametrize("kind", FLOOD_FRAMES, ids=lambda kind: FLOODS[kind])
def test_who_keeps_to_the_rate_goes_on_for_ever(kind: int) -> None:
    limits = Limits()
    ours = server(limits=limits)
    for turn in range(3 * limits.burst[kind]):
        ours.now += 1.01 / limits.per_s[kind]
        ours.receive(FLOOD_FRAMES[kind](turn))
        ours.output()
    assert ours.failure is None


def test_a_bucket_earns_its_rate_and_holds_no_more_than_its_burst() -> None:
    limits = Limits()
    limits.burst[PINGS] = 5
    limits.per_s[PINGS] = 2.0
    floods = FloodCounter(limits)

    def allowed(now: float) -> int:
        count = 0
        try:
            while count < 100:
                floods.note(PINGS, now)
                count += 1
        except ConnectionFault:
            return count
        return count

    assert allowed(1000.0) == 5
    assert allowed(1000.0) == 0
    assert allowed(1001.0) == 2
    assert allowed(9999.0) == 5


def test_a_client_may_reset_as_many_streams_as_it_lets_end() -> None:
    ours = server()
    for turn in range(2000):
        stream_id = 4 * turn + 1
        ours.receive(frame(HEADERS, 5, stream_id, POST))
        got = ours.received[stream_id]
        assert got.stream is not None
        ours.connection.send_head(got.stream, response_block(204, []), True)
        ours.receive(rapid_reset(2 * turn + 1))
        ours.output()
    assert ours.failure is None


def test_streams_that_lasted_may_be_reset_all_at_once() -> None:
    """As calls are whose deadline passes: each took its place among those open at a time."""
    limits = Limits()
    settings = Settings()
    settings.max_concurrent_streams = 2000
    ours = server(settings, limits)
    ids = range(1, 4001, 2)
    for stream_id in ids:
        ours.receive(frame(HEADERS, 5, stream_id, POST))
        ours.output()
    ours.now += 0.9
    for stream_id in ids[: limits.burst[RESETS_RECEIVED]]:
        ours.receive(frame(RST_STREAM, 0, stream_id, number(CANCEL)))
    assert ours.failure is None
    ours.now += 0.1
    for stream_id in ids[limits.burst[RESETS_RECEIVED] :]:
        ours.receive(frame(RST_STREAM, 0, stream_id, number(CANCEL)))
    assert ours.failure is None


def test_each_stream_brings_two_window_updates() -> None:
    """One of its own and one of the connection, as gRPC's clients send them."""
    settings = Settings()
    settings.max_concurrent_streams = 2000
    ours = server(settings)
    for stream_id in range(1, 4001, 2):
        ours.receive(frame(HEADERS, 4, stream_id, POST))
        for widened in (stream_id, 0):
            ours.receive(frame(WINDOW_UPDATE, 0, widened, number(5)))
    assert ours.failure is None


def test_interim_responses_without_end_end_the_connection() -> None:
    limits = Limits()
    ours = client(limits=limits)
    ours.open(get())
    for _ in range(limits.burst[INTERIM_RESPONSES]):
        ours.receive(frame(HEADERS, 4, 1, b"\x08\x03103"))
    assert ours.failure is None
    ours.receive(frame(HEADERS, 4, 1, b"\x08\x03103"))
    assert ours.failure is not None
    assert ours.failure[0] == ENHANCE_YOUR_CALM


def test_window_updates_that_answer_our_data_are_no_flood() -> None:
    ours = server()
    ours.receive(OPEN)
    got = ours.received[1]
    assert got.stream is not None
    ours.connection.send_head(got.stream, response_block(200, []), False)
    for _ in range(5000):
        got.send(b"x" * 100, False)
        ours.output()
        for stream_id in (0, 1):
            ours.receive(frame(WINDOW_UPDATE, 0, stream_id, number(100)))
    assert ours.failure is None


def test_continuations_end_the_connection_at_the_ninth() -> None:
    ours = server()
    ours.receive(frame(HEADERS, 1, 1, POST))
    for _ in range(8):
        ours.receive(frame(CONTINUATION, 0, 1))
    assert ours.failure is None
    ours.receive(frame(CONTINUATION, 0, 1))
    assert ours.failure is not None
    assert ours.failure[0] == ENHANCE_YOUR_CALM


def test_a_block_longer_than_any_list_it_could_be_is_not_awaited() -> None:
    limits = Limits()
    limits.header_list_bytes = 20_000
    ours = server(limits=limits)
    ours.receive(frame(HEADERS, 1, 1, bytes(16384)) + frame(CONTINUATION, 0, 1, bytes(8000)))
    assert ours.failure is not None
    assert ours.failure[0] == ENHANCE_YOUR_CALM


# An entry of 4,000 octets, then one-octet references to it (CVE-2026-49975).
BOMB = POST + b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 12_000


def test_a_bomb_of_references_costs_no_memory_and_is_answered_431() -> None:
    ours = server()
    bomb = frame(HEADERS, 5, 1, BOMB)
    tracemalloc.start()
    try:
        ours.receive(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000
    assert ours.received == {}
    assert ours.failure is None
    kind, flags, stream_id, payload = frames(ours.output())[-1]
    assert (kind, flags, stream_id) == (HEADERS, 5, 1)
    assert payload.startswith(b"\x48\x03431")
    ours.receive(frame(HEADERS, 5, 3, POST + b"\xbe"))
    head = ours.received[3].head
    assert head is not None
    assert head.value(b"x") == b"v" * 4000


def test_empty_fields_and_crumbs_are_counted_as_fields() -> None:
    limits = Limits()
    limits.header_fields = 20
    for field in (b"\x00\x01x\x00", b"\x00\x06cookie\x00"):
        ours = server(limits=limits)
        ours.receive(frame(HEADERS, 5, 1, POST + field * 16))
        assert ours.received[1].ended
        ours.receive(frame(HEADERS, 5, 3, POST + field * 17))
        assert 3 not in ours.received
        assert ours.faults[0][1] == NO_ERROR


def test_trailers_are_bounded_as_heads_are() -> None:
    limits = Limits()
    limits.header_fields = 20
    ours = server(limits=limits)
    ours.receive(OPEN + frame(HEADERS, 5, 1, b"\x00\x01x\x00" * 21))
    assert ours.received[1].reset == PROTOCOL_ERROR


def test_each_field_counts_32_octets_beyond_its_own() -> None:
    limits = Limits()
    limits.header_list_bytes = 1000
    ours = server(limits=limits)
    ours.receive(frame(HEADERS, 5, 1, POST + b"\x00\x01x\x00" * 30))
    assert 1 not in ours.received


def test_heads_of_open_streams_are_bounded_together() -> None:
    limits = Limits()
    limits.held_header_bytes = 30_000
    ours = server(limits=limits)
    for stream_id in range(1, 41, 2):
        code = POST + b"\x00\x01x\x7f\xd1\x0e" + b"%04d" % stream_id + b"v" * 1996
        ours.receive(frame(HEADERS, 4, stream_id, code))
    assert len(ours.received) == 30_000 // 2900
    assert {fault[1] for fault in ours.faults} == {REFUSED_STREAM}
    ours.connection.reset(ours.connection.streams[1])
    ours.receive(frame(HEADERS, 4, 101, code))
    assert 101 in ours.received
    for stream in list(ours.connection.streams.values()):
        ours.connection.reset(stream)
    assert ours.connection._heads.bytes == 0


def test_fields_that_heads_share_count_once_and_as_long_as_one_of_them_is_kept() -> None:
    limits = Limits()
    limits.held_header_bytes = 30_000
    ours = server(limits=limits)
    ours.receive(frame(HEADERS, 4, 1, POST + b"\x40\x01x\x7f\xd1\x0e" + b"v" * 2000))
    for number_ in range(20):  # a field of 2,000 octets by reference, and one of their own
        code = POST + b"\xbe\x00\x01y\x02" + b"%02d" % number_
        ours.receive(frame(HEADERS, 4, 3 + 2 * number_, code))
    assert ours.faults == []
    ours.connection.reset(ours.connection.streams[1])
    assert ours.connection._heads.bytes > 2000 + 20 * 500
    # Each new one brings the table a field that only its stream will keep.
    for number_ in range(40):
        stream_id = 101 + 2 * number_
        code = POST + b"\x40\x01z\x7f\xd1\x0e" + b"%02d" % number_ + b"v" * 1998
        ours.receive(frame(HEADERS, 4, stream_id, code))
    assert 36 < len(ours.faults) < 40


def test_answers_that_the_peer_does_not_read_are_bounded() -> None:
    limits = Limits()
    limits.burst[PINGS] = 10**9
    limits.pending_output_bytes = 10_000
    ours = server(limits=limits)
    for _ in range(1000):
        ours.receive(frame(PING, 0, 0, bytes(8)))
    assert ours.failure is not None
    assert ours.failure[0] == ENHANCE_YOUR_CALM
    assert ours.connection.floods.exceeded == PENDING_OUTPUT
    assert len(ours.output()) < 10_200


def test_many_settings_in_one_frame_count_as_many_frames() -> None:
    ours = server()
    payload = (b"\xab\xcd" + bytes(4)) * 2700
    turns = 0
    while ours.failure is None:
        ours.receive(frame(SETTINGS, 0, 0, payload))
        ours.output()
        turns += 1
    assert turns < 3


def test_table_size_changes_cost_no_more_than_settings_do() -> None:
    ours = server()
    for size in (0, 10**9, 0, 4096):
        ours.receive(frame(SETTINGS, 0, 0, b"\x00\x01" + number(size)))
    ours.receive(OPEN)
    got = ours.received[1]
    assert got.stream is not None
    ours.connection.send_head(got.stream, response_block(200, []), True)
    assert frames(ours.output())[-1][3] == b"\x20\x3f\xe1\x1f\x88"


def test_a_hostile_connection_holds_no_more_than_its_key_beyond_an_idle_one() -> None:
    limits = Limits(262144)

    def idle() -> Endpoint:
        ours = server(limits=limits, consumes=False)
        ours.receive(frame(PING, 0, 0, bytes(8)))
        ours.output()
        return ours

    idle()
    tracemalloc.start()
    try:
        kept = [idle() for _ in range(4)]
        small = tracemalloc.get_traced_memory()[0] / len(kept)
        hostile = idle()
        before = tracemalloc.get_traced_memory()[0]
        # Heads as large as they may be, all different, half of them in the table as well.
        for turn in range(100):
            value = b"%03d" % turn + b"v" * 1900
            form = b"\x40" if turn % 2 else b"\x00"
            code = POST + form + b"\x02x%d\x7f\xf0\x0d" % (turn % 10) + value
            hostile.receive(frame(HEADERS, 4, 2 * turn + 1, code))
        for turn in range(100):  # small fields, which take most for what they say
            code = POST + b"".join([b"\x00\x03%03d\x00" % each for each in range(100)])
            hostile.receive(frame(HEADERS, 4, 2 * turn + 301, code))
        streams = list(hostile.received)
        for stream_id in streams:
            hostile.receive(frame(DATA, 0, stream_id, bytes(1000)))
            hostile.received[stream_id].content = b""
        # Responses that nobody reads, answers of the protocol, and an unfinished block.
        for stream_id in streams:
            got = hostile.received[stream_id]
            assert got.stream is not None
            hostile.connection.send_head(got.stream, response_block(200, []), False)
            hostile.connection.send_data(got.stream, bytes(16384), False)
        hostile.receive(frame(PING, 0, 0, bytes(8)) * 90)
        hostile.receive(frame(HEADERS, 0, 9999, bytes(16384)))
        hostile.receive(frame(CONTINUATION, 0, 9999, bytes(16384))[:-1])
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert hostile.failure is None
    assert len(streams) > 20
    assert small < 32_768
    assert held < 262144
