"""A server that is an inference engine: it works in steps, and remembers prefixes."""

from penstock.core.measure.load_report import LoadReport
from penstock.core.measure.tokens import Progress
from penstock.core.request import Request
from penstock.core.ticket import DONE
from penstock.sim.inference import InferenceEngine
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import SERVING, Job
from penstock.sim.kernel.prefix_store import PrefixStore
from penstock.sim.kernel.server import Server
from penstock.sim.sequence import Sequence

_TOO_LONG = 413


class PromptJob(Job):
    """A prompt and the answer that it will get, whose length nobody knows beforehand.

    The request tells the policy its prompt's blocks; those of the answer follow behind.
    """

    def __init__(
        self,
        number: int,
        request: Request,
        born: float,
        output_tokens: int,
        output_blocks: list[int],
    ) -> None:
        super().__init__(number, request, 0.0, born)
        self.output_tokens: int = output_tokens
        self.output_blocks: list[int] = output_blocks
        self.cached_tokens: int = 0
        self.sequence: JobSequence | None = None


class JobSequence(Sequence):
    """A sequence in an engine that knows its job."""

    def __init__(self, job: PromptJob) -> None:
        request = job.request
        blocks = request.blocks + job.output_blocks
        super().__init__(request.prompt_tokens, job.output_tokens, blocks)
        self.job: PromptJob = job


class _Generated(Progress):
    """Tells a ticket how much of its answer there is."""

    def __init__(self, sequence: JobSequence) -> None:
        self._sequence: JobSequence = sequence

    def tokens(self) -> int:
        return self._sequence.generated


class _StepEnd(Event):
    """The engine's step under way ends."""

    def __init__(self, server: "EngineServer") -> None:
        super().__init__()
        self._server: EngineServer = server

    def fire(self) -> None:
        self._server.end_step()


class _Fetch(Event):
    """A prefix comes from the shared store; then its prompt is begun."""

    def __init__(self, server: "EngineServer", sequence: JobSequence, blocks: list[int]) -> None:
        super().__init__()
        self._server: EngineServer = server
        self._sequence: JobSequence = sequence
        self._blocks: list[int] = blocks

    def fire(self) -> None:
        self._server.end_fetch(self._sequence, self._blocks)


class EngineServer(Server):
    """Runs an ``InferenceEngine`` in time that passes at the server's speed.

    With a ``store`` it fetches from there what it lacks of a prompt's prefix and others computed.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        engine: InferenceEngine[JobSequence],
        *,
        speed: float = 1.0,
        room: int = 0,
        store: PrefixStore | None = None,
    ) -> None:
        super().__init__(name, clock, speed=speed, room=room)
        self.engine: InferenceEngine[JobSequence] = engine
        self._store: PrefixStore | None = store
        self._fetching: dict[JobSequence, _Fetch] = {}
        self._step_end: _StepEnd = _StepEnd(self)
        self._engine_now: float = 0.0
        self._engine_at: float = 0.0
        self._step_began: float = 0.0

    def waiting(self) -> int:
        return self.engine.load().waiting

    def busy_s(self) -> float:
        return self.work_done_s

    def report(self) -> LoadReport:
        """What a scrape of the engine's metrics tells."""
        load = self.engine.load()
        limits = self.engine.limits
        return LoadReport(
            self.clock.now,
            in_flight=float(self.present),
            queued=float(load.waiting),
            utilisation=load.kv_usage,
            most_running=limits.max_sequences if limits.reports_sequences else -1,
            kv_tokens=load.kv_used_tokens,
            kv_capacity=load.kv_tokens,
        )

    def set_speed(self, speed: float) -> None:
        self._advance()
        self.speed = speed
        self._plan()

    def end_step(self) -> None:
        """A step is over: tokens came, some answers are whole, and the next step begins."""
        engine = self.engine
        due = engine.due
        assert due is not None
        self.work_done_s += due - self._step_began
        self._engine_now = due
        self._engine_at = self.clock.now
        emitted = engine.step(due)
        self._note_begun()
        self._step_began = due
        self._plan()
        for sequence in emitted:
            job = sequence.job
            ticket = job.ticket
            if ticket is not None:
                ticket.endpoint.heard(self.clock.now)
            if sequence.generated == 1:
                if self._store is not None:
                    self._store.add(job.request.blocks)
                job.cached_tokens = sequence.cached_tokens
                balancer = job.balancer
                assert balancer is not None
                balancer.on_first_byte(job)
            if sequence.finished:
                if ticket is not None:
                    ticket.output_tokens = sequence.generated
                self.end_service(job)

    def end_fetch(self, sequence: JobSequence, blocks: list[int]) -> None:
        """What ``sequence`` lacked of its prefix is here."""
        del self._fetching[sequence]
        self.engine.adopt(blocks)
        self._advance()
        self._submit(sequence)

    def _admit(self, job: Job) -> None:
        assert isinstance(job, PromptJob)
        self._advance()
        sequence = JobSequence(job)
        if not self.engine.fits(sequence):
            self.present -= 1
            self._answer(job, DONE, _TOO_LONG)
            return
        job.stage = SERVING
        job.sequence = sequence
        if job.ticket is not None:
            job.ticket.progress = _Generated(sequence)
        if self._store is None or not self._begin_fetch(sequence, self._store):
            self._submit(sequence)

    def _depart(self, job: Job) -> None:
        assert isinstance(job, PromptJob)
        sequence = job.sequence
        assert sequence is not None
        fetch = self._fetching.pop(sequence, None)
        if fetch is not None:
            self.clock.heap.cancel(fetch)
        elif not sequence.finished:
            self.engine.cancel(sequence)

    def _begin_fetch(self, sequence: JobSequence, store: PrefixStore) -> bool:
        """Fetch what others computed of the prompt; False when there is nothing to fetch."""
        request = sequence.job.request
        stored = store.match(request.blocks)
        here = self.engine.cached(request.blocks)
        if stored <= here:
            return False
        blocks = request.blocks[:stored]
        fetch = _Fetch(self, sequence, blocks)
        self._fetching[sequence] = fetch
        duration_s = (stored - here) * request.block_tokens / store.tokens_per_s
        self.clock.heap.schedule(fetch, self.clock.now + duration_s)
        return True

    def _note_begun(self) -> None:
        """These waited until now."""
        for sequence in self.engine.begun:
            sequence.job.began = self.clock.now

    def _submit(self, sequence: JobSequence) -> None:
        idle = self.engine.due is None
        if idle:
            self._step_began = self._engine_now
        self.engine.submit(sequence, self._engine_now)
        if idle:
            self._note_begun()
        if self._step_end.place < 0:
            self._plan()

    def _held(self) -> list[Job]:
        """Everything here; the engine starts cold."""
        running, waiting = self.engine.sequences()
        found: list[Job] = [sequence.job for sequence in running + waiting]
        found += [sequence.job for sequence in self._fetching]
        self.clock.heap.cancel(self._step_end)
        self.engine.reset()
        self._advance()
        return found

    def _advance(self) -> None:
        now = self.clock.now
        self._engine_now += (now - self._engine_at) * self.speed
        self._engine_at = now

    def _plan(self) -> None:
        due = self.engine.due
        if due is None or self.speed <= 0.0:
            self.clock.heap.cancel(self._step_end)
            return
        left = max(0.0, due - self._engine_now) / self.speed
        self.clock.heap.schedule(self._step_end, self.clock.now + left)
