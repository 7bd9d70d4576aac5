"""Blocks are those of the prompt put together, however its pieces lie."""

from hypothesis import example, given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from penstock.wire.prompt_blocks import (
    MOST_BYTES,
    block_bytes,
    chained_blocks,
    hash_of,
    prompt_size,
)

SEPARATOR = b"\x1e"
# Some with ends of blocks right before, at and behind their own, and long ones, which stay apart.
LENGTHS = st.lists(
    st.sampled_from([0, 1, 4, 255, 256, 257, 1023, 16_384, 40_000, 70_000]), min_size=1, max_size=12
)


def put_together(data: bytes, chained: int) -> list[int]:
    blocks: list[int] = []
    start, end = 0, 256
    while end <= len(data) and len(blocks) < 512:
        chained = xxh3_64_intdigest(data[start:end], chained)
        blocks.append(chained)
        start, end = end, end + block_bytes(end)
    return blocks


@given(LENGTHS)
@example([70_000, 0, 0, 255, 0, 256])
@example([65_535, 0, 1_700_000])
@example([255, 65_536])
def test_blocks_of_pieces_are_those_of_the_whole(lengths: list[int]) -> None:
    pieces: list[bytes | memoryview] = []
    for number, length in enumerate(lengths):
        piece = bytes((number * 7 + at) % 251 for at in range(min(length, 997))) * (
            length // 997 + 1
        )
        pieces.append(memoryview(piece)[:length] if number % 2 else piece[:length])
    whole = SEPARATOR.join(pieces)
    assert prompt_size(pieces) == len(whole)
    assert chained_blocks(pieces, len(whole), 5) == put_together(whole, 5)
    assert hash_of(pieces) == xxh3_64_intdigest(whole[:MOST_BYTES])
