"""A reader that goes away, as `head` does, ends a verb without a word, and loses no file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SIMULATE = (*("simulate", "--servers", "2", "--load", "0.1"), "--customers", "50")
SWEEPS = [(), pytest.param(("--sweep", "load=0.1,0.2"), marks=pytest.mark.large)]


def run_unread(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """With nobody to read what it prints, from its first byte on."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            check=False,
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("ctl", "--help"),
        ("check", "--print-schema"),
        ("check", "penstock.yaml"),
        SIMULATE,
        pytest.param((*SIMULATE, "--sweep", "load=0.1,0.2"), marks=pytest.mark.large),
        ("emulate", "--count", "1"),
    ],
    ids=" ".join,
)
def test_a_verb_whose_reader_is_gone_ends_without_a_word(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "penstock.yaml").write_text("endpoints: [a:1]")
    ended = run_unread(tmp_path, *arguments)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("sweep", SWEEPS, ids=["run", "sweep"])
def test_what_a_run_found_is_written_though_nobody_reads_the_table(
    sweep: tuple[str, ...], tmp_path: Path
) -> None:
    run_unread(tmp_path, *SIMULATE, *sweep, "--json", "found.json", "--html", "found.html")
    assert json.loads((tmp_path / "found.json").read_text())
    assert "</html>" in (tmp_path / "found.html").read_text()
