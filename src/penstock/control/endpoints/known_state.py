"""What is known of an endpoint and not configured, in a form that another version reads too."""

import msgspec

from penstock.control.endpoints.agent_state import AgentState
from penstock.control.endpoints.cause import Cause
from penstock.control.endpoints.state import EndpointState


class KnownState(msgspec.Struct):
    """Fields are added with defaults, and none comes to mean something else."""

    pool: str
    name: str
    configured_weight: float = 1.0
    weight: float = 1.0
    weight_cause: Cause | None = None
    health: int = 0
    health_cause: Cause | None = None
    draining: Cause | None = None
    ejected: Cause | None = None
    ejections: int = 0
    hit_distrust: float = 0.0
    agent: AgentState | None = None
    ramping_since: float = 0.0  # slow start, by the monotonic clock; 0.0: over, or none


def known(state: EndpointState) -> KnownState:
    """Of a state as it is."""
    return KnownState(
        pool=state.pool,
        name=state.name,
        configured_weight=state.configured_weight,
        weight=state.weight,
        weight_cause=state.weight_cause,
        health=state.health,
        health_cause=state.health_cause,
        draining=state.draining,
        ejected=state.ejected,
        ejections=state.ejections,
        hit_distrust=state.hit_distrust,
        agent=state.agent,
        ramping_since=state.ramp.ramping_since,
    )


def restore(state: EndpointState, found: KnownState, unchecked: str) -> None:
    """Have a state go on from there, as far as its configuration is as it was.

    ``unchecked`` is the reason of the health of endpoints without checks.
    """
    if found.configured_weight == state.configured_weight and found.weight_cause is not None:
        state.weight = found.weight
        state.weight_cause = found.weight_cause
    checked = state.health_cause.reason != unchecked
    if checked and found.health_cause is not None and found.health_cause.reason != unchecked:
        state.health = found.health
        state.health_cause = found.health_cause
    state.draining = found.draining
    state.ejected = found.ejected
    state.ejections = found.ejections
    state.hit_distrust = found.hit_distrust
    if found.agent is not None:
        state.agent = found.agent
    state.ramp.go_on(state.in_service, found.ramping_since)
