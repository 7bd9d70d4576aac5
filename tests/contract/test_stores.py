"""What every store holds to, wherever it keeps things."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from penstock.config.compile.store import parse_url
from penstock.control.events import Events
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.sealed import Seal, SealedStore
from penstock.control.store.shared import SharedStore
from penstock.control.store.store import NOT_THERE, Store, StoreError
from tests.harness.store_server import START_S, StoreServer
from tests.harness.waiting import wait_until


class HeldClock:
    """Goes on when it is told to. A server has a clock of its own, so its leases are shortened."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.server: StoreServer | None = None

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        if self.server is not None:
            client = self.server.client
            for key in client.keys("penstock:*lease:*"):
                left = client.pttl(key) - round(seconds * 1000)
                client.pexpire(key, max(left, 0))


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    with StoreServer(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One node that has all slots."""
    with StoreServer(tmp_path_factory.mktemp("cluster"), "--cluster-enabled", "yes") as started:
        ask = started.client.execute_command
        ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

        def whole() -> bool:
            return b"cluster_state:ok" in ask("CLUSTER", "INFO")

        wait_until(whole, "the cluster is whole", timeout_s=START_S)
        yield started


@pytest_asyncio.fixture(params=["memory", "directory", "server", "cluster", "sealed"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock
) -> AsyncIterator[Store]:
    if request.param in ("server", "cluster", "sealed"):
        which = "cluster" if request.param == "cluster" else "server"
        clock.server = server = request.getfixturevalue(which)
        server.client.flushall()
        async with connected(server, which) as shared:
            own = EmbeddedStore(StateFiles(None, Events()))
            yield SealedStore(shared, own, SEAL) if request.param == "sealed" else shared
    else:
        directory = tmp_path if request.param == "directory" else None
        yield EmbeddedStore(StateFiles(directory, Events()), clock)


SEAL = Seal(("a secret of the tests",))


@asynccontextmanager
async def connected(server: StoreServer, kind: str = "server") -> AsyncIterator[SharedStore]:
    url = server.url.replace("redis:", "redis+cluster:") if kind == "cluster" else server.url
    async with running(SharedStore(parse_url(url), Events())) as shared:
        shared.first_time_s = START_S
        yield shared


@asynccontextmanager
async def running(shared: SharedStore) -> AsyncIterator[SharedStore]:
    task = asyncio.create_task(shared.run())
    try:
        yield shared
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_without_a_value_has_none(store: Store) -> None:
    assert await store.get("a") is None
    assert await store.keys("") == []


async def test_a_value_is_put_only_over_the_revision_that_was_read(store: Store) -> None:
    first = await store.put_if_unchanged("a/b", b"one", NOT_THERE)
    assert first is not None
    assert await store.put_if_unchanged("a/b", b"two", NOT_THERE) is None
    second = await store.put_if_unchanged("a/b", b"two", first)
    assert second not in (None, first, NOT_THERE)
    assert await store.put_if_unchanged("a/b", b"three", first) is None
    found = await store.get("a/b")
    assert found is not None
    assert (found.value, found.revision) == (b"two", second)


async def test_of_many_at_once_one_puts(store: Store) -> None:
    puts = [store.put_if_unchanged("a", b"%d" % number, NOT_THERE) for number in range(20)]
    revisions = await asyncio.gather(*puts)
    assert sum(revision is not None for revision in revisions) == 1


async def test_a_value_is_removed_only_at_the_revision_that_was_read(store: Store) -> None:
    first = await store.put_if_unchanged("a", b"one", NOT_THERE)
    assert first is not None
    assert not await store.remove_if_unchanged("a", first + 1)
    assert await store.remove_if_unchanged("a", first)
    assert await store.get("a") is None
    again = await store.put_if_unchanged("a", b"one", NOT_THERE)
    assert again not in (None, first), "who read the one before must notice"


async def test_keys_are_found_by_how_they_begin(store: Store) -> None:
    for key in ("pools/b", "pools/a", "routes/a"):
        await store.put_if_unchanged(key, b"", NOT_THERE)
    assert await store.keys("pools/") == ["pools/a", "pools/b"]


async def test_any_bytes_are_a_value(store: Store) -> None:
    every = bytes(range(256))
    await store.put_if_unchanged("a", every, NOT_THERE)
    found = await store.get("a")
    assert found is not None
    assert found.value == every


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a b", "a=b", "ä", "a" * 200])
async def test_other_keys_are_refused(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be a key"):
        await store.put_if_unchanged(key, b"", NOT_THERE)


async def test_a_lease_is_one_holders(store: Store, clock: HeldClock) -> None:
    assert await store.lease("scaling", "a", 10.0)
    assert not await store.lease("scaling", "b", 10.0)
    assert await store.lease("other", "b", 10.0)
    clock.advance(9.0)
    assert await store.lease("scaling", "a", 10.0), "its holder asks again"
    clock.advance(9.0)
    assert not await store.lease("scaling", "b", 10.0)
    clock.advance(1.0)
    assert await store.lease("scaling", "b", 10.0)
    assert not await store.lease("scaling", "a", 10.0)


async def test_only_its_holder_gives_a_lease_back(store: Store) -> None:
    await store.lease("scaling", "a", 10.0)
    await store.release("scaling", "b")
    assert not await store.lease("scaling", "b", 10.0)
    await store.release("scaling", "a")
    assert await store.lease("scaling", "b", 10.0)


async def test_who_watches_hears_of_changes(store: Store) -> None:
    watch = store.watch("pools/")
    first = await store.put_if_unchanged("pools/a", b"", NOT_THERE)
    assert first is not None
    await store.put_if_unchanged("routes/a", b"", NOT_THERE)
    await store.put_if_unchanged("pools/b", b"", NOT_THERE)
    async with asyncio.timeout(START_S):
        assert {await anext(watch), await anext(watch)} == {"pools/a", "pools/b"}
        waiting = asyncio.ensure_future(anext(watch))
        await store.remove_if_unchanged("pools/a", first)
        assert await waiting == "pools/a"
    await watch.aclose()


async def test_balancers_that_share_a_directory_are_one(tmp_path: Path, clock: HeldClock) -> None:
    one, other = (EmbeddedStore(StateFiles(tmp_path, Events()), clock) for _ in range(2))
    assert await one.lease("acme/a", "one", 10.0)
    assert not await other.lease("acme/a", "other", 10.0)
    clock.advance(10.0)
    assert await other.lease("acme/a", "other", 10.0)
    first = await one.put_if_unchanged("a", b"one", NOT_THERE)
    assert first is not None
    assert await other.put_if_unchanged("a", b"two", NOT_THERE) is None
    found = await other.get("a")
    assert found is not None
    assert (found.value, found.revision) == (b"one", first)
    second = await other.put_if_unchanged("a", b"two", first)
    assert second is not None
    assert await one.keys("") == ["a"]
    assert await one.put_if_unchanged("a", b"three", first) is None
    assert await one.remove_if_unchanged("a", second)
    assert await other.get("a") is None
    again = await other.put_if_unchanged("a", b"one", NOT_THERE)
    assert again not in (first, second)


async def test_what_somebody_left_half_written_counts_as_nothing(tmp_path: Path) -> None:
    store = EmbeddedStore(StateFiles(tmp_path, Events()))
    await store.lease("scaling", "a", 1000.0)
    (tmp_path / ".store").write_bytes(b'{"newest": 3, "lea')
    assert await store.lease("scaling", "b", 10.0)
    (tmp_path / ".store").unlink()
    (tmp_path / ".store").mkdir()
    with pytest.raises(StoreError, match="cannot be locked"):
        await store.lease("scaling", "b", 10.0)


async def test_secrets_are_in_the_store_only_encrypted(server: StoreServer) -> None:
    own = EmbeddedStore(StateFiles(None, Events()))
    async with connected(server) as shared:
        sealed = SealedStore(shared, own, SEAL)
        await sealed.put_if_unchanged("acme/a", b"a private key", NOT_THERE)
        found = await shared.get("acme/a")
        assert found is not None
        assert b"private" not in found.value
        same = await SealedStore(shared, own, Seal(("another one", "a secret of the tests"))).get(
            "acme/a"
        )
        assert same is not None
        assert same.value == b"a private key", "who knows the key among several reads it"
        with pytest.raises(StoreError, match="under no key"):
            await SealedStore(shared, own, Seal(("another one",))).get("acme/a")
        await shared.put_if_unchanged("acme/b", found.value, NOT_THERE)
        with pytest.raises(StoreError, match="belongs elsewhere"):
            await sealed.get("acme/b")


async def test_without_a_key_secrets_stay_here(server: StoreServer) -> None:
    own = EmbeddedStore(StateFiles(None, Events()))
    async with connected(server) as shared:
        kept = SealedStore(shared, own, None)
        await kept.put_if_unchanged("acme/own", b"a private key", NOT_THERE)
        await kept.put_if_unchanged("changes/a", b"for all", NOT_THERE)
        assert await shared.get("acme/own") is None
        assert await own.get("acme/own") is not None
        assert await shared.get("changes/a") is not None


async def test_names_in_the_server_have_one_beginning(server: StoreServer) -> None:
    server.client.flushall()
    async with connected(server) as shared:
        await shared.put_if_unchanged("a/b", b"", NOT_THERE)
        await shared.lease("a", "me", 10.0)
    names = set(server.client.keys("*"))
    assert names == {b"penstock:main:v1:{values}", b"penstock:main:v1:{lease:a}"}


async def test_what_others_wrote_there_is_read_strictly(server: StoreServer) -> None:
    async with connected(server) as shared:
        for value in (b"", b"no revision", b"x:", b"-1:a", b"1" * 30 + b":a"):
            server.client.hset("penstock:main:v1:{values}", "a", value)
            with pytest.raises(StoreError, match="none of ours"):
                await shared.get("a")
        server.client.delete("penstock:main:v1:{values}")
        server.client.set("penstock:main:v1:{values}", "another type")
        with pytest.raises(StoreError):
            await shared.get("a")
        server.client.delete("penstock:main:v1:{values}")


async def test_after_an_outage_who_watches_hears_of_all_keys(tmp_path: Path) -> None:
    with StoreServer(tmp_path / "first") as first:
        async with connected(first) as shared, aclosing(shared.watch("a/")) as watch:
            revision = await shared.put_if_unchanged("a/gone", b"", NOT_THERE)
            assert revision is not None
            async with asyncio.timeout(START_S):
                assert await anext(watch) == "a/gone"
            lost = asyncio.Event()
            shared.feed.on_lost = lambda problem: lost.set()
            first.kill()
            async with asyncio.timeout(START_S):
                await lost.wait()
            with pytest.raises(StoreError, match="the store 127"):
                await shared.get("a/gone")
            with first.again() as second:
                second.client.hset("penstock:main:v1:{values}", "a/new", b"5:x")
                async with asyncio.timeout(START_S):
                    assert {await anext(watch), await anext(watch)} == {"a/gone", "a/new"}


async def test_a_server_behind_tls_is_reached_with_its_authority_and_its_password(
    server: StoreServer, tmp_path: Path
) -> None:
    """The server of the tests speaks no TLS: something in front of it does."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    rights = ("~penstock:*", "&penstock:*", *documented_rights())
    server.client.execute_command("ACL", "SETUSER", "me", "on", ">secret word", *rights)
    relay = Relay(server.port)
    front = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    settings = parse_url(f"rediss://me:secret%20word@localhost:{port}")
    try:
        known = replace(settings, ca_file=str(tmp_path / "ca.pem"))
        async with running(SharedStore(known, Events())) as store:
            assert await store.put_if_unchanged("tls", b"value", NOT_THERE)
            found = await store.get("tls")
            assert found is not None
            assert await store.remove_if_unchanged("tls", found.revision)
            assert await store.keys("tls") == []
            assert await store.lease("tls", "me", 1.0)
            await store.release("tls", "me")
        for wrong in (settings, replace(known, password="another")):
            async with running(SharedStore(wrong, Events())) as store:
                store.first_time_s = 0.3
                with pytest.raises(StoreError) as refused:
                    await store.get("tls")
                assert "another" not in str(refused.value)
    finally:
        front.close()
        await relay.end()


def documented_rights() -> list[str]:
    """Commands that the documentation says a user needs."""
    page = Path("docs/replicas.md").read_text("utf-8")
    return re.findall(r"(?<=[`\s])\+[a-z]+", page)


class Relay:
    """Bytes to that port, and back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def end(self) -> None:
        """Once its clients have gone."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
