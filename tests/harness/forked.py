"""Processes of Penstock, forked from a server that has imported what they run.

An interpreter of its own for each of a suite's hundreds would cost more than what they are tested
with. The command line itself runs in ``test_demo.py`` and for ``programs.py``.
"""

import multiprocessing
from multiprocessing import reduction
from typing import Any

forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(
    ["penstock.cli.serve", "penstock.control.supervisor", "penstock.dataplane.serving"]
)


class Passed:
    """A descriptor as an argument, which arrives in the process as a number of its own."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (reduction.DupFd(self._fd),)


def _arrived(passed: Any) -> int:
    return int(passed.detach())
