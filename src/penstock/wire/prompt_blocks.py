"""A prompt's blocks: hashes of its beginnings, without its pieces being put together first.

Block ends depend on the position alone (see ``openai.py``), so they are one list for all prompts.
"""

from bisect import bisect_right
from typing import Final

from mypy_extensions import i64
from xxhash import xxh3_64, xxh3_64_intdigest

MAX_BLOCKS: Final = 512
_FINE_BYTES: Final = 16384  # at the beginning, in blocks of 256
_SEPARATOR: Final = (
    b"\x1e"  # never in JSON outside of an escape, so that pieces cannot run together
)
# Up to so many bytes copying them together costs less than looking where each block lies; beyond,
# the system also has to find new memory for them every time.
_JOINED_BYTES: Final = 65_536


def block_bytes(start: int) -> int:
    """The size of the block that begins there."""
    return 256 if start < _FINE_BYTES else 1024 if start < 131072 else 4096


def _all_ends() -> list[int]:
    ends: list[int] = []
    end = 0
    for _ in range(MAX_BLOCKS):
        end += block_bytes(end)
        ends.append(end)
    return ends


ENDS: Final[list[int]] = _all_ends()
MOST_BYTES: Final = ENDS[-1]  # of a prompt, that blocks are made of


def block_ends(count: int) -> list[int]:
    """Where the first so many blocks of any prompt end, in bytes."""
    return ENDS[:count]


def prompt_size(pieces: list[bytes | memoryview]) -> int:
    """In bytes, with what stands between the pieces."""
    size = max(len(pieces) - 1, 0)
    for piece in pieces:
        size += len(piece)
    return size


def block_count(size: int) -> int:
    """How many blocks a prompt of so many bytes has."""
    if size < _FINE_BYTES:
        return size // 256
    return bisect_right(ENDS, size)


def hash_of(pieces: list[bytes | memoryview], most: int = MOST_BYTES) -> int:
    """Of all of it, but of at most so many bytes."""
    if prompt_size(pieces) <= _JOINED_BYTES:
        return int(xxh3_64_intdigest(_SEPARATOR.join(pieces)))
    digest = xxh3_64()
    left = most
    for index, piece in enumerate(pieces):
        if index and left > 0:
            digest.update(_SEPARATOR)
            left -= 1
        digest.update(piece[:left] if len(piece) > left else piece)
        left = max(left - len(piece), 0)
    return int(digest.intdigest())


def chained_blocks(pieces: list[bytes | memoryview], size: int, chained: int) -> list[int]:
    """The hash of every block, each with the one before it as its seed, the first with
    ``chained``. ``size`` is that of the prompt."""
    count = block_count(size)
    if count == 0:
        return []
    if size <= _JOINED_BYTES:
        return _of_one(_SEPARATOR.join(pieces), count, chained)
    return _of_several(pieces, count, chained)


def _of_one(data: bytes, count: int, chained: int) -> list[int]:
    blocks: list[int] = []
    start = 0
    for index in range(count):
        end = ENDS[index]
        chained = xxh3_64_intdigest(data[start:end], chained)
        blocks.append(chained)
        start = end
    return blocks


def _of_several(pieces: list[bytes | memoryview], count: int, chained: int) -> list[int]:
    blocks: list[int] = []
    at = 0
    piece = memoryview(pieces[0])
    begins: i64 = 0  # the piece, in the prompt
    ends: i64 = len(piece)
    start: i64 = 0  # the block
    for index in range(count):
        end: i64 = ENDS[index]
        if end <= ends:
            chained = xxh3_64_intdigest(piece[start - begins : end - begins], chained)
        else:
            parts: list[bytes | memoryview] = []
            while start < end:
                parts.append(piece[start - begins : end - begins])
                if end <= ends:
                    break
                parts.append(_SEPARATOR)
                at += 1
                begins = start = ends + 1
                # The prompt may end with its last separator, before an empty piece.
                piece = memoryview(pieces[at])
                ends = begins + len(piece)
            chained = xxh3_64_intdigest(b"".join(parts), chained)
        blocks.append(chained)
        start = end
    return blocks
