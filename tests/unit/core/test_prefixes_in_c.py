"""What is done in C for every block of a prompt is what is done without it."""

from random import Random
from typing import Final

import pytest

_prefixes: Final = pytest.importorskip("penstock._prefixes", reason="not built")


class Plain:
    """The same, as ``PrefixIndex`` does it."""

    def __init__(self) -> None:
        self.owns: list[dict[int, int]] = [{}, {}, {}]
        self.holders: dict[int, int] = {}

    def insert(self, blocks: list[int], ends: list[int], slot: int) -> tuple[object, ...]:
        known = len(blocks)
        fresh, sizes = [], []
        for at in range(len(blocks) - 1, -1, -1):
            size = self.owns[slot].pop(blocks[at], -1)
            if size < 0:
                known = at
                size = ends[at] - (ends[at - 1] if at else 0)
                self.holders[blocks[at]] = self.holders.get(blocks[at], 0) | 1 << slot
                fresh.append(blocks[at])
                sizes.append(size)
            self.owns[slot][blocks[at]] = size
        return known, sum(sizes), fresh, sizes

    def shrink(self, slot: int, over: int, tokens: int, room: int) -> int:
        own = self.owns[slot]
        while own and (over > 0 or (room and tokens > room)):
            block = next(iter(own))
            tokens -= own.pop(block)
            over -= 1
            self.holders[block] &= ~(1 << slot)
            if not self.holders[block]:
                del self.holders[block]
        return tokens


def test_prompts_come_and_blocks_go_alike() -> None:
    dice = Random(5)
    plain, other = Plain(), Plain()
    oldest = [(0, 0)] * 3
    for _ in range(400):
        slot = dice.randrange(3)
        start = dice.choice([0, 0, 1 << 63])
        blocks = [start + at for at in range(dice.randrange(1, 40))]
        ends = [3 * at + 1 for at in range(len(blocks))]
        told = _prefixes.insert(blocks, ends, other.owns[slot], other.holders, 1 << slot)
        assert told == plain.insert(blocks, ends, slot)
        over = dice.choice([-3, 0, 2])
        tokens = sum(plain.owns[slot].values())
        room = dice.choice([0, 50])
        left, *at = _prefixes.shrink(
            other.owns[slot], other.holders, 1 << slot, over, tokens, room, *oldest[slot]
        )
        oldest[slot] = (at[0], at[1])
        assert left == plain.shrink(slot, over, tokens, room)
        assert other.holders == plain.holders
        assert [list(own.items()) for own in other.owns] == [list(o.items()) for o in plain.owns]


def test_the_oldest_go_first_however_often_the_table_grows() -> None:
    dice = Random(6)
    plain, other = Plain(), Plain()
    oldest, start = (0, 0), 0
    for _ in range(600):
        start += dice.randrange(200)
        blocks = list(range(start, start + dice.randrange(1, 300)))
        ends = [at + 1 for at in range(len(blocks))]
        assert _prefixes.insert(blocks, ends, other.owns[0], other.holders, 1) == plain.insert(
            blocks, ends, 0
        )
        tokens = len(plain.owns[0])
        over = tokens - 3000
        left, *at = _prefixes.shrink(
            other.owns[0], other.holders, 1, over, tokens, 0, oldest[0], oldest[1]
        )
        oldest = (at[0], at[1])
        assert left == plain.shrink(0, over, tokens, 0)
        assert list(other.owns[0]) == list(plain.owns[0])


def test_a_ring_is_written_round_its_end() -> None:
    cells = memoryview(bytearray(8 * 12)).cast("q")
    assert _prefixes.tell(cells, 2, 4, 3, 7 << 32, [5, (1 << 64) - 1], [9, 1 << 40]) == 5
    assert cells.tolist() == [0, 0, -1, 7 << 32 | 0xFFFFFFFF, 0, 0, 0, 0, 5, 7 << 32 | 9, 0, 0]


def test_a_ring_that_is_not_there_is_refused() -> None:
    cells = memoryview(bytearray(8 * 12)).cast("q")
    with pytest.raises(TypeError, match="within"):
        _prefixes.tell(cells, 8, 4, 0, 0, [1], [1])


@pytest.mark.parametrize("per_token", [1.0, 2.7182818, 4.0, 16.0])
def test_ends_in_tokens(per_token: float) -> None:
    ends = [256 * at for at in range(1, 512)]
    assert _prefixes.in_tokens(ends, 500, per_token) == [int(end / per_token) for end in ends[:500]]
