"""Requests of a trace (see ``penstock.sim.trace``): by their times, or as conversations."""

from random import Random

from penstock.core.request import Request
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.engine_server import PromptJob
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.prompts import MODEL, Answers
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.source import Source
from penstock.sim.kernel.workload import key_hash


class TracedConversation(Event):
    """Requests that continue one another; as an event, the user's next.

    ``numbers`` are theirs in the trace; ``pauses_s[i]`` is how long the user thinks before the
    i-th, and before the first one the time since the beginning.
    """

    def __init__(self, numbers: list[int], pauses_s: list[float]) -> None:
        super().__init__()
        self.numbers: list[int] = numbers
        self.pauses_s: list[float] = pauses_s
        self.asked: int = 0  # how many of them
        self.source: TraceConversationSource | None = None

    def fire(self) -> None:
        source = self.source
        assert source is not None
        source.send(self)


class TraceWorkload(Answers):
    """The requests of a trace, in its order or in that of their conversations."""

    def __init__(
        self,
        prompt_tokens: list[int],
        output_tokens: list[int],
        blocks: list[list[int]],
        block_tokens: int,
    ) -> None:
        super().__init__(Random(0))
        self._prompt_tokens: list[int] = prompt_tokens
        self._output_tokens: list[int] = output_tokens
        self._blocks: list[list[int]] = blocks
        self._block_tokens: int = block_tokens

    def next_job(self, number: int, now: float) -> Job:
        return self._job(number, number, now)

    def next_turn(self, number: int, now: float, client: Event) -> Job:
        assert isinstance(client, TracedConversation)
        job = self._job(number, client.numbers[client.asked], now)
        client.asked += 1
        job.client = client
        return job

    def _job(self, number: int, traced: int, now: float) -> Job:
        """The ``number``-th request sent, which is the ``traced``-th of the trace."""
        prompt_tokens = self._prompt_tokens[traced]
        blocks = self._blocks[traced]
        session = key_hash(blocks[0]) if blocks else 0
        request = Request(
            method="POST",
            key_hash=session,
            model=MODEL,
            prompt_tokens=prompt_tokens,
            output_tokens=self.outlook.length(0),
            outlook=self.outlook,
            blocks=blocks[: prompt_tokens // self._block_tokens],
            block_tokens=self._block_tokens,
            session_hash=session,
        )
        return PromptJob(number, request, now, self._output_tokens[traced], [])


class TraceConversationSource(Source):
    """Conversations begin when they did; each turn waits for the answer before, then is thought of.

    Sends as many requests as there are in the conversations.
    """

    def __init__(
        self,
        clock: Clock,
        conversations: list[TracedConversation],
        workload: TraceWorkload,
        balancers: list[SimulatedBalancer],
        recorder: Recorder,
        rng: Random,
        *,
        warm_up: float,
    ) -> None:
        customers = 0
        for conversation in conversations:
            customers += len(conversation.numbers)
        super().__init__(
            clock, workload, balancers, recorder, rng, customers=customers, warm_up=warm_up
        )
        self._conversations: list[TracedConversation] = conversations

    def begin(self) -> None:
        for conversation in self._conversations:
            conversation.source = self
            self.clock.heap.schedule(conversation, conversation.pauses_s[0])

    def fire(self) -> None:
        raise RuntimeError("the users of a trace send, not the trace itself")

    def on_end(self, job: Job) -> None:
        super().on_end(job)
        client = job.client
        if self.over or not isinstance(client, TracedConversation):
            return
        if client.asked < len(client.numbers):
            pause_s = client.pauses_s[client.asked]
            self.clock.heap.schedule(client, self.clock.now + pause_s)
