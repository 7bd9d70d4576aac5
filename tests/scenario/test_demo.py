"""`penstock demo`: one endpoint is killed and revived and no request fails; it ends in order."""

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

PATIENCE_S = 60.0
LINE = re.compile(r"sent (\d+), failed (\d+) \| swift (\d+) \(\d+%, ([\w–]+)\)")


@contextmanager
def demo(*arguments: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
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


def test_a_killed_endpoint_is_failed_over_and_taken_back_and_no_request_fails() -> None:
    with demo("--seconds", "10") as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    before, killed, rest = said.partition("swift was killed")
    assert killed, said
    while_dead, revived, after = rest.partition("swift is back")
    assert revived, said
    states = [[match[3] for match in LINE.findall(part)] for part in (before, while_dead, after)]
    assert "up" in states[0]
    assert "down" in states[1]
    assert states[2][-1] == "up", said
    requests = [
        [int(match[2]) for match in LINE.findall(part)] for part in (before, while_dead, after)
    ]
    assert requests[2][-1] > requests[1][-1] > 0, "it is taken back"
    sent = [int(match[0]) for match in LINE.findall(while_dead)]
    assert sent[-1] > sent[0], "the others go on serving while it is dead"
    assert re.search(r"requests sent \d+, failed 0\n", after), said


def test_ctrl_c_ends_it_and_all_its_processes_without_complaint() -> None:
    with demo() as process:
        read_until(process, "sent ")
        started = descendants(process.pid)
        assert len(started) >= 5, "three endpoints, a supervisor, a worker"
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert re.search(r"requests sent \d+, failed 0\n", said), said
    assert_all_end(started)


def test_ctrl_c_while_it_starts_ends_it_as_well() -> None:
    with demo() as process:
        read_until(process, "starting three endpoints")
        started = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert_all_end(started)


def test_its_processes_end_even_when_it_is_killed() -> None:
    with demo() as process:
        read_until(process, "sent ")
        started = descendants(process.pid)
    assert_all_end(started)


def test_on_a_terminal_it_draws_a_table() -> None:
    master, slave = pty.openpty()
    try:
        with demo("--seconds", "2", stdout=slave) as process:
            os.close(slave)
            drawn = read_terminal(master)
            assert process.wait(PATIENCE_S) == 0
    finally:
        os.close(master)
    assert "in flight" in drawn
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
