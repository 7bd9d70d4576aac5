"""Keys of those who issue tokens: fetched, or read from a file, and kept when that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
from msgspec.structs import replace

from penstock.control.discovery.asking import InventoryClient
from penstock.control.discovery.provider import ProviderError
from penstock.control.events import Events
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Snapshot, TokenIssuer

_LOOK_S: Final = 1.0
_TIMEOUT_S: Final = 5.0
_FIRST_S: Final = 2.0  # that a snapshot waits for keys that nobody knows yet
_AGAIN_S: Final = 10.0  # after a look that failed
_MOST_BYTES: Final = 1024 * 1024


class _Jwks(msgspec.Struct):
    keys: list[dict[str, object]]


class KeySets:
    """``mark`` puts into snapshots what is known; ``run`` looks again, and publishes changes."""

    def __init__(
        self,
        events: Events,
        refresh: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._events = events
        self._refresh = refresh
        self._clock = clock
        self._client = InventoryClient()
        self._known: dict[str, str] = {}  # by where they come from
        self._due: dict[str, float] = {}
        self._complained: dict[str, str] = {}
        self._issuers: tuple[TokenIssuer, ...] = ()

    def mark(self, snapshot: Snapshot) -> Snapshot:
        """With the keys that are known."""
        if not snapshot.token_issuers:
            return snapshot
        known = self._known
        issuers = tuple(
            replace(each, key_set=known.get(_source(each), "")) for each in snapshot.token_issuers
        )
        return replace(snapshot, token_issuers=issuers)

    def configure(self, snapshot: Snapshot) -> None:
        """Look after the keys of these."""
        self._issuers = snapshot.token_issuers

    async def prepare(self, snapshot: Snapshot) -> None:
        """Learn keys that nobody knows yet, for as long as a snapshot may wait."""
        new = [each for each in snapshot.token_issuers if _source(each) not in self._known]
        if new:
            try:
                async with asyncio.timeout(_FIRST_S):
                    await asyncio.gather(*[self._look(each) for each in new])
            except TimeoutError:
                pass  # ``run`` goes on

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look at those that are due, and publish what changed."""
        now = self._clock()
        due = [each for each in self._issuers if self._due.get(_source(each), 0.0) <= now]
        before = dict(self._known)
        for each in due:
            await self._look(each)
        if self._known == before:
            return
        try:
            await self._refresh()
        except PublishError as error:
            self._events.error("jwks.refused", f"changed keys of issuers are not used: {error}")

    async def close(self) -> None:
        """At the end."""
        await self._client.close()

    async def _look(self, issuer: TokenIssuer) -> None:
        source = _source(issuer)
        try:
            text = await self._read(issuer)
            if not msgspec.json.decode(text, type=_Jwks).keys:
                raise ProviderError(f"{source} has no keys")
        except (ProviderError, OSError, ValueError) as error:
            self._due[source] = self._clock() + min(_AGAIN_S, issuer.refresh_s)
            self._complain(source, str(error))
            return
        self._due[source] = self._clock() + issuer.refresh_s
        self._complained.pop(source, None)
        self._known[source] = text.decode()

    async def _read(self, issuer: TokenIssuer) -> bytes:
        if issuer.jwks_file:
            return await asyncio.to_thread(_bounded, Path(issuer.jwks_file))
        said = await self._client.get(issuer.jwks_url, _TIMEOUT_S)
        if len(said.body) > _MOST_BYTES:
            raise ProviderError(f"{issuer.jwks_url} answers with over {_MOST_BYTES} bytes")
        return said.body

    def _complain(self, source: str, text: str) -> None:
        """Once for each cause."""
        if self._complained.get(source) != text:
            self._complained[source] = text
            kept = "those known stay" if source in self._known else "no token is let in"
            self._events.error("jwks", f"keys of an issuer of tokens: {text}; {kept}")


def _source(issuer: TokenIssuer) -> str:
    return issuer.jwks_url or issuer.jwks_file


def _bounded(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ProviderError(f"{file} has over {_MOST_BYTES} bytes")
    return data
