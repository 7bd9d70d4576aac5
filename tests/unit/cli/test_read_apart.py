"""A configuration that is read in a process of its own is the one that is read in place."""

import os
import sys
import threading
from pathlib import Path

import pytest

from penstock.cli._read_apart import read_apart
from penstock.config.compile import own_modules
from penstock.config.compile.configured import Configured
from penstock.config.compile.snapshot import configure_endpoints, load_configuration


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `penstock serve` is at its start, whatever runs these tests."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def read_here() -> Configured:
    return configure_endpoints(["http://127.0.0.1:8000", "http://127.0.0.1:8001"], workers=2)


def nothing() -> None:
    """Is to be done meanwhile."""


def test_it_is_the_same() -> None:
    assert read_apart(read_here, nothing) == read_here()


def test_something_is_done_meanwhile() -> None:
    done: list[bool] = []
    read_apart(read_here, lambda: done.append(True))
    assert done == [True]


def test_modules_beside_the_file_are_found_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_modules, "_DIRECTORIES", [])
    file = tmp_path / "penstock.yaml"
    file.write_text("endpoints: [http://127.0.0.1:8000]\n")
    assert read_apart(lambda: load_configuration(file), nothing) is not None
    assert own_modules.directories() == (str(tmp_path),)
    assert str(tmp_path) in sys.path


def fails() -> Configured:
    raise RuntimeError("no configuration")


def is_killed() -> Configured:
    os.kill(os.getpid(), 9)
    raise AssertionError


@pytest.mark.parametrize("read", [fails, is_killed])
def test_what_cannot_be_read_apart_is_left_to_be_read_in_place(read: object) -> None:
    assert callable(read)
    assert read_apart(read, nothing) is None


def test_beside_other_threads_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    monkeypatch.setattr(os, "fork", fails)
    assert read_apart(read_here, nothing) is None
