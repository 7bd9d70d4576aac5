"""What operators say about endpoints while the balancer runs: the API's word in the membership.

It holds over reloads until the configuration lists the same endpoint, and over restarts where it
is saved. It can say where an endpoint is and how much it gets, and nothing that names a file, a
secret or a command.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from penstock.admin.view import UnknownNameError
from penstock.config.load.errors import did_you_mean
from penstock.control.discovery.membership import Membership, TooManyError
from penstock.control.discovery.source import API, FILE, Place, place_of
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.core.snapshot.address import shown_address, socket_path
from penstock.core.snapshot.discovery import Found

if TYPE_CHECKING:  # what reads documents is imported when somebody says something
    from penstock.config.document.endpoint_url import EndpointUrl

_STATE: Final = "endpoints"
_VERSION: Final = 1
_API_BASE: Final = "/v1"  # that clients' paths begin with


class _Saved(msgspec.Struct):
    """What is said of one pool."""

    added: list[Endpoint] = []
    removed: list[Place] = []


class ApiEndpoints:
    """Adds, changes and removes."""

    def __init__(
        self,
        membership: Membership,
        running: Callable[[], Snapshot],
        refresh: Callable[[], Awaitable[None]],
        files: StateFiles,
        events: Events,
    ) -> None:
        """``refresh`` publishes once more what runs. It raises PublishError."""
        self._membership = membership
        self._running = running
        self._refresh = refresh
        self._files = files
        self._events = events
        self._saved: dict[str, _Saved] = {}
        self.pool_was_added: Callable[[str], bool] = lambda pool: False  # at run time itself

    def load(self) -> None:
        """Say what was saved, before the first snapshot is made; a predecessor knows better."""
        found = self._files.read(_STATE, _VERSION, dict[str, _Saved])
        self._saved = found or {}
        if any(
            each.source is None or each.source[0] == API.rank for each in self._membership.known()
        ):
            return
        for pool, saved in self._saved.items():
            for place in saved.removed:
                self._membership.exclude(pool, place)
            for endpoint in saved.added:
                try:
                    self._membership.add(API, pool, endpoint)
                except TooManyError as error:
                    self._events.error("discovery.refused", f"saved endpoints: {error}")

    def configure(self, fixed: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """This runs: what it lists need not be kept any more."""
        changed = False
        for name, saved in self._saved.items():
            places = {place_of(each) for each in fixed.get(name, ())}
            kept = _Saved(
                [each for each in saved.added if place_of(each) not in places],
                [place for place in saved.removed if tuple(place) not in places],
            )
            if kept != saved:
                self._saved[name] = kept
                changed = True
        if changed:
            self._write()

    async def add(self, pool: str, url: str, said: Mapping[str, Any], *, save: bool) -> Endpoint:
        """One that is not there. Raises UnknownNameError, and ValueError for what cannot be."""
        spec = self._pool(pool)
        place, asked = _read(url, spec)
        known = self._member(spec, place)
        if known is not None:
            source = self._membership.source_of(pool, known)
            raise ValueError(
                f"{pool} has {known.name} already ({source.name}): "
                + ("it is changed in the configuration" if source == FILE else "use `change`")
            )
        endpoint = _described(asked, said)
        await self._say(pool, endpoint, save=save)
        return endpoint

    async def change(self, pool: str, url: str, said: Mapping[str, Any], *, save: bool) -> Endpoint:
        """One that is there. Raises as ``add`` does."""
        spec = self._pool(pool)
        place, _ = _read(url, spec)
        known = self._changeable(spec, place)
        bare = replace(known, row=-1, addresses=(), no_address="")
        endpoint = _described(bare, said)
        await self._say(pool, endpoint, save=save)
        return endpoint

    async def remove(self, pool: str, url: str, *, save: bool) -> Endpoint:
        """One that is there; what it runs, it finishes. Raises as ``add`` does."""
        spec = self._pool(pool)
        place, _ = _read(url, spec)
        known = self._changeable(spec, place)
        self._check_saving(save)
        before = self._membership.told(API, pool), place in self._membership.excluded(pool)
        self._membership.remove(API, pool, place)
        self._membership.exclude(pool, place)
        await self._publish(pool, place, before)
        if save:
            self._save(pool, place, None)
        self._tell(pool, f"{known.name} is removed")
        return known

    def forget(self, pool: str) -> None:
        """The pool is there no more."""
        self._membership.set(API, pool, ())
        for place in tuple(self._membership.excluded(pool)):
            self._membership.exclude(pool, place, excluded=False)
        if self._saved.pop(pool, None) is not None:
            self._write()

    async def follow(self, pool: str, url: str, said: Mapping[str, Any] | None) -> None:
        """What was said at another balancer; None: it is removed. What is configured here stays.

        Raises UnknownNameError, and ValueError for what cannot be.
        """
        spec = self._pool(pool)
        place, asked = _read(url, spec)
        known = self._member(spec, place)
        if known is not None and self._membership.source_of(pool, known) == FILE:
            return
        if said is not None:
            await self._say(pool, _described(asked, said), save=False)
        elif known is not None:
            await self.remove(pool, url, save=False)

    async def _say(self, pool: str, endpoint: Endpoint, *, save: bool) -> None:
        self._check_saving(save)
        place = place_of(endpoint)
        before = self._membership.told(API, pool), place in self._membership.excluded(pool)
        try:
            self._membership.add(API, pool, endpoint)
        except TooManyError as error:
            raise ValueError(str(error)) from error
        self._membership.exclude(pool, place, excluded=False)
        await self._publish(pool, place, before)
        if save:
            self._save(pool, place, endpoint)
        self._tell(pool, f"{endpoint.name} has weight {endpoint.weight:g} by the admin API")

    async def _publish(
        self, pool: str, place: Place, before: tuple[tuple[Endpoint, ...], bool]
    ) -> None:
        """Let workers know, or leave it as it was."""
        try:
            await self._refresh()
        except BaseException as error:
            told, excluded = before
            self._membership.set(API, pool, told)
            self._membership.exclude(pool, place, excluded)
            if isinstance(error, PublishError):
                raise ValueError(f"workers do not take it: {error}") from error
            raise

    def _tell(self, pool: str, what: str) -> None:
        self._events.info("endpoint.changed", f"pool {pool}: {what}", pool=pool)

    # --- what is there ----------------------------------------------------------------------

    def _pool(self, name: str) -> Pool:
        pools = {pool.name: pool for pool in self._running().pools}
        if name not in pools:
            hint = did_you_mean(name, pools) or f"; there are: {', '.join(list(pools)[:10])}"
            raise UnknownNameError(f"no pool is called {name!r}{hint}")
        return pools[name]

    def _member(self, pool: Pool, place: Place) -> Endpoint | None:
        return next((each for each in pool.endpoints if place_of(each) == place), None)

    def _changeable(self, pool: Pool, place: Place) -> Endpoint:
        known = self._member(pool, place)
        if known is None:
            raise UnknownNameError(f"pool {pool.name!r} has no endpoint at {shown_address(*place)}")
        if self._membership.source_of(pool.name, known) == FILE:
            if self.pool_was_added(pool.name):
                raise ValueError(
                    f"the settings of the pool list {known.name}: `ctl pool change` changes them"
                )
            raise ValueError(
                f"the configuration lists {known.name}: change it there and reload; "
                "`penstock ctl weight` and `drain` hold until then"
            )
        return known

    # --- what is kept over restarts ---------------------------------------------------------

    def _check_saving(self, save: bool) -> None:
        if save and self._files.directory is None:
            raise ValueError(
                "nothing can be saved: there is no state directory; set `state: DIRECTORY`"
            )

    def _save(self, pool: str, place: Place, endpoint: Endpoint | None) -> None:
        before = self._saved.get(pool, _Saved())
        added = [each for each in before.added if place_of(each) != place]
        removed = [each for each in before.removed if tuple(each) != place]
        if endpoint is not None:
            added.append(endpoint)
        else:
            removed.append(place)
        self._saved[pool] = _Saved(added, removed)
        self._write()

    def _write(self) -> None:
        kept = {name: each for name, each in self._saved.items() if each.added or each.removed}
        self._files.write(_STATE, _VERSION, kept)


def _read(url: str, pool: Pool) -> tuple[Place, Endpoint]:
    """Where it is, and what it is like. Raises ValueError."""
    from penstock.config.document.endpoint_url import parse_endpoint_url

    parsed = parse_endpoint_url(url)
    if socket_path(parsed.host):
        raise ValueError(
            "a socket of the file system can only be given in the configuration, not over the API"
        )
    if parsed.protocol != pool.protocol:
        raise ValueError(f"pool {pool.name!r} has {pool.protocol}:// endpoints")
    if parsed.base_path.endswith(_API_BASE) and pool.kind == "llm":
        raise ValueError(f"leave `{_API_BASE}` away: the paths that clients ask for begin with it")
    return (parsed.host, parsed.port), _endpoint(parsed, pool)


def _endpoint(url: "EndpointUrl", pool: Pool) -> Endpoint:
    return Endpoint(
        name=shown_address(url.host, url.port) + url.base_path,
        host=url.host,
        port=url.port,
        tls=url.tls,
        http2=url.http2 or (url.tls and pool.tls.http2 == "on"),
        base_path=url.base_path,
    )


def _described(endpoint: Endpoint, said: Mapping[str, Any]) -> Endpoint:
    """With what was said. Raises ValueError."""
    from penstock.config.load.labels import described

    given = {key: value for key, value in said.items() if value not in (None, "")}
    found = described(Found(endpoint.host), given)
    changes: dict[str, Any] = {key: getattr(found, key) for key in given}
    return replace(endpoint, **changes)
