"""The store that several balancers share: Valkey or Redis.

Values stand in one hash, each with its revision before it; a lease is a key that expires. What is
changed goes through scripts of one key each, so that a cluster takes them. Where the server is
gone every method raises StoreError at once, and nobody waits.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from penstock.config.compile.configured import StoreSettings
from penstock.control.events import Events
from penstock.control.store import scripts
from penstock.control.store.embedded import Watcher, checked
from penstock.control.store.feed import ANSWER_S, Feed
from penstock.control.store.store import Entry, Store, StoreError, Watch

MOST_BYTES: Final = 4 * 1024 * 1024  # of one value
MOST_KEYS: Final = 100_000
_FIRST_TIME_S: Final = 3.0  # that callers wait for the first connection of all
_MOST_REVISION_DIGITS: Final = 17  # microseconds since 1970
Client = Any  # redis-py has one type for each kind of server


class SharedStore(Store):
    """``run`` keeps it connected. ``feed`` also carries what balancers tell each other."""

    def __init__(
        self, settings: StoreSettings, events: Events, channels: tuple[str, ...] = ()
    ) -> None:
        """``channels``: names of what else is listened to, without their beginning."""
        self.settings = settings
        self._events = events
        self._prefix = f"penstock:{settings.cluster}:v1:"
        self._values = f"{self._prefix}{{values}}"
        self._changed = f"{self._prefix}changed".encode()
        self._watchers: set[_SharedWatcher] = set()
        self._client: Client = None
        self._sentinel: Sentinel | None = None
        self._ever = asyncio.Event()
        self._catching_up: asyncio.Task[None] | None = None
        self._others: dict[bytes, Callable[[bytes], None]] = {}
        names = (self._changed, *(self.channel(name) for name in channels))
        self.feed = Feed(settings, self._locate, names, Random())
        self.feed.on_message = self._heard
        self.feed.on_connected = self._connected
        self.feed.on_lost = self._lost
        self.on_connected: list[Callable[[], None]] = []
        self.failed = 0  # calls
        self.first_time_s = _FIRST_TIME_S

    def channel(self, name: str) -> bytes:
        """A channel of the feed as the server knows it."""
        return f"{self._prefix}{name}".encode()

    def listen(self, name: str, heard: Callable[[bytes], None]) -> None:
        """Have ``heard`` called with what is published on one of the ``channels``."""
        self._others[self.channel(name)] = heard

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        try:
            await self.feed.run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of all connections."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        sentinel, self._sentinel = self._sentinel, None
        if sentinel is not None:
            for each in sentinel.sentinels:
                await each.aclose()

    # --- the contract -----------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        found = await self._script(scripts.GET, self._values, checked(key), MOST_BYTES)
        return None if found is None else _entry(found)

    async def put_if_unchanged(self, key: str, value: bytes, revision: int) -> int | None:
        if len(value) > MOST_BYTES:
            raise ValueError(f"{key} has {len(value)} bytes; a value has at most {MOST_BYTES}")
        found = await self._script(
            scripts.PUT, self._values, checked(key), revision, value, MOST_KEYS, self._changed
        )
        return _number(found) or None

    async def remove_if_unchanged(self, key: str, revision: int) -> bool:
        found = await self._script(
            scripts.REMOVE, self._values, checked(key), revision, self._changed
        )
        return _number(found) == 1

    async def keys(self, prefix: str) -> list[str]:
        found = await self._script(scripts.KEYS, self._values, prefix, MOST_KEYS)
        if not isinstance(found, list):
            raise StoreError("the store's list of keys is no list")
        return sorted(_text(each) for each in found)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        found = await self._script(
            scripts.LEASE, self._lease_key(name), holder, max(round(seconds * 1000), 1)
        )
        return _number(found) == 1

    async def release(self, name: str, holder: str) -> None:
        await self._script(scripts.RELEASE, self._lease_key(name), holder)

    def is_connected(self) -> bool:
        """Whether it answers, as far as is known."""
        return self.feed.connected

    async def of_limit(self, script: str, name: str, *arguments: object) -> list[str]:
        """Run a script on the key of a limit, whose answer is texts. Raises StoreError."""
        found = await self._script(script, f"{self._prefix}{{limit:{name}}}", *arguments)
        return [_text(each) for each in (found if isinstance(found, list) else [found])]

    def watch(self, prefix: str) -> Watch:
        watcher = _SharedWatcher(prefix, self._forget)
        self._watchers.add(watcher)
        return watcher

    # --- the server -------------------------------------------------------------------------

    async def _script(self, script: str, key: str, *arguments: object) -> object:
        if not self.feed.connected:
            await self._wait_for_the_first()
        client = self._client
        if client is None or not self.feed.connected:
            self.failed += 1
            raise StoreError(f"the store {self.settings.shown}: {self.feed.problem}")
        try:
            async with asyncio.timeout(2 * ANSWER_S):
                answer: object = await client.eval(script, 1, key, *arguments)
                return answer
        except (RedisError, OSError, TimeoutError) as error:
            self.failed += 1
            reason = str(error) or "it does not answer"
            raise StoreError(f"the store {self.settings.shown}: {reason}") from error

    async def _wait_for_the_first(self) -> None:
        if not self._ever.is_set():
            try:
                async with asyncio.timeout(self.first_time_s):
                    await self._ever.wait()
            except TimeoutError:
                self._ever.set()  # from here on nobody waits

    async def _locate(self) -> tuple[str, int]:
        """Where the server is now, with a client for it. Raises OSError and StoreError."""
        settings = self.settings
        try:
            if settings.kind == "sentinel":
                if self._sentinel is None:
                    self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                        list(settings.places),
                        sentinel_kwargs=self._usual(),
                        **self._usual(),
                        **self._login(),
                    )
                host, port = await self._sentinel.discover_master(settings.master)
                await self._use(lambda: Redis(host=host, port=port, **self._all()))
                return host, port
            if settings.kind == "cluster":
                nodes = [ClusterNode(*place) for place in settings.places]
                await self._use(
                    lambda: RedisCluster(startup_nodes=nodes, **self._usual(), **self._login())
                )
                node = await self._client.initialize() and self._client.get_random_node()
                return node.host, node.port
        except (RedisError, TimeoutError) as error:
            raise StoreError(str(error)) from error
        host, port = settings.places[0]
        await self._use(lambda: Redis(host=host, port=port, **self._all()))
        return host, port

    async def _use(self, make: Callable[[], Client]) -> None:
        """Instead of the client for a server that was lost."""
        before, self._client = self._client, make()
        if before is not None:
            await before.aclose()

    def _usual(self) -> dict[str, Any]:
        settings = self.settings
        options: dict[str, Any] = {
            "socket_timeout": ANSWER_S,
            "socket_connect_timeout": ANSWER_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if settings.tls:
            options |= {
                "ssl": True,
                "ssl_ca_certs": settings.ca_file or None,
                "ssl_certfile": settings.certificate or None,
                "ssl_keyfile": settings.key or settings.certificate or None,
            }
        return options

    def _login(self) -> dict[str, Any]:
        return {
            "username": self.settings.username or None,
            "password": self.settings.password or None,
        }

    def _all(self) -> dict[str, Any]:
        return {**self._usual(), **self._login(), "db": self.settings.database}

    # --- what is told -----------------------------------------------------------------------

    def _heard(self, channel: bytes, message: bytes) -> None:
        if channel == self._changed:
            key = message.decode("ascii", "replace")
            for watcher in self._watchers:
                watcher.tell(key)
        elif (heard := self._others.get(channel)) is not None:
            heard(message)

    def _connected(self) -> None:
        text = f"the store {self.settings.shown} is there"
        self._events.info("store.connected", text)
        self._ever.set()
        self._catching_up = asyncio.create_task(self._catch_up())
        for each in self.on_connected:
            each()

    def _lost(self, problem: str) -> None:
        self._events.warning(
            "store.lost",
            f"the store {self.settings.shown} is gone: {problem}; this balancer goes on with what "
            "it knows, and tries to reach it again",
        )

    async def _catch_up(self) -> None:
        """Any key may have changed meanwhile."""
        for watcher in list(self._watchers):
            try:
                found = await self.keys(watcher.prefix)
            except StoreError:
                return  # it is gone again, and will be caught up with
            for key in found:
                watcher.tell(key)
            for key in watcher.told - set(found):
                watcher.tell(key)

    def _forget(self, watcher: Watcher) -> None:
        assert isinstance(watcher, _SharedWatcher)
        self._watchers.discard(watcher)

    def _lease_key(self, name: str) -> str:
        return f"{self._prefix}{{lease:{checked(name)}}}"


class _SharedWatcher(Watcher):
    """Remembers what it told, so that after an outage it can tell of what went."""

    def __init__(self, prefix: str, on_close: Callable[[Watcher], None]) -> None:
        super().__init__(prefix, on_close)
        self.prefix = prefix
        self.told: set[str] = set()

    def tell(self, key: str) -> None:
        super().tell(key)
        if key.startswith(self.prefix) and len(self.told) < MOST_KEYS:
            self.told.add(key)


def _entry(found: object) -> Entry:
    if not isinstance(found, bytes):
        raise StoreError("a value of the store is none of ours")
    revision, colon, value = found.partition(b":")
    if not colon or not revision.isdigit() or len(revision) > _MOST_REVISION_DIGITS:
        raise StoreError("a value of the store is none of ours: it has no revision")
    return Entry(value, int(revision))


def _number(found: object) -> int:
    if isinstance(found, int):
        return found
    if isinstance(found, bytes) and found.isdigit() and len(found) <= _MOST_REVISION_DIGITS:
        return int(found)
    raise StoreError("the store's answer is no number")


def _text(found: object) -> str:
    if not isinstance(found, bytes):
        raise StoreError("a key of the store is none of ours")
    return found.decode("ascii", "replace")
