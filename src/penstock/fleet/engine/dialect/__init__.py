"""What engines answer beside OpenAI's API: one file for each, found here by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from penstock.fleet.engine.dialect.base import EmulatedDialect


@cache
def emulated_dialects() -> Mapping[str, type[EmulatedDialect]]:
    """Every dialect that can be emulated, by the engine's name, in alphabetical order."""
    found: dict[str, type[EmulatedDialect]] = {}
    for module in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, EmulatedDialect) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))


def dialect_named(name: str) -> EmulatedDialect:
    """Raises ValueError for an engine that is not emulated."""
    known = emulated_dialects()
    if name not in known:
        raise ValueError(f"no engine {name!r} is emulated; there are {', '.join(known)}")
    return known[name]()
