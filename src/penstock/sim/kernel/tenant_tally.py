"""What a tenant of a simulated pool was given."""

from penstock.core.ticket import DONE
from penstock.sim.kernel.admission import used_by
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.kernel.job import Job


class TenantTally:
    """What one tenant sent and was given, of requests that arrived in the window."""

    def __init__(self) -> None:
        self.arrived: int = 0
        self.errors: int = 0
        self.given: float = 0.0  # as tenants are charged, of answers that came in the window
        self.responses: FineHistogram = FineHistogram()

    def record(self, job: Job, now: float, counts: bool, in_window: bool) -> None:
        """``job`` ended at ``now``; whether it is among those measured, and ended in the window."""
        answered = job.outcome == DONE and job.status < 400
        if answered and in_window:
            self.given += used_by(job)
        if not counts:
            return
        self.arrived += 1
        if answered:
            self.responses.record(now - job.born)
        else:
            self.errors += 1
