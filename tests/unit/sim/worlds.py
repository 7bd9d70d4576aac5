"""Small worlds whose every event is known beforehand."""

from random import Random

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.retry import RetryBudget, RetryRules
from penstock.core.snapshot import Retry
from penstock.core.ticket import DONE, OUTCOMES
from penstock.sim.kernel.arrivals import Recorded
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Deterministic, Law
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.server import Server
from penstock.sim.kernel.source import OpenSource, Workload


class GivenWork(Workload):
    """Jobs with these amounts of work, and a record of them."""

    def __init__(self, work_s: list[float]) -> None:
        super().__init__(Deterministic(0.0), Random(1))
        self.given = work_s
        self.jobs: list[Job] = []

    def next_job(self, number: int, now: float) -> Job:
        job = Job(number, Request(), self.given[number], now)
        self.jobs.append(job)
        return job


class SmallWorld:
    """Servers behind one balancer; ``play`` sends requests and returns when each was answered."""

    def __init__(
        self,
        clock: Clock,
        servers: list[Server],
        *,
        policy: str = "round-robin",
        timeout_s: float = float("inf"),
        cancels: bool = True,
        counts_own: bool = True,
        attempts: int = 1,
        delay: Law | None = None,
    ) -> None:
        self.clock = clock
        self.servers = servers
        self.recorder = Recorder()
        self.pool = Pool("p", create(policy))
        self.pool.replace_endpoints([Endpoint(server.name) for server in servers])
        self.pool.rules = RetryRules(Retry(attempts=attempts, non_idempotent=True))
        self.pool.budget = RetryBudget(0.2, 10.0)
        self.balancer = SimulatedBalancer(
            "b",
            clock,
            self.pool,
            Env(Random(1)),
            servers,
            self.recorder,
            timeout_s=timeout_s,
            cancels=cancels,
            counts_own=counts_own,
            request_delay=delay,
            response_delay=delay,
        )
        self.balancer.picks = []
        self.jobs: list[Job] = []

    def play(
        self, arrivals_s: list[float], work_s: list[float], workload: GivenWork | None = None
    ) -> list[tuple[float, str]]:
        """When each request ended, and how: the status, or the outcome's name."""
        workload = workload if workload is not None else GivenWork(work_s)
        source = OpenSource(
            self.clock,
            Recorded(arrivals_s),
            workload,
            [self.balancer],
            self.recorder,
            Random(1),
            customers=len(arrivals_s),
            warm_up=0.0,
        )
        source.begin()
        self.clock.run()
        self.jobs = workload.jobs
        assert source.running == 0
        assert not any(endpoint.in_flight for endpoint in self.pool.endpoints)
        return [_end(job) for job in self.jobs]


def _end(job: Job) -> tuple[float, str]:
    assert job.ended
    ticket = job.ticket
    if ticket is None:
        return job.born, str(job.status)
    how = str(job.status) if ticket.outcome == DONE else OUTCOMES[ticket.outcome]
    return round(ticket.settled_at, 9), how
