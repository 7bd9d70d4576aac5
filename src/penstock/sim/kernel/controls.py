"""Control variates: chance in the arrivals, weighted by how full the world was at that moment.

A gap or a piece of work is independent of everything before it. So its distance from its mean,
times anything known before, has a mean of exactly 0 under any policy, and sums of such products are
martingales. Long queues come from exactly this: long work or short gaps that meet a system which is
already full. Regressing on these sums removes most of the variance of a mean near saturation, where
plain averages would need a hundred times as many requests.

Source: Henderson and Glynn, Approximating martingales for variance reduction in Markov process
simulation, Mathematics of Operations Research 27 (2002).
"""

from collections.abc import Sequence
from random import Random

from mypy_extensions import i64

from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.source import Workload
from penstock.sim.kernel.weighed_sums import WeighedSums, Weights


class ControlledWorkload(Workload):
    """Requests of ``work`` by Poisson's process, and sums over those from number ``first`` on.

    Fullness is the number of requests that run, and the work that one server with the
    ``capacity`` of all (seconds of work in a second) would have left. ``rate`` is that of arrivals.
    With ``split`` above 0, requests go to so many FIFO servers at random, so that each has a
    Poisson process of its own: then the work and the gaps of each server count besides. Each of
    ``weights`` makes controls of its own.
    """

    def __init__(
        self,
        inner: Workload,
        work: Law,
        rate: float,
        capacity: float,
        clock: Clock,
        *,
        first: int = 0,
        split: int = 0,
        weights: Sequence[Weights] = (),
    ) -> None:
        super().__init__(work, Random(0))  # draws nothing itself
        self._inner: Workload = inner
        self._mean_work_s: float = work.mean
        self._mean_gap_s: float = 1.0 / rate
        self._work_variance: float = work.mean * work.mean * work.cv2
        self._capacity: float = capacity
        self._clock: Clock = clock
        self._first: int = first
        self._last_at: float = 0.0
        self._running: i64 = 0
        self._running_then: float = 0.0  # after the arrival before
        self._left_s: float = 0.0
        self._left_at_first_s: float = 0.0
        self._count: int = 0
        self._work_total: float = 0.0
        self._gap_total: float = 0.0
        self._work_squared: float = 0.0
        self._gap_squared: float = 0.0
        self._work_by_running: float = 0.0
        self._gap_by_running: float = 0.0
        self._work_by_left: float = 0.0
        self._gap_by_left: float = 0.0
        self._last_of: list[Job | None] = [None] * split
        self._work_by_wait: float = 0.0
        self._gap_by_wait: float = 0.0
        self._changed_at: float = 0.0  # the number that runs, for the last time
        self._weighed: list[WeighedSums] = [
            WeighedSums(each, self._mean_work_s, self._mean_gap_s) for each in weights
        ]

    def next_job(self, number: int, now: float) -> Job:
        job = self._inner.next_job(number, now)
        self._pass_time(now)
        self._note(number, now - self._last_at, job.work_s)
        self._last_at = now
        return job

    def next_turn(self, number: int, now: float, client: Event) -> Job:
        raise NotImplementedError("clients of a closed loop do not come independently")

    def on_end(self, job: Job) -> None:
        self._pass_time(self._clock.now)
        self._running -= 1
        self._inner.on_end(job)
        if self._last_of and job.ticket is not None:
            self._note_end(job, job.ticket.endpoint.order)

    def means(self) -> list[float]:
        """The controls, the most telling first. Their expectations are 0.

        The last is so only in a steady state, and the three last tell nothing about servers whose
        room is bounded.
        """
        count = max(1, self._count)
        sums = [
            self._work_total,
            self._gap_total,
            self._work_by_running,
            self._gap_by_running,
            self._work_squared,
            self._gap_squared,
            self._work_by_left,
            self._gap_by_left,
            self._left_s * self._left_s - self._left_at_first_s * self._left_at_first_s,
        ]
        if self._last_of:
            sums = [self._work_by_wait, self._gap_by_wait, *sums]
        return [value / count for value in sums]

    def weighed_means(self) -> list[list[float]]:
        """Those that ``weights`` made, of each."""
        count = max(1, self._count)
        return [[value / count for value in sums.values()] for sums in self._weighed]

    def _pass_time(self, now: float) -> None:
        if self._weighed:
            for sums in self._weighed:
                sums.pass_time(self._running, now - self._changed_at)
            self._changed_at = now

    def _note_end(self, job: Job, server: int) -> None:
        """FIFO servers end what they have in the order in which it came."""
        before = self._last_of[server]
        self._last_of[server] = job
        if before is None or before.number < self._first:
            return
        gap_s = job.born - before.born - self._mean_gap_s * len(self._last_of)
        left_s = before.began - before.born + before.work_s
        self._gap_by_wait += gap_s * left_s
        self._work_by_wait += (job.work_s - self._mean_work_s) * (job.began - job.born)

    def _note(self, number: int, gap_s: float, work_s: float) -> None:
        left_s = self._left_s - self._capacity * gap_s
        if left_s < 0.0:
            left_s = 0.0
        running = float(self._running)
        if number >= self._first:
            more_gap = gap_s - self._mean_gap_s
            more_work = work_s - self._mean_work_s
            if self._count == 0:
                self._left_at_first_s = self._left_s
            self._count += 1
            self._gap_total += more_gap
            self._work_total += more_work
            self._gap_squared += more_gap * more_gap - self._mean_gap_s * self._mean_gap_s
            self._work_squared += more_work * more_work - self._work_variance
            self._gap_by_left += more_gap * self._left_s
            self._gap_by_running += more_gap * self._running_then
            self._work_by_left += more_work * left_s
            self._work_by_running += more_work * running
            for sums in self._weighed:
                sums.note(self._running, work_s, gap_s, left_s, self._left_s)
        for sums in self._weighed:
            sums.turn()
        self._left_s = left_s + work_s
        self._running += 1
        self._running_then = running + 1.0
