"""Which endpoint's cache is believed to hold which prefix, from what was sent where.

A prompt is a list of block hashes, each of which stands for all blocks before it as well. The
index holds, for every block, the set of endpoints it was sent to, and for every endpoint its blocks
from the least to the most recently used; over its capacity the least recent go. A prompt's blocks
are touched from the last to the first, so that an endpoint loses the ends of prefixes before their
beginnings, as engines do (vLLM frees blocks in reverse order).

Where an endpoint tells exactly what its cache holds, and it is known which tokens a block is, that
is what counts; what was sent there is believed besides until it is disproved: a prompt under way
will be there, and blocks that are not learned are known in no other way.

Matching and insertion are O(blocks of the prompt). Source of the approximation and its default
bound: llm-d's approximate prefix scorer, 31,250 entries per endpoint.
"""

from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from penstock._in_c import in_c
from penstock.core.endpoint import Endpoint
from penstock.core.lineup import is_lineup
from penstock.core.request import Request

DEFAULT_BLOCKS: Final = 31_250  # per endpoint
# A prompt's beginning is learned before its end and forgotten after it, so after a few blocks that
# nobody knows there are hardly any that somebody does.
_UNKNOWN_BLOCKS: Final = 4
# What is done for each block, which is what insertion costs; without it the same is done here.
_prefixes: Final[Any] = in_c("_prefixes")
_insert: Final[Any] = None if _prefixes is None else _prefixes.insert
_NOWHERE: Final = (0, 0)
_shrink: Final[Any] = None if _prefixes is None else _prefixes.shrink


@mypyc_attr(allow_interpreted_subclasses=True)
class PrefixJournal:
    """Whoever wants to hear what is newly believed, to tell other processes."""

    def added(self, endpoint: Endpoint, blocks: list[int], sizes: list[int]) -> None:
        """The endpoint is believed to hold these blocks, of so many tokens, from now on."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ExactPrefixes:
    """Whoever knows what caches really hold."""

    def holders(self, block: int) -> int:
        """Bits of the slots (``Endpoint.exact_slot``) that hold it; -1 while nobody can tell."""
        return -1


class PrefixIndex:
    """Holds at most ``max_blocks`` blocks per endpoint, and no more tokens than its cache does."""

    def __init__(self, max_blocks: int = DEFAULT_BLOCKS) -> None:
        self.journal: PrefixJournal | None = None
        self.exact: ExactPrefixes | None = None
        self.deepest: int = 0  # blocks of the prompt looked up last that one of them holds
        self._asked: Request | None = None  # whose blocks were looked up exactly last
        self._sure: dict[int, int] = {}  # exact slot → blocks of it that are there
        self._max_blocks: int = max_blocks
        self._holders: dict[int, int] = {}  # block → bits of the slots that hold it
        self._slots: dict[Endpoint, int] = {}
        self._blocks: list[dict[int, int]] = []  # by slot: block → its tokens, oldest first
        self._tokens: list[int] = []  # by slot: their sum
        # By slot: where its oldest block stands, as ``_prefixes.shrink`` knows it.
        self._oldest: dict[int, tuple[int, int]] = {}
        self._free: list[int] = []  # slots of endpoints that were removed
        self._lineup: list[Endpoint] = []  # whose prompts were matched last
        self._lineup_slots: list[int] = []  # beside it: the slot of each, -1 without one

    def __len__(self) -> int:
        """Distinct blocks known."""
        return len(self._holders)

    def blocks_of(self, endpoint: Endpoint) -> int:
        """How many blocks the endpoint is believed to hold."""
        slot = self._slots.get(endpoint, -1)
        return len(self._blocks[slot]) if slot >= 0 else 0

    def matches(self, request: Request, endpoints: list[Endpoint]) -> list[int]:
        """For each endpoint, how many tokens of the prompt it is believed to hold already.

        Where engines found less than was believed before, the belief counts by its share that came
        true (``Endpoint.hit_distrust``).
        """
        depths: list[int] = [0] * len(self._blocks)  # by slot: blocks that it holds
        blocks = request.blocks
        holders = self._holders
        before = 0
        depth = 0
        for block in blocks:
            here = holders.get(block, 0)
            if depth:
                here &= before
                if here != before:
                    _note(depths, before & ~here, depth)
            before = here
            if here == 0:
                break
            depth += 1
        if before:
            _note(depths, before, depth)
        slots = self.slots_of(endpoints)
        sure = self._sure
        if self.exact is not None:
            for endpoint in endpoints:
                if endpoint.exact_slot >= 0:  # else nothing of it is known for certain
                    sure = self._look_up(request)
                    break
        found = []
        deepest = 0
        tokens_depth = 0
        tokens_there = 0  # of that depth
        for index, endpoint in enumerate(endpoints):
            slot = slots[index]
            depth = depths[slot] if slot >= 0 else 0
            if sure and endpoint.exact_slot >= 0:
                depth = max(depth, sure.get(endpoint.exact_slot, 0))
            if depth != tokens_depth:
                tokens_depth = depth
                tokens_there = request.tokens_of(depth)
                deepest = max(deepest, depth)
            tokens = tokens_there
            if endpoint.hit_distrust > 0.0:
                tokens = int(tokens * (1.0 - endpoint.hit_distrust))
            found.append(tokens)
        self.deepest = deepest
        return found

    def insert(self, request: Request, endpoint: Endpoint) -> int:
        """The prompt was sent there. Returns how many of its tokens were there already."""
        slot = self._slot(endpoint)
        own = self._blocks[slot]
        bit = 1 << slot
        holders = self._holders
        blocks = request.blocks
        known = len(blocks)
        tokens = self._tokens[slot]
        fresh: list[int]
        sizes: list[int]
        if _insert is not None and request.block_ends:
            told: tuple[int, int, list[int], list[int]]
            told = _insert(blocks, request.block_ends, own, holders, bit)
            known, added, fresh, sizes = told
            tokens += added
        else:
            fresh = []
            sizes = []
            for at in range(len(blocks) - 1, -1, -1):
                block = blocks[at]
                size = own.pop(block, -1)
                if size < 0:
                    known = at
                    size = request.tokens_of(at + 1) - request.tokens_of(at)
                    tokens += size
                    holders[block] = holders.get(block, 0) | bit
                    fresh.append(block)
                    sizes.append(size)
                own[block] = size
        if self.exact is not None and endpoint.exact_slot >= 0:
            sure = self._sure if request is self._asked else self._look_up(request)
            known = max(known, sure.get(endpoint.exact_slot, 0))
        self._tokens[slot] = tokens
        self._shrink(slot, endpoint.reported.kv_capacity)
        if fresh and self.journal is not None:
            self.journal.added(endpoint, fresh, sizes)
        return request.tokens_of(known)

    def learn(self, endpoint: Endpoint, block: int, tokens: int) -> None:
        """Another process sent this block there; to be told in the order of the other's journal."""
        slot = self._slot(endpoint)
        own = self._blocks[slot]
        known = own.pop(block, -1)
        if known >= 0:
            own[block] = known
            return
        own[block] = tokens
        self._tokens[slot] += tokens
        self._holders[block] = self._holders.get(block, 0) | (1 << slot)
        self._shrink(slot, endpoint.reported.kv_capacity)

    def disprove(self, block: int, exact_slot: int) -> None:
        """It became known that the block is not in that slot's cache; -1: look at all."""
        exact = self.exact
        believed = self._holders.get(block, 0)
        if believed == 0 or exact is None:
            return
        holders = exact.holders(block)
        if holders < 0:
            return
        for endpoint, slot in self._slots.items():
            its = endpoint.exact_slot
            if its < 0 or (exact_slot >= 0 and its != exact_slot):
                continue
            if (believed >> slot) & 1 and not (holders >> its) & 1:
                self._tokens[slot] -= self._blocks[slot].pop(block)
                self._drop(block, slot)

    def review(self, endpoint: Endpoint) -> None:
        """The endpoint tells exactly what it holds from now on: believe nothing else."""
        slot = self._slots.get(endpoint, -1)
        if slot >= 0:
            for block in list(self._blocks[slot]):
                self.disprove(block, endpoint.exact_slot)

    def slot_of(self, endpoint: Endpoint) -> int:
        """The place of what it holds; -1 without one."""
        return self._slots.get(endpoint, -1)

    def slots_of(self, endpoints: list[Endpoint]) -> list[int]:
        """The slot of each, -1 for those without one; until an endpoint comes or goes."""
        if not endpoints or not is_lineup(self._lineup, endpoints):
            self._lineup = list(endpoints)
            slots = self._slots
            self._lineup_slots = [slots.get(endpoint, -1) for endpoint in endpoints]
        return self._lineup_slots

    def overflow(self, endpoint: Endpoint, tokens: int) -> int:
        """How many tokens would be pushed out of its cache by ``tokens`` more."""
        if endpoint.reported.kv_capacity == 0:
            return 0
        return self.overflow_at(self.slot_of(endpoint), endpoint, tokens)

    def overflow_at(self, slot: int, endpoint: Endpoint, tokens: int) -> int:
        """The same, where its slot is known (``slots_of``)."""
        capacity = endpoint.reported.kv_capacity
        if capacity == 0 or slot < 0:
            return 0
        over = self._tokens[slot] + tokens - capacity
        return min(max(over, 0), self._tokens[slot])

    def trim(self, endpoint: Endpoint, tokens: int) -> None:
        """The endpoint's cache holds no more than so many tokens now: the rest was evicted."""
        slot = self._slots.get(endpoint, -1)
        if slot < 0:
            return
        if tokens <= 0:
            self.forget(endpoint)
        else:
            self._shrink(slot, tokens)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint was removed, or its cache is cold."""
        slot = self._slots.pop(endpoint, -1)
        if slot < 0:
            return
        self._lineup = []
        for block in self._blocks[slot]:
            self._drop(block, slot)
        self._blocks[slot] = {}
        self._oldest.pop(slot, None)
        self._tokens[slot] = 0
        self._free.append(slot)

    def retain(self, endpoints: list[Endpoint]) -> None:
        """Forget all endpoints but these."""
        present = set(endpoints)
        for endpoint in list(self._slots):
            if endpoint not in present:
                self.forget(endpoint)

    def _look_up(self, request: Request) -> dict[int, int]:
        """How many blocks each slot of the exact index certainly holds."""
        sure: dict[int, int] = {}
        self._asked = request
        self._sure = sure
        exact = self.exact
        if exact is None:
            return sure
        alive = -1
        depth = 0
        unknown = 0
        for index, block in enumerate(request.blocks):
            here = exact.holders(block)
            if here < 0:
                unknown += 1
                if unknown > _UNKNOWN_BLOCKS:
                    break
                continue
            unknown = 0
            if depth and alive & ~here:
                self._note_sure(sure, alive & ~here, depth)
            alive &= here
            if alive == 0:
                break
            depth = index + 1
        if depth and alive > 0:
            self._note_sure(sure, alive, depth)
        return sure

    def _slot(self, endpoint: Endpoint) -> int:
        slot = self._slots.get(endpoint, -1)
        if slot < 0:
            if self._free:
                slot = self._free.pop()
            else:
                slot = len(self._blocks)
                self._blocks.append({})
                self._tokens.append(0)
            self._slots[endpoint] = slot
            self._lineup = []
        return slot

    def _shrink(self, slot: int, capacity: int) -> None:
        """Let the least recently used go until the bounds hold."""
        own = self._blocks[slot]
        tokens = self._tokens[slot]
        over = len(own) - self._max_blocks
        if over <= 0 and (capacity == 0 or tokens <= capacity):
            return
        if _shrink is not None:
            table, at = self._oldest.get(slot, _NOWHERE)
            told: tuple[int, int, int]
            told = _shrink(own, self._holders, 1 << slot, over, tokens, capacity, table, at)
            self._tokens[slot] = told[0]
            self._oldest[slot] = (told[1], told[2])
            return
        gone = []
        for block, size in own.items():
            if over <= 0 and (capacity == 0 or tokens <= capacity):
                break
            gone.append(block)
            tokens -= size
            over -= 1
        for block in gone:
            del own[block]
            self._drop(block, slot)
        self._tokens[slot] = tokens

    def _drop(self, block: int, slot: int) -> None:
        left = self._holders[block] & ~(1 << slot)
        if left:
            self._holders[block] = left
        else:
            del self._holders[block]

    def _note_sure(self, held: dict[int, int], slots: int, depth: int) -> None:
        """Every slot of this set of bits holds the first ``depth`` blocks."""
        slot = 0
        while slots:
            if slots & 1:
                held[slot] = depth
            slots >>= 1
            slot += 1


def _note(depths: list[int], slots: int, depth: int) -> None:
    """Every slot of this set of bits holds the first ``depth`` blocks."""
    data = slots.to_bytes((slots.bit_length() + 7) >> 3, "little")
    for at in range(len(data)):
        bits: i64 = data[at]
        slot: i64 = at << 3
        while bits:
            if bits & 1:
                depths[slot] = depth
            bits >>= 1
            slot += 1
