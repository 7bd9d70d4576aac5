"""What every store holds to, wherever it keeps things."""

import asyncio
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.store import NOT_THERE, Store


class HeldClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock) -> Store:
    directory = tmp_path if request.param == "directory" else None
    return EmbeddedStore(StateFiles(directory, Events()), clock)


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
    clock.now += 9.0
    assert await store.lease("scaling", "a", 10.0), "its holder asks again"
    clock.now += 9.0
    assert not await store.lease("scaling", "b", 10.0)
    clock.now += 1.0
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
    async with asyncio.timeout(20):
        assert {await anext(watch), await anext(watch)} == {"pools/a", "pools/b"}
        waiting = asyncio.ensure_future(anext(watch))
        await store.remove_if_unchanged("pools/a", first)
        assert await waiting == "pools/a"
    await watch.aclose()
