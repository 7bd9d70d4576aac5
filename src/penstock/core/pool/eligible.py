"""The one filter that says which endpoints may be picked."""

from penstock.core.endpoint import Endpoint
from penstock.core.health.health import DOWN


def is_available(endpoint: Endpoint) -> bool:
    """In service, its circuit not open, and with a weight. STARTING counts as available."""
    return (
        not endpoint.draining
        and endpoint.health != DOWN
        and not endpoint.ejected
        and not endpoint.cut_out
        and endpoint.weight > 0.0
    )


def eligible_endpoints(endpoints: list[Endpoint], panic_threshold: float) -> list[Endpoint]:
    """The endpoints that may be picked, in pool order.

    The available ones of the first priority group that has any. When the available share of a
    whole pool falls under ``panic_threshold`` (0 turns it off), health is not believed and every
    endpoint of the first group that is not draining is used: checks that fail everywhere at once
    say more about the checks than about the endpoints (Envoy's panic threshold).
    """
    candidates = [e for e in endpoints if not e.draining and e.weight > 0.0]
    if not candidates:
        return []
    available = [e for e in candidates if is_available(e)]
    if panic_threshold > 0.0 and len(available) < panic_threshold * len(candidates):
        first = min([e.priority for e in candidates])
        return [e for e in candidates if e.priority == first]
    if not available:
        return []
    first = available[0].priority
    mixed = False
    for endpoint in available:
        if endpoint.priority != first:
            mixed = True
            first = min(first, endpoint.priority)
    # As a rule all are of one group, of thousands too.
    return [e for e in available if e.priority == first] if mixed else available
