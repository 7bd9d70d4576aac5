"""Listening on sockets of the file system: one for all workers, and nobody else's is taken."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.control.workers.sockets import ListenError, ListeningSockets, place_of
from penstock.core.snapshot import Listener
from tests.unit.control.worlds import listener


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short one: paths of sockets are."""
    with tempfile.TemporaryDirectory(prefix="ps-") as made:
        yield Path(made)


def at(path: Path, name: str = "main", mode: int = 0o660) -> Listener:
    return replace(listener(name), host=f"unix:{path}", port=0, mode=mode)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def test_all_workers_have_one_socket_whose_file_goes_with_it(
    sockets: ListeningSockets, directory: Path
) -> None:
    main = at(directory / "lb")
    sockets.open([main])
    assert sockets.of_worker(main, 0) is sockets.of_worker(main, 1)
    assert connects(directory / "lb")
    sockets.close_except([])
    assert list(directory.iterdir()) == []


def test_its_permissions_are_the_configured_ones_after_a_reload_too(
    sockets: ListeningSockets, directory: Path
) -> None:
    before = os.umask(0o077)
    try:
        sockets.open([at(directory / "lb", mode=0o666)])
    finally:
        os.umask(before)
    assert mode_of(directory / "lb") == 0o666
    sockets.open([at(directory / "lb", mode=0o600)])
    assert mode_of(directory / "lb") == 0o600


def test_a_renamed_listener_keeps_it(sockets: ListeningSockets, directory: Path) -> None:
    sockets.open([at(directory / "lb", "a")])
    kept = sockets.of_worker(at(directory / "lb", "a"), 0)
    sockets.open([at(directory / "lb", "b")])
    sockets.close_except([at(directory / "lb", "b")])
    assert sockets.of_worker(at(directory / "lb", "b"), 0) is kept
    assert connects(directory / "lb")


def test_a_stale_file_is_replaced(sockets: ListeningSockets, directory: Path) -> None:
    leave_stale(directory / "lb")
    assert not connects(directory / "lb")
    sockets.open([at(directory / "lb")])
    assert connects(directory / "lb")


def test_one_that_somebody_listens_on_is_refused_and_stays(
    sockets: ListeningSockets, directory: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(directory / "lb"))
        other.listen()
        with pytest.raises(ListenError, match="another program, or another Penstock, listens"):
            sockets.open([at(directory / "free"), at(directory / "lb", "taken")])
        assert connects(directory / "lb")
    assert [each.name for each in directory.iterdir()] == ["lb"]


def test_one_of_a_dead_supervisors_workers_is_taken_over(directory: Path) -> None:
    """They serve who has connected; who comes from now on is ours."""
    path = directory / "lb"
    sockets = ListeningSockets(2, lambda place: place == str(path))
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        theirs.setblocking(False)
        sockets.open([at(path)])
        assert connects(path)
        with pytest.raises(BlockingIOError):
            theirs.accept()
    sockets.close_all()


def test_a_file_of_another_kind_is_never_replaced(
    sockets: ListeningSockets, directory: Path
) -> None:
    (directory / "lb").write_text("precious")
    with pytest.raises(ListenError, match="a file that is no socket stands there"):
        sockets.open([at(directory / "lb")])
    assert (directory / "lb").read_text() == "precious"


def test_a_file_that_somebody_else_put_in_its_place_is_left_to_them(
    sockets: ListeningSockets, directory: Path
) -> None:
    main = at(directory / "lb")
    sockets.open([main])
    (directory / "lb").unlink()
    leave_stale(directory / "lb")
    sockets.close_all()
    assert (directory / "lb").exists()


def test_a_directory_that_is_not_there_is_told_of(
    sockets: ListeningSockets, directory: Path
) -> None:
    with pytest.raises(ListenError, match="its directory is not there: make it first"):
        sockets.open([at(directory / "none" / "lb")])


def test_its_place_is_its_path_and_that_of_others_their_port(directory: Path) -> None:
    assert place_of(at(directory / "lb")) == str(directory / "lb")
    assert place_of(listener("main", 8080)) == 8080
