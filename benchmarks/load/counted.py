"""A load process that holds connections and tells, when asked, what it has counted."""

import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Final, Self

from benchmarks.cores import on
from benchmarks.failure import LoadError

_PATIENCE_S: Final = 120.0


class CountedLoad:
    """``module`` run with ``arguments``: it prints one JSON object for every line on its stdin."""

    def __init__(self, module: str, cores: frozenset[int], **arguments: int | str) -> None:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
        with on(cores):
            self._popen = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

    def ask(self) -> dict[str, int]:
        """Its counts at this moment. Raises LoadError when it ended."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        try:
            self._popen.stdin.write("?\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._popen.stdout.readline()
        if not line:
            raise LoadError(f"the load ended with status {self._popen.wait()}")
        counts: dict[str, int] = json.loads(line)
        return counts

    def wait_until(self, name: str, at_least: int) -> None:
        """Until that count is reached. Raises LoadError."""
        deadline = time.monotonic() + _PATIENCE_S
        while (counts := self.ask())[name] < at_least:
            if counts.get("ended") or time.monotonic() > deadline:
                raise LoadError(f"{name} should reach {at_least}: {counts}")
            time.sleep(0.1)

    def stop(self) -> None:
        self._popen.kill()
        self._popen.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
