"""A balancer whose prompts may be computed by one half of the engines and answered by the other.

The order is that of the data plane: the answering engine is picked and holds its place, the prompt
is computed for one token, its KV cache moves, and the answering engine gets the request. Whether so
is the rule that the data plane has: ``core.apart``, or a threshold.
"""

from math import inf
from random import Random
from typing import Final

from penstock.core.apart import (
    compute_elsewhere,
    compute_here,
    decides,
    hand_over,
    is_apart,
)
from penstock.core.env import Env
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.snapshot.split import BY_COST
from penstock.core.ticket import DONE, Ticket
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.engine_server import EngineServer, PromptJob
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job, Sender
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.server import Server

NEVER: Final = 1 << 60


class Link:
    """Between the halves: one cache after the other into each answering engine."""

    def __init__(self, base_s: float, token_s: float) -> None:
        self.base_s: float = base_s
        self.token_s: float = token_s
        self._busy_until: dict[Server, float] = {}

    def arrives_at(self, server: Server, tokens: int, now: float) -> float:
        """When a cache of so many tokens is there that sets out now."""
        begins = max(now, self._busy_until.get(server, -inf))
        ends = begins + self.base_s + self.token_s * tokens
        self._busy_until[server] = ends
        return ends


class _Moved(Event):
    """The cache of a prompt is where it is answered."""

    def __init__(self, balancer: "SplitBalancer", job: PromptJob) -> None:
        super().__init__()
        self._balancer: SplitBalancer = balancer
        self._job: PromptJob = job

    def fire(self) -> None:
        self._balancer.on_moved(self._job)


class _Computing(Sender):
    """Hears of prompts that are computed for others."""

    def __init__(self, balancer: "SplitBalancer") -> None:
        self._balancer: SplitBalancer = balancer
        self.waiting: dict[Job, PromptJob] = {}  # by the job that computes

    def wants_report(self) -> bool:
        return False

    def send_back(self, job: Job) -> None:
        self.on_answer(job)

    def on_first_byte(self, job: Job) -> None:
        ticket = job.ticket
        if ticket is not None:
            ticket.first_byte(self._balancer.clock.now)

    def on_answer(self, job: Job) -> None:
        ticket = job.ticket
        assert ticket is not None
        ticket.status = job.status
        ticket.settle(job.outcome, self._balancer.clock.now)
        waiting = self.waiting.pop(job)
        self._balancer.on_computed(waiting, job.outcome == DONE)


class SplitBalancer(SimulatedBalancer):
    """``pool`` and ``servers`` answer; ``split_by`` gives it those that compute."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        pool: Pool,
        env: Env,
        servers: list[Server],
        recorder: Recorder,
    ) -> None:
        super().__init__(name, clock, pool, env, servers, recorder, network=Random(0))
        self.sent: int = 0  # prompts
        self.apart: int = 0  # of them, computed by the other half
        self._computing: _Computing = _Computing(self)
        self._pool: Pool | None = None
        self._computers: list[Server] = []
        self._threshold: int = BY_COST
        self._link: Link = Link(0.0, 0.0)

    def split_by(self, pool: Pool, servers: list[Server], threshold: int, link: Link) -> None:
        """``threshold``: tokens not cached from which a prompt is; BY_COST, or NEVER."""
        self._pool = pool
        self._computers = servers
        self._threshold = threshold
        self._link = link

    def _send(self, job: Job, server: Server) -> None:
        pool = self._pool
        ticket = job.ticket
        assert isinstance(job, PromptJob)
        self.sent += 1
        if pool is None or ticket is None or not self._is_apart(ticket, pool):
            server.arrive(job)
            return
        now = self.clock.now
        request = _of_one_token(job.request)
        endpoint = pool.pick(request, self.env, None)
        if endpoint is None:
            server.arrive(job)
            return
        self.apart += 1
        compute_elsewhere(ticket, now)
        computing = PromptJob(job.number, request, now, 1, [])
        computing.balancer = self._computing
        computing.ticket = Ticket(endpoint, pool.policy, request, now)
        computer = self._computers[endpoint.order]
        computing.server = computer
        self._computing.waiting[computing] = job
        computer.arrive(computing)

    def _is_apart(self, ticket: Ticket, pool: Pool) -> bool:
        if self._threshold >= 0:
            return ticket.request.prompt_tokens - ticket.hit_tokens >= self._threshold
        policy = self.pool.policy
        if not decides(policy, pool.policy):
            return False
        return is_apart(ticket, policy, pool.policy, pool.eligible, self.env)

    def on_computed(self, job: PromptJob, whole: bool) -> None:
        """The prompt of ``job`` was, or could not be."""
        ticket = job.ticket
        server = job.server
        if ticket is None or job.ended or not isinstance(server, EngineServer):
            return
        now = self.clock.now
        if not whole:
            compute_here(ticket, now)
            server.arrive(job)
            return
        hand_over(ticket, now)
        tokens = job.request.prompt_tokens
        self.clock.heap.schedule(_Moved(self, job), self._link.arrives_at(server, tokens, now))

    def on_moved(self, job: PromptJob) -> None:
        """Its cache is where it is answered."""
        server = job.server
        if not job.ended and isinstance(server, EngineServer):
            server.engine.adopt(job.request.blocks)
            server.arrive(job)


def _of_one_token(request: Request) -> Request:
    """The same prompt, for an answer of one token."""
    return Request(
        model=request.model,
        prompt_tokens=request.prompt_tokens,
        output_tokens=1,
        blocks=request.blocks,
        block_tokens=request.block_tokens,
        streams=request.streams,
        caller=request.caller,
    )
