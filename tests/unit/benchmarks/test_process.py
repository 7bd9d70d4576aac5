"""What a benchmark started ends, however the benchmark does."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.cores import available
from benchmarks.process import Process
from tests.harness.waiting import PATIENCE_S, wait_until

_BENCHMARK = """
import signal, sys
from pathlib import Path
from benchmarks.cores import available
from benchmarks.process import Process, end_in_order_when_terminated

end_in_order_when_terminated()
command = [sys.executable, "-c", sys.argv[1]]
with Process(command, cores=frozenset(available()), log=Path(sys.argv[2])) as process:
    print(process.pid, flush=True)
    signal.pause()
"""
# Goes on when told to end, and says that it was told.
_STUBBORN = """
import os, signal

def say(number, frame):
    print("told", flush=True)

signal.signal(signal.SIGTERM, say)
if os.fork() == 0:
    print("ready", flush=True)
while True:
    signal.pause()
"""
_MINDING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
_IGNORING = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
_MEASURING = """
import asyncio
from benchmarks.process import end_in_order_when_terminated

async def measure():
    asyncio.get_running_loop().call_soon(lambda: print("measuring", flush=True))
    try:
        await asyncio.Event().wait()  # what was called soon is called once this waits
    except asyncio.CancelledError:
        print("in order", flush=True)
        raise

end_in_order_when_terminated()
try:
    asyncio.run(measure())
except KeyboardInterrupt:
    print("ended", flush=True)
"""
_WILLING = "import signal; print('ready', flush=True); signal.pause()"


def is_running(group: int) -> bool:
    """Whether any process of the group is more than an entry that nobody has read."""
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


class Benchmark:
    """One that runs a program of its own, which is ready."""

    def __init__(self, program: str, log: Path) -> None:
        self.log = log
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _BENCHMARK, program, str(log)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.popen.stdout is not None
        self.group = int(self.popen.stdout.readline())
        self.wait_until_said("ready")

    def wait_until_said(self, word: str) -> None:
        wait_until(lambda: word in self.log.read_text(), f"the program said {word}")

    def abandon(self) -> None:
        self.popen.kill()
        self.popen.communicate()
        if is_running(self.group):
            os.killpg(self.group, signal.SIGKILL)


Begin = Callable[[str], Benchmark]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    started: list[Benchmark] = []

    def begin_one(program: str) -> Benchmark:
        started.append(Benchmark(program, tmp_path / "log"))
        return started[-1]

    yield begin_one
    for each in started:
        each.abandon()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_twice_it_kills_what_does_not_end(begin: Begin, number: signal.Signals) -> None:
    benchmark = begin(_STUBBORN)
    benchmark.popen.send_signal(number)
    benchmark.wait_until_said("told")
    benchmark.popen.send_signal(number)
    benchmark.popen.wait(PATIENCE_S)
    wait_until(lambda: not is_running(benchmark.group), "its program was killed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_ends_what_it_started(begin: Begin, number: signal.Signals) -> None:
    benchmark = begin(_WILLING)
    benchmark.popen.send_signal(number)
    benchmark.popen.wait(PATIENCE_S)
    wait_until(lambda: not is_running(benchmark.group), "its program ended")


def test_descendants_end_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    forking = "import os, signal; os.fork(); print('ready', flush=True); signal.pause()"
    command = [sys.executable, "-c", forking]
    with Process(command, cores=frozenset(available()), log=log) as process:
        wait_until(lambda: log.read_text().count("ready") == 2, "both are ready")
    wait_until(lambda: not is_running(process.pid), "both ended")


@pytest.mark.parametrize("ctrl_c", [_MINDING, _IGNORING], ids=["foreground", "background"])
def test_sigterm_ends_what_runs_in_order(ctrl_c: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ctrl_c + _MEASURING], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "measuring\n"
            process.terminate()
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert said == "in order\nended\n"
    assert process.returncode == 0


def test_what_is_measured_is_started_as_a_process_group_within_the_benchmarks_session(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", _WILLING]
    cores = frozenset(available())
    with Process(command, cores=cores, log=tmp_path / "log") as process:
        assert (os.getsid(process.pid), os.getpgid(process.pid)) == (os.getsid(0), process.pid)
