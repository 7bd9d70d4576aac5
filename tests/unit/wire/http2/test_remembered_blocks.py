"""Blocks that the encoder remembers mean the same whatever was sent between them."""

import hpack
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.http2.header_block import HeaderBlock, response_block
from penstock.wire.http2.hpack_encoder import HpackEncoder

BLOCKS = 4


def blocks() -> list[HeaderBlock]:
    """Each with fields of its own, which go into the table when it is first sent."""
    return [
        response_block(
            200 + number,
            [(b"x-all", b"x-all", b"same"), (b"x-own", b"x-own", b"%d" % number)],
        )
        for number in range(BLOCKS)
    ]


def decoded(decoder: hpack.Decoder, code: bytes) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in decoder.decode(code)]


def said(block: HeaderBlock) -> list[tuple[str, str]]:
    fields = [(name.decode(), value.decode()) for name, _, value in block.fields]
    return [(":status", str(block.status)), *fields]


def test_block_is_encoded_anew_after_another_changed_the_table() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    first, other = blocks()[:2]
    for block in (first, first, first, other, first):
        assert decoded(decoder, encoder.encode(block, None)) == said(block)


@given(st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.sampled_from([-1, 0, 64, 200, 4096]))))
def test_any_order_of_blocks_and_sizes_is_understood(steps: list[tuple[int, int]]) -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    made = blocks()
    for number, table_bytes in steps:
        if table_bytes >= 0:
            encoder.limit_table(table_bytes)
            decoder.max_allowed_table_size = 4096
        block = made[number]
        assert decoded(decoder, encoder.encode(block, None)) == said(block)
