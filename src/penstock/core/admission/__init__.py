"""Protection in front of a pool: how much is let in, what waits, and what is turned away.

Each file is one state machine, driven by plain times. The limits on concurrency are found here by
name, like policies.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from penstock.core import snapshot
from penstock.core.admission.limit import ConcurrencyLimit

__all__ = ["ConcurrencyLimit", "create_limit", "limit_of", "limits"]


@cache
def limits() -> dict[str, type[ConcurrencyLimit]]:
    """Every limit on concurrency by its name, in alphabetical order."""
    found: dict[str, type[ConcurrencyLimit]] = {}
    for module in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, ConcurrencyLimit) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))


def limit_of(spec: snapshot.Admission) -> ConcurrencyLimit | None:
    """The limit that a pool's admission asks for, if it does. Raises ValueError like the next."""
    chosen = spec.limit
    return None if chosen is None else create_limit(chosen.name, dict(chosen.options))


def create_limit(name: str, options: dict[str, object] | None = None) -> ConcurrencyLimit:
    """A limit of that name. Raises ValueError on an unknown name or a bad option."""
    known = limits()
    if name not in known:
        raise ValueError(f"there is no limit {name!r}; known: {', '.join(known)}")
    cls = known[name]
    given = dict(options or {})
    checked = {
        option.name: option.check(given.pop(option.name))
        for option in cls.options
        if option.name in given
    }
    if given:
        names = ", ".join(option.name for option in cls.options)
        raise ValueError(f"limit {name!r} has no option {min(given)!r}; its options: {names}")
    make: Callable[..., ConcurrencyLimit] = cls
    return make(**checked)
