"""Windows (RFC 9113, 5.2 and 6.9): what is sent, what may come, and who holds up whom."""

import pytest

from penstock.wire.http2.codes import FLOW_CONTROL_ERROR
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import request_block, response_block, trailer_block
from penstock.wire.http2.settings import Settings
from tests.unit.wire.http2.recording import (
    Endpoint,
    RecordingStream,
    client,
    frame,
    frames,
    get,
    server,
)

DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
POST = bytes((0x83, 0x87, 0x84, 0x01, 1)) + b"a"
INITIAL = 65535


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def opened(ours: Endpoint, stream_id: int = 1, flags: int = 4) -> RecordingStream:
    ours.receive(frame(HEADERS, flags, stream_id, POST))
    return ours.received[stream_id]


def answering(ours: Endpoint, stream_id: int = 1) -> RecordingStream:
    """A stream whose response's head was sent."""
    got = opened(ours, stream_id)
    assert got.stream is not None
    ours.connection.send_head(got.stream, response_block(200, []), False)
    return got


def widened(stream_id: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, number(more))


def content(ours: Endpoint) -> dict[int, int]:
    """How much DATA each stream is sent."""
    sizes: dict[int, int] = {}
    for kind, _, stream_id, payload in frames(ours.output()):
        if kind == DATA:
            sizes[stream_id] = sizes.get(stream_id, 0) + len(payload)
    return sizes


def wide_server() -> Endpoint:
    """The connection's window towards the client is as good as infinite."""
    ours = server()
    ours.receive(widened(0, 2**30))
    return ours


def test_6_9_1_no_more_is_sent_than_both_windows_allow() -> None:
    ours = server()
    first, third = answering(ours, 1), answering(ours, 3)
    ours.receive(widened(1, 1000))
    first.send(bytes(70000), True)
    third.send(bytes(10), True)
    assert content(ours) == {1: INITIAL}
    ours.receive(widened(0, 5))
    assert content(ours) == {1: 5}
    ours.receive(widened(0, 2**20))
    assert content(ours) == {1: 995, 3: 10}
    ours.receive(widened(1, 2**20))
    assert content(ours) == {1: 70000 - INITIAL - 1000}
    assert ours.connection.streams[1].local_open is False


def test_6_9_1_an_empty_end_and_heads_need_no_window() -> None:
    ours = server()
    first, third = answering(ours, 1), answering(ours, 3)
    first.send(bytes(INITIAL), False)
    assert content(ours) == {1: INITIAL}
    first.send(b"", True)
    assert third.stream is not None
    ours.connection.send_trailers(third.stream, trailer_block([(b"x", b"x", b"1")]))
    assert [(kind, flags) for kind, flags, _, _ in frames(ours.output())] == [(DATA, 1), (1, 5)]


def test_6_9_2_windows_may_become_negative_until_updates_make_up_for_it() -> None:
    ours = wide_server()
    got = answering(ours)
    got.send(bytes(100_000), False)
    assert content(ours) == {1: INITIAL}
    ours.receive(frame(SETTINGS, 0, 0, b"\x00\x04" + number(10)))
    assert ours.connection.streams[1].send_window == 10 - INITIAL
    ours.receive(widened(1, INITIAL - 10))
    assert content(ours) == {}
    ours.receive(widened(1, 7))
    assert content(ours) == {1: 7}
    ours.receive(frame(SETTINGS, 0, 0, b"\x00\x04" + number(110)))
    assert content(ours) == {1: 100}


def test_6_9_2_streams_opened_later_have_the_new_initial_window() -> None:
    ours = wide_server()
    ours.receive(frame(SETTINGS, 0, 0, b"\x00\x04" + number(3)))
    answering(ours).send(b"12345", True)
    assert content(ours) == {1: 3}


def test_5_2_1_a_stalled_stream_holds_up_no_other() -> None:
    ours = wide_server()
    stalled, other = answering(ours, 1), answering(ours, 3)
    stalled.send(bytes(200_000), True)
    assert content(ours) == {1: INITIAL}
    other.send(bytes(50_000), True)
    assert content(ours) == {3: 50_000}


def test_6_9_more_data_than_a_streams_window_resets_the_stream() -> None:
    ours = server(consumes=False)
    got = opened(ours)
    for _ in range(5):
        ours.receive(frame(DATA, 0, 1, bytes(13107)))
    assert len(got.content) == INITIAL
    ours.receive(frame(DATA, 0, 1, b"x"))
    assert got.reset == FLOW_CONTROL_ERROR
    assert ours.failure is None


def test_6_9_more_data_than_the_connections_window_ends_the_connection() -> None:
    limits = Limits()
    limits.connection_window_bytes = INITIAL
    ours = server(limits=limits, consumes=False)
    opened(ours, 1)
    opened(ours, 3)
    for _ in range(5):
        ours.receive(frame(DATA, 0, 1, bytes(13107)))
    ours.receive(frame(DATA, 0, 3, b"x"))
    assert ours.failure is not None
    assert ours.failure[0] == FLOW_CONTROL_ERROR


def test_6_9_windows_are_given_back_as_content_is_consumed_in_few_frames() -> None:
    ours = server(consumes=False)
    got = opened(ours)
    assert got.stream is not None
    ours.receive(frame(DATA, 0, 1, bytes(16000)) * 4)
    ours.connection.consumed(got.stream, 32000)
    assert ours.output() == b""
    ours.connection.consumed(got.stream, 1000)
    assert frames(ours.output()) == [(WINDOW_UPDATE, 0, 1, number(33000))]
    ours.connection.consumed(got.stream, 10**9)  # no more than came
    assert ours.connection.streams[1].unconsumed == 0


def test_6_9_1_padding_is_given_back_though_nobody_passes_it_on() -> None:
    ours = server(consumes=False)
    got = opened(ours)
    for _ in range(300):
        ours.receive(frame(DATA, 8, 1, b"\xff" + b"x" + bytes(255)))
    assert got.content == b"x" * 300
    assert ours.failure is None
    assert ours.connection.streams[1].unconsumed == 300


def test_5_2_2_content_of_a_reset_stream_is_given_back_to_the_connection() -> None:
    limits = Limits()
    limits.connection_window_bytes = 2 * INITIAL
    ours = server(limits=limits, consumes=False)
    for stream_id in range(1, 101, 2):
        got = opened(ours, stream_id)
        ours.receive(frame(DATA, 0, stream_id, bytes(16000)) * 3)
        if stream_id % 4 == 1:
            ours.receive(frame(RST_STREAM, 0, stream_id, number(8)))
        else:
            assert got.stream is not None
            ours.connection.reset(got.stream)
        ours.connection.consumed(got.stream or ours.connection.streams[stream_id], 48000)
    assert ours.failure is None
    assert ours.connection.receive_window > 0


def test_content_may_be_consumed_after_both_sides_ended() -> None:
    ours = server(consumes=False)
    got = opened(ours)
    ours.receive(frame(DATA, 0, 1, bytes(16000)) * 3 + frame(DATA, 1, 1, bytes(16000)))
    assert got.stream is not None
    ours.connection.send_head(got.stream, response_block(200, []), True)
    ours.output()
    ours.connection.consumed(got.stream, 64000)
    assert frames(ours.output()) == [(WINDOW_UPDATE, 0, 0, number(64000))]


def test_6_5_3_our_settings_hold_once_they_are_acknowledged() -> None:
    settings = Settings()
    settings.initial_window_bytes = 1000
    ours = Endpoint(False, settings, consumes=False)
    ours.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    early = opened(ours, 1)
    ours.receive(frame(DATA, 0, 1, bytes(16000)))
    assert len(early.content) == 16000
    ours.receive(frame(SETTINGS, 1, 0))
    late = opened(ours, 3)
    ours.receive(frame(DATA, 0, 3, bytes(1001)))
    assert late.reset == FLOW_CONTROL_ERROR
    assert early.reset is None
    ours.receive(frame(DATA, 0, 1, b"x"))
    assert early.reset == FLOW_CONTROL_ERROR


def test_data_is_passed_on_as_it_comes_and_ends_with_its_last_byte() -> None:
    ours = server()
    got = opened(ours)
    data = frame(DATA, 0x9, 1, b"\x03" + b"content" + bytes(3))
    for place in range(len(data)):
        assert not got.ended
        ours.receive(data[place : place + 1])
        if got.content == b"content":
            break
    assert got.ended
    ours.receive(data[place + 1 :])
    assert ours.failure is None


def test_a_stream_that_ends_amid_a_frame_gives_back_what_still_comes_of_it() -> None:
    ours = server(consumes=False)
    got = opened(ours)
    data = frame(DATA, 0, 1, bytes(16000))
    before = ours.connection.receive_window
    for _ in range(20):
        ours.receive(data[:100])
        assert got.stream is not None
        ours.connection.reset(got.stream)
        ours.receive(data[100:])
        got = opened(ours, got.stream.id + 2)
        data = frame(DATA, 0, got.stream.id if got.stream else 0, bytes(16000))
    assert ours.failure is None
    assert ours.connection.receive_window > before - 70000


@pytest.mark.parametrize("size", [1, 4096, 4097, 16385, 30_000])
def test_content_is_sent_from_where_it_is_told_to_begin(size: int) -> None:
    ours = client()
    asked = ours.open(request_block(b"POST", b"https", b"a", b"/", []), end=False)
    ours.output()
    assert asked.stream is not None
    data = bytes(range(256)) * 200
    assert ours.connection.send_data(asked.stream, data[:size], True, 1) == size - 1
    sent = frames(ours.output())
    assert b"".join([payload for _, _, _, payload in sent]) == data[1:size]
    assert [flags for _, flags, _, _ in sent] == [0] * (len(sent) - 1) + [1]


def test_what_waits_to_be_taken_is_bounded_and_a_stream_that_is_over_takes_everything() -> None:
    ours = wide_server()
    got = answering(ours)
    ours.receive(widened(1, 2**30))
    got.send(bytes(10**6), False)
    assert ours.connection.output_bytes <= 32768 + 100
    assert got.stream is not None
    ours.connection.reset(got.stream)
    assert ours.connection.send_data(got.stream, bytes(10), True) == 10
    assert ours.connection.streams == {}


def test_a_request_that_was_never_sent_is_given_up_without_a_frame() -> None:
    ours = client()
    stream = ours.connection.open(RecordingStream(ours))
    ours.connection.reset(stream)
    assert ours.output() == b""
    assert ours.open(get()).stream is not None
