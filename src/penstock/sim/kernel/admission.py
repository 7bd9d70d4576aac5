"""Admission of a simulated balancer: the gate of core/admission, with jobs that wait before it."""

from typing import TYPE_CHECKING, Final

from penstock.core import snapshot
from penstock.core.admission.gate import Ending, Gate, Place
from penstock.core.ticket import DONE
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job

if TYPE_CHECKING:
    from penstock.sim.kernel.balancer import Balancer

SWEEP_S: Final = 0.25  # as often as a worker looks whether somebody waited too long


class JobPlace(Place):
    """A job's place."""

    def __init__(self, job: Job, importance: int) -> None:
        super().__init__(importance, 0.0)
        self.job: Job = job
        self.needs = job.request.model


class BalancerGate(Gate):
    """One balancer's gate."""

    def __init__(self, spec: snapshot.Admission, balancer: "Balancer") -> None:
        super().__init__(spec, balancer.env)
        self._balancer: Balancer = balancer

    def room(self, place: Place) -> int:
        job = _job_at(place)
        return self._balancer.pool.room(job.request, job.tried())

    def on_admitted(self, place: Place) -> None:
        self._balancer.on_admitted(_job_at(place))

    def on_turned_away(self, place: Place, reason: int, why: str) -> None:
        self._balancer.on_turned_away(_job_at(place))


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


def ending_of(job: Job, place: JobPlace, now: float) -> Ending:
    """What a job that ended tells of the servers: nothing when its client went away."""
    came = job.ticket is not None and job.outcome == DONE
    begun = job.first_byte_at if job.first_byte_at >= 0.0 else now
    return Ending(
        told=came or job.ticket is None,
        came=came,
        whole=came,
        timed_out=False,
        status=int(job.status) if came else 0,
        latency_s=begun - place.admitted_at,
    )


def _job_at(place: Place) -> Job:
    assert isinstance(place, JobPlace)
    return place.job
