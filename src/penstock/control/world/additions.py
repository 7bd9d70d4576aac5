"""Pools and routes that operators add, change and remove while the balancer runs.

They hold over reloads and upgrades until the configuration names the same pool or route, and over
restarts where they are saved. What they may say is ``config.load.run_time``; where routes stand is
``config.compile.additions``. One that a new configuration leaves no room for is kept, and told of,
until it fits again or is removed: it fails no reload.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from penstock.admin.view import AdditionView, UnknownNameError
from penstock.config.compile.configured import Addition, Configured
from penstock.config.load.errors import did_you_mean
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.world.publish import PublishError

Kind = Literal["pool", "route"]
_KINDS: Final[tuple[Kind, ...]] = ("pool", "route")
_STATE: Final = "additions"
_VERSION: Final = 1
_MOST: Final = 1000  # of each kind


class KnownAdditions(msgspec.Struct):
    """All of them, in the order in which routes are asked."""

    pools: list[Addition] = []
    routes: list[Addition] = []

    def of(self, kind: Kind) -> list[Addition]:
        """Those of that kind."""
        return self.pools if kind == "pool" else self.routes

    def named(self, kind: Kind, name: str) -> Addition | None:
        """The one of that name."""
        return next((each for each in self.of(kind) if each.name == name), None)

    def with_(self, kind: Kind, addition: Addition, position: int | None) -> "KnownAdditions":
        """With it in place of the one of its name, or where it is to stand; None: there, or last.

        The first position is 1.
        """
        others = [each for each in self.of(kind) if each.name != addition.name]
        before = [each.name for each in self.of(kind)]
        if position is not None:
            index = position - 1
        elif addition.name in before:
            index = before.index(addition.name)
        else:
            index = len(others)
        return self._with(kind, [*others[:index], addition, *others[index:]])

    def without(self, kind: Kind, names: set[str]) -> "KnownAdditions":
        """Without those of these names."""
        return self._with(kind, [each for each in self.of(kind) if each.name not in names])

    def _with(self, kind: Kind, additions: list[Addition]) -> "KnownAdditions":
        if kind == "pool":
            return KnownAdditions(additions, self.routes)
        return KnownAdditions(self.pools, additions)


class Additions:
    """Adds, changes and removes. ``publish`` runs once more what is configured, as ``extended``
    has it then; it raises PublishError."""

    def __init__(
        self,
        configured: Callable[[], Configured],
        publish: Callable[[], Awaitable[None]],
        files: StateFiles,
        events: Events,
    ) -> None:
        self.on_pool_removed: Callable[[str], None] = lambda pool: None
        self._configured = configured
        self._publish = publish
        self._files = files
        self._events = events
        self._known: KnownAdditions | None = None  # until it is loaded
        self._saved = KnownAdditions()
        self._problems: dict[tuple[str, str], str] = {}
        self._one_at_a_time = asyncio.Lock()

    # --- before and beside ------------------------------------------------------------------

    def load(self) -> None:
        """Begin with what was saved, before the first snapshot is made; a predecessor knows
        better."""
        self._saved = self._files.read(_STATE, _VERSION, KnownAdditions) or KnownAdditions()
        if self._known is None:
            self._known = self._saved

    def known(self) -> KnownAdditions:
        """For a successor's ``restore``."""
        return self._known or KnownAdditions()

    def restore(self, known: KnownAdditions) -> None:
        """Go on from a predecessor; before ``load``."""
        self._known = known

    def extended(self, configured: Configured) -> Configured:
        """A configuration with those that it does not name itself, and that go with it."""
        problems: dict[tuple[str, str], str] = {}
        made = _extended(configured, self.known(), problems)
        for key, text in problems.items():
            if self._problems.get(key) != text:
                kind, name = key
                told = f"the {kind} {name}, which was added at run time, is left out: {text}"
                self._events.error(f"{kind}.left_out", told)
        self._problems = problems
        return made

    def configure(self, configured: Configured) -> None:
        """This runs: what it names need not be kept any more."""
        known, saved = self.known(), self._saved
        for kind, names in _names(configured).items():
            known, saved = known.without(kind, names), saved.without(kind, names)
        self._known = known
        if saved != self._saved:
            self._saved = saved
            self._write()

    def views(self) -> tuple[AdditionView, ...]:
        """As status shows them, routes in their order."""
        return tuple(
            AdditionView(
                kind,
                each.name,
                self._saved.named(kind, each.name) is not None,
                self._problems.get((kind, each.name), ""),
            )
            for kind in _KINDS
            for each in self.known().of(kind)
        )

    def has_pool(self, name: str) -> bool:
        """Whether the pool of that name was added."""
        return self.known().named("pool", name) is not None

    # --- what operators say -----------------------------------------------------------------

    async def add(
        self,
        kind: Kind,
        name: str,
        settings: Mapping[str, Any],
        *,
        position: int | None = None,
        save: bool = False,
    ) -> None:
        """One that is not there. ``position``: of a route among those added, from 1; None: last.

        Raises ValueError for what cannot be.
        """
        async with self._one_at_a_time:
            if self.known().named(kind, name) is not None:
                raise ValueError(f"the {kind} {name} was added already: use `change`")
            self._check_not_configured(kind, name)
            if len(self.known().of(kind)) >= _MOST:
                raise ValueError(f"{_MOST} {kind}s were added; there can be no more")
            await self._say(kind, Addition(name, dict(settings)), position, save=save)
            self._tell(kind, name, "is added")

    async def change(
        self,
        kind: Kind,
        name: str,
        settings: Mapping[str, Any],
        *,
        position: int | None = None,
        save: bool = False,
    ) -> None:
        """One that was added: these keys in place of those that it has, without those that are
        None. Raises UnknownNameError, and ValueError for what cannot be."""
        async with self._one_at_a_time:
            said = self._added(kind, name).settings | dict(settings)
            kept = {key: value for key, value in said.items() if value is not None}
            await self._say(kind, Addition(name, kept), position, save=save)
            self._tell(kind, name, "is changed")

    async def remove(self, kind: Kind, name: str, *, save: bool = False) -> None:
        """One that was added; requests that run finish. Raises as ``change`` does."""
        async with self._one_at_a_time:
            self._added(kind, name)
            self._check_saving(save)
            await self._run(self.known().without(kind, {name}), None)
            if save:
                self._saved = self._saved.without(kind, {name})
                self._write()
            if kind == "pool":
                self.on_pool_removed(name)
            self._tell(kind, name, "is removed")

    async def _say(
        self, kind: Kind, addition: Addition, position: int | None, *, save: bool
    ) -> None:
        self._check_saving(save)
        await self._run(self.known().with_(kind, addition, position), (kind, addition.name))
        if save:
            self._saved = self._saved.with_(kind, addition, position)
            self._write()

    async def _run(self, wanted: KnownAdditions, said: tuple[str, str] | None) -> None:
        """Let workers know, or leave it as it was. Raises ValueError, unless only those are left
        out that were so before."""
        before, problems = self.known(), dict[tuple[str, str], str]()
        _extended(self._configured(), wanted, problems)
        for key, text in problems.items():
            if key == said or key not in self._problems:
                raise ValueError(text)
        self._known = wanted
        try:
            await self._publish()
        except BaseException as error:
            self._known = before
            if isinstance(error, PublishError):
                raise ValueError(f"workers do not take it: {error}") from error
            raise

    def _added(self, kind: Kind, name: str) -> Addition:
        found = self.known().named(kind, name)
        if found is not None:
            return found
        self._check_not_configured(kind, name)
        known = [each.name for each in self.known().of(kind)]
        hint = did_you_mean(name, known) or f"; there are: {', '.join(known[:10]) or 'none'}"
        raise UnknownNameError(f"no {kind} {name!r} was added at run time{hint}")

    def _check_not_configured(self, kind: Kind, name: str) -> None:
        if name in _names(self._configured())[kind]:
            raise ValueError(
                f"the configuration lists the {kind} {name}: change it there and reload"
            )

    def _tell(self, kind: Kind, name: str, what: str) -> None:
        self._events.info(f"{kind}.changed", f"the {kind} {name} {what} by the admin API")

    def _check_saving(self, save: bool) -> None:
        if save and self._files.directory is None:
            raise ValueError(
                "nothing can be saved: there is no state directory; set `state: DIRECTORY`"
            )

    def _write(self) -> None:
        self._files.write(_STATE, _VERSION, self._saved)


def _names(configured: Configured) -> dict[Kind, set[str]]:
    running = configured.snapshot
    return {
        "pool": {each.name for each in running.pools},
        "route": {each.name for each in running.routes},
    }


def _extended(
    configured: Configured, known: KnownAdditions, problems: dict[tuple[str, str], str]
) -> Configured:
    if not known.pools and not known.routes:
        return configured
    from penstock.config.compile.additions import extend  # and with it the document's model

    named = _names(configured)
    return extend(
        configured,
        known.without("pool", named["pool"]).pools,
        known.without("route", named["route"]).routes,
        lambda kind, name, text: problems.__setitem__((kind, name), text),
    )
