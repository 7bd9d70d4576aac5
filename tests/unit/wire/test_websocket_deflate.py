"""permessage-deflate: what is agreed upon, and messages as wsproto compresses and inflates them."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode

from penstock.wire.websocket_deflate import Deflater, DeflateTerms, Inflater, terms_for
from penstock.wire.websocket_messages import (
    BINARY,
    NOT_TEXT,
    PING,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    MessageReader,
    MessageWriter,
)
from tests.unit.wire.test_websocket_messages import MASK, MOST, Told, cuts_of, frame, told

HELLO = bytes.fromhex("f248cdc9c90700")  # "Hello", of RFC 7692, 7.2.3.1


def offered(*offers: str, bits: int = 15, keeps: bool = True) -> str | None:
    """What is agreed to of these offers, each in a field of its own."""
    fields = [(b"host", b"Host", b"x")]
    name = b"Sec-WebSocket-Extensions"
    fields += [(name.lower(), name, offer.encode()) for offer in offers]
    terms = terms_for(fields, bits, keeps=keeps)
    return terms.shown().decode() if terms is not None else None


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        ("permessage-deflate", ""),
        ("Permessage-Deflate ; server_no_context_takeover", "; server_no_context_takeover"),
        ("permessage-deflate; client_no_context_takeover", "; client_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits", "; client_max_window_bits=15"),
        ("permessage-deflate; client_max_window_bits=8", "; client_max_window_bits=8"),
        ('permessage-deflate; client_max_window_bits="10"', "; client_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"),
        ("x-other, permessage-deflate", ""),
        # The next offer is for those who cannot do the first.
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", ""),
    ],
)
def test_what_can_be_done_is_agreed_to(offer: str, agreed: str) -> None:
    assert offered(offer) == "permessage-deflate" + agreed
    assert offered("x-other; a=b", offer) == "permessage-deflate" + agreed


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; x",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=1e1",
        'permessage-deflate; client_max_window_bits=""',
        "permessage-deflate;",
    ],
)
def test_what_is_not_written_as_it_must_be_is_declined(offer: str) -> None:
    assert offered(offer) is None


def test_windows_and_context_are_bounded_where_the_client_lets_them_be() -> None:
    plain, told_bits = "permessage-deflate", "permessage-deflate; client_max_window_bits"
    assert offered(plain, bits=12) == f"{plain}; server_max_window_bits=12"
    assert (
        offered(told_bits, bits=12)
        == f"{plain}; server_max_window_bits=12; client_max_window_bits=12"
    )
    assert (
        offered(plain, keeps=False)
        == f"{plain}; server_no_context_takeover; client_no_context_takeover"
    )


def wsprotos(terms: DeflateTerms) -> PerMessageDeflate:
    """The extension of another make, with these terms."""
    extension = PerMessageDeflate()
    extension.finalize(terms.shown().decode())
    return extension


@st.composite
def agreements(draw: st.DrawFn) -> DeflateTerms:
    terms = DeflateTerms(
        draw(st.integers(9, 15)),
        draw(st.integers(9, 15)),
        server_forgets=draw(st.booleans()),
        client_forgets=draw(st.booleans()),
    )
    terms.tells_client_bits = True
    return terms


texts = st.lists(
    st.builds(
        lambda text, times: (text * times).encode(),
        st.text(max_size=12),
        st.sampled_from((1, 1, 3, 50, 5000)),
    ),
    max_size=6,
)


@given(agreements(), texts, st.data())
def test_what_a_client_of_another_make_compresses_is_read(
    terms: DeflateTerms, messages: list[bytes], data: st.DataObject
) -> None:
    client = FrameProtocol(client=True, extensions=[wsprotos(terms)])
    stream = b""
    for each in messages:
        if data.draw(st.booleans()):
            stream += client.ping(b"there?")
        middle = data.draw(st.integers(0, len(each)))
        stream += client.send_data(bytearray(each[:middle]), fin=False)
        stream += client.send_data(bytearray(each[middle:]), fin=True)
    inflater = Inflater(terms.client_bits, forgets=terms.client_forgets)
    reader = MessageReader(True, MOST, inflater)
    found: list[Told] = []
    cuts = data.draw(cuts_of(stream))
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += told(reader.feed(stream[start:end]))
    assert reader.code == 0, reader.reason
    assert [body for kind, body, _ in found if kind == BINARY] == messages


@given(agreements(), texts)
def test_what_is_compressed_is_read_by_a_client_of_another_make(
    terms: DeflateTerms, messages: list[bytes]
) -> None:
    writer = MessageWriter(Deflater(terms.server_bits, forgets=terms.server_forgets))
    client = FrameProtocol(client=True, extensions=[wsprotos(terms)])
    for each in messages:
        client.receive_bytes(writer.frame(TEXT, each))
    client.receive_bytes(writer.frame(PING, bytes(100)))
    *read, ping = client.received_frames()
    assert [str(each.payload).encode() for each in read] == messages
    assert (ping.opcode, bytes(ping.payload)) == (Opcode.PING, bytes(100))  # type: ignore[arg-type]


def test_events_that_are_alike_get_short_by_what_was_said_before() -> None:
    events = [b'{"type":"response.output_text.delta","delta":"word %d"}' % at for at in range(50)]
    sizes = []
    for forgets in (False, True):
        writer = MessageWriter(Deflater(12, forgets=forgets))
        sizes.append(sum(len(writer.frame(TEXT, each)) for each in events))
    assert sizes[0] * 3 < sizes[1]


def read(stream: bytes, most: int = MOST, *, forgets: bool = False) -> tuple[list[Told], int]:
    reader = MessageReader(True, most, Inflater(15, forgets=forgets))
    return told(reader.feed(stream)), reader.code


def packed(data: bytes, opcode: int = TEXT, final: bool = True, reserved: int = 4) -> bytes:
    return frame(data, opcode, final, MASK, reserved)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (packed(HELLO), 0),
        (packed(HELLO[:3], final=False) + packed(HELLO[3:], 0, reserved=0), 0),
        (packed(HELLO, reserved=2), PROTOCOL_ERROR),
        (packed(HELLO, reserved=6), PROTOCOL_ERROR),
        (packed(HELLO, reserved=1), PROTOCOL_ERROR),
        (packed(b"", PING), PROTOCOL_ERROR),  # control frames never are
        (packed(HELLO[:3], final=False) + packed(HELLO[3:], 0), PROTOCOL_ERROR),
        (packed(b"Hello"), NOT_TEXT),
        (packed(zlib.compressobj(9, zlib.DEFLATED, -15).compress(b"") + b"\xff" * 9), NOT_TEXT),
    ],
)
def test_reserved_bits_and_fragments(stream: bytes, code: int) -> None:
    found, failed = read(stream)
    assert failed == code
    assert found == ([] if code else [(TEXT, b"Hello", 0)])


def test_examples_of_the_rfc() -> None:
    """RFC 7692, 7.2.3.2 to 7.2.3.5: a shared window, a stored block, a last one, and two."""
    shared = packed(HELLO) + packed(bytes.fromhex("f200110000"))
    assert read(shared)[0] == [(TEXT, b"Hello", 0)] * 2
    assert read(shared, forgets=True)[1] == NOT_TEXT
    for payload in ("000500faff48656c6c6f00", "f348cdc9c9070000", "f2480500 0000ffffcac9c90700"):
        data = bytes.fromhex(payload)
        assert read(packed(data) + packed(HELLO)) == ([(TEXT, b"Hello", 0)] * 2, 0)


def test_messages_need_not_be_compressed() -> None:
    assert read(packed(b"plain", reserved=0) + packed(HELLO))[0] == [
        (TEXT, b"plain", 0),
        (TEXT, b"Hello", 0),
    ]


def test_text_is_looked_at_once_it_is_inflated() -> None:
    data = Deflater(15, forgets=True).whole(b"\xff\xfe and more of that kind")
    assert read(packed(data))[1] == NOT_TEXT
    assert read(packed(data, BINARY))[1] == 0


def test_a_bomb_costs_its_bound_and_no_more() -> None:
    bomb = Deflater(15, forgets=True).whole(bytes(50_000_000))
    assert len(bomb) < 300_000
    assert read(packed(bomb, BINARY)) == ([], TOO_BIG)
    inflater = Inflater(15, forgets=False)
    assert inflater.whole(bomb, 1000) is None
    assert inflater.too_big
    exact = Deflater(15, forgets=True).whole(bytes(1000))
    assert Inflater(15, forgets=False).whole(exact, 1000) == bytes(1000)
    assert Inflater(15, forgets=False).whole(exact, 999) is None


def test_last_blocks_are_few() -> None:
    assert Inflater(15, forgets=False).whole(b"\x03\x00" * 100_000, MOST) is None


def test_what_comes_compressed_is_bounded_as_well() -> None:
    assert read(packed(bytes(2000))[:8], most=1000) == ([], TOO_BIG)


@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_never_raise(noise: bytes, forgets: bool) -> None:
    read(packed(noise, BINARY), forgets=forgets)
    read(noise, forgets=forgets)
