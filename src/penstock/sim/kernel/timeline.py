"""The course of a run: one row for each tick, for plots."""

from penstock.core.measure.histogram import Histogram, quantile_us
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.server import Server


class Tick:
    """The state at one time, and the responses of the interval that ended then.

    ``present`` counts the jobs at each server; ``p50_s`` and ``p99_s`` are within 12.5%.
    """

    def __init__(
        self,
        at_s: float,
        present: list[int],
        answered: int,
        errors: int,
        p50_s: float,
        p99_s: float,
    ) -> None:
        self.at_s: float = at_s
        self.present: list[int] = present
        self.answered: int = answered
        self.errors: int = errors
        self.p50_s: float = p50_s
        self.p99_s: float = p99_s


class Timeline(Event):
    """Samples the servers every ``interval_s``."""

    def __init__(self, clock: Clock, servers: list[Server], interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"a timeline's interval must be above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._servers: list[Server] = servers
        self._interval_s: float = interval_s
        self._responses: Histogram = Histogram()
        self._answered: int = 0
        self._errors: int = 0
        self.ticks: list[Tick] = []

    def note(self, job: Job, answered: bool, now: float) -> None:
        """``job`` ended."""
        if answered:
            self._answered += 1
            self._responses.record(now - job.born)
        else:
            self._errors += 1

    def fire(self) -> None:
        now = self._clock.now
        counts = self._responses.counts
        present = [int(server.present) for server in self._servers]
        self.ticks.append(
            Tick(
                now,
                present,
                self._answered,
                self._errors,
                quantile_us(counts, 0.5) / 1e6,
                quantile_us(counts, 0.99) / 1e6,
            )
        )
        self._responses = Histogram()
        self._answered = 0
        self._errors = 0
        self._clock.heap.schedule(self, now + self._interval_s)
