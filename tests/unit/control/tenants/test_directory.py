"""The directory of tenants: what changes there counts, and a slip changes nothing else."""

import os
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.tenants.directory import TenantsDirectory
from penstock.core.snapshot import Snapshot

REVOKED = "ci: {sha256: %s, revoked: true}" % ("ab" * 32)
GOOD = "ci: {sha256: %s}" % ("ab" * 32)


class Published:
    """A publisher that marks, and runs what it marked."""

    def __init__(self, directory: Path) -> None:
        self.count = 0
        self.tenants = TenantsDirectory(Events(), self.refresh)
        self.running = Snapshot(0, (), (), (), tenants_directory=str(directory))
        self.tenants.configure(self.running)

    async def refresh(self) -> None:
        self.count += 1
        self.running = self.tenants.mark(self.running)
        self.tenants.configure(self.running)

    def keys(self) -> dict[str, bool]:
        """Whether each is revoked."""
        found = self.running.found_tenants
        return {f"{each.name}/{key.name}": key.revoked for each in found for key in each.keys}


def write(file: Path, text: str) -> None:
    file.write_text(text)
    at = os.stat(file).st_mtime_ns + 1_000_000  # two writes within one tick of the clock
    os.utime(file, ns=(at, at))


@pytest.mark.asyncio
async def test_what_changes_is_published_once(tmp_path: Path) -> None:
    published = Published(tmp_path)
    write(tmp_path / "acme.keys.yaml", GOOD)
    for _ in range(3):
        await published.tenants.look()
    assert published.keys() == {"acme/ci": False}
    assert published.count == 1
    write(tmp_path / "acme.keys.yaml", REVOKED)
    await published.tenants.look()
    assert published.keys() == {"acme/ci": True}


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_read_stays_what_it_was_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    published = Published(tmp_path)
    write(tmp_path / "acme.keys.yaml", GOOD)
    write(tmp_path / "zoo.keys.yaml", GOOD.replace("ab", "cd"))
    await published.tenants.look()
    write(tmp_path / "acme.keys.yaml", "ci: [")
    write(tmp_path / "zoo.keys.yaml", REVOKED.replace("ab", "cd"))
    await published.tenants.look()
    assert published.keys() == {"acme/ci": False, "zoo/ci": True}


@pytest.mark.asyncio
async def test_a_file_that_goes_takes_its_keys_along(tmp_path: Path) -> None:
    published = Published(tmp_path)
    write(tmp_path / "acme.keys.yaml", GOOD)
    await published.tenants.look()
    (tmp_path / "acme.keys.yaml").unlink()
    await published.tenants.look()
    assert published.keys() == {}
