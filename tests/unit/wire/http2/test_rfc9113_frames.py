"""RFC 9113, sections 3 to 7: each MUST that binds who receives frames, named after its section."""

import hpack
import pytest

from penstock.wire.http2.codes import (
    CLIENT_PREFACE,
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
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

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9
GET = bytes((0x82, 0x87, 0x84, 0x41, 1)) + b"a"  # GET https / of authority "a"
POST = bytes((0x83, 0x87, 0x84, 0x41, 1)) + b"a"
OPEN = frame(HEADERS, 0x4, 1, POST)  # stream 1, half of it still open
ASK = frame(HEADERS, 0x5, 1, GET)
OK = bytes((0x88,))


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def setting(key: int, value: int) -> bytes:
    return key.to_bytes(2, "big") + number(value)


def case(name: str, data: bytes, code: int) -> object:
    return pytest.param(data, code, id=name)


CONNECTION_ERRORS = [
    case("4.2 frame over SETTINGS_MAX_FRAME_SIZE", frame(DATA, 0, 1, bytes(16385)), 6),
    case("4.2 HEADERS too short for its priority", frame(HEADERS, 0x24, 1, b"abc"), 6),
    case("4.2 HEADERS too short for its padding length", frame(HEADERS, 0xC, 1), 6),
    case("4.3 block cut inside a string", frame(HEADERS, 0x5, 1, GET[:-1]), COMPRESSION_ERROR),
    case("4.3 DATA amid a block", frame(HEADERS, 0, 1, GET) + frame(DATA, 0, 1), 1),
    case("4.3 other stream amid a block", frame(HEADERS, 0, 1, GET) + frame(CONTINUATION, 4, 3), 1),
    case("4.3.1 table above the setting", frame(HEADERS, 0x5, 1, b"\x3f\xe2\x1f" + GET), 9),
    case("5.1 idle: DATA", frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    case("5.1 idle: RST_STREAM", frame(RST_STREAM, 0, 1, number(8)), PROTOCOL_ERROR),
    case("5.1 idle: WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 1, number(1)), PROTOCOL_ERROR),
    case("5.1 idle: CONTINUATION", frame(CONTINUATION, 4, 1, GET), PROTOCOL_ERROR),
    case("5.1.1 even id from a client", frame(HEADERS, 0x5, 2, GET), PROTOCOL_ERROR),
    case(
        "5.1.1 lower id than before",
        frame(HEADERS, 0x5, 5, GET) + frame(HEADERS, 0x5, 3, GET),
        PROTOCOL_ERROR,
    ),
    case("5.5 unknown frame amid a block", frame(HEADERS, 0, 1, GET) + frame(99, 0, 1), 1),
    case("6.1 DATA on stream 0", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    case("6.1 padding as long as the payload", OPEN + frame(DATA, 8, 1, b"\x04abc"), 1),
    case("6.1 padded DATA without a length", OPEN + frame(DATA, 8, 1), FRAME_SIZE_ERROR),
    case("6.2 HEADERS on stream 0", frame(HEADERS, 0x5, 0, GET), PROTOCOL_ERROR),
    case("6.2 more padding than payload", frame(HEADERS, 0xD, 1, b"\xff" + GET), PROTOCOL_ERROR),
    case("6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
    case("6.4 RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, number(8)), PROTOCOL_ERROR),
    case("6.4 RST_STREAM of 3 octets", OPEN + frame(RST_STREAM, 0, 1, b"abc"), FRAME_SIZE_ERROR),
    case("6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    case("6.5 acknowledgment with settings", frame(SETTINGS, 1, 0, setting(1, 1)), 6),
    case("6.5 SETTINGS of 5 octets", frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    case("6.5.2 ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL_ERROR),
    case("6.5.2 INITIAL_WINDOW_SIZE of 2^31", frame(SETTINGS, 0, 0, setting(4, 2**31)), 3),
    case("6.5.2 MAX_FRAME_SIZE of 16383", frame(SETTINGS, 0, 0, setting(5, 16383)), 1),
    case("6.5.2 MAX_FRAME_SIZE of 2^24", frame(SETTINGS, 0, 0, setting(5, 2**24)), 1),
    case("6.6 PUSH_PROMISE to a server", OPEN + frame(PUSH_PROMISE, 4, 1, number(2) + GET), 1),
    case("6.7 PING on a stream", frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    case("6.7 PING of 7 octets", frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    case("6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    case("6.8 GOAWAY of 7 octets", frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    case(
        "6.8 GOAWAY with a higher stream than before",
        frame(GOAWAY, 0, 0, number(1) + number(0)) + frame(GOAWAY, 0, 0, number(3) + number(0)),
        PROTOCOL_ERROR,
    ),
    case("6.9 WINDOW_UPDATE of 3 octets", frame(WINDOW_UPDATE, 0, 0, b"abc"), FRAME_SIZE_ERROR),
    case("6.9 connection's window by nothing", frame(WINDOW_UPDATE, 0, 0, number(0)), 1),
    case("6.9.1 connection's window over 2^31-1", frame(WINDOW_UPDATE, 0, 0, number(2**31 - 1)), 3),
    case(
        "6.9.2 a stream's window over 2^31-1 by a setting",
        OPEN
        + frame(WINDOW_UPDATE, 0, 1, number(2**31 - 1 - 65535))
        + frame(SETTINGS, 0, 0, setting(4, 65536)),
        FLOW_CONTROL_ERROR,
    ),
    case("6.10 CONTINUATION without HEADERS", OPEN + frame(CONTINUATION, 4, 1), PROTOCOL_ERROR),
    case("6.10 CONTINUATION on stream 0", frame(HEADERS, 0, 1, GET) + frame(9, 4, 0), 1),
    case("8.4 stream of the server's: HEADERS", frame(HEADERS, 0x4, 4, GET), PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("data", "code"), CONNECTION_ERRORS)
def test_a_server_ends_the_connection(data: bytes, code: int) -> None:
    ours = server()
    ours.receive(data)
    assert ours.failure is not None
    assert ours.failure[0] == code
    assert ours.failure[1]
    kind, _, stream_id, payload = frames(ours.output())[-1]
    assert (kind, stream_id, int.from_bytes(payload[4:8], "big")) == (GOAWAY, 0, code)
    assert ours.connection.finished()
    assert ours.connection.streams == {}


@pytest.mark.parametrize(("data", "code"), CONNECTION_ERRORS)
def test_it_does_so_however_the_bytes_arrive(data: bytes, code: int) -> None:
    ours = server()
    for place in range(len(data)):
        ours.receive(data[place : place + 1])
    assert ours.failure is not None
    assert ours.failure[0] == code


CLIENT_CONNECTION_ERRORS = [
    case("5.1 idle: HEADERS on a stream that was not opened", frame(HEADERS, 4, 3, OK), 1),
    case("5.1.1 HEADERS on a server's stream", frame(HEADERS, 4, 2, OK), PROTOCOL_ERROR),
    case("6.5.2 ENABLE_PUSH of 1 from a server", frame(SETTINGS, 0, 0, setting(2, 1)), 1),
    case("6.6 PUSH_PROMISE though push is off", frame(PUSH_PROMISE, 4, 1, number(2) + GET), 1),
    case("8.4 PUSH_PROMISE on stream 0", frame(PUSH_PROMISE, 4, 0, number(2) + GET), 1),
]


@pytest.mark.parametrize(("data", "code"), CLIENT_CONNECTION_ERRORS)
def test_a_client_ends_the_connection(data: bytes, code: int) -> None:
    ours = client()
    ours.open(get())
    ours.receive(data)
    assert ours.failure is not None
    assert ours.failure[0] == code
    assert ours.received[1].reset == code


STREAM_ERRORS = [
    case("5.1 half-closed (remote): DATA", ASK + frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
    case("5.1 half-closed (remote): HEADERS", ASK + frame(HEADERS, 0x5, 1, GET), STREAM_CLOSED),
    case("6.3 PRIORITY of 4 octets", OPEN + frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
    case("6.9 window by nothing", OPEN + frame(WINDOW_UPDATE, 0, 1, number(0)), PROTOCOL_ERROR),
    case(
        "6.9.1 window over 2^31-1",
        OPEN + frame(WINDOW_UPDATE, 0, 1, number(2**31 - 1)),
        FLOW_CONTROL_ERROR,
    ),
    case("8.1 trailers that do not end the stream", OPEN + frame(HEADERS, 4, 1, b""), 1),
]


@pytest.mark.parametrize(("data", "code"), STREAM_ERRORS)
def test_a_server_resets_the_stream_and_goes_on(data: bytes, code: int) -> None:
    ours = server()
    ours.receive(data)
    assert ours.failure is None
    assert ours.received[1].reset == code
    assert (RST_STREAM, 0, 1, number(code)) in frames(ours.output())
    ours.receive(frame(HEADERS, 0x5, 3, GET))
    assert ours.received[3].ended


IGNORED = [
    pytest.param(frame(99, 0xFF, 0, b"x"), id="4.1 frames of unknown types"),
    pytest.param(frame(99, 0xFF, 7, b"x"), id="5.5 on idle streams too"),
    pytest.param(OPEN + frame(DATA, 0xF2, 1, b"abc"), id="4.1 unused flags"),
    pytest.param(frame(SETTINGS, 0, 0, setting(0xABCD, 7)), id="6.5.2 unknown settings"),
    pytest.param(frame(PRIORITY, 0, 9, bytes(5)), id="5.1 PRIORITY on an idle stream"),
    pytest.param(OPEN + frame(RST_STREAM, 0, 1, number(0xFF)), id="7 unknown error codes"),
    pytest.param(frame(GOAWAY, 0, 0, bytes(8) + b"why"), id="6.8 GOAWAY with data"),
]


@pytest.mark.parametrize("data", IGNORED)
def test_what_is_to_be_ignored_is(data: bytes) -> None:
    ours = server()
    ours.receive(data)
    assert ours.failure is None
    assert ours.faults == []


@pytest.mark.parametrize("last", [0x80, 0x7F], ids=["set", "unset"])
def test_4_1_the_reserved_bit_of_a_stream_id_means_nothing(last: int) -> None:
    ours = server()
    data = bytearray(ASK)
    data[5] |= last & 0x80
    ours.receive(bytes(data))
    assert ours.received[1].ended


def test_3_4_another_preface_ends_the_connection_at_its_first_wrong_byte() -> None:
    ours = Endpoint(False)
    ours.receive(b"GET ")
    assert ours.failure is not None
    assert ours.failure[0] == PROTOCOL_ERROR


def test_3_4_the_first_frame_must_be_settings() -> None:
    for first in (frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 1, 0)):
        ours = Endpoint(False)
        ours.receive(CLIENT_PREFACE + first)
        assert ours.failure is not None
        assert ours.failure[0] == PROTOCOL_ERROR


def test_3_4_both_prefaces_begin_with_settings_and_the_peers_are_acknowledged() -> None:
    us, them = Endpoint(False), Endpoint(True)
    assert them.output().startswith(CLIENT_PREFACE + b"\x00")
    assert frames(us.output())[0][:3] == (SETTINGS, 0, 0)
    us.receive(CLIENT_PREFACE + SETTINGS_FRAME)
    assert (SETTINGS, 1, 0, b"") in frames(us.output())


def test_4_2_frames_of_16384_octets_are_taken_and_no_larger_sent() -> None:
    ours = server()
    ours.receive(OPEN + frame(DATA, 1, 1, bytes(16384)))
    got = ours.received[1]
    assert got.content == bytes(16384)
    assert got.stream is not None
    fields = [(b"x", b"x", b"y" * 9000), (b"z", b"z", b"y" * 9000)]
    ours.connection.send_head(got.stream, response_block(200, fields), False)
    got.send(bytes(40000), True)
    sent = frames(ours.output())
    assert max([len(payload) for _, _, _, payload in sent]) == 16384
    assert [kind for kind, _, _, _ in sent if kind in (HEADERS, CONTINUATION)] == [1, 9]


def test_4_3_blocks_that_are_refused_keep_the_tables_in_step() -> None:
    settings = Settings()
    settings.max_concurrent_streams = 1
    ours = server(settings)
    encoder = hpack.Encoder()
    head = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "a")]
    ours.receive(frame(HEADERS, 4, 1, encoder.encode(head)))
    ours.receive(frame(HEADERS, 5, 3, encoder.encode([*head, ("x-new", "first")])))
    assert ours.faults[0][:2] == (3, REFUSED_STREAM)
    ours.receive(frame(DATA, 1, 1))
    stream = ours.received[1].stream
    assert stream is not None
    ours.connection.send_head(stream, response_block(200, []), True)
    ours.receive(frame(HEADERS, 5, 5, encoder.encode([*head, ("x-new", "first")])))
    block = ours.received[5].head
    assert block is not None
    assert block.value(b"x-new") == b"first"


def test_5_1_frames_that_were_under_way_when_we_reset_are_ignored_but_counted() -> None:
    ours = server()
    ours.receive(OPEN)
    stream = ours.received[1].stream
    assert stream is not None
    ours.connection.reset(stream)
    ours.output()
    before = ours.connection.receive_window
    for _ in range(40):
        ours.receive(frame(DATA, 0, 1, bytes(16000)))
    ours.receive(frame(HEADERS, 5, 1, b"\x40\x01x\x01y"))  # trailers that enter the table
    assert ours.failure is None
    assert ours.faults == []
    assert [kind for kind, _, _, _ in frames(ours.output())] == [WINDOW_UPDATE] * 10
    assert before - 70000 < ours.connection.receive_window <= before
    ours.receive(frame(HEADERS, 5, 3, GET + b"\xbf"))  # and is there for the next
    block = ours.received[3].head
    assert block is not None
    assert block.value(b"x") == b"y"


def test_5_1_data_on_a_closed_stream_is_answered_by_one_reset() -> None:
    ours = server()
    ours.receive(OPEN + frame(RST_STREAM, 0, 1, number(8)))
    ours.receive(frame(DATA, 0, 1, b"x") * 3)
    assert frames(ours.output()) == [(RST_STREAM, 0, 1, number(STREAM_CLOSED))]


def test_5_1_headers_on_a_stream_that_both_sides_ended_end_the_connection() -> None:
    ours = server()
    ours.receive(ASK)
    stream = ours.received[1].stream
    assert stream is not None
    ours.connection.send_head(stream, response_block(200, []), True)
    ours.receive(ASK)
    assert ours.failure is not None
    assert ours.failure[0] == STREAM_CLOSED


def test_5_1_window_updates_and_resets_of_a_closed_stream_are_no_error() -> None:
    ours = server()
    ours.receive(ASK)
    stream = ours.received[1].stream
    assert stream is not None
    ours.connection.send_head(stream, response_block(200, []), True)
    ours.output()
    ours.receive(frame(WINDOW_UPDATE, 0, 1, number(5)) + frame(RST_STREAM, 0, 1, number(0)))
    assert (ours.failure, ours.faults, ours.output()) == (None, [], b"")


def test_5_1_2_a_stream_beyond_the_limit_is_refused_and_the_peers_is_kept() -> None:
    settings = Settings()
    settings.max_concurrent_streams = 2
    ours = server(settings)
    ours.receive(b"".join([frame(HEADERS, 5, each, GET) for each in (1, 3, 5)]))
    assert ours.faults[0][:2] == (5, REFUSED_STREAM)
    assert sorted(ours.connection.streams) == [1, 3]

    asking = client()
    asking.receive(frame(SETTINGS, 0, 0, setting(3, 1)))
    assert asking.connection.can_open()
    asking.open(get())
    assert not asking.connection.can_open()
    asking.receive(frame(HEADERS, 5, 1, OK))
    asking.output()
    assert asking.openings == 1
    assert asking.connection.can_open()


def test_5_4_2_a_reset_is_never_answered_by_a_reset() -> None:
    ours = server()
    ours.receive(OPEN + frame(RST_STREAM, 0, 1, number(8)) * 3)
    assert ours.output() == b""


def test_6_7_a_ping_is_answered_with_its_payload_and_an_answer_is_not() -> None:
    ours = server()
    ours.receive(frame(PING, 0, 0, b"12345678") + frame(PING, 1, 0, b"abcdefgh"))
    assert frames(ours.output()) == [(PING, 1, 0, b"12345678")]
    assert ("ping_ack", b"abcdefgh") in ours.events


def test_6_8_after_goaway_nothing_is_opened_and_what_was_not_processed_is_told_so() -> None:
    ours = client()
    for _ in range(3):
        ours.open(get())
    ours.receive(frame(GOAWAY, 0, 0, number(3) + number(0)))
    assert not ours.connection.can_open()
    assert ours.received[5].reset == REFUSED_STREAM
    assert ours.received[1].reset is None
    ours.receive(frame(HEADERS, 5, 1, OK) + frame(HEADERS, 5, 3, OK))
    assert ours.connection.finished()


def test_6_8_our_goaway_names_the_last_stream_and_never_a_higher_one() -> None:
    ours = server()
    ours.receive(ASK)
    ours.connection.announce_goaway()
    ours.receive(frame(HEADERS, 5, 3, GET))
    ours.connection.goaway()
    ours.receive(frame(HEADERS, 5, 5, GET) + frame(DATA, 0, 7, b""))
    ours.connection.goaway(PROTOCOL_ERROR)
    lasts = [payload[:4] for kind, _, _, payload in frames(ours.output()) if kind == GOAWAY]
    assert lasts == [number(2**31 - 1), number(3), number(3)]
    assert sorted(ours.received) == [1, 3]
    assert ours.failure is None


def test_7_on_failure_streams_end_and_the_reason_is_told_in_words() -> None:
    ours = server()
    ours.receive(OPEN + frame(DATA, 0, 0))
    assert ours.received[1].reset == PROTOCOL_ERROR
    assert ours.failure == (PROTOCOL_ERROR, "DATA on stream 0")
    assert frames(ours.output())[-1][3].endswith(b"DATA on stream 0")
    ours.receive(ASK)
    assert ours.output() == b""


def test_9_1_streams_of_a_lost_connection_are_told() -> None:
    ours = client()
    ours.open(get())
    ours.connection.lost()
    assert ours.received[1].reset == -1
    assert ours.connection.streams == {}
