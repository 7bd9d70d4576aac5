"""Hedges in the simulated world: the rules are ``core.hedge``'s, the second attempt is a job beside
the client's."""

from mypy_extensions import trait

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.hedge import HedgeRules
from penstock.core.pool.pool import Pool
from penstock.core.ticket import Ticket
from penstock.sim.kernel.admission import JobWaiter
from penstock.sim.kernel.client import Deadline
from penstock.sim.kernel.engine_server import PromptJob
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job


@trait
class Hedger:
    """Who may ask a second server: a balancer."""

    def ask_beside(self, job: Job) -> None:
        """It has no first byte after as long as most took for theirs."""
        raise NotImplementedError


class HedgeDue(Event):
    """A second server may be asked for a job."""

    def __init__(self, hedger: Hedger, job: Job) -> None:
        super().__init__()
        self._hedger: Hedger = hedger
        self._job: Job = job

    def fire(self) -> None:
        self._hedger.ask_beside(self._job)


class Hedging:
    """A balancer's, and what it came to."""

    def __init__(self, rules: HedgeRules) -> None:
        self.rules: HedgeRules = rules
        self.made: int = 0
        self.won: int = 0
        self.denied: int = 0  # by the budget

    def begin(self, job: Job, ticket: Ticket, hedger: Hedger, clock: Clock) -> None:
        """An attempt begins, alone."""
        now = clock.now
        self.rules.asked(ticket, now)
        after_s = self.rules.after_s(now)
        if after_s > 0.0:
            clock.heap.schedule(HedgeDue(hedger, job), now + after_s)

    def choose(
        self, job: Job, pool: Pool, env: Env, hedger: Hedger, clock: Clock
    ) -> Endpoint | None:
        """Who is asked beside the first now, if anybody is; it is looked at again later."""
        first = job.ticket
        if first is None or first.outcome >= 0 or job.ended:
            return None
        if job.first_byte_at >= 0.0 or job.beside is not None or job.is_second:
            return None
        rules = self.rules
        now = env.now = clock.now
        waited_s = now - first.opened_at
        clock.heap.schedule(HedgeDue(hedger, job), now + rules.again_s(waited_s))
        tried = [first.endpoint, *(job.tried() or ())]
        chosen = rules.choose(pool, job.request, tried, waited_s, env)
        if chosen is not None and not rules.takes(job.request, now):
            self.denied += 1
            return None
        return chosen

    def spoke(self, job: Job, now: float) -> None:
        """It has the first byte, alone or of two."""
        other = job.beside
        if job.ticket is not None:
            self.rules.spoke(job.ticket.endpoint, now - job.ticket.opened_at, now)
        if other is None:
            return
        if other.ticket is not None:
            self.rules.spoke(other.ticket.endpoint, now - other.ticket.opened_at, now)
        if job.is_second:
            self.won += 1


def second_of(job: Job) -> Job:
    """The same request once more."""
    if isinstance(job, PromptJob):
        made: Job = PromptJob(
            job.number, job.request, job.born, job.output_tokens, job.output_blocks
        )
    else:
        made = Job(job.number, job.request, job.work_s, job.born)
    made.balancer = job.balancer
    made.attempt_number = job.attempt_number + 1
    made.is_second = True
    made.beside = job
    job.beside = made
    return made


def part(leaver: Job, stayer: Job) -> None:
    """One of two attempts goes on alone: it is the client's from here on."""
    leaver.beside = stayer.beside = None
    leaver.ended = True
    if not stayer.is_second:
        return
    stayer.is_second = False
    stayer.source = leaver.source
    stayer.client = leaver.client
    stayer.attempts = leaver.attempts
    stayer.admission = leaver.admission
    if isinstance(stayer.admission, JobWaiter):
        stayer.admission.job = stayer
    deadline = leaver.deadline
    if isinstance(deadline, Deadline) and deadline.place >= 0:
        deadline.job = stayer
        stayer.deadline = deadline
    leaver.deadline = leaver.source = leaver.admission = leaver.client = None
