"""A scenario brought to life: servers, balancers with real pools, a source, and a recorder."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from penstock.core import snapshot
from penstock.core.endpoint import BACKUP, Endpoint
from penstock.core.env import Env
from penstock.core.hedge import HedgeRules
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.retry import RetryBudget, RetryRules
from penstock.core.snapshot import PolicyChoice, Retry
from penstock.sim.forecasting.in_run import load_forecast
from penstock.sim.kernel.admission import SWEEP_S, BalancerGate, GateSweep
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.engine_server import EngineServer
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.faults import (
    Antagonist,
    Drain,
    Failure,
    Pause,
    Recovery,
    SpeedChange,
    WeightChange,
)
from penstock.sim.kernel.hedging import Hedging
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.kernel.load_forecast import LoadForecast
from penstock.sim.kernel.prefix_store import PrefixStore
from penstock.sim.kernel.protection import GuardedEndpoint, Protection
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.reports import LoadExchange, Poll, Scrape, WeightFeed
from penstock.sim.kernel.scaling import ScaledServers
from penstock.sim.kernel.server import FifoServer, Server, SharingServer
from penstock.sim.kernel.session_server import SessionServer
from penstock.sim.kernel.source import Source
from penstock.sim.kernel.telemetry import Telemetry
from penstock.sim.kernel.tenant_tally import TenantTally
from penstock.sim.kernel.timeline import Timeline
from penstock.sim.scaling.scaled import scaled_servers
from penstock.sim.scenario import Incident, Reports, Scenario, ServerGroup
from penstock.sim.sources import length_s, source_of, stream

_TICKS = 200  # points of a timeline
_KINDS: dict[str, type[FifoServer] | type[SharingServer] | type[SessionServer]] = {
    "fifo": FifoServer,
    "sharing": SharingServer,
    "sessions": SessionServer,
}


@dataclass
class World:
    """Everything of one run. ``run`` it once."""

    clock: Clock
    servers: list[Server]
    balancers: list[SimulatedBalancer]
    source: Source
    recorder: Recorder
    timeline: Timeline | None
    scaled: ScaledServers | None = None
    foreseen: LoadForecast | None = None

    def run(self) -> int:
        """From the beginning to the last answer; returns how many events there were."""
        self.source.begin()
        return self.clock.run()


def build_world(
    scenario: Scenario, policy: PolicyChoice, seed: int, *, timeline: bool = False
) -> World:
    """One run of ``scenario`` under ``policy``.

    Each thing that is drawn has a stream of its own, so that policies compared under one seed meet
    the same arrivals and the same work.
    """
    clock = Clock()
    servers = [server for group in scenario.servers for server in _servers(group, clock)]
    recorder = Recorder(
        objective_s=scenario.objective or inf,
        first_byte_objective_s=scenario.objective_ttft or inf,
        token_objective_s=scenario.objective_tpot or inf,
    )
    if scenario.prompts is not None:
        recorder.first_bytes = FineHistogram()
    recorder.tenants = {tenant.name: TenantTally() for tenant in scenario.sharers}
    balancers = [
        _balancer(number, scenario, policy, seed, clock, servers, recorder)
        for number in range(scenario.balancers)
    ]
    source = source_of(scenario, seed, clock, balancers, recorder)
    if scenario.run.drain is not None:
        source.drain_s = scenario.run.drain
    world = World(clock, servers, balancers, source, recorder, None)
    if timeline:
        world.timeline = Timeline(clock, servers, length_s(scenario) / _TICKS)
        recorder.timeline = world.timeline
        clock.at(world.timeline, 0.0)
        if scenario.forecast is not None:
            world.foreseen = load_forecast(scenario.forecast.compiled(), clock, source)
            clock.at(world.foreseen, 0.0)
    if scenario.scale is not None:
        world.scaled = scaled_servers(
            scenario.scale,
            clock,
            servers,
            balancers,
            source,
            recorder,
            stream(seed, "starts"),
            service_s=scenario.service.build().mean,
        )
        clock.at(world.scaled, 0.0)
    for at, event in _happenings(scenario, seed, world):
        clock.at(event, at)
    return world


def _servers(group: ServerGroup, clock: Clock) -> Iterator[Server]:
    store = None
    if group.engine is not None and group.engine.store:
        store = PrefixStore(group.engine.store)
    for number in range(group.count):
        if group.engine is not None:
            yield EngineServer(
                f"{group.name}{number}",
                clock,
                group.engine.build(),
                speed=group.speed,
                room=group.room,
                store=store,
            )
            continue
        yield _KINDS[group.model](
            f"{group.name}{number}", clock, slots=group.slots, speed=group.speed, room=group.room
        )


def _balancer(
    number: int,
    scenario: Scenario,
    policy: PolicyChoice,
    seed: int,
    clock: Clock,
    servers: list[Server],
    recorder: Recorder,
) -> SimulatedBalancer:
    pool = Pool("simulated", create(policy.name, dict(policy.options)))
    env = Env(stream(seed, f"policy {number}"))
    guarded: list[GuardedEndpoint] = []
    if scenario.spares_endpoints:
        guarded = [each for g in scenario.servers for each in _guarded_endpoints(g, pool, env)]
        pool.replace_endpoints(list(guarded))
    else:
        pool.replace_endpoints([each for g in scenario.servers for each in _endpoints(g)])
    network, retry = scenario.network, scenario.retry
    if retry is not None:
        pool.rules = RetryRules(Retry(attempts=retry.attempts, non_idempotent=retry.idempotent))
        pool.budget = RetryBudget(retry.budget_share, retry.budget_min_per_s)
    balancer = SimulatedBalancer(
        f"b{number}",
        clock,
        pool,
        env,
        servers,
        recorder,
        timeout_s=inf if scenario.timeout is None else scenario.timeout,
        cancels=scenario.cancel,
        counts_own=scenario.reports is None or scenario.reports.own,
        request_delay=None if network.request is None else network.request.build(),
        response_delay=None if network.response is None else network.response.build(),
        network=stream(seed, f"network {number}"),
    )
    if scenario.hedge is not None:
        balancer.hedging = Hedging(HedgeRules(scenario.hedge.compiled()))
    if scenario.sessions is not None:
        balancer.sessions = scenario.sessions.build()
    if guarded:
        balancer.protection = _protection(scenario, clock, pool, guarded, servers)
    admission = scenario.admission.compiled()
    if admission != snapshot.Admission():
        balancer.gate = BalancerGate(admission, balancer.env, balancer)
        clock.at(GateSweep(clock, balancer.gate), SWEEP_S)
    return balancer


def _endpoints(group: ServerGroup) -> Iterator[Endpoint]:
    weight = group.capacity if group.weight == "capacity" else float(group.weight)
    for number in range(group.count):
        yield Endpoint(
            f"{group.name}{number}",
            pool="simulated",
            weight=weight,
            max_in_flight=group.max_in_flight,
            priority=BACKUP if group.backup else group.priority,
            zone=group.zone,
        )


def _guarded_endpoints(group: ServerGroup, pool: Pool, env: Env) -> Iterator[GuardedEndpoint]:
    for plain in _endpoints(group):
        yield GuardedEndpoint(
            plain.name,
            pool,
            env,
            weight=plain.weight,
            max_in_flight=plain.max_in_flight,
            priority=plain.priority,
            zone=plain.zone,
        )


def _protection(
    scenario: Scenario,
    clock: Clock,
    pool: Pool,
    endpoints: list[GuardedEndpoint],
    servers: list[Server],
) -> Protection:
    protection = Protection(clock, pool, endpoints, servers)
    if scenario.circuit_breaker:
        protection.break_circuits(scenario.circuit_breaker.compiled())
    if scenario.outlier.enabled:
        kind = "llm" if scenario.prompts is not None else "http"
        protection.detect_outliers(scenario.outlier.compiled(kind))
    if scenario.slow_start.window:
        protection.start_slowly(scenario.slow_start.compiled())
    return protection


def _happenings(scenario: Scenario, seed: int, world: World) -> Iterator[tuple[float, Event]]:
    """What is scheduled from the start, with its time."""
    yield from _reporting(scenario.reports or Reports(), world)
    first = 0
    for group in scenario.servers:
        if group.antagonist is not None:
            for number in range(first, first + group.count):
                factor, stay = group.antagonist.build(), group.antagonist.stay.build()
                rng = stream(seed, f"antagonist {number}")
                cores = group.antagonist.cores
                yield 0.0, Antagonist(world.servers[number], factor, stay, rng, cores=cores)
        first += group.count
    for incident in scenario.incidents:
        for server in incident.servers:
            yield incident.at, _incident(incident, server, world)


def _reporting(reports: Reports, world: World) -> Iterator[tuple[float, Event]]:
    balancers = world.balancers
    for balancer in balancers:
        balancer.reports = reports.responses
    asked = balancers[0].pool.policy.probes
    if asked or reports.responses or reports.scrape or reports.weights:
        for server in world.servers:
            server.telemetry = Telemetry()
    if reports.every is not None:
        yield (
            reports.every,
            LoadExchange(
                world.clock, balancers, reports.every, reports.delay, routes=reports.prefixes
            ),
        )
    if reports.poll is not None:
        for number, balancer in enumerate(balancers, start=1):
            first = reports.poll * number / len(balancers)
            yield first, Poll(world.clock, balancer, reports.poll)
    if reports.scrape is not None:
        yield reports.scrape, Scrape(world.clock, balancers, reports.scrape)
    if reports.weights is not None:
        yield reports.weights, WeightFeed(world.clock, balancers, reports.weights)


def _incident(incident: Incident, order: int, world: World) -> Event:
    server, balancers = world.servers[order], world.balancers
    if incident.speed is not None:
        return SpeedChange(server, incident.speed)
    if incident.pause is not None:
        return Pause(server, incident.pause)
    if incident.drain is not None:
        return Drain(order, balancers, incident.drain)
    if incident.weight is not None:
        return WeightChange(order, balancers, incident.weight)
    if incident.fail:
        return Failure(order, balancers, incident.noticed)
    return Recovery(order, balancers, incident.noticed)
