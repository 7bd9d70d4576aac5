"""The exact prefix index: what caches hold by their KV events, told to workers in terms of texts.

Readers of KV events keep each cache's chains up to date; workers tell of prompts that were
answered, from which it is learned which chain a text is. Wherever both are known the table on the
board says who holds it. An endpoint whose events are not whole, not heard any more, or not
confirmed by what prompts find there is balanced by the approximate index, and the log says so.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from penstock.admin.view import UnknownNameError
from penstock.control.endpoint_key import EndpointKey
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.core.prefixes.kv_chains import CachedChains
from penstock.core.prefixes.prefix_learner import EVENTS_WITHIN_S, PrefixLearner, Sighting
from penstock.dataplane.board.layout import EXACT_SLOTS, FA_LEARNED, R_AT_US, R_COLD
from penstock.dataplane.board.memory import Board
from penstock.dataplane.llm.exact_prefixes import ALL, FactTable
from penstock.dataplane.llm.sightings import SightingReader

_LOOK_S: Final = 0.1
_MOST_SIGHTINGS: Final = 50  # from a worker at once, about 10 ms of work
_MOST_WAITING: Final = 1000
# Prompts, one after the other, that must have stored blocks of which nothing was told.
_SILENT_AFTER_PROMPTS: Final = 5


class TrackedCache:
    """One endpoint's cache, kept up to date by its reader."""

    def __init__(
        self, index: "ExactIndex", key: EndpointKey, row: int, slot: int, silent_after_s: float
    ) -> None:
        self.key = key
        self.row = row
        self.silent_after_s = silent_after_s  # without a reading of an engine that was read before
        self.slot = slot  # -1: there was none left
        self.chains = CachedChains()
        self.whole = False  # no event is missing
        self.unheard = 0  # prompts since the last event that must have caused some
        self.silent = False  # its engine: it may be gone, whatever the last events told
        self.problem = ""  # why it is not relied on although its events are whole; until the next
        self.colds = 0  # of those on the board: told by its events, or known before
        self._index = index

    def heard(self, whole: bool) -> None:
        """A batch of events was applied; ``whole``: none is missing."""
        self.whole = whole
        self.unheard = 0
        self.problem = ""
        self._index.update(self)


class ExactIndex:
    """The index over all endpoints whose KV events are followed."""

    def __init__(
        self,
        board: Board,
        states: EndpointStates,
        events: Events,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._board = board
        self._states = states
        self._events = events
        self._clock = clock
        self._learner = PrefixLearner()
        self._table = FactTable(board)
        self._sightings = SightingReader(board)
        self._waiting: deque[Sighting] = deque()
        self._caches: dict[int, TrackedCache] = {}  # by row
        self._relied: dict[int, TrackedCache] = {}  # by slot: those that workers are told of
        self._free = list(range(EXACT_SLOTS - 1, -1, -1))

    def clear(self) -> None:
        """Begin anew, on a board that another supervisor wrote."""
        if self._board.cells[self._board.facts + FA_LEARNED]:
            self._table.clear()

    def track(self, key: EndpointKey, row: int, silent_after_s: float) -> TrackedCache:
        """Begin to track the cache of an endpoint whose events are read."""
        slot = self._free.pop() if self._free else -1
        if slot < 0:
            text = (
                f"endpoint {key[0]}/{key[1]}: only {EXACT_SLOTS} caches are followed exactly; "
                "the prefixes that this one holds are estimated"
            )
            self._events.warning("prefix.approximate", text, pool=key[0], endpoint=key[1])
        cache = TrackedCache(self, key, row, slot, silent_after_s)
        cache.colds = self._board.cells[self._board.report(row) + R_COLD]
        self._caches[row] = cache
        return cache

    def untrack(self, cache: TrackedCache, *, logged: bool) -> None:
        """Stop tracking it: its events are no longer read; ``logged`` where nobody wanted that."""
        cache.whole = False
        cache.problem = "its KV events are no longer read"
        self._rely(cache, logged=logged)
        if self._caches.get(cache.row) is cache:
            del self._caches[cache.row]
        if cache.slot >= 0:
            self._free.append(cache.slot)

    def update(self, cache: TrackedCache) -> None:
        """The cache's contents changed: tell the workers."""
        changed = cache.chains.take_changed()
        self._rely(cache)
        if cache.slot not in self._relied:
            return
        learner = self._learner
        for name in changed:
            for digest in learner.digests_of(name):
                bits = self._table.holders(digest)
                if bits < 0:
                    continue
                if cache.chains.holds(name):
                    self._table.put(digest, bits | 1 << cache.slot)
                elif bits >> cache.slot & 1:
                    self._table.put(digest, bits & ~(1 << cache.slot))
                    self._table.tell(digest, cache.slot)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.refresh()

    def refresh(self) -> None:
        """Learn from answered prompts, and decide which caches to rely on."""
        now = self._clock()
        self._waiting += self._sightings.take(_MOST_SIGHTINGS)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
        for _ in range(len(self._waiting)):
            seen = self._waiting.popleft()
            if now < seen.first_at + EVENTS_WITHIN_S:
                self._waiting.append(seen)
            else:
                self._learn(seen)
        for cache in self._caches.values():
            self._check(cache, now)

    def _learn(self, seen: Sighting) -> None:
        cache = self._caches.get(seen.row)
        if cache is None or cache.slot not in self._relied:
            return
        if not self._learner.learn(seen, cache.chains):
            cache.unheard += 1
        for digest in self._learner.take_changed():
            self._show(digest)
        self._board.cells[self._board.facts + FA_LEARNED] = len(self._learner)

    def _show(self, digest: int) -> None:
        """Bring the table up to date with what was learned."""
        name = self._learner.name_of(digest)
        if name < 0:
            self._table.drop(digest)
            return
        bits = 0
        for slot, cache in self._relied.items():
            if cache.chains.holds(name):
                bits |= 1 << slot
        if self._table.put(digest, bits):
            self._table.tell(digest, ALL)

    def _check(self, cache: TrackedCache, now: float) -> None:
        report = self._board.report(cache.row)
        colds = self._board.cells[report + R_COLD]
        read_at = self._board.cells[report + R_AT_US] / 1e6
        if colds != cache.colds:  # the engine's totals began anew, and its events do not tell yet
            cache.colds = colds
            cache.problem = "its engine restarted"
        cache.silent = read_at > 0.0 and now - read_at > cache.silent_after_s
        if cache.unheard >= _SILENT_AFTER_PROMPTS:
            cache.problem = "it computed prompts without KV events for them"
        self._rely(cache)

    def _rely(self, cache: TrackedCache, *, logged: bool = True) -> None:
        """Begin or cease to rely on its events, and log it."""
        reason = _doubt(cache)
        wanted = not reason and cache.slot >= 0
        if wanted == (cache.slot in self._relied):
            return
        pool, name = cache.key
        bit = 1 << cache.slot
        if wanted:
            self._relied[cache.slot] = cache
        else:
            del self._relied[cache.slot]
        for digest in self._learner.all():
            bits = self._table.holders(digest)
            held = wanted and cache.chains.holds(self._learner.name_of(digest))
            if bits >= 0:
                self._table.put(digest, bits | bit if held else bits & ~bit)
        try:
            self._states.know_prefixes(pool, name, cache.slot if wanted else -1)
        except UnknownNameError:
            return  # it was removed
        if not logged:
            return
        if wanted:
            text = (
                f"endpoint {pool}/{name}: its cached prefixes are known exactly, by its KV events"
            )
            self._events.info("prefix.exact", text, pool=pool, endpoint=name)
        else:
            text = f"endpoint {pool}/{name}: its cached prefixes are estimated: {reason}"
            self._events.warning(
                "prefix.approximate", text, pool=pool, endpoint=name, reason=reason
            )


def _doubt(cache: TrackedCache) -> str:
    """Why its events are not relied on; empty where they are."""
    if cache.whole and cache.chains.overfull:
        return "its cache has more blocks than can be tracked"
    if cache.silent:
        return "its engine does not respond"
    return cache.problem or ("" if cache.whole else "some of its KV events are missing")
