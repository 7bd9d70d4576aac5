"""Where the jobs of a simulated world come from."""

from collections.abc import Sequence
from itertools import islice
from math import inf
from pathlib import Path
from random import Random

from penstock.sim.kernel.arrivals import Recorded
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.prompts import ConversationSource, PromptWorkload
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.source import ClosedSource, OpenSource, Source, Workload
from penstock.sim.kernel.tenants import TenantWorkload
from penstock.sim.kernel.traces import TraceConversationSource, TracedConversation, TraceWorkload
from penstock.sim.kernel.workload import KeyedWorkload
from penstock.sim.prompt_specs import Prompts
from penstock.sim.scenario import Scenario
from penstock.sim.trace import BLOCK_TOKENS, read_trace
from penstock.sim.trace_conversations import TracedTurn, conversations


def source_of(
    scenario: Scenario,
    seed: int,
    clock: Clock,
    balancers: list[SimulatedBalancer],
    recorder: Recorder,
) -> Source:
    if scenario.prompts is not None:
        return _prompt_source(scenario, scenario.prompts, seed, clock, balancers, recorder)
    work = scenario.service.build()
    keys = scenario.keys
    rng = stream(seed, "work")
    workload = Workload(work, rng)
    if scenario.tenants:
        senders = [tenant.build(known=scenario.knows_tenants) for tenant in scenario.tenants]
        workload = TenantWorkload(work, rng, stream(seed, "tenants"), senders)
    elif keys is not None:
        workload = KeyedWorkload(work, rng, stream(seed, "keys"), keys.count, keys.skew)
    workload.of_sessions = scenario.sessions is not None
    arrivals = scenario.arrivals
    if arrivals.kind == "closed":
        return ClosedSource(
            clock,
            arrivals.clients,
            arrivals.think.build(),
            workload,
            balancers,
            recorder,
            stream(seed, "arrivals"),
            customers=scenario.customers,
            duration_s=scenario.duration_s,
            warm_up=scenario.run.warm_up,
        )
    return OpenSource(
        clock,
        arrivals.build(scenario.capacity),
        workload,
        balancers,
        recorder,
        stream(seed, "arrivals"),
        customers=scenario.customers,
        duration_s=scenario.duration_s,
        warm_up=scenario.run.warm_up,
    )


def _prompt_source(
    scenario: Scenario,
    prompts: Prompts,
    seed: int,
    clock: Clock,
    balancers: list[SimulatedBalancer],
    recorder: Recorder,
) -> Source:
    if prompts.trace:
        return _trace_source(scenario, prompts, seed, clock, balancers, recorder)
    engine, work = scenario.servers[0].engine, stream(seed, "work")
    assert engine is not None
    return ConversationSource(
        clock,
        scenario.arrivals.build(1.0),
        PromptWorkload(
            [t.build(known=scenario.knows_tenants) for t in prompts.tenants],
            engine.block_tokens,
            work,
        ),
        balancers,
        recorder,
        stream(seed, "arrivals"),
        stream(seed, "thinking"),
        customers=scenario.customers,
        duration_s=scenario.duration_s,
        warm_up=scenario.run.warm_up,
    )


def _trace_source(
    scenario: Scenario,
    prompts: Prompts,
    seed: int,
    clock: Clock,
    balancers: list[SimulatedBalancer],
    recorder: Recorder,
) -> Source:
    requests = list(islice(read_trace(Path(prompts.trace)), prompts.limit or None))
    workload = TraceWorkload(
        [request.input_tokens for request in requests],
        [1 if prompts.prefill_only else each.output_tokens for each in requests],
        [list(request.blocks) for request in requests],
        BLOCK_TOKENS,
    )
    rng, warm_up = stream(seed, "arrivals"), scenario.run.warm_up
    if prompts.think:
        talks = [_conversation(turns, prompts.rate_scale) for turns in conversations(requests)]
        return TraceConversationSource(
            clock, talks, workload, balancers, recorder, rng, warm_up=warm_up
        )
    times_s = [request.at_s / prompts.rate_scale for request in requests]
    return OpenSource(
        clock,
        Recorded(times_s),
        workload,
        balancers,
        recorder,
        rng,
        customers=len(requests),
        warm_up=warm_up,
    )


def _conversation(turns: Sequence[TracedTurn], rate_scale: float) -> TracedConversation:
    start_s = turns[0].request.at_s / rate_scale
    pauses_s = [start_s, *(turn.think_s for turn in turns[1:])]
    return TracedConversation([turn.number for turn in turns], pauses_s)


def length_s(scenario: Scenario) -> float:
    """About how long a run takes on the virtual clock."""
    if scenario.duration_s < inf:
        return scenario.duration_s
    arrivals = scenario.arrivals
    if arrivals.kind == "closed":
        cycle_s = arrivals.think.build().mean + scenario.service.build().mean
        rate = min(arrivals.clients / cycle_s, scenario.capacity)
    else:
        rate = arrivals.build(scenario.capacity).rate
    return scenario.customers / rate


def stream(seed: int, purpose: str) -> Random:
    """The source of chance for one purpose: independent of the others, the same every time."""
    return Random(f"{seed}/{purpose}")
