"""Learns which token prefix a text prefix is, without a tokeniser: by what engines store when.

An answered request tells how many tokens its prompt had and how many of them were found cached. The
engine must have stored the others while it computed the prompt. A chain of that length, stored in
that time and new from that point on, is the prompt's. If there is only one, each text block is the
proportional part of it. If several fit, what they have in common is still certain; so is what
remains after several such prompts, and what agrees with a beginning that was learned before.
Everything else teaches nothing. What is contradicted is forgotten and not learned again.
"""

from typing import Final

from penstock.core.prefixes.kv_chains import GRANULE_TOKENS, CachedChains

MAX_LEARNED: Final = 65_536  # text blocks: 4 million tokens of short prompts, more of long ones
MAX_OPEN: Final = 8192  # text blocks for which several chains are possible
MAX_CONTESTED: Final = 8192
# Events leave an engine after the step that they tell of, and travel.
EVENTS_WITHIN_S: Final = 0.5
_MOST_CANDIDATES: Final = 8  # at once; more is a crowd
_SIGHTINGS: Final = 3  # that leave one chain of several, before it is believed
# Tokens per byte differ along a prompt, so a text block's end is known but for some of this.
_NEAR_SHARE: Final = 0.25
_NEAR_TOKENS: Final = 64


class Sighting:
    """A prompt that was answered. ``ends`` of its text blocks are in bytes, as ``size`` is."""

    def __init__(
        self,
        row: int,
        sent_at: float,
        first_at: float,
        tokens: int,
        cached: int,
        digests: list[int],
        ends: list[int],
        size: int,
    ) -> None:
        self.row: int = row
        self.sent_at: float = sent_at
        self.first_at: float = first_at  # its first token
        self.tokens: int = tokens
        self.cached: int = cached
        self.digests: list[int] = digests
        self.ends: list[int] = ends
        self.size: int = size

    def computed(self, block_tokens: int) -> tuple[int, int]:
        """From and to which token whole blocks were computed.

        The last token is always computed, so a block that ends with it may have been there.
        """
        return (
            self.cached // block_tokens * block_tokens,
            (self.tokens - 1) // block_tokens * block_tokens,
        )


class _Place:
    def __init__(self, name: int, tokens: int) -> None:
        self.name: int = name
        self.tokens: int = tokens  # where the text block ends


class _Open:
    def __init__(self, tokens: int, names: set[int]) -> None:
        self.tokens: int = tokens
        self.names: set[int] = names
        self.sightings: int = 1


class PrefixLearner:
    """``changed`` are digests learned, moved or forgotten, until they are taken."""

    def __init__(self, max_learned: int = MAX_LEARNED) -> None:
        self.changed: list[int] = []
        self._max_learned: int = max_learned
        self._places: dict[int, _Place] = {}  # by digest, the least recently seen first
        self._digests: dict[int, list[int]] = {}  # by name
        self._open: dict[int, _Open] = {}
        self._contested: dict[int, bool] = {}

    def __len__(self) -> int:
        """Text blocks learned."""
        return len(self._places)

    def name_of(self, digest: int) -> int:
        """The token prefix that a text prefix is; -1 while that is not known."""
        place = self._places.get(digest)
        return place.name if place is not None else -1

    def digests_of(self, name: int) -> list[int]:
        """The text prefixes that are this token prefix."""
        return self._digests.get(name, [])

    def all(self) -> list[int]:
        """Every digest learned."""
        return list(self._places)

    def take_changed(self) -> list[int]:
        """Digests learned, moved or forgotten since the last call."""
        changed, self.changed = self.changed, []
        return changed

    def learn(self, seen: Sighting, chains: CachedChains) -> bool:
        """Take from it what is certain. False when nothing was stored that could be its prompt."""
        if chains.block_tokens == 0 or seen.cached < 0 or seen.size <= 0:
            return True
        first, end = seen.computed(chains.block_tokens)
        if first >= end:
            return True  # nothing had to be stored
        found = [
            chain
            for chain in chains.stored_between(end, seen.sent_at, seen.first_at + EVENTS_WITHIN_S)
            if chain.computed_since(first, seen.sent_at)
        ]
        if not found or len(found) > _MOST_CANDIDATES:
            return len(found) > 0
        paths = [chain.path() for chain in found]
        fitting = [path for path in paths if self._fits(seen, path)]
        if len(fitting) == 1:
            self._teach(seen, fitting[0])
        elif fitting:
            self._narrow(seen, fitting)
        elif len(paths) == 1:
            self._contradicted(seen, paths[0])
        return True

    def forget(self, digest: int) -> None:
        """It is not known any more which tokens this text is."""
        place = self._places.pop(digest, None)
        if place is not None:
            self._unlink(digest, place.name)
            self.changed.append(digest)

    def _agreed(self, seen: Sighting, path: list[int]) -> int:
        """The index of the deepest text block up to which all that are learned agree; -1: none."""
        deepest = -1
        for index, digest in enumerate(seen.digests):
            place = self._places.get(digest)
            if place is None:
                continue
            if not _is_at(path, place):
                break
            deepest = index
        return deepest

    def _fits(self, seen: Sighting, path: list[int]) -> bool:
        """Whether what was learned before allows the prompt to be this chain."""
        known = -1
        for index, digest in enumerate(seen.digests):
            if digest in self._places:
                known = index
        if known < 0:
            return True
        agreed = self._agreed(seen, path)
        if agreed == known:
            return True
        if agreed < 0:
            return False
        reached = self._places[seen.digests[agreed]].tokens
        wanted = self._places[seen.digests[known]].tokens
        return wanted - reached <= max(_NEAR_TOKENS, int(wanted * _NEAR_SHARE))

    def _teach(self, seen: Sighting, path: list[int]) -> None:
        """The prompt is this chain. Text blocks beyond what agreed end in proportion."""
        agreed = self._agreed(seen, path)
        places: list[tuple[int, int]] = []
        for index, digest in enumerate(seen.digests):
            tokens = self._end_of(seen, index, agreed)
            if digest in self._places and index > agreed:
                # It was taken to end deeper than what both prompts share.
                tokens = self._places[seen.digests[agreed]].tokens if agreed >= 0 else 0
            places.append((digest, min(tokens // GRANULE_TOKENS, len(path))))
        for digest, granules in reversed(places):  # beginnings are the last to be forgotten
            if granules <= 0:
                self.forget(digest)
            elif digest not in self._contested:
                self._put(digest, path[granules - 1], granules * GRANULE_TOKENS)

    def _end_of(self, seen: Sighting, index: int, agreed: int) -> int:
        """Where a text block ends, in tokens."""
        if agreed >= 0:
            known = self._places[seen.digests[agreed]].tokens
            if index <= agreed:
                place = self._places.get(seen.digests[index])
                if place is not None:
                    return place.tokens
                return known * seen.ends[index] // seen.ends[agreed]
            size = max(seen.size - seen.ends[agreed], 1)
            return known + (seen.tokens - known) * (seen.ends[index] - seen.ends[agreed]) // size
        return seen.tokens * seen.ends[index] // seen.size

    def _narrow(self, seen: Sighting, paths: list[list[int]]) -> None:
        """The prompt is one of these chains: what they share is certain, the rest stays open."""
        for index in range(len(seen.digests) - 1, -1, -1):
            digest = seen.digests[index]
            if digest in self._places or digest in self._contested:
                continue
            before = self._open.get(digest)
            tokens = seen.tokens * seen.ends[index] // seen.size
            if before is not None:
                tokens = before.tokens
            granules = tokens // GRANULE_TOKENS
            if granules <= 0:
                continue
            names = {path[granules - 1] for path in paths if granules <= len(path)}
            if len(names) == 1 and before is None:
                self._put(digest, names.pop(), granules * GRANULE_TOKENS)
            elif before is None:
                self._open[digest] = _Open(tokens, names)
                _bound(self._open, MAX_OPEN)
            else:
                self._narrow_open(digest, before, names, granules)

    def _narrow_open(self, digest: int, before: _Open, names: set[int], granules: int) -> None:
        before.names &= names
        before.sightings += 1
        if not before.names:
            del self._open[digest]  # it was taken to end too deep
        elif len(before.names) == 1 and before.sightings >= _SIGHTINGS:
            self._put(digest, before.names.pop(), granules * GRANULE_TOKENS)

    def _contradicted(self, seen: Sighting, path: list[int]) -> None:
        """What was learned of this text is not what was stored: one of both is wrong."""
        for digest in seen.digests:
            place = self._places.get(digest)
            if place is not None and not _is_at(path, place):
                self.forget(digest)
                self._contested[digest] = True
                _bound(self._contested, MAX_CONTESTED)

    def _put(self, digest: int, name: int, tokens: int) -> None:
        before = self._places.pop(digest, None)
        if before is not None and before.name != name:
            self._unlink(digest, before.name)
        self._places[digest] = _Place(name, tokens)
        if before is not None and before.name == name:
            return
        self._open.pop(digest, None)
        self._digests.setdefault(name, []).append(digest)
        self.changed.append(digest)
        if len(self._places) > self._max_learned:
            self.forget(next(iter(self._places)))

    def _unlink(self, digest: int, name: int) -> None:
        alike = self._digests[name]
        alike.remove(digest)
        if not alike:
            del self._digests[name]


def _is_at(path: list[int], place: _Place) -> bool:
    index = place.tokens // GRANULE_TOKENS - 1
    return index < len(path) and path[index] == place.name


def _bound(kept: dict[int, _Open] | dict[int, bool], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
