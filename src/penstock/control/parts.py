"""The parts of the supervisor that operators see and command."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.acme.certificates import FetchedCertificates
from penstock.control.discovery.api_endpoints import ApiEndpoints
from penstock.control.discovery.following import Discoveries
from penstock.control.discovery.membership import Membership
from penstock.control.endpoints.agents import AgentChecks
from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.loads import EngineLoads
from penstock.control.engines.models import EngineModels
from penstock.control.events import Events
from penstock.control.forecasts.forecasts import Forecasts
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.scale.scaling import FleetScaling
from penstock.control.store.files import StateFiles
from penstock.control.store.store import Store
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.workers import Workers
from penstock.control.world.publish import Publisher
from penstock.control.world.reload import Reloader
from penstock.control.world.revocations import RevocationLists


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What ``overview`` shows, and what commands act on."""

    events: Events
    sockets: ListeningSockets
    workers: Workers
    publisher: Publisher
    reloader: Reloader
    states: EndpointStates
    checks: HealthChecks
    agents: AgentChecks
    outliers: OutlierDetection
    engines: EngineLoads
    models: EngineModels
    revocations: RevocationLists
    maintenance: MaintenanceSwitches
    fetched: FetchedCertificates
    forecasts: Forecasts
    state_files: StateFiles
    store: Store
    membership: Membership
    scaling: FleetScaling
    discoveries: Discoveries
    api_endpoints: ApiEndpoints
    stop: Callable[[], None]  # as SIGTERM does
