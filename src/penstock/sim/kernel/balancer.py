"""A simulated balancer: a real pool, its tickets and attempts, and the network to the servers."""

from math import inf
from random import Random
from typing import Final

from penstock.core.admission.gate import Gate
from penstock.core.admission.needs import needs_of
from penstock.core.attempts import Attempts, Failure
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.pool.pool import Pool
from penstock.core.retry import REFUSALS
from penstock.core.ticket import ABANDONED, CONNECT_FAILED, DONE, RESET, TIMEOUT, Ticket
from penstock.sim.kernel.admission import Admitted, JobWaiter, ending_of, may_yield, used_by
from penstock.sim.kernel.client import Awaited, Deadline, Rejoining
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.hedging import Hedger, Hedging, part, second_of
from penstock.sim.kernel.job import COMING, GOING, Job, Sender
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.probing import Prober
from penstock.sim.kernel.protection import Protection
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.server import Server
from penstock.sim.kernel.session_server import SessionJob, SessionRules

_UNAVAILABLE: Final = 503
_REFUSED: Final = 400  # statuses from here on are no answer


class SimulatedBalancer(Sender, Admitted, Hedger, Awaited):
    """Picks, opens the ticket, sends, and settles; several of them may share the servers.

    ``servers[i]`` does the work of ``pool.endpoints[i]``. Delays are one way; None is none at all.
    With ``counts_own`` false the policy sees only what reports said, not its own dispatches since
    (the bulletin board of Mitzenmacher, How Useful Is Old Information?, 2000).
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        pool: Pool,
        env: Env,
        servers: list[Server],
        recorder: Recorder,
        *,
        timeout_s: float = inf,
        cancels: bool = True,
        counts_own: bool = True,
        request_delay: Law | None = None,
        response_delay: Law | None = None,
        network: Random | None = None,
    ) -> None:
        self.name: str = name
        self.clock: Clock = clock
        self.pool: Pool = pool
        self.env: Env = env
        self.servers: list[Server] = servers
        self.recorder: Recorder = recorder
        self.timeout_s: float = timeout_s
        self.cancels: bool = cancels  # whether a server hears that the client went away
        self.counts_own: bool = counts_own
        self.request_delay: Law | None = request_delay
        self.response_delay: Law | None = response_delay
        self.network: Random = network if network is not None else Random(0)
        self._prober: Prober = Prober(
            clock, pool, env, servers, request_delay, response_delay, self.network
        )
        self.sessions: SessionRules | None = None  # where sessions come
        self.reports: bool = False  # whether answers bring the server's load report
        self.gate: Gate | None = None
        self.protection: Protection | None = None
        self.hedging: Hedging | None = None
        self.picks: list[int] | None = None  # the order of each endpoint picked, where wanted
        self.picked_at: list[float] = []  # beside it

    def submit(self, job: Job) -> None:
        """A client's request is here."""
        job.balancer = self
        if self.pool.rules.attempts > 1:
            self.pool.budget.request(self.clock.now)
        if self.timeout_s < inf:
            deadline = Deadline(self, job)
            job.deadline = deadline
            self.clock.heap.schedule(deadline, self.clock.now + self.timeout_s)
        gate = self.gate
        if gate is None:
            self._attempt(job)
            return
        self.env.now = self.clock.now
        waiter = JobWaiter(job, gate.spec.default_priority)
        job.admission = waiter
        if gate.admits(waiter):
            self._attempt(job)

    def wants_report(self) -> bool:
        """Whether answers are to bring the server's load report."""
        return self.reports

    def room(self, job: Job) -> int:
        """Whether an endpoint takes it now, as the gate asks."""
        return self.pool.room(job.request, job.tried())

    def cached(self, job: Job) -> int:
        """Most tokens of its prompt that an endpoint with room holds, as the gate asks."""
        return self.pool.cached(job.request, job.tried())

    def held(self, job: Job) -> Endpoint | None:
        """Its endpoint, if it may give its place there away: a prompt without a token yet."""
        ticket = job.ticket
        if ticket is None or not self.cancels or not self.pool.rules.generations:
            return None
        return ticket.endpoint if may_yield(job) else None

    def usable(self, job: Job) -> list[Endpoint]:
        """The endpoints that it can use, as the gate asks."""
        return self.pool.usable(job.request, job.tried())

    def on_preempted(self, job: Job) -> None:
        """A more important one gets its place."""
        self.recorder.preempted += 1
        self.recorder.computed_in_vain(job)
        self._settle(job, ABANDONED)
        self._call_off(job)
        job.ticket = None

    def on_admitted(self, job: Job) -> None:
        """It waited for a place, and has one."""
        self._attempt(job)

    def on_turned_away(self, job: Job) -> None:
        """The gate refused it."""
        job.outcome = ABANDONED
        job.status = _UNAVAILABLE
        self._end(job)

    def refresh(self) -> None:
        """The state of an endpoint changed."""
        if self.protection is None:
            self.pool.refresh()
        else:
            self.protection.refresh()

    def set_weight(self, order: int, weight: float) -> None:
        """Weigh an endpoint so from here on; ``refresh`` after it."""
        if self.protection is None:
            self.pool.endpoints[order].weight = weight
        else:
            self.protection.endpoints[order].whole_weight = weight

    def weight(self, order: int) -> float:
        """As it was set: what slow start leaves of it is another matter."""
        if self.protection is None:
            return self.pool.endpoints[order].weight
        return self.protection.endpoints[order].whole_weight

    def send_back(self, job: Job) -> None:
        """The server's answer sets out; ``on_answer`` follows after the network's delay."""
        delay = self.response_delay
        if delay is None:
            self.on_answer(job)
        else:
            self.clock.heap.schedule(job, self.clock.now + delay.draw(self.network))

    def on_first_byte(self, job: Job) -> None:
        """The first byte of the answer came."""
        ticket = job.ticket
        if ticket is not None and not job.ended:
            if self.hedging is not None:
                self._win(job, self.hedging)
            job.first_byte_at = self.clock.now
            ticket.first_byte(self.clock.now)
            if self.gate is not None and job.admission is not None:
                self.gate.begun(job.admission)

    def on_answer(self, job: Job) -> None:
        """The answer, or the news of its failure, is here."""
        if job.ended:
            return  # its client had gone, and its ticket was settled then
        ticket = job.ticket
        assert ticket is not None
        ticket.status = job.status
        if job.report is not None:
            self.pool.policy.on_report(ticket.endpoint, job.report)
            job.report = None
        # Of two attempts one that was refused does not answer.
        answers = job.outcome == DONE and (job.beside is None or job.status < _REFUSED)
        if answers and job.first_byte_at < 0.0:
            self.on_first_byte(job)
        self._settle(job, job.outcome)
        other = job.beside
        if other is not None:  # which goes on alone
            part(job, other)
            return
        if isinstance(job, SessionJob) and job.outcome == RESET and self.sessions is not None:
            self._on_server_lost(job, ticket.endpoint, self.sessions)
            return
        if ticket.failed and self._may_retry(job, ticket.endpoint):
            self._attempt(job)
            return
        self._end(job)

    def rejoin(self, job: Job) -> None:
        """The client of a session that lost its server is back, or is moved at once."""
        if not job.ended:
            job.attempt_number -= 1  # its attempts are those before it was held
            self._attempt(job)

    def on_deadline(self, job: Job) -> None:
        """The client of ``job`` waited long enough."""
        if job.ended:
            return
        if job.ticket is not None:  # else it waits for a place
            self._settle(job, TIMEOUT)
            if self.cancels:
                self._call_off(job)
        other = job.beside
        if other is not None:
            self._drop(other, TIMEOUT)
        job.outcome = TIMEOUT
        self._end(job)

    def _attempt(self, job: Job) -> None:
        now = self.clock.now
        env = self.env
        env.now = now
        pool = self.pool
        tried = job.tried()
        if self.hedging is not None:
            tried = self.hedging.rules.passes(pool, job.request, tried, now)
        endpoint = pool.pick(job.request, env, tried)
        if endpoint is None:
            waiter = job.admission
            gate = self.gate
            if gate is not None and waiter is not None:
                if job.attempts is not None:
                    job.attempts.may_fill_again()
                waiter.needs = needs_of(job.request.model, job.tried())
                if gate.takes_back(waiter):
                    return
            job.outcome = ABANDONED
            job.status = _UNAVAILABLE
            self._end(job)
            return
        job.attempt_number += 1
        job.first_byte_at = -1.0
        ticket = job.ticket = Ticket(endpoint, pool.policy, job.request, now)
        if endpoint.guarded and not ticket.enters(now):
            ticket.settle(ABANDONED, now)
            job.ticket = None
            job.attempt_number -= 1
            self._attempts(job).pass_over(endpoint)
            self._attempt(job)
            return
        if not self.counts_own:
            endpoint.elsewhere -= 1
        if self.picks is not None:
            self.picks.append(endpoint.order)
            self.picked_at.append(now)
        server = self.servers[endpoint.order]
        job.server = server
        job.stage = GOING
        if pool.policy.probes:
            self._prober.send_due()
        hedging = self.hedging
        if hedging is not None and not job.is_second:
            hedging.begin(job, ticket, self, self.clock)
        self._send(job, server)

    def _send(self, job: Job, server: Server) -> None:
        """It sets out."""
        delay = self.request_delay
        if delay is None:
            server.arrive(job)
        else:
            self.clock.heap.schedule(job, self.clock.now + delay.draw(self.network))

    # --- a second attempt beside the first ---------------------------------------------------

    def ask_beside(self, job: Job) -> None:
        hedging = self.hedging
        if hedging is None:
            return
        chosen = hedging.choose(job, self.pool, self.env, self, self.clock)
        if chosen is None:
            return
        now = self.clock.now
        ticket = Ticket(chosen, self.pool.policy, job.request, now)
        if chosen.guarded and not ticket.enters(now):
            ticket.settle(ABANDONED, now)
            return
        hedging.made += 1
        second = second_of(job)
        second.ticket = ticket
        server = self.servers[chosen.order]
        second.server = server
        second.stage = GOING
        self._send(second, server)

    def _win(self, job: Job, hedging: Hedging) -> None:
        """It has the first byte: the other attempt, if there is one, is given up."""
        hedging.spoke(job, self.clock.now)
        other = job.beside
        if other is None:
            return
        self.recorder.computed_in_vain(other)
        part(other, job)
        self._drop(other, ABANDONED)

    def _drop(self, job: Job, outcome: int) -> None:
        """Nobody wants it any more, and nobody hears of it."""
        if job.beside is not None:
            job.beside.beside = None
            job.beside = None
        job.ended = True
        if job.ticket is not None and job.ticket.outcome < 0:
            self._settle(job, outcome)
            self._call_off(job)

    def _on_server_lost(self, job: SessionJob, endpoint: Endpoint, rules: SessionRules) -> None:
        if not rules.moves and rules.rejoin is None:
            self._end(job)
            return
        job.moves += 1
        job.ticket = None
        job.attempts = None  # those that failed it before may take it now
        self._attempts(job).pass_over(endpoint)
        if rules.moves:
            self.rejoin(job)
        elif rules.rejoin is not None:
            back_at = self.clock.now + rules.rejoin.draw(self.network)
            self.clock.heap.schedule(Rejoining(self, job), back_at)

    def _settle(self, job: Job, outcome: int) -> None:
        ticket = job.ticket
        assert ticket is not None
        ticket.settle(outcome, self.clock.now)
        if not self.counts_own:
            ticket.endpoint.elsewhere += 1

    def _may_retry(self, job: Job, endpoint: Endpoint) -> bool:
        """Whether it may be tried again now that it failed at ``endpoint`` as well."""
        env = self.env
        env.now = self.clock.now
        failure = Failure(
            endpoint,
            job.outcome,
            int(job.status),
            sent=job.outcome != CONNECT_FAILED,
            safe=self.pool.rules.repeats_sent(job.request.method.encode()),
            # An engine that is full did not take the prompt up.
            refused=job.status in REFUSALS and job.request.prompt_tokens > 0,
            # A whole answer was held back until its status was known.
            passed_on=job.outcome != DONE and job.first_byte_at >= 0.0,
        )
        return not self._attempts(job).failed(failure, job.request.model, "", env)

    def _attempts(self, job: Job) -> Attempts:
        attempts = job.attempts
        if attempts is None:
            attempts = job.attempts = Attempts(self.pool)
        return attempts

    def _call_off(self, job: Job) -> None:
        if job.stage == COMING or (job.stage == GOING and job.place >= 0):
            self.clock.heap.cancel(job)  # it is on the network
            return
        server = job.server
        assert server is not None
        server.cancel(job)

    def _end(self, job: Job) -> None:
        job.ended = True
        deadline = job.deadline
        if deadline is not None:
            self.clock.heap.cancel(deadline)
            job.deadline = None  # no cycle of references for the collector
        waiter = job.admission
        if waiter is not None:
            job.admission = None
            if waiter.gate is not None:
                self.env.now = self.clock.now
                waiter.gate.settle(waiter, used_by(job))
                waiter.gate.left(waiter, ending_of(job, waiter, self.clock.now))
        self.recorder.record(job, self.clock.now)
        source = job.source
        if source is not None:
            source.on_end(job)
