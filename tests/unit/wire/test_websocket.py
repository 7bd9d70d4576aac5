"""WebSocket's frames followed through a relay, beside wsproto's and a plain reading of them."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from penstock.wire.websocket import (
    GOING_AWAY,
    MAX_REASON_BYTES,
    SERVICE_RESTART,
    FrameFollower,
    close_frame,
)

MASK = bytes.fromhex("37fa213d")  # of the example in RFC 6455, 5.7

# RFC 6455, 5.7.
HELLO = bytes.fromhex("810548656c6c6f")
MASKED_HELLO = bytes.fromhex("818537fa213d7f9f4d5158")
FRAGMENTED_HELLO = bytes.fromhex("010348656c 80026c6f")
PING = bytes.fromhex("890548656c6c6f")
MASKED_PONG = bytes.fromhex("8a8537fa213d7f9f4d5158")
BINARY_256 = bytes.fromhex("827e0100") + bytes(256)
BINARY_65536 = bytes.fromhex("827f0000000000010000") + bytes(65536)


def frame(payload: bytes, opcode: int = 2, final: bool = True, masked: bool = False) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes((size | masked << 7,))
    elif size < 65536:
        length = bytes((126 | masked << 7,)) + size.to_bytes(2, "big")
    else:
        length = bytes((127 | masked << 7,)) + size.to_bytes(8, "big")
    return bytes((final << 7 | opcode,)) + length + (MASK if masked else b"") + payload


def boundaries(frames: Iterable[bytes]) -> list[int]:
    """The offsets in the stream that stand between two frames."""
    offsets = [0]
    for each in frames:
        offsets.append(offsets[-1] + len(each))
    return offsets


def last_boundary(offsets: list[int], start: int, end: int) -> int:
    """What a follower is to say of the piece from ``start`` to ``end``."""
    inside = [offset - start for offset in offsets if start <= offset <= end]
    return inside[-1] if inside else -1


@pytest.mark.parametrize(
    "whole",
    [
        HELLO,
        MASKED_HELLO,
        PING,
        MASKED_PONG,
        BINARY_256,
        BINARY_65536,
        b"\x81\0",
        b"\x82\x80" + MASK,
    ],
)
def test_a_frame_ends_where_the_rfc_says(whole: bytes) -> None:
    follower = FrameFollower()
    assert follower.between_frames
    follower.feed(whole)
    assert follower.boundary == len(whole)
    assert follower.between_frames
    assert not follower.message_open
    for cut in range(1, min(len(whole), 300)):
        follower = FrameFollower()
        follower.feed(whole[:cut])
        assert (follower.boundary, follower.between_frames) == (0, False)
        follower.feed(whole[cut:])
        assert (follower.boundary, follower.between_frames) == (len(whole) - cut, True)


def test_a_fragmented_message_is_open_until_its_last_fragment() -> None:
    follower = FrameFollower()
    follower.feed(FRAGMENTED_HELLO[:5])
    assert follower.between_frames
    assert follower.message_open
    follower.feed(PING)
    assert follower.message_open
    follower.feed(frame(b"", opcode=0, final=False))
    assert follower.message_open
    follower.feed(FRAGMENTED_HELLO[5:])
    assert not follower.message_open


@pytest.mark.parametrize("masked", [False, True])
def test_a_close_is_noticed_when_it_begins(masked: bool) -> None:
    whole = close_frame(1000, "done", MASK if masked else b"")
    follower = FrameFollower()
    follower.feed(HELLO + whole[:1])
    assert follower.close_passed
    assert (follower.boundary, follower.between_frames) == (len(HELLO), False)
    follower.feed(whole[1:])
    assert follower.between_frames


def test_reserved_bits_belong_to_extensions() -> None:
    for bits in (0x40, 0x20, 0x10, 0x70):
        follower = FrameFollower()
        follower.feed(bytes((HELLO[0] | bits,)) + HELLO[1:])
        assert follower.between_frames


NO_FRAMES = [
    bytes((first,)) for first in range(256) if first & 15 in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
]
NO_FRAMES += [b"\x82\x7f\x80" + bytes(7), b"\x82\xff\xff" + bytes(7)]


@pytest.mark.parametrize("no_frame", NO_FRAMES)
def test_what_is_no_frame_ends_the_following(no_frame: bytes) -> None:
    follower = FrameFollower()
    follower.feed(HELLO + no_frame)
    assert not follower.is_frames
    for piece in (HELLO, close_frame(1000), bytes(100_000), b"\x81\0", b""):
        follower.feed(piece)
        assert (follower.boundary, follower.between_frames) == (-1, False)
    assert not follower.close_passed


def test_a_frame_may_be_as_long_as_63_bits_can_tell() -> None:
    follower = FrameFollower()
    follower.feed(b"\x82\xff\x7f" + b"\xff" * 7 + MASK)
    for _ in range(10):
        follower.feed(bytes(65536))
        assert follower.is_frames
        assert follower.boundary == -1


FRAMES = st.lists(
    st.builds(
        frame,
        st.one_of(
            st.binary(max_size=10),
            st.sampled_from([0, 1, 125, 126, 127, 128, 65535, 65536]).map(bytes),
        ),
        st.sampled_from((0, 1, 2, 9, 10)),
        st.booleans(),
        st.booleans(),
    ),
    max_size=8,
)


@given(FRAMES, st.data())
def test_however_a_stream_is_cut_its_boundaries_are_known(
    frames: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frames)
    offsets = boundaries(frames)
    near = [offset + by for offset in offsets for by in range(-3, 12)]
    places = st.one_of(st.integers(0, len(stream)), st.sampled_from(near))
    drawn = data.draw(st.lists(places, max_size=12))
    cuts = sorted({min(max(cut, 0), len(stream)) for cut in drawn})
    follower = FrameFollower()
    for start, end in pairwise([0, *cuts, len(stream)]):
        follower.feed(stream[start:end])
        assert follower.boundary == last_boundary(offsets, start, end)
        assert follower.between_frames == (end in offsets)
    assert follower.is_frames
    assert not follower.close_passed


@given(FRAMES)
def test_a_byte_at_a_time_tells_the_same(frames: list[bytes]) -> None:
    stream = b"".join([each for each in frames if len(each) < 300])
    offsets = boundaries([each for each in frames if len(each) < 300])
    follower = FrameFollower()
    for at in range(len(stream)):
        follower.feed(stream[at : at + 1])
        assert follower.boundary == last_boundary(offsets, at, at + 1)


EVENTS = st.lists(
    st.one_of(
        st.builds(
            TextMessage,
            data=st.text(max_size=300),
            message_finished=st.booleans(),
        ),
        st.builds(Ping, payload=st.binary(max_size=125)),
        st.builds(Pong, payload=st.binary(max_size=125)),
    ),
    max_size=8,
)


@given(EVENTS, st.sampled_from(ConnectionType), st.booleans(), st.data())
def test_frames_of_wsproto_end_where_it_ends_them(
    events: list[Event], role: ConnectionType, deflated: bool, data: st.DataObject
) -> None:
    extension = PerMessageDeflate()
    extension._enabled = deflated
    sender = Connection(role, [extension] if deflated else [])
    follower = FrameFollower()
    for event in events:
        sent = sender.send(event)
        if isinstance(event, TextMessage) and not sent:
            continue  # held back by compression
        cut = data.draw(st.integers(0, len(sent)))
        follower.feed(sent[:cut])
        follower.feed(sent[cut:])
        assert follower.between_frames
        if isinstance(event, TextMessage):
            assert follower.message_open == (not event.message_finished)
    assert not follower.close_passed
    follower.feed(sender.send(CloseConnection(1000, "done")))
    assert follower.close_passed
    assert follower.between_frames


@given(FRAMES, st.binary(max_size=20), st.data())
def test_a_damaged_stream_never_has_a_boundary_outside_of_a_piece(
    frames: list[bytes], noise: bytes, data: st.DataObject
) -> None:
    stream = b"".join(frames)
    at = data.draw(st.integers(0, len(stream)))
    stream = stream[:at] + noise + stream[at:]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    follower = FrameFollower()
    for start, end in pairwise([0, *cuts, len(stream)]):
        follower.feed(stream[start:end])
        assert -1 <= follower.boundary <= end - start
        if not follower.is_frames:
            assert follower.boundary == -1
    whole = FrameFollower()
    whole.feed(stream)
    assert whole.is_frames == follower.is_frames
    assert whole.between_frames == follower.between_frames


# --- a close of our own -------------------------------------------------------------------------


def test_a_close_is_written_as_the_rfc_lays_it_out() -> None:
    assert close_frame(1000) == bytes.fromhex("880203e8")
    assert close_frame(GOING_AWAY, "bye") == bytes.fromhex("880503e9") + b"bye"
    assert close_frame(1001, "", MASK) == b"\x88\x82" + MASK + bytes((0x03 ^ 0x37, 0xE9 ^ 0xFA))


@given(
    st.sampled_from((1000, GOING_AWAY, SERVICE_RESTART, 3000, 4999)),
    st.text(st.characters(codec="utf-8"), max_size=40).filter(
        lambda text: len(text.encode()) <= MAX_REASON_BYTES
    ),
    st.booleans(),
    st.binary(min_size=4, max_size=4),
)
def test_wsproto_reads_our_close_within_a_fragmented_message(
    code: int, reason: str, to_client: bool, mask: bytes
) -> None:
    reader = Connection(ConnectionType.CLIENT if to_client else ConnectionType.SERVER)
    writer = Connection(ConnectionType.SERVER if to_client else ConnectionType.CLIENT)
    reader.receive_data(writer.send(BytesMessage(b"begun", message_finished=False)))
    reader.receive_data(close_frame(code, reason, b"" if to_client else mask))
    *_, last = reader.events()
    assert isinstance(last, CloseConnection)
    assert (last.code, last.reason or "") == (code, reason)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000, 70_000])
def test_no_close_is_written_with_a_code_that_must_not_be_sent(code: int) -> None:
    with pytest.raises(ValueError):
        close_frame(code)


def test_a_close_is_a_control_frame_and_masked_with_four_bytes() -> None:
    assert len(close_frame(1000, "ä" * 61 + "a")) == 2 + 125
    with pytest.raises(ValueError):
        close_frame(1000, "ä" * 62)
    with pytest.raises(ValueError):
        close_frame(1000, "", b"\0\0\0")
