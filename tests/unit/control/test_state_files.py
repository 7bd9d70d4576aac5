"""State files: written whole, read back, and set aside where they cannot be read."""

import os
import stat
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.store.directory import state_directory
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles, write_whole
from penstock.control.store.store import NOT_THERE


@pytest.fixture
def files(tmp_path: Path, events: Events) -> StateFiles:
    return StateFiles(tmp_path, events)


def told(events: Events) -> list[str]:
    return [event.kind for event in events.recent(9)]


def test_what_is_written_is_read_by_the_next_process(tmp_path: Path, events: Events) -> None:
    assert StateFiles(tmp_path, events).write("forecasts", 2, {"main": [1.5, 2.5]})
    read = StateFiles(tmp_path, events).read("forecasts", 2, dict[str, list[float]])
    assert read == {"main": [1.5, 2.5]}
    assert stat.S_IMODE((tmp_path / "forecasts.json").stat().st_mode) == 0o600


def test_without_a_directory_all_lives_in_memory(events: Events) -> None:
    files = StateFiles(None, events)
    assert not files.write("forecasts", 1, [1])
    assert files.read("forecasts", 1, list[int]) == [1]
    successor = StateFiles(None, events)
    successor.take_over(files.in_memory())
    assert successor.read("forecasts", 1, list[int]) == [1]
    files.remove("forecasts")
    assert files.read("forecasts", 1) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"form": "forecasts", "version": 1, "val', "truncated"),
        (b'{"form": "forecasts", "version": 2, "value": [1]}', "version is 2"),
        (b'{"form": "forecasts", "version": 1, "value": "x"}', "Expected `array`"),
        (b"\xff\xfe", "malformed"),
        (b'{"form": "", "version": 1, "value": ' + b"[" * 100_000, "recursion"),
        (b"", "truncated"),
    ],
)
def test_what_cannot_be_read_is_set_aside(
    tmp_path: Path, events: Events, files: StateFiles, content: bytes, reason: str
) -> None:
    (tmp_path / "forecasts.json").write_bytes(content)
    assert files.read("forecasts", 1, list[int]) is None
    (event,) = events.recent(9)
    assert (event.level, event.kind) == ("error", "state.set_aside")
    assert reason in event.message
    assert (tmp_path / "forecasts.json.set-aside-1").read_bytes() == content
    assert files.write("forecasts", 1, [2])
    assert files.read("forecasts", 1, list[int]) == [2]
    assert files.names() == ["forecasts"]


def test_what_may_not_be_read_is_set_aside(
    tmp_path: Path, events: Events, files: StateFiles
) -> None:
    (tmp_path / "forecasts.json").mkdir()  # as root, no permission is missing
    assert files.read("forecasts", 1) is None
    assert told(events) == ["state.set_aside"]


def test_few_files_of_a_name_are_set_aside(tmp_path: Path, files: StateFiles) -> None:
    for number in range(12):
        (tmp_path / "a.json").write_text(f"no JSON {number}")
        files.read("a", 1)
    assert len(list(tmp_path.iterdir())) == 9
    assert (tmp_path / "a.json.set-aside-9").read_text() == "no JSON 11"


def test_a_write_that_fails_leaves_the_value_in_memory_and_is_told_once(
    tmp_path: Path, events: Events
) -> None:
    files = StateFiles(tmp_path / "gone", events)
    assert not files.write("a", 1, "one")
    assert not files.write("a", 1, "two")
    assert files.read("a", 1, str) == "two"
    assert files.names() == ["a"]
    assert told(events) == ["state.file", "state.file"], "written, and listed"
    (tmp_path / "gone").mkdir()
    assert files.write("a", 1, "three")
    assert StateFiles(tmp_path / "gone", events).read("a", 1, str) == "three"


def test_a_writing_that_broke_off_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_whole(file, b"old")
    (tmp_path / f".a.json.{os.getpid()}").mkdir()  # in the way of the new one
    with pytest.raises(OSError, match="directory"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a.json", "a b"])
def test_a_name_is_no_path(files: StateFiles, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        files.write(name, 1, None)


def test_the_directory_is_made_private(tmp_path: Path, events: Events) -> None:
    made = tmp_path / "lib" / "penstock"
    assert state_directory(made, events, {}) == made
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.chmod(0o755)
    given = {"STATE_DIRECTORY": f"{made}:/elsewhere"}
    assert state_directory(None, events, given) == made
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_the_start_says_that_all_lives_in_memory(events: Events) -> None:
    assert state_directory(None, events, {}) is None
    (event,) = events.recent(9)
    assert "`state: DIRECTORY` keeps them" in event.message


def test_a_directory_that_cannot_be_used_is_an_error_and_nothing_more(
    tmp_path: Path, events: Events
) -> None:
    (tmp_path / "file").touch()
    assert state_directory(tmp_path / "file", events, {}) is None
    assert told(events) == ["state.unusable"]


async def test_the_store_outlives_its_process(tmp_path: Path, events: Events) -> None:
    first = EmbeddedStore(StateFiles(tmp_path, events))
    revision = await first.put_if_unchanged("changes/endpoints", b'{"a": 1}', NOT_THERE)
    assert revision is not None
    await first.put_if_unchanged("bytes", b"\xff", NOT_THERE)
    second = EmbeddedStore(StateFiles(tmp_path, events))
    found = await second.get("changes/endpoints")
    assert found is not None
    assert (found.value, found.revision) == (b'{"a": 1}', revision)
    assert await second.keys("") == ["bytes", "changes/endpoints"]
    assert await second.put_if_unchanged("changes/endpoints", b"{}", revision) is not None


async def test_a_value_that_cannot_be_read_is_not_there(tmp_path: Path, events: Events) -> None:
    (tmp_path / "store.a.json").write_text("{")
    store = EmbeddedStore(StateFiles(tmp_path, events))
    assert await store.get("a") is None
    assert told(events) == ["state.set_aside"]
