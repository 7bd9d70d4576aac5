"""The parts of the supervisor, made and connected by ``assembly.py``."""

from collections.abc import Callable
from dataclasses import dataclass

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
from penstock.control.replicas.sharing import Sharing
from penstock.control.scale.external_scaler import ExternalScalers
from penstock.control.scale.scaling import FleetScaling
from penstock.control.service_manager import ServiceManager
from penstock.control.store.files import StateFiles
from penstock.control.store.store import Store
from penstock.control.tenants.directory import TenantsDirectory
from penstock.control.tenants.key_sets import KeySets
from penstock.control.tenants.limits import WorkerLimits
from penstock.control.tenants.password_files import PasswordFiles
from penstock.control.tenants.usage import Usage
from penstock.control.traces.collector import SpanSender
from penstock.control.workers.indexes import WorkerIndexes
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.takeover import RuntimeFile
from penstock.control.workers.workers import Workers
from penstock.control.world.additions import Additions
from penstock.control.world.certificates import CertificateFiles
from penstock.control.world.publish import Publisher
from penstock.control.world.reload import Reloader
from penstock.control.world.revocations import RevocationLists
from penstock.control.world.rows import Rows
from penstock.dataplane.board.memory import Board


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the supervisor runs, ``overview`` shows, and commands act on."""

    events: Events
    background: BackgroundTasks
    board: Board
    rows: Rows
    indexes: WorkerIndexes
    runtime: RuntimeFile
    service_manager: ServiceManager
    sockets: ListeningSockets
    workers: Workers
    publisher: Publisher
    reloader: Reloader
    files: CertificateFiles
    contexts: EndpointContexts
    addresses: Addresses
    states: EndpointStates
    checks: HealthChecks
    agents: AgentChecks
    outliers: OutlierDetection
    reconnecting: Reconnecting
    parity: ParityWatch
    exact: ExactIndex
    kv_events: KvEventReaders
    engines: EngineLoads
    models: EngineModels
    revocations: RevocationLists
    maintenance: MaintenanceSwitches
    fetched: FetchedCertificates
    forecasts: Forecasts
    state_files: StateFiles
    store: Store
    sharing: Sharing | None  # with other balancers, where a store is configured
    tenants: TenantsDirectory
    key_sets: KeySets
    password_files: PasswordFiles
    limits: WorkerLimits
    usage: Usage
    spans: SpanSender
    metrics: MetricsSender
    membership: Membership
    members_publisher: MembersPublisher
    scaling: FleetScaling
    external_scalers: ExternalScalers
    discoveries: Discoveries
    api_endpoints: ApiEndpoints
    additions: Additions
    stop: Callable[[], None]  # as SIGTERM does
