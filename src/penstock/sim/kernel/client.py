"""What the client of a job does while it waits: it stops, or comes back to a session that broke."""

from mypy_extensions import trait

from penstock.sim.kernel.events import Event
from penstock.sim.kernel.job import Job


@trait
class Awaited:
    """Whom it waits for: a balancer."""

    def on_deadline(self, job: Job) -> None:
        """The client of ``job`` waited long enough."""
        raise NotImplementedError

    def rejoin(self, job: Job) -> None:
        """The client of a session that lost its server is back, or is moved at once."""
        raise NotImplementedError


class Deadline(Event):
    """The client of a job stops waiting."""

    def __init__(self, balancer: Awaited, job: Job) -> None:
        super().__init__()
        self._balancer: Awaited = balancer
        self.job: Job = job

    def fire(self) -> None:
        self._balancer.on_deadline(self.job)


class Rejoining(Event):
    """The client of a session that broke is back."""

    def __init__(self, balancer: Awaited, job: Job) -> None:
        super().__init__()
        self._balancer: Awaited = balancer
        self._job: Job = job

    def fire(self) -> None:
        self._balancer.rejoin(self._job)
