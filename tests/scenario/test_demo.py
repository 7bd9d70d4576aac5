"""`penstock demo`: two policies side by side, an engine killed and revived; it ends in order."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

PATIENCE_S = 200.0  # for a story of seconds, on a machine that has ten others to run
LINE = re.compile(
    r"(marginal-cost|round-robin) +sent (\d+), failed (\d+), cut \d+ .*"
    r"\| hit rate (\d+)% \| engine-1 (\d+) \(([\w–]+)\)"
)
ENDED = re.compile(r"requests sent \d+, failed 0\n")


@contextmanager
def demo(
    *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.STDOUT
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def descendants(pid: int) -> set[int]:
    """The children of a process and theirs."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    children = {int(child) for child in listed}
    return children.union(*(descendants(child) for child in children))


def assert_all_end(pids: set[int]) -> None:
    """Orphans are reaped by whoever adopts them, which may take a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while left := {pid for pid in pids if is_running(pid)}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    seen = ""
    while wanted not in seen:
        line = process.stdout.readline()
        assert line, f"the demo ended before it said {wanted!r}:\n{seen}"
        seen += line
    return seen


class Story(NamedTuple):
    """What a run printed of one pool: before the death, until the revival, and after."""

    states: list[list[str]]
    sent: list[list[int]]
    of_the_victim: list[list[int]]
    hit_rate: int


def story_of(said: str, policy: str) -> Story:
    before, killed, rest = said.partition("engine-1 was killed")
    assert killed, said
    while_dead, revived, after = rest.partition("engine-1 is back")
    assert revived, said
    lines = [
        [match for match in LINE.findall(part) if match[0] == policy]
        for part in (before, while_dead, after)
    ]
    return Story(
        [[line[5] for line in part] for part in lines],
        [[int(line[1]) for line in part] for part in lines],
        [[int(line[4]) for line in part] for part in lines],
        int(lines[2][-1][3]),
    )


@pytest.fixture(scope="module")
def said() -> str:
    """What a bounded run prints."""
    with demo("--seconds", "16") as process:
        printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, printed
    assert ENDED.search(printed), printed
    return printed


@pytest.mark.large
@pytest.mark.parametrize("policy", ["marginal-cost", "round-robin"])
def test_a_killed_engine_is_failed_over_and_taken_back(said: str, policy: str) -> None:
    story = story_of(said, policy)
    assert "up" in story.states[0]
    assert "down" in story.states[1]
    assert story.states[2][-1] == "up", said
    assert story.sent[1][-1] > story.sent[1][0], "the others go on serving while it is dead"
    if policy == "round-robin":
        assert story.of_the_victim[2][-1] > story.of_the_victim[1][-1] > 0, "it is taken back"


@pytest.mark.large
def test_both_pools_get_the_same_requests_and_one_finds_more_of_them_cached(said: str) -> None:
    aware, in_turn = story_of(said, "marginal-cost"), story_of(said, "round-robin")
    assert aware.sent == in_turn.sent
    assert aware.hit_rate > in_turn.hit_rate


def test_ctrl_c_ends_it_and_all_its_processes_without_complaint() -> None:
    with demo() as process:
        read_until(process, "sent ")
        started = descendants(process.pid)
        assert len(started) >= 5, "two fleets of two processes, a supervisor"
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert ENDED.search(said), said
    assert_all_end(started)


def test_ctrl_c_while_it_starts_ends_it_as_well() -> None:
    with demo() as process:
        read_until(process, "starting two fleets")
        started = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert_all_end(started)


@pytest.mark.large
def test_it_ends_without_a_word_when_its_reader_goes_away(tmp_path: Path) -> None:
    """As with `penstock demo | head`."""
    complaints = tmp_path / "stderr"
    with complaints.open("w") as stderr, demo(stderr=stderr.fileno()) as process:
        read_until(process, "sent ")
        started = descendants(process.pid)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1
    assert complaints.read_text() == ""
    assert_all_end(started)


def test_its_processes_end_even_when_it_is_killed() -> None:
    with demo() as process:
        read_until(process, "sent ")
        started = descendants(process.pid)
    assert_all_end(started)


@pytest.mark.large
def test_on_a_terminal_it_draws_a_table() -> None:
    master, slave = pty.openpty()
    try:
        with demo("--seconds", "2", stdout=slave) as process:
            os.close(slave)
            drawn = read_terminal(master)
            assert process.wait(PATIENCE_S) == 0
    finally:
        os.close(master)
    assert "running" in drawn
    assert "\x1b[?25h" in drawn, "the cursor is shown again"
    assert "failed 0" in drawn


def read_terminal(master: int) -> str:
    drawn = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux says so when the other end is closed
            return drawn.decode()
        if not piece:
            return drawn.decode()
        drawn += piece
