"""The balancer at one moment, as the admin server shows it."""

import os
from typing import Final

from penstock import __version__
from penstock._form import form
from penstock.admin.view import (
    EndpointView,
    EventView,
    ListenerView,
    Overview,
    PoolView,
    PushView,
    TracesView,
    WorkerView,
)
from penstock.control.discovery.source import API, FILE
from penstock.control.parts import Parts
from penstock.core.health.health import DOWN
from penstock.core.snapshot import Endpoint, Pool
from penstock.core.snapshot.address import shown_address, shown_url

_SHOWN_EVENTS: Final = 100


def overview(parts: Parts, *, started_at: float, stopping: bool, log_dropped: int) -> Overview:
    """Everything at once."""
    snapshot, reloader = parts.publisher.running, parts.reloader
    source = reloader.configured.source
    tenants = tuple({each.name: None for each in (*snapshot.tenants, *snapshot.found_tenants)})
    return Overview(
        version=__version__,
        form=form(),
        pid=os.getpid(),
        started_at=started_at,
        stopping=stopping,
        generation=snapshot.generation,
        source=str(source) if source is not None else "",
        listeners=tuple(
            ListenerView(
                each.name,
                shown_address(*parts.sockets.address(each)),
                each.scheme,
                parts.revocations.ends.get(each.name),
                parts.fetched.problem(each.name),
            )
            for each in snapshot.listeners
        ),
        pools=tuple(_pool(parts, pool) for pool in snapshot.pools),
        workers=tuple(
            WorkerView(each.index, each.pid, each.state, each.since, each.generation, each.restarts)
            for each in parts.workers.all
        ),
        reloads_ok=reloader.succeeded,
        reloads_failed=reloader.failed,
        last_reload=reloader.last,
        events=tuple(
            EventView(e.at, e.level, e.kind, e.message, e.fields)
            for e in parts.events.recent(_SHOWN_EVENTS)
        ),
        log_dropped=log_dropped,
        additions=parts.additions.views(),
        store=parts.sharing.view() if parts.sharing is not None else None,
        traces=(TracesView(parts.spans.sent, parts.spans.dropped) if parts.spans.is_on else None),
        push=(
            PushView(parts.metrics.points, parts.metrics.failed) if parts.metrics.is_on else None
        ),
        limits=parts.limits.views(),
        tenants=tenants,
        used=parts.usage.used(tenants),
    )


def _pool(parts: Parts, pool: Pool) -> PoolView:
    endpoints = tuple(_endpoint(parts, pool, each) for each in pool.endpoints)
    shadow = tuple(choice.name for choice in pool.shadow)
    return PoolView(
        pool.name,
        pool.row,
        pool.policy.name,
        endpoints,
        shadow,
        parts.outliers.ejections(pool.name),
        parts.outliers.refused(pool.name),
        pool.kind,
        parts.maintenance.since(pool.name),
        parts.scaling.view(pool.name),
        parts.discoveries.views(pool.name),
        parts.forecasts.views(pool.name),
        tuple(shown_address(*place) for place in sorted(parts.membership.excluded(pool.name))),
        pool.admission.queue is not None,
        tuple(pool.admission.priorities),
    )


def _source(parts: Parts, pool: Pool, endpoint: Endpoint) -> str:
    source = parts.membership.source_of(pool.name, endpoint)
    return API.name if source == FILE and parts.additions.has_pool(pool.name) else source.name


def _scheme(pool: Pool, endpoint: Endpoint) -> str:
    if pool.protocol != "http":
        return pool.protocol
    if endpoint.tls:
        return "https"
    return "h2c" if endpoint.http2 else "http"


def _endpoint(parts: Parts, pool: Pool, endpoint: Endpoint) -> EndpointView:
    state = parts.states.of(pool.name, endpoint.name)
    scheme = _scheme(pool, endpoint)
    return EndpointView(
        name=endpoint.name,
        address=shown_url(scheme, endpoint.host, endpoint.port) + endpoint.base_path,
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
        effective_weight=parts.states.effective_weight(state),
        configured_weight=state.configured_weight,
        backup=endpoint.backup,
        last_check=parts.checks.last_result(pool.name, endpoint.name),
        agent=parts.agents.view(pool.name, endpoint.name),
        max_in_flight=(
            state.agent.max_in_flight if state.agent.max_in_flight >= 0 else endpoint.max_in_flight
        ),
        engine=parts.engines.view(pool.name, endpoint.name),
        models_problem=parts.models.problem(pool.name, endpoint.name),
        hit_distrust=state.hit_distrust,
        prefix_exact=state.exact,
        source=_source(parts, pool, endpoint),
        zone=endpoint.zone,
        models=endpoint.models,
    )
