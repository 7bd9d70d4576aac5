"""Who starts and stops endpoints, one file each; nothing else lists them."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from penstock.control.scale.actuator import Actuator


@cache
def actuators() -> dict[str, type[Actuator]]:
    """All of them, by their names."""
    found: dict[str, type[Actuator]] = {}
    for module in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, Actuator) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))
