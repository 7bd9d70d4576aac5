"""Which endpoints a pool has: the rules, without a clock, task or socket of their own.

Sources say which endpoints there are; whose word goes before whose is `source.Source`. The laws:

- An endpoint is its address and port. Who is named by several sources is one, as the first of
  them describes it, and keeps its name, and so its health and statistics, while it is there.
- A source that holds (a provider) cannot empty its part: an answer without endpoints changes
  nothing.
- What leaves is taken out of the snapshot, and so finishes what it has; who leaves and comes back
  again and again leaves later each time (`flapping`).
- Too many endpoints change nothing.
- Where a provider is replaced by others, its part stays until all of those have answered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.control.discovery.flapping import Flapping
from penstock.control.discovery.free_names import free_name, named, shown
from penstock.control.discovery.source import API, FILE, Place, Source, place_of
from penstock.core.snapshot import Endpoint


class TooManyError(Exception):
    """A source names more endpoints than there is room for. The text is for people."""


class KnownPart(msgspec.Struct):
    """What one source said about a pool, or what the API excluded there, as plain data."""

    pool: str
    source: tuple[int, int, str, bool] | None = None
    endpoints: list[dict[str, Any]] = []
    excluded: list[Place] = []


@dataclass
class _Part:
    """What one source says about one pool."""

    told: dict[Place, Endpoint] = field(default_factory=dict)  # those that are kept included
    going: dict[Place, float] = field(default_factory=dict)  # kept, and until when
    answered: bool = False
    flapping: Flapping = field(default_factory=Flapping)


@dataclass
class _Pool:
    parts: dict[Source, _Part] = field(default_factory=dict)
    excluded: set[Place] = field(default_factory=set)  # by the API, of those behind it
    # Of the members that the configuration does not list, in the order they came in.
    names: dict[Place, str] = field(default_factory=dict)
    said: list[tuple[Source, dict[Place, Endpoint]]] = field(default_factory=list)  # then
    used: set[str] = field(default_factory=set)  # names, those of the configuration included
    fixed: tuple[Endpoint, ...] = ()  # of which ``used`` was made
    wanted: frozenset[Source] = frozenset()  # the providers that it has


class Membership:
    """Of all pools. ``on_change`` is called where the members of a pool may be others now."""

    def __init__(
        self,
        clock: Callable[[], float],
        most: int = 100_000,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``most``: endpoints that all sources together may name beside the configuration."""
        self.on_change = on_change
        # Addresses of a name that an endpoint may have in place of one.
        self.addresses_of: Callable[[str], tuple[str, ...]] = lambda host: ()
        self._clock = clock
        self._most = most
        self._pools: dict[str, _Pool] = {}

    # --- what sources say -------------------------------------------------------------------

    def set(
        self, source: Source, pool: str, endpoints: Iterable[Endpoint], most: int | None = None
    ) -> bool:
        """All that the source knows of that pool. False: none, and what it said before holds.

        Endpoints have no row and no addresses; an empty name stands for ``host:port``. Whom it
        names twice is as it was named first. Raises TooManyError, and then nothing changes.
        """
        told: dict[Place, Endpoint] = {}
        for endpoint in endpoints:
            told.setdefault(place_of(endpoint), named(endpoint, endpoint.name or shown(endpoint)))
        known = self._pools.setdefault(pool, _Pool())
        part = known.parts.get(source, _Part())
        if source.holds and not told:
            return False
        self._check_room(len(told), part, most)
        known.parts[source] = part
        answered_before, part.answered = part.answered, True
        if source.holds:
            self._keep_flapping(part, told)
        changed = part.told != told
        if changed:
            part.told = _as_before(part.told, told)
        if not answered_before and source in known.wanted:  # else `configure` will know more
            changed = self._drop_replaced(known) or changed
        if changed:
            self.on_change()
        return True

    def update(
        self,
        source: Source,
        pool: str,
        came: Iterable[Endpoint],
        left: Iterable[Place] = (),
        most: int | None = None,
    ) -> bool:
        """What became of some of those that the source named: it knows no more of the others.

        As ``set`` with all of them, and cheaper.
        """
        known = self._pools.get(pool)
        part = known.parts.get(source) if known is not None else None
        if known is None or part is None or not part.answered:
            return self.set(source, pool, came, most)
        new = {place_of(e): named(e, e.name or shown(e)) for e in came}
        gone = [place for place in left if place in part.told and place not in new]
        size = len(part.told) + sum(place not in part.told for place in new) - len(gone)
        if source.holds and size - len(part.going.keys() - new.keys()) <= 0:
            return False
        self._check_room(size, part, most)
        now = self._clock()
        changed = False
        part.told = dict(part.told)  # the one before is still known of those that run
        for place, endpoint in new.items():
            if source.holds:
                part.flapping.comes(place, now)
                part.going.pop(place, None)
            if part.told.get(place) != endpoint:
                part.told[place] = endpoint
                changed = True
        for place in gone:
            if not source.holds or _leaves(part, place, now):
                del part.told[place]
                changed = True
        if changed:
            self.on_change()
        return True

    def add(self, source: Source, pool: str, endpoint: Endpoint) -> None:
        """One more, or one in place of that at the same address. Raises TooManyError."""
        others = [e for e in self.told(source, pool) if place_of(e) != place_of(endpoint)]
        self.set(source, pool, [*others, endpoint])

    def remove(self, source: Source, pool: str, place: Place) -> bool:
        """One that the source named; whether it had."""
        told = self.told(source, pool)
        left = [each for each in told if place_of(each) != place]
        if len(left) == len(told):
            return False
        self._pools[pool].parts[source].told = {place_of(each): each for each in left}
        self.on_change()
        return True

    def exclude(self, pool: str, place: Place, excluded: bool = True) -> None:
        """The API's word that an endpoint that others find is not used, or that it is again."""
        known = self._pools.setdefault(pool, _Pool())
        if excluded != (place in known.excluded):
            (known.excluded.add if excluded else known.excluded.discard)(place)
            self.on_change()

    def told(self, source: Source, pool: str) -> tuple[Endpoint, ...]:
        """What that source says, those that it said before and that are kept included."""
        known = self._pools.get(pool)
        part = known.parts.get(source) if known is not None else None
        return tuple(part.told.values()) if part is not None else ()

    def excluded(self, pool: str) -> frozenset[Place]:
        """What the API said is not used."""
        known = self._pools.get(pool)
        return frozenset(known.excluded) if known is not None else frozenset()

    def source_of(self, pool: str, endpoint: Endpoint) -> Source:
        """Whose word it is that this member is there."""
        known = self._pools.get(pool)
        place = place_of(endpoint)
        if known is None or place not in known.names:
            return FILE
        # By what was said when members were last asked for: one that left since is still its
        # source's until the snapshot knows it.
        for source, told in known.said:
            if place in told and not (source > API and place in known.excluded):
                return source
        return next((source for source, told in known.said if place in told), FILE)

    def known(self) -> list[KnownPart]:
        """All that was said, for a successor."""
        return [
            KnownPart(
                pool=pool,
                source=(source.rank, source.order, source.name, source.holds),
                endpoints=[msgspec.to_builtins(each) for each in part.told.values()],
            )
            for pool, known in self._pools.items()
            for source, part in known.parts.items()
        ] + [
            KnownPart(pool=pool, excluded=sorted(known.excluded))
            for pool, known in self._pools.items()
            if known.excluded
        ]

    def restore(self, said: Iterable[KnownPart]) -> None:
        """What a predecessor knew, before the first snapshot is made. Its providers' part holds
        until ours have answered; what cannot be read is left out."""
        for each in said:
            known = self._pools.setdefault(each.pool, _Pool())
            known.excluded |= set(each.excluded)
            if each.source is not None:
                part = known.parts.setdefault(Source(*each.source), _Part())
                for one in each.endpoints:
                    with suppress(msgspec.ValidationError):
                        endpoint = msgspec.convert(one, Endpoint)
                        part.told[place_of(endpoint)] = endpoint

    # --- what becomes of it -----------------------------------------------------------------

    def members(self, pool: str, fixed: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """Those of the configuration, and those that sources name, in the order they came in.

        The same object as long as nothing about an endpoint changes.
        """
        known = self._pools.get(pool)
        if known is None or not known.parts:
            return fixed
        found = self._found(known)
        known.said = [(source, known.parts[source].told) for source in sorted(known.parts)]
        for place in self._places_of(fixed):
            found.pop(place, None)
        names = known.names
        for place in names.keys() - found.keys():
            known.used.discard(names.pop(place))
        if fixed != known.fixed:  # its names go first
            known.fixed = fixed
            known.used = {endpoint.name for endpoint in fixed}
            for place, name in list(names.items()):
                if name in known.used:
                    names[place] = free_name(found[place], known.used)
                known.used.add(names[place])
        came = found.keys() - names.keys()
        if came:
            for place in [place for place in found if place in came]:
                names[place] = free_name(found[place], known.used)
                known.used.add(names[place])
        return fixed + tuple(
            [
                each if (each := found[place]).name == name else replace(each, name=name)
                for place, name in names.items()
            ]
        )

    def _found(self, known: _Pool) -> dict[Place, Endpoint]:
        """What all sources say together: whose word goes before the others' is written last."""
        found: dict[Place, Endpoint] = {}
        hidden = False
        for source in sorted(known.parts, reverse=True):
            if source <= API and not hidden:
                hidden = True
                for place in known.excluded:
                    found.pop(place, None)
            told = known.parts[source].told
            if found:
                found = told | {place: each for place, each in found.items() if place not in told}
            else:
                found = dict(told)
        if not hidden:
            for place in known.excluded:
                found.pop(place, None)
        return found

    def configure(
        self,
        providers: Mapping[str, Sequence[Source]],
        fixed: Mapping[str, tuple[Endpoint, ...]],
    ) -> None:
        """A configuration runs: these are the providers of its pools, and the endpoints it lists.

        What it lists, the API need not say any more.
        """
        changed = False
        for name, known in self._pools.items():
            known.wanted = frozenset(providers.get(name, ()))
            changed = self._drop_replaced(known) or changed
            part = known.parts.get(API)
            if part is None and not known.excluded:
                continue
            places = {place_of(each) for each in fixed.get(name, ())}
            known.excluded -= places
            if part is not None:
                for place in places & part.told.keys():
                    del part.told[place]
        for name, sources in providers.items():
            self._pools.setdefault(name, _Pool()).wanted = frozenset(sources)
        if changed:
            self.on_change()

    def expire(self) -> None:
        """Let those go that were kept until now."""
        now = self._clock()
        changed = False
        for known in self._pools.values():
            for part in known.parts.values():
                over = {place for place, until in part.going.items() if until <= now}
                if over:
                    part.told = {k: v for k, v in part.told.items() if k not in over}
                    changed = True
                for place in over:
                    del part.going[place]
        if changed:
            self.on_change()

    # --- rules ------------------------------------------------------------------------------

    def _check_room(self, count: int, part: _Part, most: int | None) -> None:
        if most is not None and count > most:
            raise TooManyError(
                f"{count} endpoints were found, and `max_endpoints` is {most}: what was known "
                "before is used"
            )
        others = sum(len(p.told) for known in self._pools.values() for p in known.parts.values())
        others -= len(part.told)
        if others + count > self._most:
            raise TooManyError(
                f"{count} endpoints were found where there is room for "
                f"{max(self._most - others, 0)}: what was known before is used; after a restart "
                "there is room for as many as all `max_endpoints` allow"
            )

    def _keep_flapping(self, part: _Part, told: dict[Place, Endpoint]) -> None:
        """Add those to ``told`` that are missing and stay nevertheless."""
        now = self._clock()
        for place in told:
            part.flapping.comes(place, now)
            part.going.pop(place, None)
        for place, endpoint in part.told.items():
            if place not in told and not _leaves(part, place, now):
                told[place] = endpoint

    def _drop_replaced(self, known: _Pool) -> bool:
        """Parts of providers that are configured no more, once those that are have answered."""
        gone = [each for each in known.parts if each.holds and each not in known.wanted]
        waited_for = [
            each
            for each in known.wanted
            if each not in known.parts or not known.parts[each].answered
        ]
        if not gone or waited_for:
            return False
        for source in gone:
            del known.parts[source]
        return True

    def _places_of(self, fixed: tuple[Endpoint, ...]) -> frozenset[Place]:
        """Of the configured ones, by their names and, where a name has one address, by that."""
        taken = {place_of(each) for each in fixed}
        for endpoint in fixed:
            addresses = self.addresses_of(endpoint.host)
            if len(addresses) == 1:
                taken.add((addresses[0], endpoint.port))
        return frozenset(taken)


def _leaves(part: _Part, place: Place, now: float) -> bool:
    """Whether one that is named no more goes at once, or else is kept for a while."""
    until = part.flapping.leaves(place, now)
    if until > now:
        part.going[place] = until
        return False
    part.going.pop(place, None)
    return True


def _as_before(before: dict[Place, Endpoint], now: dict[Place, Endpoint]) -> dict[Place, Endpoint]:
    """``now``, with the objects of before where they are equal, by which one sees what changed."""
    return {
        place: before[place] if before.get(place) == endpoint else endpoint
        for place, endpoint in now.items()
    }
