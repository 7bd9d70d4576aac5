"""Which token prefixes an engine's cache holds, by names that are the same for every engine.

A prefix is named by a chain of xxh3 hashes over its token ids, one link per GRANULE_TOKENS,
whatever the engine's block size is. An engine's own hashes distinguish only its own blocks. Blocks
whose beginning is not known get no name, and nothing is concluded from them.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

GRANULE_TOKENS: Final = 16  # vLLM's default block; the usual others are multiples of it
_TOKEN_BYTES: Final = 8
_GRANULE_BYTES: Final = GRANULE_TOKENS * _TOKEN_BYTES
# 4 million tokens in blocks of 16, about 100 MB; more than that is not followed.
MAX_BLOCKS: Final = 262_144
# Stored lately, for answers that ended since: a minute of an engine that computes 8,000 tokens/s.
RECENT_BLOCKS: Final = 32_768


class Chain:
    """A block that was stored, and by its parents all before it.

    ``ids`` name the prefixes that end inside of it at multiples of GRANULE_TOKENS; ``rest`` are the
    tokens after the last of them.
    """

    def __init__(
        self,
        parent: "Chain | None",
        tokens: int,
        ids: list[int],
        last: int,
        rest: bytes,
        at: float,
    ) -> None:
        self.parent: Chain | None = parent
        self.tokens: int = tokens  # of this block
        self.end: int = tokens if parent is None else parent.end + tokens  # from the beginning
        self.ids: list[int] = ids
        self.last: int = last  # the newest name up to here, or the seed
        self.rest: bytes = rest
        self.at: float = at  # when it was stored

    def path(self) -> list[int]:
        """All names from the beginning, one for each GRANULE_TOKENS."""
        blocks: list[Chain] = []
        here: Chain | None = self
        while here is not None:
            blocks.append(here)
            here = here.parent
        found: list[int] = []
        for block in reversed(blocks):
            found += block.ids
        return found

    def computed_since(self, tokens: int, since: float) -> bool:
        """Whether exactly what is beyond so many tokens was stored from then on."""
        here: Chain | None = self
        while here is not None and here.end > tokens:
            if here.at < since:
                return False
            here = here.parent
        return (here.end if here is not None else 0) == tokens


class CachedChains:
    """One engine's cache, followed event by event."""

    def __init__(self, max_blocks: int = MAX_BLOCKS) -> None:
        self._max_blocks: int = max_blocks
        self.block_tokens: int = 0  # of the blocks stored last
        self.overfull: bool = False  # it holds more than is followed: nothing is certain
        self.changed: list[int] = []  # names that came or went, until they are taken
        # By the engine's hash; of a block whose beginning is not known only its tokens are.
        self._blocks: dict[Hashable, Chain | int] = {}
        # Of blocks that were stored while they were there, how often. vLLM keeps every copy that
        # prompts under way at the same time computed, and tells of each that goes (BlockPool, "we
        # currently don't de-duplicate").
        self._copies: dict[Hashable, int] = {}
        self._tokens: int = 0
        self._holders: dict[int, int] = {}  # name → how many blocks have it
        self._recent: deque[Chain] = deque()
        self._by_end: dict[int, deque[Chain]] = {}

    @property
    def tokens(self) -> int:
        """In blocks that a prompt can find; -1 where there are more than are followed."""
        return -1 if self.overfull else self._tokens

    def holds(self, name: int) -> bool:
        """Whether the prefix of that name is there. Engines let go of ends before beginnings."""
        return name in self._holders

    def stored(
        self,
        blocks: Sequence[Hashable],
        parent: Hashable | None,
        tokens: bytes,
        block_tokens: int,
        seed: int,
        extras: list[bytes],
        now: float,
    ) -> None:
        """These blocks, one after the other behind ``parent``, can be found.

        ``tokens`` is empty where it is not known what they stand for.
        """
        found = self._blocks.get(parent) if parent is not None else None
        before = found if isinstance(found, Chain) else None
        known = len(tokens) > 0 and (parent is None or before is not None)
        if known:
            self.block_tokens = block_tokens
        size = block_tokens * _TOKEN_BYTES
        for index, block in enumerate(blocks):
            if len(self._blocks) >= self._max_blocks and block not in self._blocks:
                self.overfull = True
                return
            if block in self._blocks:
                self._copies[block] = self._copies.get(block, 0) + 1
                self._forget(block)  # what it stands for may be known by now
            self._tokens += block_tokens
            if not known:
                self._blocks[block] = block_tokens
                continue
            extra = extras[index] if extras else b""
            piece = tokens[index * size : (index + 1) * size]
            before = _next(before, piece, block_tokens, seed, extra, now)
            self._blocks[block] = before
            self._note(before)

    def removed(self, block: Hashable) -> None:
        """A block is gone, or one of its copies: while there are others, it can be found."""
        copies = self._copies.pop(block, 0)
        if copies == 0:
            self._forget(block)
        elif copies > 1:
            self._copies[block] = copies - 1

    def _forget(self, block: Hashable) -> None:
        chain = self._blocks.pop(block, 0)
        if not isinstance(chain, Chain):
            self._tokens -= chain
            return
        self._tokens -= chain.tokens
        holders = self._holders
        for name in chain.ids:
            left = holders[name] - 1
            if left:
                holders[name] = left
            else:
                del holders[name]
                self.changed.append(name)

    def cleared(self) -> None:
        """Nothing can be found any more."""
        self.changed += list(self._holders)
        self._blocks = {}
        self._copies = {}
        self._tokens = 0
        self._holders = {}
        self.overfull = False

    def take_changed(self) -> list[int]:
        """Names that came or went since the last call; some may be as they were."""
        changed, self.changed = self.changed, []
        return changed

    def stored_between(self, end: int, since: float, until: float) -> list[Chain]:
        """Chains of that many tokens stored in that time, however long ago they were evicted."""
        return [each for each in self._by_end.get(end, ()) if since <= each.at <= until]

    def _note(self, chain: Chain) -> None:
        holders = self._holders
        for name in chain.ids:
            count = holders.get(name, 0)
            holders[name] = count + 1
            if count == 0:
                self.changed.append(name)
        self._recent.append(chain)
        self._by_end.setdefault(chain.end, deque()).append(chain)
        if len(self._recent) > RECENT_BLOCKS:
            oldest = self._recent.popleft()
            alike = self._by_end[oldest.end]
            alike.popleft()
            if not alike:
                del self._by_end[oldest.end]


def seed_of(adapter: str) -> int:
    """Where chains begin: what an adapter computes is of no use to others."""
    return int(xxh3_64_intdigest(adapter.encode("utf-8", "surrogatepass")))


def _next(
    before: Chain | None, tokens: bytes, count: int, seed: int, extra: bytes, now: float
) -> Chain:
    last = seed
    if before is not None:
        last = before.last
        if before.rest:
            tokens = before.rest + tokens
    ids: list[int] = []
    at = 0
    while at + _GRANULE_BYTES <= len(tokens):
        last = int(xxh3_64_intdigest(tokens[at : at + _GRANULE_BYTES] + extra, last))
        ids.append(last)
        at += _GRANULE_BYTES
    return Chain(before, count, ids, last, tokens[at:], now)
