"""Servers: where the work of requests is done.

A server has a speed (1.0 does a second of work in a second; 0.0 is a pause) that may change at any
time, may have a bounded room, and may fail, losing what it holds.
"""

from math import inf

from mypy_extensions import i64, mypyc_attr

from penstock.core.measure.load_report import LoadReport
from penstock.core.ticket import CONNECT_FAILED, DONE, RESET
from penstock.sim.kernel.events import Clock, Event, EventHeap
from penstock.sim.kernel.job import COMING, SERVING, Job, Line, Station
from penstock.sim.kernel.telemetry import Telemetry


@mypyc_attr(allow_interpreted_subclasses=True)
class Server(Station):
    """What every server has. ``room`` bounds the jobs present at once, 0 being no bound."""

    def __init__(self, name: str, clock: Clock, *, speed: float = 1.0, room: int = 0) -> None:
        if not 0.0 < speed < inf:
            raise ValueError(f"server {name}: speed must be above 0, not {speed!r}")
        self.name: str = name
        self.clock: Clock = clock
        self.speed: float = speed
        self.full_speed: float = speed  # what it was built with
        self.full_slots: float = 1.0  # what it was built with
        self.room: i64 = room
        self.present: i64 = 0
        self.down: bool = False
        self.telemetry: Telemetry | None = None  # kept where someone asks for reports
        self.served: int = 0
        self.work_done_s: float = 0.0  # in seconds of a server of speed 1

    def slots(self) -> float:
        """How many jobs it serves at full speed at the same time."""
        return 1.0

    def waiting(self) -> int:
        """How many jobs are here that are not being served."""
        return 0

    def report(self) -> LoadReport:
        """What it tells of its load; rates and latencies only where it keeps telemetry."""
        present = int(self.present)
        if self.telemetry is None:
            return LoadReport(self.clock.now, in_flight=float(present), queued=self.waiting())
        self.telemetry.on_busy(self.busy_s(), self.clock.now)
        return self.telemetry.report(present, self.waiting(), self.full_slots, self.clock.now)

    def arrive(self, job: Job) -> None:
        """``job`` is here: it is refused when the server is down or full."""
        if self.down:
            self._answer(job, CONNECT_FAILED, 0)
        elif self.room > 0 and self.present >= self.room:
            self._turn_away(job)
        else:
            job.met = self.present
            job.arrived = self.clock.now
            self.present += 1
            self._admit(job)

    def end_service(self, job: Job) -> None:
        """The work of ``job`` is done."""
        self._depart(job)
        self.present -= 1
        self.served += 1
        self.work_done_s += job.work_s
        if self.telemetry is not None:
            now = self.clock.now
            service_s = job.work_s / self.full_speed
            self.telemetry.on_end(int(job.met), now - job.arrived, service_s, now)
        self._answer(job, DONE, 200)

    def cancel(self, job: Job) -> None:
        """The client of ``job``, which is here, no longer wants it."""
        self._depart(job)
        self.present -= 1

    def set_speed(self, speed: float) -> None:
        """Work goes on at this speed."""
        raise NotImplementedError

    def set_slots(self, slots: float) -> None:
        """Work goes on with so many cores. Raises NotImplementedError where there are none."""
        raise NotImplementedError

    def busy_s(self) -> float:
        """Seconds that its slots have been at work, summed over them."""
        raise NotImplementedError

    def fail(self) -> None:
        """It goes down, and every job here is lost."""
        self.down = True
        for job in self._held():
            self._depart(job)
            self.present -= 1
            self._answer(job, RESET, 0)

    def recover(self) -> None:
        """It is up again, empty and at full speed."""
        self.down = False
        self.set_speed(self.full_speed)

    def _turn_away(self, job: Job) -> None:
        """There is no room for it."""
        self._answer(job, DONE, 503)

    def _admit(self, job: Job) -> None:
        raise NotImplementedError

    def _depart(self, job: Job) -> None:
        raise NotImplementedError

    def _held(self) -> list[Job]:
        raise NotImplementedError

    def _answer(self, job: Job, outcome: int, status: int) -> None:
        job.outcome = outcome
        job.status = status
        job.stage = COMING
        balancer = job.balancer
        assert balancer is not None
        if balancer.wants_report():
            job.report = self.report()
        balancer.send_back(job)


def checked_slots(name: str, slots: int) -> int:
    """How many requests a server of that name serves at once. Raises ValueError below 1."""
    if slots < 1:
        raise ValueError(f"server {name}: slots must be 1 or more, not {slots!r}")
    return slots


class FifoServer(Server):
    """First come, first served, by ``slots`` equal workers of the server's speed each."""

    def __init__(
        self, name: str, clock: Clock, *, slots: int = 1, speed: float = 1.0, room: int = 0
    ) -> None:
        super().__init__(name, clock, speed=speed, room=room)
        self._slots: i64 = checked_slots(name, slots)
        self._waiting: Line = Line()
        self._running: Line = Line()
        self._speed_since: float = 0.0
        self._busy_s: float = 0.0
        self._busy_at: float = 0.0
        self.full_slots = float(slots)

    def slots(self) -> float:
        return float(self._slots)

    def set_speed(self, speed: float) -> None:
        clock = self.clock
        job = self._running.first
        while job is not None:
            since = max(job.began, self._speed_since)
            job.left_s = max(0.0, job.left_s - (clock.now - since) * self.speed)
            job = job.behind
        self.speed = speed
        self._speed_since = clock.now
        job = self._running.first
        while job is not None:
            if speed > 0.0:
                clock.heap.schedule(job, clock.now + job.left_s / speed)
            else:
                clock.heap.cancel(job)
            job = job.behind

    def waiting(self) -> int:
        return int(self._waiting.length)

    def busy_s(self) -> float:
        now = self.clock.now
        self._busy_s += (now - self._busy_at) * float(self._running.length)
        self._busy_at = now
        return self._busy_s

    def _admit(self, job: Job) -> None:
        if self._running.length < self._slots:
            self._start(job)
        else:
            self._waiting.join(job)

    def _start(self, job: Job) -> None:
        clock = self.clock
        if self.telemetry is not None:
            self.busy_s()
        self._running.join(job)
        job.stage = SERVING
        job.began = clock.now
        job.left_s = job.work_s
        if self.speed > 0.0:
            clock.heap.schedule(job, clock.now + job.work_s / self.speed)

    def _depart(self, job: Job) -> None:
        if job.stage != SERVING:
            self._waiting.leave(job)
            return
        if self.telemetry is not None:
            self.busy_s()
        self._running.leave(job)
        self.clock.heap.cancel(job)
        following = self._waiting.first
        if following is not None and not self.down:
            self._waiting.leave(following)
            self._start(following)

    def _held(self) -> list[Job]:
        return self._running.jobs() + self._waiting.jobs()


class _Departure(Event):
    """The next end of service at a processor-sharing server."""

    def __init__(self, server: "SharingServer") -> None:
        super().__init__()
        self._server: SharingServer = server

    def fire(self) -> None:
        self._server.depart_first()


class SharingServer(Server):
    """Processor sharing: ``slots`` cores divided evenly, a job getting one core at most.

    Kept in virtual time, which passes at the speed that each job gets: a job that came at v leaves
    at v + work, so that an arrival or departure costs O(log n) however many share.
    """

    def __init__(
        self, name: str, clock: Clock, *, slots: int = 1, speed: float = 1.0, room: int = 0
    ) -> None:
        super().__init__(name, clock, speed=speed, room=room)
        self._slots: float = float(checked_slots(name, slots))
        self._sharing: EventHeap = EventHeap()  # by the virtual time at which they leave
        self._virtual: float = 0.0
        self._virtual_at: float = 0.0
        self._departure: _Departure = _Departure(self)
        self._busy_s: float = 0.0
        self.full_slots = self._slots

    def slots(self) -> float:
        return self._slots

    def set_speed(self, speed: float) -> None:
        self._advance()
        self.speed = speed
        self._plan()

    def set_slots(self, slots: float) -> None:
        if not slots > 0.0:
            raise ValueError(f"server {self.name}: slots must be above 0, not {slots!r}")
        self._advance()
        self._slots = slots
        self._plan()

    def busy_s(self) -> float:
        self._advance()
        return self._busy_s

    def depart_first(self) -> None:
        """The job that needs the least more work is done."""
        self._advance()
        job = self._sharing.first()
        assert isinstance(job, Job)
        self.end_service(job)

    def _admit(self, job: Job) -> None:
        self._advance()
        if len(self._sharing) == 0:
            self._virtual = 0.0  # nobody is here to notice; it keeps its precision
        job.stage = SERVING
        job.began = self.clock.now
        self._sharing.schedule(job, self._virtual + job.work_s)
        self._plan()

    def _depart(self, job: Job) -> None:
        self._advance()
        self._sharing.cancel(job)
        self._plan()

    def _held(self) -> list[Job]:
        found: list[Job] = []
        while len(self._sharing) > 0:
            job = self._sharing.pop()
            assert isinstance(job, Job)
            found.append(job)
        return found

    def _rate(self) -> float:
        """Virtual seconds per second: the speed that each job gets."""
        sharing = float(len(self._sharing))
        return self.speed if sharing <= self._slots else self.speed * self._slots / sharing

    def _advance(self) -> None:
        now = self.clock.now
        passed = now - self._virtual_at
        self._virtual += passed * self._rate()
        self._busy_s += passed * min(float(len(self._sharing)), self._slots)
        self._virtual_at = now

    def _plan(self) -> None:
        rate = self._rate()
        if len(self._sharing) == 0 or rate <= 0.0:
            self.clock.heap.cancel(self._departure)
            return
        left = max(0.0, self._sharing.next_time() - self._virtual)
        self.clock.heap.schedule(self._departure, self.clock.now + left / rate)
