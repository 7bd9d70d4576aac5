"""The ways to find endpoints: one per file, found here by name."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from penstock.control.discovery.provider import Provider
from penstock.core.snapshot.discovery import Discovery


@cache
def providers() -> Mapping[str, type[Provider]]:
    """Every provider by its name, in alphabetical order."""
    found: dict[str, type[Provider]] = {}
    for module in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, Provider) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))


def create_provider(discovery: Discovery) -> Provider:
    """The one that is configured."""
    return providers()[discovery.provider](discovery.settings)
