"""Files of users and passwords: what changes there counts, and a slip changes nothing."""

import os
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.tenants.password_files import PasswordFiles
from penstock.core.snapshot import BasicAuth, Route, Snapshot

SHA = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="


class Published:
    """A publisher that marks, and runs what it marked."""

    def __init__(self, file: Path) -> None:
        self.count = 0
        self.files = PasswordFiles(Events(), self.refresh)
        asked = BasicAuth({"alice": SHA}, file=str(file))
        routes = (Route("site", basic_auth=asked), Route("open"))
        self.configured = Snapshot(0, (), routes, ())
        self.run(self.configured)

    def run(self, snapshot: Snapshot) -> None:
        self.running = self.files.mark(snapshot)
        self.files.configure(self.running)

    async def refresh(self) -> None:
        self.count += 1
        self.run(self.running)

    def users(self) -> set[str]:
        asked = self.running.routes[0].basic_auth
        assert asked is not None
        assert self.running.routes[1].basic_auth is None
        return set(asked.users)


def write(file: Path, *users: str) -> None:
    file.write_text("".join(f"{user}:{SHA}\n" for user in users))
    at = os.stat(file).st_mtime_ns + 1_000_000  # two writes within one tick of the clock
    os.utime(file, ns=(at, at))


def spoil(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "users"
    write(made, "alice")
    return made


async def test_what_changes_is_published_once(file: Path) -> None:
    published = Published(file)
    await published.files.look()
    assert published.count == 0, "it is what runs"
    write(file, "alice", "bob")
    for _ in range(3):
        await published.files.look()
    assert (published.users(), published.count) == ({"alice", "bob"}, 1)
    write(file, "bob")
    await published.files.look()
    assert (published.users(), published.count) == ({"bob"}, 2)


@pytest.mark.parametrize("text", ["", "nonsense", "eve:plain\n", None])
async def test_a_file_with_a_mistake_stays_what_it_was(file: Path, text: str | None) -> None:
    published = Published(file)
    await published.files.look()
    spoil(file, text)
    for _ in range(3):
        await published.files.look()
    assert (published.users(), published.count) == ({"alice"}, 0)
    write(file, "bob")
    await published.files.look()
    assert published.users() == {"bob"}


async def test_a_reload_that_read_the_file_before_it_changed_does_not_bring_back_a_user(
    file: Path,
) -> None:
    published = Published(file)
    write(file, "bob")
    await published.files.look()
    published.run(published.configured)
    assert published.users() == {"bob"}


async def test_a_file_that_is_asked_for_no_more_is_forgotten(file: Path) -> None:
    published = Published(file)
    write(file, "bob")
    await published.files.look()
    published.run(Snapshot(1, (), (Route("open"),), ()))
    await published.files.look()
    assert published.count == 1
