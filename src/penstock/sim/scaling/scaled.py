"""A scenario's ``scale`` brought to life: a rule that decides for simulated servers."""

from random import Random
from typing import Final

from penstock.core.forecast import create_forecaster
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.scale.capacity import Capacity, Places
from penstock.core.scale.demand import Foresight
from penstock.core.scale.engine_capacity import EngineCapacity
from penstock.core.scale.foresight import ForecastDemand
from penstock.core.scale.members import SERVING, STARTING, Member, first_to_go
from penstock.core.scale.planner import Decision, Planner
from penstock.core.snapshot.scale import Scale
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.scaling import Decide, ScaledServers, ServiceSeen, Started
from penstock.sim.kernel.server import Server
from penstock.sim.kernel.source import Source
from penstock.sim.scaling.dynamo import DynamoArima, DynamoLastValue
from penstock.sim.scaling.hpa import HorizontalPodAutoscaler
from penstock.sim.scaling.kpa import KnativePodAutoscaler
from penstock.sim.scaling.planned import WITHOUT
from penstock.sim.scaling.predictive import Predictive
from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen
from penstock.sim.scaling.spec import ScaleSpec
from penstock.sim.scaling.target_tracking import TargetTracking

RULES: Final[dict[str, type[ScalingRule]]] = {
    rule.name: rule
    for rule in (
        HorizontalPodAutoscaler,
        KnativePodAutoscaler,
        TargetTracking,
        Predictive,
        DynamoLastValue,
        DynamoArima,
    )
}
_BUSY: Final = 0.7


def scaled_servers(
    spec: ScaleSpec,
    clock: Clock,
    servers: list[Server],
    balancers: list[SimulatedBalancer],
    source: Source,
    recorder: Recorder,
    rng: Random,
    *,
    service_s: float,
) -> ScaledServers:
    """To be scheduled; ``service_s`` is what others are told that a request takes."""
    start = spec.start.build()
    decide: Decide
    started: Started | None = None
    every_s = spec.every
    if spec.rule == "penstock":
        planned = _Planned(spec, servers, balancers, recorder, start.mean)
        decide, started = planned.decide, planned.planner.starts.add
    else:
        fleet = Fleet(
            concurrency=int(servers[0].full_slots),
            service_s=service_s,
            fewest=spec.min,
            most=len(servers),
            start_s=start.mean,
        )
        rule = RULES[spec.rule](fleet, spec.target or _BUSY)
        decide, every_s = _Followed(rule).decide, rule.every_s
    return ScaledServers(
        clock,
        servers,
        balancers,
        source,
        recorder,
        decide,
        begin=min(spec.first, len(servers)),
        every_s=every_s,
        start=start,
        rng=rng,
        started=started,
    )


class _Planned:
    """The planner, with what it learns from."""

    def __init__(
        self,
        spec: ScaleSpec,
        servers: list[Server],
        balancers: list[SimulatedBalancer],
        recorder: Recorder,
        start_s: float,
    ) -> None:
        rules = Scale(
            max=len(servers),
            min=spec.min,
            late_share=spec.late,
            quantile=spec.quantile,
            spare=spec.target or 0.0,
            start_time_s=start_s,
            cool_down_s=spec.cool_down,
            idle_s=spec.cool_down,
            interval_s=spec.every,
        )
        self._foreseen: ForecastDemand | None = None
        foresight = Foresight()
        if spec.forecast != WITHOUT:
            horizon = int((3.0 * start_s + spec.cool_down) / spec.step) + 2
            seasons = tuple(round(season / spec.step) for season in spec.seasons)
            forecaster = create_forecaster(spec.forecast, seasons, horizon)
            foresight = self._foreseen = ForecastDemand(forecaster, spec.step, spec.quantile)
        capacity = _capacity(spec, servers, balancers, recorder)
        self.planner = Planner(rules, capacity, foresight)
        self._every_s = spec.every

    def decide(self, seen: ServiceSeen, members: list[Member]) -> Decision:
        """As every look."""
        sight = seen.sight
        demand = sight.demand
        if self._foreseen is not None:
            every_s = self._every_s
            self._foreseen.note(
                sight.now,
                demand.rate * every_s,
                demand.prompt_tokens * every_s,
                demand.output_tokens * every_s,
            )
        self.planner.capacity.learn_service(seen.service_s, sight, seen.serving)
        return self.planner.decide(sight, members)


def _capacity(
    spec: ScaleSpec,
    servers: list[Server],
    balancers: list[SimulatedBalancer],
    recorder: Recorder,
) -> Capacity:
    policy = balancers[0].pool.policy
    if isinstance(policy, FittedPolicy):
        ttft_s, token_s = recorder.first_byte_objective_s, recorder.token_objective_s
        report = servers[0].report()
        return EngineCapacity(
            policy.fleet,
            spec.late,
            ttft_s=ttft_s if ttft_s < float("inf") else 0.0,
            token_s=token_s if token_s < float("inf") else 0.0,
            kv_capacity=max(report.kv_capacity, 0),
            most_running=max(report.most_running, 0),
        )
    return Places(int(servers[0].full_slots), spec.late)


class _Followed:
    """A rule of others, that says a number and no more."""

    def __init__(self, rule: ScalingRule) -> None:
        self._rule = rule

    def decide(self, seen: ServiceSeen, members: list[Member]) -> Decision:
        """The number, and those who start or leave for it."""
        sight = seen.sight
        counting = [each for each in members if each.counts()]
        serving = sum(each.state == SERVING for each in counting)
        starting = sum(each.state == STARTING for each in counting)
        there = sight.in_flight + sight.queued
        wanted = self._rule.desired(
            Seen(sight.now, sight.demand.rate, there, sight.queued, serving, starting)
        )
        decision = Decision(wanted, len(counting), self._rule.name)
        decision.start = max(wanted - len(counting), 0)
        leaving = first_to_go(counting, max(len(counting) - wanted, 0))
        decision.stop = [each.name for each in leaving]
        return decision
