"""A block that was remembered means what it would if it were read, and leaves the same table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.http2.block_reader import BlockReader
from penstock.wire.http2.codes import ConnectionFault
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.hpack_decoder import HpackDecoder
from penstock.wire.http2.hpack_tables import DecodingTable

STATUS_200 = b"\x88"
NEWEST = 62  # in the dynamic table


def literal(kind: int, name: bytes, value: bytes) -> bytes:
    """A field written out (RFC 7541, 6.2); 0x40: into the table, 0x00: not."""
    return bytes((kind, len(name))) + name + bytes((len(value),)) + value


def indexed(index: int) -> bytes:
    return bytes((0x80 | index,))


NAMES = st.sampled_from([b"date", b"server", b"x-a", b"x-b"])
VALUES = st.sampled_from([b"1", b"22", b"v" * 90])
FIELDS = st.one_of(
    st.builds(literal, st.sampled_from([0x40, 0x00, 0x10]), NAMES, VALUES),
    st.integers(NEWEST, NEWEST + 3).map(indexed),
    st.just(indexed(33)),  # date, of the static table
)
BLOCKS = st.lists(st.lists(FIELDS, max_size=4).map(b"".join), min_size=1, max_size=4)


def held(table: DecodingTable) -> list[tuple[bytes, bytes]]:
    return [(entry.field[0], entry.field[2]) for entry in table.entries]


@given(blocks=BLOCKS, order=st.lists(st.integers(0, 3), max_size=24), small=st.booleans())
def test_repeated_blocks_mean_what_they_say(
    blocks: list[bytes], order: list[int], small: bool
) -> None:
    reader, plain = BlockReader(Limits(), True), HpackDecoder()
    if small:  # entries leave all the time
        reader.decoder.table.resize(300)
        plain.table.resize(300)
    # Four to refer to.
    first = STATUS_200 + b"".join(literal(0x40, b"x-%d" % n, b"0") for n in range(4))
    for code in [first, *(STATUS_200 + blocks[each % len(blocks)] for each in order)]:
        try:
            told = [entry.field for entry in plain.decode(code, 100, 65536)]
        except ConnectionFault:  # it refers to what has left
            with pytest.raises(ConnectionFault):
                reader.head(code)
            return
        found = reader.head(code)
        assert [entry.field for entry in found.entries] == told
        assert held(reader.decoder.table) == held(plain.table)
        assert reader.decoder.table.size == plain.table.size


def test_a_block_that_refers_to_nothing_is_read_once_whatever_comes_between() -> None:
    reader = BlockReader(Limits(), True)
    alone = STATUS_200 + literal(0x40, b"server", b"nginx")
    first = reader.head(alone)
    reader.head(STATUS_200 + literal(0x40, b"x-other", b"1"))
    assert reader.head(alone) is first
    assert held(reader.decoder.table)[-1] == (b"server", b"nginx")


def test_a_block_that_refers_to_the_table_is_read_anew_when_that_changed() -> None:
    reader = BlockReader(Limits(), True)
    reader.head(STATUS_200 + literal(0x40, b"x-a", b"1"))
    referring = STATUS_200 + indexed(NEWEST)
    first = reader.head(referring)
    assert reader.head(referring) is first
    reader.head(STATUS_200 + literal(0x40, b"x-b", b"2"))
    assert [entry.field[2] for entry in reader.head(referring).entries] == [b"200", b"2"]
