"""What runs of very many clients have in common: their processes, what those tell, and what is left
behind when they are gone."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click

from benchmarks import accounts
from benchmarks.cores import available
from benchmarks.process import Process

PROCESSES: Final = 2  # of clients, each with an address of its own and a part of the work
_ADDED_P99_MS: Final = 5.0
_SETTLE_S: Final = 60.0


class ClientProcesses:
    """``module``, run with these options in each, and with one more for its address. Each prints a
    JSON object when it is done."""

    def __init__(self, module: str, options: Callable[[int], Iterable[str]]) -> None:
        """``options`` of the process with that number."""
        self._running = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", module, *options(number)),
                    *("--source", f"127.0.1.{number + 1}"),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(PROCESSES)
        ]

    def are_running(self) -> bool:
        return any(each.poll() is None for each in self._running)

    def wait_until_said(self, word: str) -> None:
        """Until each has printed that line. Raises SystemExit where one says something else."""
        for each in self._running:
            assert each.stdout is not None
            if (said := each.stdout.readline()) != f"{word}\n":
                raise SystemExit(f"clients did not begin: {said!r}")

    def told(self, sums: Iterable[str]) -> dict[str, Any]:
        """What they printed, once they are done: these counts and CPU time in all, and the worst
        delays of any."""
        told = [json.loads(each.communicate()[0]) for each in self._running]
        found = {key: sum(each[key] for each in told) for key in (*sums, "cpu_s")}
        return found | {key: max(each[key] for each in told) for key in ("p50_ms", "p99_ms")}


def start_penstock(stack: ExitStack, directory: Path, file: Path) -> Process:
    """With that configuration, on all cores."""
    command = [sys.executable, "-m", "penstock", "serve", "--config", str(file)]
    log = directory / "penstock.log"
    return stack.enter_context(Process(command, cores=frozenset(available()), log=log))


def start_endpoint(stack: ExitStack, directory: Path, module: str, port: int) -> Process:
    """The ``serve`` of a module, on all cores."""
    command = [sys.executable, "-m", module, "serve", "--port", str(port)]
    log = directory / f"endpoint-{port}.log"
    return stack.enter_context(Process(command, cores=frozenset(available()), log=log))


def spent_s(processes: Iterable[Process]) -> float:
    """CPU time of all of them so far, descendants included."""
    return sum(
        each.total_s for process in processes for each in accounts.cpu(process.tree()).values()
    )


def check_p99(p99_ms: float, alone_ms: float, faults: list[str]) -> None:
    """Note where it grew by more than is allowed."""
    if p99_ms - alone_ms > _ADDED_P99_MS:
        faults.append(f"p99 is {p99_ms - alone_ms:.1f} ms more than without balancer")


def check_left(
    process: Process, descriptors: int, open_now: Callable[[], int], what: str, faults: list[str]
) -> None:
    """Note what is still open when all clients are gone, given time. ``descriptors``: at rest."""

    def more() -> int:
        return max(0, accounts.descriptors(process.tree()) - descriptors)

    end = time.monotonic() + _SETTLE_S
    while time.monotonic() < end and (open_now() or more()):
        time.sleep(0.5)
    left, kept = open_now(), more()
    if left or kept:
        faults.append(f"{left} {what} and {kept} descriptors are left")


def told_faults(faults: list[str]) -> int:
    """Print them; the exit status."""
    for fault in faults:
        click.echo(f"FAULT: {fault}")
    return 1 if faults else 0
