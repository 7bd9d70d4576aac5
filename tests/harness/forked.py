"""Processes of Penstock, forked from a server that has imported what they run.

An interpreter of its own for each of a suite's hundreds would cost more than what they are tested
with. The command line itself runs in ``test_demo.py`` and for ``programs.py``.
"""

import multiprocessing
import multiprocessing.context
import os
import sys
from collections.abc import Mapping
from multiprocessing import reduction
from pathlib import Path
from typing import Any

from penstock.cli.main import main

forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(
    [
        "penstock.cli.serve",
        "penstock.config.compile.snapshot",  # a child of each supervisor reads by it
        "penstock.control.supervisor",
        "penstock.dataplane.worker.run",
    ]
)


class Passed:
    """A descriptor as an argument, which arrives in the process as a number of its own."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (reduction.DupFd(self._fd),)


def forked_serve(
    file: Path, log: Path, **environment: str
) -> "multiprocessing.context.ForkServerProcess":
    """``penstock serve`` with that file, logging as JSON; ``log`` takes what it writes."""
    told = {"PENSTOCK_LOG_FORMAT": "json", **environment}
    with log.open("wb") as output:
        arguments = (["serve", "--config", str(file)], told, Passed(output.fileno()))
        process = forking.Process(target=_penstock, args=arguments)
        process.start()
    return process


def _penstock(arguments: list[str], environment: Mapping[str, str], output: Any) -> None:
    """What ``penstock`` does with the arguments."""
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    os.environ.update(environment)
    sys.argv[1:] = arguments
    main()


def _arrived(passed: Any) -> int:
    return int(passed.detach())
