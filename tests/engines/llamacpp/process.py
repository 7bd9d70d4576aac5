"""A llama.cpp server as a process that tests start, kill and start again on its port."""

import subprocess
import sys
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

import httpx

from tests.harness.waiting import PATIENCE_S

_SERVER = Path(__file__).with_name("server.py")


class LlamaCpp:
    """Running from its making on; ``url`` stays the same when it is started again."""

    def __init__(self, model: Path, log: Path, *, shares_memory: bool = True) -> None:
        self._model = model
        self._memory = "shared" if shares_memory else "split"
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it, and return when it listens. Raises AssertionError if it never does."""
        port = urlsplit(self.url).port or 0
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(self._model), str(port), self._memory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines: Queue[str] = Queue()
        assert self._process.stdout is not None
        Thread(target=_listening_line, args=(self._process.stdout, lines), daemon=True).start()
        try:
            self.url = lines.get(timeout=PATIENCE_S).split()[1]
        except (Empty, IndexError):
            self.kill()
            raise AssertionError(f"llama.cpp does not listen:\n{self.last_words()}") from None

    def kill(self) -> None:
        """As a machine that dies does it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def busy_slots(self) -> int:
        """Sequences that it is computing."""
        slots = httpx.get(f"{self.url}/slots", timeout=PATIENCE_S).json()
        return sum(slot["is_processing"] for slot in slots)

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _listening_line(output: IO[str], lines: "Queue[str]") -> None:
    """The line that tells its URL; an empty one if it ends first."""
    for line in output:
        if line.startswith("listening "):
            lines.put(line)
            return
    lines.put("")
