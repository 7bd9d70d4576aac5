"""How the endpoints of a pool and the units of its actuator belong together."""

from collections.abc import Iterable

from penstock.control.discovery.source import place_of
from penstock.control.endpoints.state import EndpointState
from penstock.control.scale.actuator import Unit
from penstock.core.health.health import STARTING as NOT_CHECKED
from penstock.core.scale.members import DOWN, DRAINING, SERVING, STARTING
from penstock.core.snapshot import Endpoint, Pool


def endpoints_of(unit: Unit, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Those of them that are that unit's: several, where one pod has several ports."""
    if unit.host:
        return [each for each in endpoints if each.host == unit.host]
    if unit.endpoint is None:
        return []
    place = place_of(unit.endpoint)
    return [each for each in endpoints if place_of(each) == place]


def member_state(state: EndpointState, pool: Pool) -> int:
    """As the planner counts it."""
    if state.is_draining:
        return DRAINING
    if state.is_down or state.ejected is not None:
        return DOWN
    if pool.health_check is not None and state.health == NOT_CHECKED:
        return STARTING
    return SERVING
