"""How important a request is, of what its route, its tenant and itself say: 0 most."""

from typing import Final

from penstock.core import snapshot
from penstock.core.caller import Caller

_RANGE: Final = snapshot.MAX_PRIORITY + 1


def asked_priority(value: bytes, spec: snapshot.Admission) -> int:
    """What a header says: a number, or the name of a class; -1 where it is neither."""
    if value.isdigit() and len(value) <= 9:
        return min(int(value), snapshot.MAX_PRIORITY)
    return spec.priorities.get(value.decode("latin-1").strip(), -1)


def claimed(told: int, usual: int) -> int:
    """What a client says whose word is not taken for it, ``told``, where it has ``usual`` anyhow.
    Less important it may be; more so as far as a tenant's class lets it, which ``importance_of``
    finds out."""
    return told if told >= usual else -(2 + told * _RANGE + usual)


def importance_of(told: int, caller: Caller, spec: snapshot.Admission) -> int:
    """``told`` is what the request or its route say, -1: nothing; below that it is ``claimed``.

    A tenant's class is a ceiling: its requests can be less important than it says, never more.
    """
    if told < -1:
        both = -told - 2
        told = both // _RANGE
        if caller.priority < 0 and caller.priority_class not in spec.priorities:
            return both % _RANGE
    ceiling = caller.priority
    if caller.priority_class:
        ceiling = spec.priorities.get(caller.priority_class, ceiling)
    if ceiling >= 0:
        return max(told, ceiling)
    return told if told >= 0 else spec.default_priority
