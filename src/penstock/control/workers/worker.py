"""The slot of one worker."""

from time import time
from typing import Literal

from penstock.control.workers.process import (
    WorkerProcess,
)

State = Literal["starting", "ready", "restarting", "stopping", "ended"]


class Worker:
    """The slot of one worker, filled by one process after another."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.state: State = "starting"
        self.since: float = time()  # of the state, seconds since 1970
        self.restarts: int = 0
        self.process: WorkerProcess | None = None
        self.ready_at: float = 0.0  # when its process began to serve, monotonic; 0.0: not yet
        self.silent_looks: int = 0
        self.last_heartbeat: int = 0

    def change_to(self, state: State) -> None:
        """Change the state."""
        self.state = state
        self.since = time()

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        return self.process.pid if self.process is not None else 0

    @property
    def generation(self) -> int:
        """Of the snapshot that it acknowledged last; 0 while there is no process."""
        return self.process.generation if self.process is not None else 0
