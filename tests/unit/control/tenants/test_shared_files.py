"""Files of tenants are the same at all balancers, and a key that was revoked anywhere stays so."""

import asyncio
import os
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.sealed import SECRET
from penstock.control.store.store import NOT_THERE
from penstock.control.tenants.shared_files import PREFIX, SharedTenantFiles
from penstock.core.snapshot import Snapshot

pytestmark = pytest.mark.asyncio
NAME = "acme.keys.yaml"


def keys(**revoked: bool) -> str:
    """A file of keys by these names."""
    each = "{name}: {{sha256: {digest}, revoked: {revoked}}}\n"
    return "".join(
        each.format(name=name, digest=f"{name.encode().hex():a>64}", revoked=str(value).lower())
        for name, value in revoked.items()
    )


class Balancer:
    """One with a directory of its own."""

    def __init__(self, store: EmbeddedStore, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.events = Events()
        self.shared = SharedTenantFiles(store, self.events)
        self.shared.configure(Snapshot(0, (), (), (), tenants_directory=str(directory)))

    def write(self, text: str, name: str = NAME, at: float = 1000.0) -> None:
        (self.directory / name).write_text(text)
        os.utime(self.directory / name, (at, at))

    def text(self, name: str = NAME) -> str:
        return (self.directory / name).read_text()

    def has(self, name: str = NAME) -> bool:
        return (self.directory / name).exists()


class Site:
    """Two that share a store."""

    def __init__(self, directory: Path) -> None:
        self.store = EmbeddedStore(StateFiles(None, Events()))
        self.one = Balancer(self.store, directory / "one")
        self.other = Balancer(self.store, directory / "other")

    async def sync(self) -> None:
        for _ in range(2):
            for balancer in (self.one, self.other):
                for key in await self.store.keys(PREFIX):  # as is heard where it changed
                    balancer.shared.heard(key)
                await balancer.shared.sync()

    async def flush(self) -> None:
        for key in await self.store.keys(""):
            entry = await self.store.get(key)
            assert entry is not None
            await self.store.remove_if_unchanged(key, entry.revision)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_what_is_made_changed_and_removed_at_one_is_at_the_other(site: Site) -> None:
    site.one.write("weight: 2\n", "acme.yaml")
    for text in (keys(ci=False), keys(ci=True)):
        site.one.write(text)
        await site.sync()
        assert site.other.text() == text
    site.other.write(keys(ci=True, web=False), at=2000.0)
    await site.sync()
    assert site.one.text() == keys(ci=True, web=False)
    (site.one.directory / NAME).unlink()
    await site.sync()
    assert not site.other.has()
    assert site.other.has("acme.yaml")


async def test_they_are_among_what_is_sealed() -> None:
    assert PREFIX in SECRET


async def test_a_newcomer_has_all_and_one_that_was_away_takes_what_is_newer(
    site: Site, tmp_path: Path
) -> None:
    site.one.write(keys(ci=False))
    site.one.write("weight: 2\n", "acme.yaml", at=1000.0)
    await site.sync()
    late = Balancer(site.store, tmp_path / "late")
    late.write("weight: 3\n", "acme.yaml", at=500.0)
    await late.shared.sync()
    assert late.text() == keys(ci=False)
    assert late.text("acme.yaml") == "weight: 2\n"


async def test_keys_that_two_changed_unheard_are_joined_and_what_one_revoked_is_revoked(
    site: Site,
) -> None:
    site.one.write(keys(ci=False))
    await site.sync()
    site.one.write(keys(ci=True, a=False), at=2000.0)
    site.other.write(keys(ci=False, b=False), at=3000.0)
    await site.sync()
    for balancer in (site.one, site.other):
        assert "a:" in balancer.text()
        assert "b:" in balancer.text()
        assert balancer.text().count("revoked: true") == 1
    assert site.one.text() == site.other.text()


async def test_of_other_files_that_two_changed_unheard_the_newer_counts(site: Site) -> None:
    for at, (balancer, weight) in enumerate([(site.one, 2), (site.other, 3)]):
        balancer.write(f"weight: {weight}\n", "acme.yaml", at=1000.0 + at)
    await site.sync()
    assert site.one.text("acme.yaml") == site.other.text("acme.yaml") == "weight: 3\n"


async def test_a_store_that_was_flushed_is_written_anew(site: Site) -> None:
    site.one.write(keys(ci=True))
    await site.sync()
    await site.flush()
    await site.sync()
    assert site.one.has()
    assert site.other.has()
    assert len(await site.store.keys(PREFIX)) == 1


async def test_a_directory_that_is_empty_all_at_once_empties_no_other(site: Site) -> None:
    """A disk that is not mounted says nothing of keys."""
    site.one.write(keys(ci=False))
    site.one.write("weight: 2\n", "acme.yaml")
    await site.sync()
    for name in (NAME, "acme.yaml"):
        (site.one.directory / name).unlink()
    await site.one.shared.sync(all_of_it=False)
    await site.other.shared.sync()
    assert site.other.has()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (NAME, b"{"),
        (NAME, b'{"text":"ci: {sha256: short}","at":9e9}'),
        (NAME, b'{"text":"ci: [","at":9e9}'),
        (NAME, b'{"text":null,"at":9e9,"more":1}'),
        (NAME, b'{"text":"' + b"#" * 300_000 + b'","at":9e9}'),
        ("../evil.yaml", b'{"text":"weight: 2","at":9e9}'),
        (".evil.yaml", b'{"text":"weight: 2","at":9e9}'),
        ("evil.txt", b'{"text":"weight: 2","at":9e9}'),
    ],
)
async def test_what_cannot_be_is_not_followed(site: Site, name: str, value: bytes) -> None:
    site.one.write(keys(ci=False))
    await site.one.shared.sync()
    entry = await site.store.get(PREFIX + name)
    revision = entry.revision if entry is not None else NOT_THERE
    assert await site.store.put_if_unchanged(PREFIX + name, value, revision)
    site.one.shared.heard(PREFIX + name)
    await site.one.shared.sync()
    assert site.one.text() == keys(ci=False)
    assert [each.name for each in site.one.directory.iterdir()] == [NAME]
    assert not (site.one.directory.parent / "evil.yaml").exists()


async def test_what_changes_is_heard_of_by_itself(site: Site) -> None:
    running = [asyncio.create_task(each.shared.run()) for each in (site.one, site.other)]
    try:
        async with asyncio.timeout(60.0):
            for writer, reader in ((site.one, site.other), (site.other, site.one)):
                text = keys(ci=writer is site.other)
                writer.write(text, at=1000.0 + (writer is site.other))
                while not reader.has() or reader.text() != text:  # noqa: ASYNC110 - twice, a moment
                    await asyncio.sleep(0.01)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
