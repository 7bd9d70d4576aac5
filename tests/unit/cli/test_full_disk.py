"""A verb whose output cannot be written says what and why, and ends with 1."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

FULL = Path("/dev/full")
SIMULATE = (*("simulate", "--servers", "2", "--load", "0.1"), "--customers", "50")
SWEEPS = [(), pytest.param(("--sweep", "load=0.1,0.2"), marks=pytest.mark.large)]
NO_ROOM = "no space left on device"

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def run(
    directory: Path, *arguments: str, output: "IO[bytes] | int", errors: "IO[bytes] | int"
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        cwd=directory,
        env={**os.environ, "PENSTOCK_ADMIN": "http://127.0.0.1:1"},
        check=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "penstock.yaml").write_text("endpoints: [a:1]")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("ctl", "--help"),
        ("check", "--print-schema"),
        ("check", "penstock.yaml"),
        ("serve", "--help"),
        ("demo", "--seconds", "1"),
        ("replay", "--help"),
        SIMULATE,
        pytest.param((*SIMULATE, "--sweep", "load=0.1,0.2"), marks=pytest.mark.large),
        ("emulate", "--count", "1"),
    ],
    ids=" ".join,
)
def test_a_verb_on_a_full_disk_says_so_and_ends_with_1(
    arguments: tuple[str, ...], directory: Path
) -> None:
    with FULL.open("wb") as full:
        ended = run(directory, *arguments, output=full, errors=subprocess.PIPE)
    told = ended.stderr.splitlines()
    assert told[-1:] == [f"Error: cannot write to standard output: {NO_ROOM}"]
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("sweep", SWEEPS, ids=["run", "sweep"])
def test_a_file_that_cannot_be_written_is_named(
    option: str, sweep: tuple[str, ...], directory: Path
) -> None:
    arguments = (*SIMULATE, *sweep, option, str(FULL))
    ended = run(directory, *arguments, output=subprocess.PIPE, errors=subprocess.PIPE)
    assert ended.stderr.splitlines()[-1] == f"Error: cannot write to {FULL}: {NO_ROOM}"
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


def test_where_not_even_the_message_can_be_written_the_exit_status_tells(directory: Path) -> None:
    with FULL.open("wb") as full:
        assert run(directory, "--help", output=full, errors=full).returncode == 1
