"""Requests to language models: tenants with shared prompts and conversations."""

from math import log
from random import Random
from typing import Final

from penstock.core.caller import ANYONE, Caller
from penstock.core.measure.tokens import Outlook, OutputPredictor
from penstock.core.request import Request
from penstock.core.ticket import DONE
from penstock.sim.kernel.arrivals import Arrivals
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.engine_server import PromptJob
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Deterministic, Law
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.source import OpenSource, Workload
from penstock.sim.kernel.workload import key_hash

MODEL: Final = "simulated"


class Tenant:
    """One kind of user. Lengths are in tokens.

    ``share`` of the conversations are this tenant's, in proportion. Each begins with one of
    ``groups`` system prompts and has a geometric number of turns of mean ``turns``.
    """

    def __init__(
        self,
        name: str,
        *,
        share: float,
        groups: int,
        system_tokens: int,
        turns: float,
        input_tokens: Law,
        output_tokens: Law,
        think_s: Law,
        caller: Caller = ANYONE,
    ) -> None:
        self.name: str = name
        self.caller: Caller = caller  # as the balancer knows it
        self.share: float = share
        self.groups: int = groups
        self.system_tokens: int = system_tokens
        self.turns: float = turns
        self.input_tokens: Law = input_tokens
        self.output_tokens: Law = output_tokens
        self.think_s: Law = think_s


class Conversation(Event):
    """Turns that continue one another; as an event, the user's next turn."""

    def __init__(self, tenant: Tenant, key: int, tokens: int, blocks: list[int]) -> None:
        super().__init__()
        self.tenant: Tenant = tenant
        self.key: int = key
        self.tokens: int = tokens  # said so far, answers included
        self.blocks: list[int] = blocks  # of all that was said so far
        self.turns_left: int = 0
        self.source: ConversationSource | None = None

    def fire(self) -> None:
        source = self.source
        assert source is not None
        source.send_or_finish(self)


class Answers(Workload):
    """Requests whose answers have a length, predicted from those that came before."""

    def __init__(self, rng: Random) -> None:
        super().__init__(Deterministic(0.0), rng)
        self.predictor: OutputPredictor = OutputPredictor()
        self.outlook: Outlook = Outlook(self.predictor, MODEL, 0, 0)  # of any answer

    def on_end(self, job: Job) -> None:
        if isinstance(job, PromptJob) and job.outcome == DONE:
            self.predictor.learn(MODEL, job.output_tokens)


class PromptWorkload(Answers):
    """Conversations of tenants; every block of text that is not shared is new."""

    def __init__(self, tenants: list[Tenant], block_tokens: int, rng: Random) -> None:
        super().__init__(rng)
        if not tenants or block_tokens < 1:
            raise ValueError("a workload of prompts needs tenants, and blocks of 1 token or more")
        self._tenants: list[Tenant] = tenants
        self._block_tokens: int = block_tokens
        self._blocks_made: int = 0
        self._conversations: int = 0
        self._systems: dict[str, list[list[int]]] = {}
        self._all_shares: float = 0.0
        for tenant in tenants:
            self._all_shares += tenant.share
            shared = tenant.system_tokens // block_tokens
            self._systems[tenant.name] = [self._blocks(shared) for _ in range(tenant.groups)]

    def next_job(self, number: int, now: float) -> Job:
        return self.next_turn(number, now, self._conversation())

    def next_turn(self, number: int, now: float, client: Event) -> Job:
        assert isinstance(client, Conversation)
        tenant = client.tenant
        rng = self._rng
        prompt_tokens = client.tokens + _tokens(tenant.input_tokens, rng)
        output_tokens = _tokens(tenant.output_tokens, rng)
        everything = prompt_tokens + output_tokens
        further = everything // self._block_tokens - len(client.blocks)
        blocks = client.blocks + self._blocks(further)
        in_prompt = prompt_tokens // self._block_tokens
        client.tokens = everything
        client.blocks = blocks
        request = Request(
            method="POST",
            source=tenant.name,
            key_hash=client.key,
            model=MODEL,
            prompt_tokens=prompt_tokens,
            output_tokens=self.outlook.length(0),
            outlook=self.outlook,
            blocks=blocks[:in_prompt],
            block_tokens=self._block_tokens,
            session_hash=client.key,
            caller=tenant.caller,
        )
        job = PromptJob(number, request, now, output_tokens, blocks[in_prompt:])
        job.client = client
        return job

    def _conversation(self) -> Conversation:
        rng = self._rng
        chance = rng.random() * self._all_shares
        tenant = self._tenants[-1]
        for candidate in self._tenants:
            chance -= candidate.share
            if chance < 0.0:
                tenant = candidate
                break
        blocks: list[int] = []
        if tenant.groups > 0:
            blocks = self._systems[tenant.name][int(rng.random() * tenant.groups)]
        self._conversations += 1
        key = key_hash(self._conversations)
        conversation = Conversation(tenant, key, tenant.system_tokens, blocks)
        if tenant.turns > 1.0:
            conversation.turns_left = int(log(1.0 - rng.random()) / log(1.0 - 1.0 / tenant.turns))
        return conversation

    def _blocks(self, count: int) -> list[int]:
        first = self._blocks_made
        self._blocks_made = first + count
        return list(range(first, first + count))


class ConversationSource(OpenSource):
    """Conversations begin by an arrival process; each turn waits for the answer before it."""

    def __init__(
        self,
        clock: Clock,
        arrivals: Arrivals,
        workload: PromptWorkload,
        balancers: list[SimulatedBalancer],
        recorder: Recorder,
        rng: Random,
        thinking: Random,
        *,
        customers: int,
        duration_s: float,
        warm_up: float,
    ) -> None:
        super().__init__(
            clock,
            arrivals,
            workload,
            balancers,
            recorder,
            rng,
            customers=customers,
            duration_s=duration_s,
            warm_up=warm_up,
        )
        self._thinking: Random = thinking

    def send_or_finish(self, conversation: Conversation) -> None:
        """The next turn is sent, unless the time is over."""
        if not self.over:
            self.send(conversation)

    def on_end(self, job: Job) -> None:
        super().on_end(job)
        client = job.client
        if self.over or not isinstance(client, Conversation) or client.turns_left <= 0:
            return
        client.turns_left -= 1
        client.source = self
        pause_s = client.tenant.think_s.draw(self._thinking)
        self.clock.heap.schedule(client, self.clock.now + pause_s)


def _tokens(law: Law, rng: Random) -> int:
    return max(1, round(law.draw(rng)))
