"""The time to first token that no router can be below.

Every prompt has an idle engine of the fleet's fastest kind to itself, and finds in its cache what
any request due before it put into any engine, nothing ever evicted. Of workloads whose turns wait
for answers, these come when such engines would give them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from benchmarks.routing.fleets import PROFILE, SPEEDS
from benchmarks.routing.live import SECONDS, counted_from_s
from benchmarks.routing.workloads import Kind
from penstock.core.snapshot import PolicyChoice
from penstock.fleet.engine.intake import Intake
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.replay.client import StreamClient
from penstock.fleet.replay.result import distribution
from penstock.fleet.replay.run import Conversation, departures, prompt_of
from penstock.fleet.replay.session import Session, Workload
from penstock.sim.engine_timing import PROFILES
from penstock.sim.inference import InferenceEngine
from penstock.sim.kernel.engine_server import JobSequence, PromptJob
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.job import SERVING, Job
from penstock.sim.kernel.server import Server
from penstock.sim.outcome import seed_of
from penstock.sim.scenario import Scenario
from penstock.sim.sequence import Sequence
from penstock.sim.statistics import Interval, interval
from penstock.sim.world import build_world

NAME: Final = "no router can be below"
_SEQUENCES: Final = 256  # at once in an engine, of which there is one


class Floor(msgspec.Struct, frozen=True):
    """Of one live run, in the engines' seconds."""

    kind: str
    fleet: str
    seed: int
    requests: int
    ttft_mean_s: float
    ttft_p99_s: float
    seconds: float = SECONDS


class Alone:
    """Serves prompts, each by an engine that ``build`` makes for it."""

    def __init__(self, build: Callable[[], InferenceEngine[Any]]) -> None:
        self._build = build
        self._known: set[int] = set()  # blocks that are in some engine

    def serve(self, sequence: Sequence) -> tuple[float, float]:
        """Seconds to its first token and to its last; it comes after all that were served."""
        engine = self._build()
        found = 0
        while found < len(sequence.blocks) and sequence.blocks[found] in self._known:
            found += 1
        engine.adopt(sequence.blocks[:found])
        engine.submit(sequence, 0.0)
        ended = 0.0
        while (due := engine.due) is not None:
            engine.step(due)
            ended = due
        # The last token of an answer is never computed.
        computed = sequence.prompt_tokens + sequence.output_tokens - 1
        self._known.update(sequence.blocks[: computed // engine.limits.block_tokens])
        return sequence.first_token_at, ended


def live(kind: Kind, fleet: str, engine_seconds: float, seed: int) -> Floor:
    """Of the requests that ``measure`` counts in such a run."""
    workload = kind.live(engine_seconds * kind.lasts, seed, fleet)
    counted_s = counted_from_s(kind, engine_seconds)
    found = [
        first_s
        for due_s, first_s in first_tokens(workload, max(SPEEDS[fleet]))
        if due_s >= counted_s
    ]
    shown = distribution(found)
    return Floor(
        kind.name, fleet, seed, shown.count, shown.mean, shown.percentile(99), engine_seconds
    )


def first_tokens(workload: Workload, speed: float = 1.0) -> Iterator[tuple[float, float]]:
    """When each request is due, and how long its first token takes; earliest first.

    What is sent is what the replay sends, and what engines make of it is what emulated ones make.
    """
    spec = EngineSpec("alone", profile=PROFILE)
    limits = spec.limits(_SEQUENCES)
    alone = Alone(lambda: InferenceEngine(PROFILES[PROFILE].timing, limits))
    intake = Intake(spec)
    client = StreamClient("", spec.model, "chat", headers={}, timeout_s=0.0, keep_answers=False)
    talks: dict[int, Conversation] = {}
    waiting: list[tuple[float, int, int, Session]] = [
        (due_s, order, number, session)
        for order, (due_s, session, number) in enumerate(departures(workload.sessions))
    ]
    heapq.heapify(waiting)
    while waiting:
        due_s, order, number, session = heapq.heappop(waiting)
        turn = session.turns[number]
        if session.closed:
            talk = talks.setdefault(order, Conversation(session))
            messages = talk.prompt(turn)
        else:
            messages = prompt_of(session, number)
        body = msgspec.json.decode(client.body(messages, turn.output_tokens), type=ChatRequest)
        generation = intake.generation(body)
        first_s, whole_s = (seconds / speed for seconds in alone.serve(generation))
        yield due_s, first_s
        if session.closed and number + 1 < len(session.turns):
            talks[order].answered(generation.answer.decode())
            due_s += whole_s + session.turns[number + 1].wait_s
            heapq.heappush(waiting, (due_s, order, number + 1, session))


class _AloneServer(Server):
    """All servers of a simulated world at once."""

    def __init__(self, clock: Clock, alone: Alone, speed: float) -> None:
        super().__init__("alone", clock, speed=speed)
        self._alone = alone

    def _admit(self, job: Job) -> None:
        assert isinstance(job, PromptJob)
        now = self.clock.now
        sequence = JobSequence(job)
        first_s, whole_s = (seconds / self.speed for seconds in self._alone.serve(sequence))
        job.stage = SERVING
        job.first_byte_at = now + first_s
        self.clock.heap.schedule(job, now + whole_s)

    def _depart(self, job: Job) -> None:
        """Its engine goes with it."""


def simulated(scenario: Scenario) -> tuple[Interval, Interval]:
    """The mean and the 99th percentile, of the requests that a simulation counts."""
    fastest = max(scenario.servers, key=lambda group: group.speed)
    assert fastest.engine is not None
    unwatched = scenario.model_copy(update={"reports": None})
    means: list[float] = []
    tails: list[float] = []
    for replication in range(scenario.run.replications):
        seed = seed_of(scenario, replication)
        world = build_world(unwatched, PolicyChoice("round-robin"), seed)
        server = _AloneServer(world.clock, Alone(fastest.engine.build), fastest.speed)
        for balancer in world.balancers:
            balancer.servers = [server] * len(balancer.servers)
        world.run()
        recorder = world.recorder
        assert recorder.first_bytes is not None
        means.append(recorder.first_byte_sum / recorder.count)
        tails.append(recorder.first_bytes.quantile(0.99))
    return interval(means), interval(tails)
