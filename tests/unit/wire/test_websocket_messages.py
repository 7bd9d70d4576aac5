"""WebSocket's messages, read as wsproto reads them, and refused as it refuses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from penstock.wire.websocket import close_frame
from penstock.wire.websocket_messages import (
    BINARY,
    CLOSE,
    NO_CODE,
    NOT_TEXT,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    Message,
    MessageReader,
    masked,
    message_frame,
)

MOST = 1 << 20
MASK = bytes.fromhex("37fa213d")  # of the example in RFC 6455, 5.7
Told = tuple[int, bytes, int]


def frame(
    payload: bytes, opcode: int = TEXT, final: bool = True, mask: bytes = b"", reserved: int = 0
) -> bytes:
    whole = message_frame(opcode, payload, mask)
    return bytes((final << 7 | reserved << 4 | opcode,)) + whole[1:]


def told(messages: list[Message]) -> list[Told]:
    return [(each.kind, each.data, each.code) for each in messages]


def read(stream: bytes, cuts: list[int], masks: bool, most: int = MOST) -> tuple[list[Told], int]:
    """What a reader finds in a stream that comes in such pieces, and with which code it fails."""
    reader = MessageReader(masks, most)
    found: list[Told] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += told(reader.feed(stream[start:end]))
    return found, reader.code


def read_by_wsproto(stream: bytes, masks: bool) -> tuple[list[Told], int]:
    """The same by an implementation of another make."""
    protocol = FrameProtocol(client=not masks, extensions=[])
    found: list[Told] = []
    message = b""
    try:
        protocol.receive_bytes(stream)
        for each in protocol.received_frames():
            if each.opcode is Opcode.CLOSE:
                assert isinstance(each.payload, tuple)
                code, reason = each.payload
                found.append((CLOSE, reason.encode(), int(code)))
                continue
            payload = each.payload
            assert not isinstance(payload, tuple)
            data = payload.encode() if isinstance(payload, str) else bytes(payload)
            if each.opcode.iscontrol():
                found.append((int(each.opcode), data, 0))
                continue
            message += data
            if each.message_finished:
                found.append((int(each.opcode), message, 0))
                message = b""
    except ParseFailed as failed:
        return found, int(failed.code)
    return found, 0


def cuts_of(stream: bytes) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, len(stream)), max_size=8).map(sorted)


@st.composite
def streams(draw: st.DrawFn, masks: bool) -> bytes:
    """Messages in fragments, with control frames between these."""
    mask = st.binary(min_size=4, max_size=4) if masks else st.just(b"")
    sizes = st.sampled_from((0, 1, 5, 125, 126, 300, 65535, 65536))
    out: list[bytes] = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from((TEXT, BINARY)))
        text = draw(st.text(max_size=6)).encode()
        payload = text if kind == TEXT else draw(st.binary(max_size=6))
        payload += b"x" * draw(sizes)
        ends = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        for index, (start, end) in enumerate(zip([0, *ends], [*ends, len(payload)], strict=True)):
            opcode = kind if index == 0 else 0
            out.append(frame(payload[start:end], opcode, index == len(ends), draw(mask)))
            if draw(st.booleans()):
                control = draw(st.sampled_from((PING, PONG)))
                out.append(frame(draw(st.binary(max_size=125)), control, mask=draw(mask)))
    if draw(st.booleans()):
        code = draw(st.sampled_from((1000, 1001, 1008, 1012, 3000, 4999)))
        out.append(close_frame(code, draw(st.text(max_size=20)), draw(mask)))
    return b"".join(out)


@given(st.data(), st.booleans())
def test_messages_are_those_that_wsproto_reads_however_they_are_cut(
    data: st.DataObject, masks: bool
) -> None:
    stream = data.draw(streams(masks))
    found = read(stream, data.draw(cuts_of(stream)), masks)
    assert found == read_by_wsproto(stream, masks)
    assert found[1] == 0


def assert_judged_alike(stream: bytes, cuts: list[int], masks: bool) -> None:
    """As wsproto judges it, but for two things: text that is no UTF-8 is found when its message is
    whole, and what the head of a frame tells before its payload."""
    expected, code = read_by_wsproto(stream, masks)
    found, failed = read(stream, cuts, masks, most=1 << 63)
    if any(each[2] == 1014 for each in found):  # which wsproto does not know yet
        return
    if failed and code == 0:
        code = read_by_wsproto(stream + bytes(16), masks)[1]
    if code == NOT_TEXT:
        assert failed in (NOT_TEXT, PROTOCOL_ERROR, 0)
        assert found[: len(expected)] == expected
    else:
        assert (found, failed) == (expected, code)


@given(st.data(), st.booleans())
def test_a_changed_byte_is_judged_as_wsproto_judges_it(data: st.DataObject, masks: bool) -> None:
    stream = bytearray(data.draw(streams(masks)))
    for _ in range(data.draw(st.integers(1, 3))):
        if stream:
            at = data.draw(st.integers(0, min(len(stream) - 1, 40)))
            stream[at] = data.draw(st.integers(0, 255))
    changed = bytes(stream)
    assert_judged_alike(changed, data.draw(cuts_of(changed)), masks)


@given(st.binary(max_size=200), st.booleans(), st.data())
def test_arbitrary_bytes_never_raise(noise: bytes, masks: bool, data: st.DataObject) -> None:
    assert_judged_alike(noise, data.draw(cuts_of(noise)), masks)


@pytest.mark.parametrize("stream", [b"\x00\x7e\x03\xe8", b"\x81\x01\xff", b"\x01\x02\xff\xff\x81"])
def test_what_was_judged_otherwise_once(stream: bytes) -> None:
    assert_judged_alike(stream, [], False)


def test_a_length_is_judged_before_the_mask_is_there() -> None:
    assert_judged_alike(bytes.fromhex("82ffe6609fb125c97d334a"), [], True)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (frame(b"hi", mask=b""), PROTOCOL_ERROR),  # a client masks
        (frame(b"hi", mask=MASK, reserved=4), PROTOCOL_ERROR),  # no extension was agreed
        (frame(b"hi", opcode=3, mask=MASK), PROTOCOL_ERROR),
        (frame(b"hi", opcode=11, mask=MASK), PROTOCOL_ERROR),
        (frame(b"hi", opcode=0, mask=MASK), PROTOCOL_ERROR),
        (frame(b"hi", PING, final=False, mask=MASK), PROTOCOL_ERROR),
        (frame(bytes(126), PING, mask=MASK), PROTOCOL_ERROR),
        (frame(b"a", final=False, mask=MASK) + frame(b"b", mask=MASK), PROTOCOL_ERROR),
        (b"\x81\xfe\x00\x01" + MASK, PROTOCOL_ERROR),  # one byte, told in two
        (b"\x82\xff" + bytes(6) + b"\xff\xff" + MASK, PROTOCOL_ERROR),
        (b"\x82\xff\x80" + bytes(7) + MASK, PROTOCOL_ERROR),
        (frame(b"\x03", CLOSE, mask=MASK), PROTOCOL_ERROR),
        (frame((1005).to_bytes(2, "big"), CLOSE, mask=MASK), PROTOCOL_ERROR),
        (frame((1000).to_bytes(2, "big") + b"\xff", CLOSE, mask=MASK), NOT_TEXT),
        (frame(b"\xff", mask=MASK), NOT_TEXT),
        (frame(b"\xe2\x82", final=False, mask=MASK) + frame(b"\xad", 0, mask=MASK), 0),
    ],
)
def test_what_the_rfc_forbids_ends_the_connection_with_its_code(stream: bytes, code: int) -> None:
    assert read(stream, [], True)[1] == code
    assert read(stream, list(range(len(stream))), True)[1] == code


def test_a_message_that_is_too_long_is_refused_by_the_head_of_its_frame() -> None:
    assert read(frame(bytes(10), BINARY, mask=MASK), [], True, 10) == ([(BINARY, bytes(10), 0)], 0)
    head = frame(bytes(11), BINARY, mask=MASK)[:6]
    assert read(head, [], True, 10) == ([], TOO_BIG)
    fragments = [frame(bytes(6), BINARY if not at else 0, False, MASK) for at in range(2)]
    assert read(b"".join(fragments), [], True, 10) == ([], TOO_BIG)
    # Control frames are bounded by themselves.
    assert read(frame(bytes(125), PING, mask=MASK), [], True, 10)[1] == 0


def test_empty_fragments_take_no_memory_and_end_nothing() -> None:
    reader = MessageReader(False, 10)
    assert reader.feed(frame(b"", final=False) + frame(b"", 0, False) * 1000) == []
    assert reader.unfinished == 0
    assert told(reader.feed(frame(b"hi", 0))) == [(TEXT, b"hi", 0)]


def test_what_comes_byte_by_byte_is_kept_in_one_buffer() -> None:
    reader = MessageReader(True, MOST)
    whole = frame(b"hello", mask=MASK)
    for at in range(len(whole) - 1):
        assert reader.feed(whole[at : at + 1]) == []
    assert reader.unfinished == 4
    assert told(reader.feed(whole[-1:])) == [(TEXT, b"hello", 0)]


def test_nothing_is_read_behind_a_close_or_a_failure() -> None:
    stream = close_frame(1001, "bye") + frame(b"more")
    assert read(stream, [], False) == ([(CLOSE, b"bye", 1001)], 0)
    assert read(frame(b"", CLOSE) + frame(b"more"), [], False) == ([(CLOSE, b"", NO_CODE)], 0)
    reader = MessageReader(False, MOST)
    assert reader.feed(frame(b"x", mask=MASK) + frame(b"more")) == []
    assert reader.feed(frame(b"more")) == []
    assert "masked" in reader.reason


@given(st.binary(max_size=70000), st.binary(min_size=4, max_size=4))
def test_a_mask_put_on_twice_is_none(data: bytes, mask: bytes) -> None:
    once = masked(data, mask)
    assert len(once) == len(data)
    assert masked(once, mask) == data
    assert all(once[at] == data[at] ^ mask[at & 3] for at in range(min(len(data), 9)))
