"""An engine's KV cache: blocks, held by sequences or left for later prompts to find.

A block is anonymous until it is full and has a hash; then every sequence that begins alike can
hold it. Blocks that nobody holds stay, and the one let go longest ago is evicted first (vLLM's
free queue). Where two sequences compute the same block at the same time one copy is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import NamedTuple

from penstock.sim.sequence import Sequence


class BlockStored(NamedTuple):
    """Block ``position`` of ``sequence`` can be found from now on."""

    block: int
    parent: int | None
    sequence: Sequence
    position: int


class BlockRemoved(NamedTuple):
    """A block was evicted."""

    block: int


class CacheCleared(NamedTuple):
    """Nothing can be found any more."""


CacheEvent = BlockStored | BlockRemoved | CacheCleared


class KvCache:
    """``capacity`` blocks. ``events`` are kept only when ``recording``."""

    def __init__(self, capacity: int, recording: bool = False) -> None:
        self.capacity = capacity
        self._recording = recording
        self._events: list[CacheEvent] = []
        self._holders: dict[int, int] = {}  # hash → how many sequences hold it
        self._idle: OrderedDict[int, None] = OrderedDict()  # held by none, oldest first
        self._anonymous = 0

    @property
    def used(self) -> int:
        """Blocks that sequences hold."""
        return len(self._holders) + self._anonymous

    @property
    def findable(self) -> int:
        """Blocks under a hash, held or not."""
        return len(self._holders) + len(self._idle)

    def match(self, blocks: Seq[int], at_most: int) -> int:
        """How many of the leading ``blocks`` are here."""
        limit = min(len(blocks), at_most)
        for index in range(limit):
            block = blocks[index]
            if block not in self._holders and block not in self._idle:
                return index
        return limit

    def hold(self, blocks: Iterable[int]) -> None:
        """Hold blocks that are here."""
        for block in blocks:
            if block in self._holders:
                self._holders[block] += 1
            else:
                del self._idle[block]
                self._holders[block] = 1

    def adopt(self, blocks: Seq[int]) -> None:
        """Blocks that were computed elsewhere came: they can be found, and nobody holds them."""
        for block in reversed(blocks):
            if block not in self._holders:
                self._idle[block] = None
                self._idle.move_to_end(block)
        while self._idle and self.used + len(self._idle) > self.capacity:
            self._evict()

    def take(self, count: int) -> bool:
        """Take ``count`` anonymous blocks, evicting what is idle; all of them or none."""
        if self.used + count > self.capacity:
            return False
        self._anonymous += count
        while self.used + len(self._idle) > self.capacity:
            self._evict()
        return True

    def name(self, sequence: Sequence, index: int) -> None:
        """An anonymous block of ``sequence`` is full: from now on it has its hash."""
        block = sequence.blocks[index]
        self._anonymous -= 1
        if block in self._holders or block in self._idle:
            self.hold((block,))
            return
        self._holders[block] = 1
        if self._recording:
            parent = sequence.blocks[index - 1] if index else None
            self._events.append(BlockStored(block, parent, sequence, index))

    def let_go(self, blocks: Seq[int], anonymous: int) -> None:
        """Give up blocks of one sequence; its last become idle first, so are evicted first."""
        self._anonymous -= anonymous
        for block in reversed(blocks):
            holders = self._holders[block] - 1
            if holders:
                self._holders[block] = holders
            else:
                del self._holders[block]
                self._idle[block] = None

    def clear(self) -> bool:
        """Forget every block, unless a sequence holds one; whether that was done."""
        if self.used:
            return False
        self._idle.clear()
        if self._recording:
            self._events.append(CacheCleared())
        return True

    def _evict(self) -> None:
        block, _ = self._idle.popitem(last=False)
        if self._recording:
            self._events.append(BlockRemoved(block))

    def take_events(self) -> list[CacheEvent]:
        """What was stored and removed since the last call, in order."""
        events, self._events = self._events, []
        return events
