"""The parts of a supervisor: made, and connected. What each does stands in its own file."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

from penstock.config.compile.configured import Configured
from penstock.control.acme.certificates import FetchedCertificates
from penstock.control.background import BackgroundTasks
from penstock.control.discovery.api_endpoints import ApiEndpoints
from penstock.control.discovery.following import Discoveries
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.publishing import MembersPublisher
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.agents import AgentChecks
from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.control.endpoints.name_resolver import NameResolver
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.parity import ParityWatch
from penstock.control.endpoints.reconnecting import Reconnecting
from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.exact_index import ExactIndex
from penstock.control.engines.kv_events import KvEventReaders
from penstock.control.engines.loads import EngineLoads
from penstock.control.engines.models import EngineModels
from penstock.control.events import Events
from penstock.control.forecasts.forecasts import Forecasts
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.metrics_sender import MetricsSender
from penstock.control.parts import Parts
from penstock.control.replicas.advice import Advice
from penstock.control.replicas.sharing import share
from penstock.control.scale.external_scaler import ExternalScalers
from penstock.control.scale.scaling import FleetScaling
from penstock.control.service_manager import ServiceManager, assign
from penstock.control.store.directory import state_directory
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.store import Store
from penstock.control.tenants.directory import TenantsDirectory
from penstock.control.tenants.key_sets import KeySets
from penstock.control.tenants.limits import WorkerLimits
from penstock.control.tenants.password_files import PasswordFiles
from penstock.control.tenants.usage import Usage
from penstock.control.traces.collector import SpanSender
from penstock.control.upgrade.predecessor import Predecessor
from penstock.control.workers.indexes import HALVES, WorkerIndexes
from penstock.control.workers.sockets import ListeningSockets, Place
from penstock.control.workers.takeover import RuntimeFile, runtime_directory
from penstock.control.workers.workers import Workers
from penstock.control.world.additions import Additions
from penstock.control.world.certificates import CertificateFiles
from penstock.control.world.publish import Publisher
from penstock.control.world.reload import Reloader
from penstock.control.world.revocations import RevocationLists
from penstock.control.world.rows import Rows
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import H_SUPERVISOR_PID
from penstock.dataplane.board.memory import ENDPOINT_ROWS, POOL_ROWS, Board, create_board

_GROWTH: Final = 4  # of a configuration that is larger than boards have room for


def assemble(
    configured: Configured,
    reread: Callable[[], Configured],
    given: dict[str, socket.socket],
    predecessor: Predecessor | None,
    stop: Callable[[], None],
) -> Parts:
    """Nothing runs yet. ``given``: listening sockets of the service manager."""
    events = Events()
    board = _board_for(configured, predecessor)
    first = predecessor.first_index if predecessor is not None else 0
    indexes = WorkerIndexes(board, first, configured.workers)
    runtime = RuntimeFile(runtime_directory(events), events, absolute(configured.source))
    state_files = StateFiles(state_directory(configured.state, events), events)
    if predecessor is not None:
        state_files.take_over(predecessor.offer.memo.state_files)
    handed = predecessor.handed if predecessor is not None else None
    if handed is None:
        handed = assign(given, configured.snapshot.listeners, configured.workers, events)
    sockets = ListeningSockets(configured.workers, runtime.may_share, handed)
    workers = Workers(board, sockets, events, indexes=range(indexes.first, indexes.end))
    rows = Rows(board, monotonic)
    states = EndpointStates(board, events)
    store: Store = EmbeddedStore(state_files)
    sharing = None
    if configured.store is not None:
        sharing, store = share(configured.store, store, board, states, events)
    files = CertificateFiles()
    contexts = EndpointContexts()
    addresses = Addresses(NameResolver(), events)
    publisher = Publisher(board, rows, sockets, workers, states, files, addresses, events)
    membership = Membership(monotonic, board.endpoint_rows // 2)
    outliers = OutlierDetection(board, states)
    exact = ExactIndex(board, states, events)
    forecasts = Forecasts(board, state_files, events)
    reloader = Reloader(configured, reread, publisher, events)
    scaling = FleetScaling(
        board,
        states,
        membership,
        publisher,
        workers,
        contexts,
        forecasts,
        state_files,
        events,
        store=store,
    )
    kept_at = state_files.directory or runtime.directory
    parts = Parts(
        events=events,
        background=BackgroundTasks(events),
        board=board,
        rows=rows,
        indexes=indexes,
        runtime=runtime,
        service_manager=ServiceManager(),
        sockets=sockets,
        workers=workers,
        publisher=publisher,
        reloader=reloader,
        files=files,
        contexts=contexts,
        addresses=addresses,
        states=states,
        checks=HealthChecks(states, events, contexts),
        agents=AgentChecks(states, events),
        outliers=outliers,
        reconnecting=Reconnecting(outliers, HealthChecker(contexts)),
        parity=ParityWatch(board, states),
        exact=exact,
        kv_events=KvEventReaders(board, events, exact, contexts),
        engines=EngineLoads(board, events, contexts),
        models=EngineModels(events, contexts, publisher.refresh),
        revocations=RevocationLists(events),
        maintenance=MaintenanceSwitches(events, publisher.refresh),
        fetched=FetchedCertificates(
            store,
            kept_at or Path(tempfile.mkdtemp(prefix="penstock-")),
            events,
            publisher.refresh,
        ),
        forecasts=forecasts,
        state_files=state_files,
        store=store,
        sharing=sharing,
        tenants=TenantsDirectory(events, publisher.refresh),
        password_files=PasswordFiles(events, publisher.refresh),
        key_sets=KeySets(events, publisher.refresh),
        limits=WorkerLimits(
            state_files, events, lambda: len(workers.all), leased=sharing is not None
        ),
        usage=Usage(state_files),
        spans=SpanSender(events),
        metrics=MetricsSender(events),
        membership=membership,
        members_publisher=MembersPublisher(membership, publisher.refresh, events),
        scaling=scaling,
        external_scalers=ExternalScalers(scaling.desired, events),
        discoveries=Discoveries(membership, events),
        api_endpoints=ApiEndpoints(
            membership, lambda: publisher.running, publisher.refresh, state_files, events
        ),
        additions=Additions(lambda: reloader.configured, reloader.publish, state_files, events),
        stop=stop,
    )
    _Connections(parts).make()
    return parts


class _Connections:
    """What one part does when another tells something."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def make(self) -> None:
        parts = self._parts
        publisher = parts.publisher
        publisher.members = parts.membership.members
        publisher.searches.append(parts.discoveries.search)
        publisher.preparations += [parts.models.ask_new, parts.key_sets.prepare]
        publisher.marks.insert(0, parts.fetched.mark)  # before their files are looked at
        publisher.marks += [
            parts.maintenance.mark,
            parts.models.mark,
            parts.tenants.mark,
            parts.password_files.mark,
        ]
        publisher.marks.append(parts.key_sets.mark)
        publisher.followers += [
            self._configure_discoveries,
            parts.contexts.configure,  # before those who ask with them
            parts.maintenance.configure,
            parts.checks.configure,
            parts.agents.configure,
            parts.outliers.configure,
            parts.engines.configure,
            parts.models.configure,
            parts.parity.configure,
            parts.kv_events.configure,
            parts.revocations.configure,
            parts.forecasts.configure,
            parts.tenants.configure,
            parts.password_files.configure,
            parts.key_sets.configure,
            parts.limits.configure,
            parts.fetched.configure,
            parts.spans.configure,
            parts.metrics.configure,
            parts.scaling.configure,
            parts.external_scalers.configure,
        ]
        if parts.sharing is not None:
            publisher.followers.append(parts.sharing.configure)
            others = parts.sharing.loads.others
            publisher.followers.append(Advice(others, parts.checks, parts.outliers).configure)
            parts.sharing.endpoints.follow = parts.api_endpoints.follow
            parts.sharing.share_challenges(parts.fetched)
            parts.sharing.share_maintenance(parts.maintenance, parts.events)
            parts.sharing.share_tenants(parts.store, parts.events)
            parts.workers.lending.before = parts.sharing.limits(parts.limits.owner).before_lend
            elsewhere = parts.sharing.scaling(
                parts.store,
                parts.scaling.leads,
                parts.states,
                parts.membership,
                parts.events,
            )
            parts.scaling.elsewhere = parts.forecasts.elsewhere = elsewhere
        parts.membership.addresses_of = parts.addresses.known
        parts.reloader.on_begin = parts.service_manager.reloading
        parts.reloader.on_end = parts.service_manager.ready
        parts.reloader.extend = parts.additions.extended
        parts.reloader.on_run = parts.additions.configure
        parts.additions.on_pool_removed = parts.api_endpoints.forget
        parts.api_endpoints.pool_was_added = parts.additions.has_pool
        parts.checks.before_up = parts.models.ask_endpoint
        parts.states.on_leave = self._on_leave
        parts.states.on_return = self._on_return
        parts.workers.on_models_missed = self._on_models_missed
        parts.workers.lending.owner = parts.limits.lend
        parts.workers.on_usage = parts.usage.take
        parts.workers.on_traces = parts.spans.take
        parts.workers.on_refused = parts.limits.note_refused
        parts.workers.on_worker_ended = parts.limits.forget
        parts.workers.on_change = lambda: write_runtime_file(parts)

    def _configure_discoveries(self, snapshot: Snapshot) -> None:
        fixed = self._parts.publisher.fixed
        self._parts.discoveries.configure(snapshot, fixed)
        self._parts.api_endpoints.configure(fixed)

    def _on_leave(self, pool: str, endpoint: str) -> None:
        """It went down: its name may resolve to another address now."""
        for found in self._parts.publisher.endpoints(pool, endpoint):
            self._parts.addresses.expire(found)

    def _on_return(self, pool: str, endpoint: str) -> None:
        asking = self._parts.models.ask_endpoint(pool, endpoint)
        self._parts.background.begin("asking for models", asking)

    def _on_models_missed(self, pool: str, changed: bool) -> None:
        """A worker misses a model, or passed on a request that may have changed which there are."""
        self._parts.background.begin("asking for models", self._ask_and_tell(pool, changed))

    async def _ask_and_tell(self, pool: str, changed: bool) -> None:
        await self._parts.models.ask_pool(pool, surely=changed)
        await self._parts.workers.send_all({"kind": "models", "pool": pool})


def places(parts: Parts) -> list[Place]:
    """Where the snapshot that runs listens."""
    return [parts.sockets.place(each) for each in parts.publisher.running.listeners]


def write_runtime_file(parts: Parts) -> None:
    """Tell whoever comes after us who serves where."""
    parts.runtime.write(parts.workers.pids, places(parts))


def absolute(source: Path | None) -> str:
    """The configuration file's path; empty: there is none."""
    return str(source.absolute()) if source is not None else ""


def _board_for(configured: Configured, predecessor: Predecessor | None) -> Board:
    if predecessor is not None and predecessor.board >= 0:
        return Board(predecessor.board)
    pools = configured.snapshot.pools
    endpoints = sum(len(pool.endpoints) for pool in pools)
    board = create_board(
        HALVES * configured.workers,
        endpoint_rows=max(ENDPOINT_ROWS, _GROWTH * endpoints),
        pool_rows=max(POOL_ROWS, _GROWTH * len(pools)),
    )
    board.cells[H_SUPERVISOR_PID] = os.getpid()
    return board
