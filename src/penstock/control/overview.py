"""The balancer at one moment, as the admin server shows it."""

import os

from penstock import __version__
from penstock._form import form
from penstock.admin.view import (
    EndpointView,
    EventView,
    ListenerView,
    Overview,
    PoolView,
    WorkerView,
)
from penstock.control.endpoints.agents import AgentChecks
from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.loads import EngineLoads
from penstock.control.engines.models import EngineModels
from penstock.control.events import Event
from penstock.control.workers.sockets import ListeningSockets, shown_address
from penstock.control.workers.workers import Workers
from penstock.control.world.reload import Reloader
from penstock.core.endpoint import DOWN
from penstock.core.snapshot import Endpoint, Pool, Snapshot


def overview(
    snapshot: Snapshot,
    sockets: ListeningSockets,
    states: EndpointStates,
    checks: HealthChecks,
    agents: AgentChecks,
    outliers: OutlierDetection,
    engines: EngineLoads,
    models: EngineModels,
    workers: Workers,
    reloader: Reloader,
    events: list[Event],
    *,
    started_at: float,
    stopping: bool,
    log_dropped: int,
) -> Overview:
    """Everything at once; ``snapshot`` is the running one."""
    source = reloader.configured.source
    return Overview(
        version=__version__,
        form=form(),
        pid=os.getpid(),
        started_at=started_at,
        stopping=stopping,
        generation=snapshot.generation,
        source=str(source) if source is not None else "",
        listeners=tuple(
            ListenerView(each.name, shown_address(*sockets.address(each)), bool(each.certificates))
            for each in snapshot.listeners
        ),
        pools=tuple(
            _pool(pool, states, checks, agents, outliers, engines, models)
            for pool in snapshot.pools
        ),
        workers=tuple(
            WorkerView(each.index, each.pid, each.state, each.since, each.generation, each.restarts)
            for each in workers.all
        ),
        reloads_ok=reloader.succeeded,
        reloads_failed=reloader.failed,
        last_reload=reloader.last,
        events=tuple(EventView(e.at, e.level, e.kind, e.message, e.fields) for e in events),
        log_dropped=log_dropped,
    )


def _pool(
    pool: Pool,
    states: EndpointStates,
    checks: HealthChecks,
    agents: AgentChecks,
    outliers: OutlierDetection,
    engines: EngineLoads,
    models: EngineModels,
) -> PoolView:
    endpoints = tuple(
        _endpoint(pool, each, states, checks, agents, engines, models) for each in pool.endpoints
    )
    shadow = tuple(choice.name for choice in pool.shadow)
    return PoolView(
        pool.name,
        pool.row,
        pool.policy.name,
        endpoints,
        shadow,
        outliers.ejections(pool.name),
        outliers.refused(pool.name),
        pool.kind,
    )


def _endpoint(
    pool: Pool,
    endpoint: Endpoint,
    states: EndpointStates,
    checks: HealthChecks,
    agents: AgentChecks,
    engines: EngineLoads,
    models: EngineModels,
) -> EndpointView:
    state = states.of(pool.name, endpoint.name)
    scheme = "https" if endpoint.tls else "http"
    return EndpointView(
        name=endpoint.name,
        address=f"{scheme}://{shown_address(endpoint.host, endpoint.port)}{endpoint.base_path}",
        addresses=endpoint.addresses,
        port=endpoint.port,
        row=endpoint.row,
        state=state.shown,
        reason=state.cause.reason,
        since=state.cause.since,
        health=DOWN if state.is_down else state.health,
        available=state.available,
        draining=state.is_draining,
        clients_stay_until=(
            state.clients_stay_until if pool.sticky is not None or pool.kind == "llm" else 0.0
        ),
        ejected=state.ejected is not None,
        ejections=state.ejections,
        weight=state.weight,
        effective_weight=states.effective_weight(state),
        configured_weight=state.configured_weight,
        backup=endpoint.backup,
        last_check=checks.last_result(pool.name, endpoint.name),
        agent=agents.view(pool.name, endpoint.name),
        max_in_flight=(
            state.agent.max_in_flight if state.agent.max_in_flight >= 0 else endpoint.max_in_flight
        ),
        engine=engines.view(pool.name, endpoint.name),
        models_problem=models.problem(pool.name, endpoint.name),
        prefix_doubt=state.prefix_doubt,
        prefix_exact=state.exact,
    )
