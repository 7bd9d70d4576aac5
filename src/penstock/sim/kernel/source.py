"""Where requests come from: an arrival process, or clients that wait for their answers."""

from math import inf
from random import Random

from mypy_extensions import mypyc_attr

from penstock.core.request import Request
from penstock.sim.kernel.arrivals import Arrivals
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job, Origin
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.session_server import SessionJob


@mypyc_attr(allow_interpreted_subclasses=True)
class Workload:
    """What each request is: its facts for the policy, and its work."""

    def __init__(self, work: Law, rng: Random) -> None:
        self.of_sessions: bool = False  # what comes is a session, and its work how long it lasts
        self._work: Law = work
        self._rng: Random = rng

    def next_job(self, number: int, now: float) -> Job:
        """The next request."""
        return self.made(number, Request(), self._work.draw(self._rng), now)

    def made(self, number: int, request: Request, work_s: float, now: float) -> Job:
        """A request, or a session."""
        if self.of_sessions:
            return SessionJob(number, request, work_s, now)
        return Job(number, request, work_s, now)

    def on_end(self, job: Job) -> None:
        """``job``, made here, has ended."""

    def next_turn(self, number: int, now: float, client: Event) -> Job:
        """The next request of a client who waits for the answer."""
        job = self.next_job(number, now)
        job.client = client
        return job


class _Stop(Event):
    """What still runs is no longer waited for."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock: Clock = clock

    def fire(self) -> None:
        self._clock.stop()


class Source(Event, Origin):
    """Sends ``customers`` requests, or for ``duration_s``, and opens and closes the window.

    ``warm_up`` is the share of either that is not measured. Each request goes to a balancer drawn
    at random, as through DNS or an address shared by all.
    """

    def __init__(
        self,
        clock: Clock,
        workload: Workload,
        balancers: list[SimulatedBalancer],
        recorder: Recorder,
        rng: Random,
        *,
        customers: int = 0,
        duration_s: float = inf,
        warm_up: float = 0.1,
    ) -> None:
        super().__init__()
        if customers <= 0 and duration_s == inf:
            raise ValueError("a run needs an end: customers, or a duration")
        if not 0.0 <= warm_up < 1.0:
            raise ValueError(f"warm_up is a share in [0, 1), not {warm_up!r}")
        self.clock: Clock = clock
        self.workload: Workload = workload
        self.balancers: list[SimulatedBalancer] = balancers
        self.recorder: Recorder = recorder
        self.rng: Random = rng
        self.customers: int = customers if customers > 0 else 1 << 60
        self.duration_s: float = duration_s
        self.sent: int = 0
        self.running: int = 0  # sent and not ended
        self.drain_s: float = inf  # how long what runs at the end is waited for
        self.over: bool = False
        self._open_at_number: int = int(customers * warm_up) if customers > 0 else 0
        self._open_at: float = duration_s * warm_up if customers <= 0 else 0.0

    def begin(self) -> None:
        """Schedule what comes first."""
        raise NotImplementedError

    def send(self, client: Event | None) -> None:
        """The next request arrives, from ``client`` where one waits for the answer."""
        now = self.clock.now
        number = self.sent
        self.sent = number + 1
        self.running += 1
        recorder = self.recorder
        if not recorder.is_open and number >= self._open_at_number and now >= self._open_at:
            recorder.open(number, now)
        if client is None:
            job = self.workload.next_job(number, now)
        else:
            job = self.workload.next_turn(number, now, client)
        job.source = self
        balancers = self.balancers
        if len(balancers) == 1:
            balancers[0].submit(job)
        else:
            balancers[int(self.rng.random() * len(balancers))].submit(job)
        if self.sent >= self.customers:
            self.finish()

    def finish(self) -> None:
        """No more is sent; what runs is let run to its end, or for ``drain_s``."""
        if not self.over:
            self.over = True
            self.recorder.close(self.clock.now)
            clock = self.clock
            if self.running == 0 or self.drain_s <= 0.0:
                clock.stop()
            elif self.drain_s < inf:
                clock.heap.schedule(_Stop(clock), clock.now + self.drain_s)

    def on_end(self, job: Job) -> None:
        """``job`` has been answered, refused or given up."""
        self.running -= 1
        self.workload.on_end(job)
        if self.over and self.running == 0:
            self.clock.stop()


class OpenSource(Source):
    """Requests come by an arrival process, whatever becomes of those before."""

    def __init__(
        self,
        clock: Clock,
        arrivals: Arrivals,
        workload: Workload,
        balancers: list[SimulatedBalancer],
        recorder: Recorder,
        rng: Random,
        *,
        customers: int = 0,
        duration_s: float = inf,
        warm_up: float = 0.1,
    ) -> None:
        super().__init__(
            clock,
            workload,
            balancers,
            recorder,
            rng,
            customers=customers,
            duration_s=duration_s,
            warm_up=warm_up,
        )
        self._arrivals: Arrivals = arrivals

    def begin(self) -> None:
        self._plan()

    def fire(self) -> None:
        if self.over:
            return
        self.send(None)
        if not self.over:
            self._plan()

    def _plan(self) -> None:
        when = self._arrivals.after(self.clock.now, self.rng)
        if when <= self.duration_s and when < inf:
            self.clock.heap.schedule(self, when)
        else:
            self.finish()


class _Client(Event):
    """One of the clients of a closed loop, when it has thought."""

    def __init__(self, source: "ClosedSource") -> None:
        super().__init__()
        self._source: ClosedSource = source

    def fire(self) -> None:
        if not self._source.over:
            self._source.send_or_finish(self)


class ClosedSource(Source):
    """``clients`` clients, each thinking, sending, and waiting for the answer before it thinks."""

    def __init__(
        self,
        clock: Clock,
        clients: int,
        think: Law,
        workload: Workload,
        balancers: list[SimulatedBalancer],
        recorder: Recorder,
        rng: Random,
        *,
        customers: int = 0,
        duration_s: float = inf,
        warm_up: float = 0.1,
    ) -> None:
        super().__init__(
            clock,
            workload,
            balancers,
            recorder,
            rng,
            customers=customers,
            duration_s=duration_s,
            warm_up=warm_up,
        )
        if clients < 1:
            raise ValueError(f"a closed loop needs at least one client, not {clients!r}")
        self._clients: int = clients
        self._think: Law = think

    def begin(self) -> None:
        for _ in range(self._clients):
            self.clock.heap.schedule(_Client(self), self._think.draw(self.rng))

    def fire(self) -> None:
        raise RuntimeError("the clients of a closed loop send, not the loop itself")

    def send_or_finish(self, client: Event) -> None:
        """``client`` sends, unless the time is over."""
        if self.clock.now > self.duration_s:
            self.finish()
        else:
            self.send(client)

    def on_end(self, job: Job) -> None:
        super().on_end(job)
        client = job.client
        if client is not None and not self.over:
            self.clock.heap.schedule(client, self.clock.now + self._think.draw(self.rng))
