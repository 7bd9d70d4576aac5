"""What one run of a world came to: plain data, passed between processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import nan
from time import process_time
from typing import Final

from penstock.config.document.protection import Admission
from penstock.core.policy.support.own import own_failure
from penstock.core.snapshot import PolicyChoice
from penstock.sim.kernel.controls import ControlledWorkload
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.server import Server
from penstock.sim.kernel.session_server import SessionServer
from penstock.sim.kernel.weighed_sums import Weights
from penstock.sim.scenario import Scenario
from penstock.sim.tenants import TenantFigures, tenant_figures
from penstock.sim.world import World, build_world

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True)
class Metric:
    """Something measured: ``unit`` is s (durations), share, /s or nothing."""

    name: str
    meaning: str
    unit: str = "s"
    more_is_better: bool = False


METRICS: Final = (
    Metric("mean", "mean response time, from the request's arrival to its answer or session's end"),
    Metric("p50", "half of the responses are at most this long"),
    Metric("p90", "90% of the responses are at most this long"),
    Metric("p99", "99% of the responses are at most this long"),
    Metric("p99.9", "99.9% of the responses are at most this long"),
    Metric("wait", "mean time until service (an engine's first step) begins, network included"),
    Metric("ttft", "mean time to the first token"),
    Metric("ttft p99", "99% of first tokens come within this"),
    Metric("tpot", "mean time of each further token"),
    Metric("throughput", "answers in the time that is measured", "/s", True),
    Metric("goodput", "answers within the objectives", "/s", True),
    Metric("tokens", "output tokens of answers, over the time that is measured", "/s", True),
    Metric("hit rate", "prompt tokens found in a prefix cache", "share", True),
    Metric("fullest", "most sessions at once on any server, over what it is meant to hold", ""),
    Metric("moved", "moves per session, because its server died", ""),
    Metric("server-hours", "paid for, starts and drains included", ""),
    Metric("scalings", "changes of the number of servers", ""),
    Metric("cut", "requests that the removal of a server ended", "share"),
    Metric("imbalance", "work of the busiest server, over its fair share by capacity", ""),
    Metric("errors", "requests refused, failed or given up", "share"),
    Metric("attempts", "attempts per request", ""),
)


@dataclass
class Outcome:
    """Measures of one run; ``metrics`` has only what the scenario has."""

    policy: str
    replication: int
    metrics: dict[str, float]
    responses: dict[int, int]  # FineHistogram, buckets that are not empty
    utilisation: dict[str, float]  # by server
    share: dict[str, float]  # of requests served, by server
    events: int
    cpu_s: float
    mean_work_s: float
    mean_gap_s: float
    waited: float  # share of answered requests that did not begin at once
    slowdown: float  # mean of response over work
    controls: list[float] = field(default_factory=list)  # see ``kernel.controls``; where asked for
    weighed: list[list[float]] = field(default_factory=list)  # those of each of the weights
    ticks: list[tuple[float, list[int], int, int, float, float]] = field(default_factory=list)
    # See ``kernel.load_forecast``; where the scenario asks for it.
    foreseen: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    tenants: dict[str, TenantFigures] = field(default_factory=dict)  # where there are any


class OwnPolicyError(Exception):
    """A person's own policy failed. The text names their class and line."""


def run_once(
    scenario: Scenario,
    policy: PolicyChoice,
    replication: int,
    *,
    timeline: bool = False,
    controls: bool = False,
    weights: Sequence[Weights] = (),
) -> Outcome:
    """One replication: its seed follows from the scenario's, and is the same for all policies.

    ``controls`` are for Poisson arrivals, counted by ``customers``; ``weights`` make more of them.
    Raises OwnPolicyError where a person's own policy fails.
    """
    try:
        return _run(scenario, policy, replication, timeline, controls, weights)
    except Exception as error:
        failure = own_failure(error)
        if failure:
            raise OwnPolicyError(failure) from error
        raise


def _run(
    scenario: Scenario,
    policy: PolicyChoice,
    replication: int,
    timeline: bool,
    controls: bool,
    weights: Sequence[Weights],
) -> Outcome:
    world = build_world(scenario, policy, seed_of(scenario, replication), timeline=timeline)
    controlled = None
    if controls:
        controlled = _controlled(world, scenario, policy.name == "random", weights)
    began = process_time()
    events = world.run()
    cpu_s = process_time() - began
    recorder = world.recorder
    elapsed_s = world.clock.now
    served = sum(server.served for server in world.servers)
    ticks = [] if world.timeline is None else world.timeline.ticks
    foreseen = [] if world.foreseen is None else world.foreseen.steps
    return Outcome(
        policy=policy_label(policy),
        replication=replication,
        metrics=dict(_metrics(world, scenario)),
        responses={i: n for i, n in enumerate(recorder.responses.counts) if n},
        utilisation={
            server.name: server.work_done_s / (elapsed_s * server.full_slots * server.full_speed)
            for server in world.servers
        },
        share={server.name: server.served / max(1, served) for server in world.servers},
        events=events,
        cpu_s=cpu_s,
        mean_work_s=recorder.work_sum / recorder.count if recorder.count else nan,
        mean_gap_s=recorder.window_s() / recorder.arrived if recorder.arrived else nan,
        waited=recorder.waited / max(1, recorder.count),
        slowdown=recorder.slowdown_sum / max(1, recorder.count),
        controls=[] if controlled is None else controlled.means(),
        weighed=[] if controlled is None else controlled.weighed_means(),
        foreseen=[(s.at_s, s.load, s.mean, s.lower, s.upper) for s in foreseen],
        tenants=tenant_figures(recorder),
        ticks=[(t.at_s, t.present, t.answered, t.errors, t.p50_s, t.p99_s) for t in ticks],
    )


def seed_of(scenario: Scenario, replication: int) -> int:
    """What everything drawn in one replication follows from."""
    return scenario.run.seed * 1_000_003 + replication


def _controlled(
    world: World, scenario: Scenario, split: bool, weights: Sequence[Weights]
) -> ControlledWorkload:
    law, rate = scenario.service.build(), scenario.arrivals.build(scenario.capacity).rate
    capacity = sum(group.count * group.capacity for group in scenario.servers)
    first = int(scenario.customers * scenario.run.warm_up)
    servers = len(world.servers) if split else 0
    workload = ControlledWorkload(
        world.source.workload,
        law,
        rate,
        capacity,
        world.clock,
        first=first,
        split=servers,
        weights=weights,
    )
    world.source.workload = workload
    return workload


def policy_label(policy: PolicyChoice) -> str:
    """A policy's name, with the options that were given."""
    if not policy.options:
        return policy.name
    options = ", ".join(f"{key}={value}" for key, value in policy.options.items())
    return f"{policy.name} ({options})"


def histogram_of(counts: dict[int, int]) -> FineHistogram:
    """The histogram whose buckets that are not empty are these."""
    histogram = FineHistogram()
    for bucket, count in counts.items():
        histogram.counts[bucket] = count
    return histogram


def _metrics(world: World, scenario: Scenario) -> Iterator[tuple[str, float]]:
    recorder = world.recorder
    answered = max(1, recorder.count - recorder.timed_out)
    yield "mean", recorder.response_sum / recorder.count if recorder.count else nan
    if scenario.sessions is None:
        for name, q in QUANTILES.items():
            yield name, recorder.responses.quantile(q)
        yield "wait", recorder.wait_sum / answered
    window_s = recorder.window_s()
    yield "throughput", recorder.answered_in_window / window_s if window_s else nan
    if scenario.has_objective:
        yield "goodput", recorder.good_in_window / window_s if window_s else nan
    if recorder.first_bytes is not None:
        yield from _streaming(recorder, recorder.first_bytes)
    if scenario.sessions is not None:
        yield "fullest", max(_fullest(server) for server in world.servers)
        yield "moved", recorder.moves / max(1, recorder.arrived)
    if world.scaled is not None:
        yield "server-hours", world.scaled.server_hours()
        yield "scalings", float(world.scaled.changes)
        yield "cut", world.scaled.cut / max(1, recorder.arrived)
    else:
        yield "imbalance", _imbalance(world)
    yield from _failures(recorder, scenario)


def _fullest(server: Server) -> float:
    assert isinstance(server, SessionServer)
    return server.most_present / server.full_slots


def _streaming(recorder: Recorder, first_bytes: FineHistogram) -> Iterator[tuple[str, float]]:
    answered = max(1, recorder.count - recorder.timed_out)
    yield "ttft", recorder.first_byte_sum / answered
    yield "ttft p99", first_bytes.quantile(0.99)
    yield "tpot", recorder.per_token_sum / max(1, recorder.per_token_count)
    window_s = recorder.window_s()
    yield "tokens", recorder.output_tokens / window_s if window_s else nan
    yield "hit rate", recorder.cached_tokens / max(1, recorder.prompt_tokens)


def _failures(recorder: Recorder, scenario: Scenario) -> Iterator[tuple[str, float]]:
    arrived = max(1, recorder.arrived)
    errors = recorder.refused + recorder.failed + recorder.timed_out
    may_fail = scenario.timeout is not None or len(scenario.incidents) > 0
    may_fail = may_fail or scenario.admission != Admission()
    if errors or may_fail or any(g.room or g.max_in_flight for g in scenario.servers):
        yield "errors", errors / arrived
    if scenario.retry is not None:
        yield "attempts", recorder.attempts / arrived


def _imbalance(world: World) -> float:
    capacities = [server.full_slots * server.full_speed for server in world.servers]
    done = sum(server.work_done_s for server in world.servers)
    if not done:
        return nan
    fair = done / sum(capacities)
    return max(
        server.work_done_s / (fair * capacity)
        for server, capacity in zip(world.servers, capacities, strict=True)
    )
