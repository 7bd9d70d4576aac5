"""Hedges in the simulated world: the rules are ``core.hedge``'s, the second attempt is a job beside
the client's."""

from mypy_extensions import trait

from penstock.core.hedge import HedgeRules
from penstock.sim.kernel.engine_server import PromptJob
from penstock.sim.kernel.events import Event
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
