"""How important a request is, of what its route, its tenant and itself say: 0 most."""

from penstock.core import snapshot
from penstock.core.caller import Caller


def asked_priority(value: bytes, spec: snapshot.Admission) -> int:
    """What a header says: a number, or the name of a class; -1 where it is neither."""
    if value.isdigit() and len(value) <= 9:
        return min(int(value), snapshot.MAX_PRIORITY)
    return spec.priorities.get(value.decode("latin-1").strip(), -1)


def importance_of(told: int, caller: Caller, spec: snapshot.Admission) -> int:
    """``told`` is what the request or its route say, -1: nothing.

    A tenant's class is a ceiling: its requests can be less important than it says, never more.
    """
    ceiling = caller.priority
    if caller.priority_class:
        ceiling = spec.priorities.get(caller.priority_class, ceiling)
    if ceiling >= 0:
        return max(told, ceiling)
    return told if told >= 0 else spec.default_priority
