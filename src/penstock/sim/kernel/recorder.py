"""What is measured of a run: only requests of the window between warm-up and end."""

from math import inf

from penstock.core.ticket import CONNECT_FAILED, DONE, RESET, TIMEOUT
from penstock.sim.kernel.engine_server import PromptJob
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.session_server import SessionJob
from penstock.sim.kernel.tenant_tally import TenantTally
from penstock.sim.kernel.timeline import Timeline


class Recorder:
    """Sums over requests that arrived in the window; rates over what ended during it.

    ``objective_s`` is the response time within which an answer is good; of prompts, also the time
    to the first token and the mean time of each further one are bounded.
    """

    def __init__(
        self,
        *,
        objective_s: float = inf,
        first_byte_objective_s: float = inf,
        token_objective_s: float = inf,
    ) -> None:
        self.objective_s: float = objective_s
        self.first_byte_objective_s: float = first_byte_objective_s
        self.token_objective_s: float = token_objective_s
        self.first_number: int = 0  # of the requests that count
        self.opened_at: float = 0.0
        self.closed_at: float = -1.0  # below 0: the window is open
        self.is_open: bool = False
        self.count: int = 0  # answered or timed out: all that have a response time
        self.response_sum: float = 0.0
        self.wait_sum: float = 0.0
        self.waited: int = 0  # of those answered, how many did not begin at once
        self.work_sum: float = 0.0
        self.slowdown_sum: float = 0.0  # response over work
        self.first_byte_sum: float = 0.0
        self.responses: FineHistogram = FineHistogram()
        self.first_bytes: FineHistogram | None = None  # where they differ from responses
        self.per_token_sum: float = 0.0  # of answers of two tokens or more
        self.per_token_count: int = 0
        self.prompt_tokens: int = 0
        self.cached_tokens: int = 0
        self.output_tokens: int = 0
        # Of all answers, in the window or not: tokens of prompts that no cache had, and of answers.
        self.computed_tokens: int = 0
        self.generated_tokens: int = 0
        self.vain_tokens: int = 0  # of prompts, at attempts that were given up for another
        self.preempted: int = 0  # times that one lost its place to a more important one
        self.timeline: Timeline | None = None
        self.refused: int = 0
        self.failed: int = 0
        self.timed_out: int = 0
        self.attempts: int = 0
        self.moves: int = 0  # of sessions whose server died
        self.arrived: int = 0
        self.answered_in_window: int = 0
        self.good_in_window: int = 0
        self.tenants: dict[str, TenantTally] = {}  # by name, where there are any

    def open(self, number: int, now: float) -> None:
        """Requests from ``number`` on count."""
        self.first_number = number
        self.opened_at = now
        self.is_open = True

    def close(self, now: float) -> None:
        """No more requests arrive."""
        self.is_open = False
        self.closed_at = now

    def record(self, job: Job, now: float) -> None:
        """``job`` ended for its client at ``now``."""
        response = now - job.born
        answered = job.outcome == DONE and job.status < 400
        if self.timeline is not None:
            self.timeline.note(job, answered, now)
        if answered and isinstance(job, PromptJob):
            self.computed_tokens += job.request.prompt_tokens - job.cached_tokens
            self.generated_tokens += job.output_tokens
        if self.tenants:
            tally = self.tenants.get(job.request.source)
            if tally is not None:
                counts = job.number >= self.first_number
                counts = counts and (self.is_open or self.closed_at >= 0.0)
                tally.record(job, now, counts, self.is_open)
        if self.is_open and answered:
            self.answered_in_window += 1
            if response <= self.objective_s and self._streams_well(job, now):
                self.good_in_window += 1
        if job.number < self.first_number or (not self.is_open and self.closed_at < 0.0):
            return
        self.arrived += 1
        self.attempts += job.attempt_number
        if isinstance(job, SessionJob):
            self.moves += job.moves
        if answered:
            self.count += 1
            self.response_sum += response
            wait = job.began - job.born
            self.wait_sum += wait
            if wait > 0.0:
                self.waited += 1
            work = job.work_s
            self.work_sum += work
            if work > 0.0:
                self.slowdown_sum += response / work
            self.responses.record(response)
            if self.first_bytes is not None:
                first = job.first_byte_at - job.born
                self.first_byte_sum += first
                self.first_bytes.record(first)
                self._record_prompt(job, now)
        elif job.outcome == TIMEOUT:
            self.timed_out += 1
            self.count += 1
            self.response_sum += response
            self.responses.record(response)
        elif job.outcome == CONNECT_FAILED or job.outcome == RESET:
            self.failed += 1
        else:
            self.refused += 1

    def computed_in_vain(self, job: Job) -> None:
        """The prompt of an attempt that was given up for another: as if all of it was computed."""
        if isinstance(job, PromptJob):
            self.vain_tokens += job.request.prompt_tokens - job.cached_tokens

    def _record_prompt(self, job: Job, now: float) -> None:
        if not isinstance(job, PromptJob):
            return
        self.prompt_tokens += job.request.prompt_tokens
        self.cached_tokens += job.cached_tokens
        self.output_tokens += job.output_tokens
        if job.output_tokens > 1:
            self.per_token_sum += _per_token(job, now)
            self.per_token_count += 1

    def _streams_well(self, job: Job, now: float) -> bool:
        if not isinstance(job, PromptJob):
            return True
        return (
            job.first_byte_at - job.born <= self.first_byte_objective_s
            and _per_token(job, now) <= self.token_objective_s
        )

    def window_s(self) -> float:
        """How long the window was, or has been until its end."""
        return max(0.0, self.closed_at - self.opened_at)


def _per_token(job: PromptJob, now: float) -> float:
    """Mean time of a token after the first."""
    return (now - job.first_byte_at) / max(1, job.output_tokens - 1)
