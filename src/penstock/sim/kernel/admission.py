"""Admission of a simulated balancer: the gate of core/admission, with jobs that wait before it."""

from typing import Final

from mypy_extensions import trait

from penstock.core import snapshot
from penstock.core.admission.gate import Gate
from penstock.core.admission.refusals import Ending
from penstock.core.admission.tenant_shares import cost_of
from penstock.core.admission.waiter import Waiter
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.ticket import DONE
from penstock.sim.kernel.engine_server import PromptJob
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job

SWEEP_S: Final = 0.25  # as often as a worker looks whether somebody waited too long


class JobWaiter(Waiter):
    """A job's place."""

    def __init__(self, job: Job, importance: int) -> None:
        super().__init__(importance, 0.0)
        self.job: Job = job
        request = job.request
        self.needs = request.model
        self.caller = request.caller
        if request.caller.priority >= 0:
            self.importance = request.caller.priority


@trait
class Admitted:
    """Who sends the jobs that a gate lets in."""

    def room(self, job: Job) -> int:
        """Whether an endpoint takes it now (of core/pool)."""
        raise NotImplementedError

    def cached(self, job: Job) -> int:
        """Most tokens of its prompt that an endpoint with room holds."""
        raise NotImplementedError

    def held(self, job: Job) -> Endpoint | None:
        """Its endpoint, if it may give its place there away."""
        raise NotImplementedError

    def usable(self, job: Job) -> list[Endpoint]:
        """The endpoints that it can use, with room or without."""
        raise NotImplementedError

    def on_preempted(self, job: Job) -> None:
        """A more important one gets its place: end the attempt."""
        raise NotImplementedError

    def on_admitted(self, job: Job) -> None:
        """It waited for a place, and has one."""
        raise NotImplementedError

    def on_turned_away(self, job: Job) -> None:
        """The gate refused it."""
        raise NotImplementedError


class BalancerGate(Gate):
    """One balancer's gate."""

    def __init__(self, spec: snapshot.Admission, env: Env, balancer: Admitted) -> None:
        super().__init__(spec, env)
        self._balancer: Admitted = balancer

    def room(self, waiter: Waiter) -> int:
        return self._balancer.room(_job_of(waiter))

    def cost(self, waiter: Waiter) -> float:
        request = _job_of(waiter).request
        if request.prompt_tokens <= 0:
            return 1.0
        return cost_of(request.prompt_tokens, 0, request.output_tokens)

    def cached(self, waiter: Waiter) -> float:
        return float(self._balancer.cached(_job_of(waiter)))

    def held(self, waiter: Waiter) -> Endpoint | None:
        return self._balancer.held(_job_of(waiter))

    def usable(self, waiter: Waiter) -> list[Endpoint]:
        return self._balancer.usable(_job_of(waiter))

    def on_preempted(self, waiter: Waiter) -> None:
        self._balancer.on_preempted(_job_of(waiter))

    def on_admitted(self, waiter: Waiter) -> None:
        self._balancer.on_admitted(_job_of(waiter))

    def on_turned_away(self, waiter: Waiter, reason: int, why: str) -> None:
        self._balancer.on_turned_away(_job_of(waiter))


class GateSweep(Event):
    """What a worker does four times a second."""

    def __init__(self, clock: Clock, gate: Gate) -> None:
        super().__init__()
        self._clock: Clock = clock
        self._gate: Gate = gate

    def fire(self) -> None:
        self._gate.env.now = self._clock.now
        self._gate.observe()
        self._clock.heap.schedule(self, self._clock.now + SWEEP_S)


def may_yield(job: Job) -> bool:
    """Whether its attempt can be ended and another made later: a prompt without a token yet."""
    ticket = job.ticket
    if ticket is None or ticket.outcome >= 0 or not isinstance(job, PromptJob):
        return False
    if job.first_byte_at >= 0.0 or job.beside is not None:
        return False
    return job.sequence is None or job.sequence.generated == 0  # else a token is on the way


def used_by(job: Job) -> float:
    """What a job has used, as its tenant is charged."""
    if isinstance(job, PromptJob):
        done = job.outcome == DONE
        cached = job.cached_tokens
        return cost_of(job.request.prompt_tokens, cached, job.output_tokens if done else 0)
    return 1.0


def ending_of(job: Job, waiter: Waiter, now: float) -> Ending:
    """What a job that ended tells of the servers: nothing when its client went away."""
    came = job.ticket is not None and job.outcome == DONE
    begun = job.first_byte_at if job.first_byte_at >= 0.0 else now
    return Ending(
        told=came or job.ticket is None,
        came=came,
        whole=came,
        timed_out=False,
        status=int(job.status) if came else 0,
        latency_s=begun - waiter.admitted_at,
    )


def _job_of(waiter: Waiter) -> Job:
    assert isinstance(waiter, JobWaiter)
    return waiter.job
