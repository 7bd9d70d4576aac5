"""What inference engines report of their load: one engine's dialect per file, found here by name.

A module of this package with a ``DIALECT`` is an engine. Nothing else lists them: the
configuration's choices, its schema, the documentation and recognition all derive from
``engine_dialects()``. Interpreted: plain data on msgspec's own metaclass.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from penstock.wire.engines.dialect import EngineDialect


@cache
def engine_dialects() -> Mapping[str, EngineDialect]:
    """Every engine's dialect by its name, in alphabetical order."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    found = (vars(module).get("DIALECT") for module in modules)
    dialects = [each for each in found if isinstance(each, EngineDialect)]
    return {each.name: each for each in sorted(dialects, key=lambda each: each.name)}
