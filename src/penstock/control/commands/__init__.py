"""What operators can tell a running balancer: one command per file, found here by name.

Nothing else lists them: the routes of the admin server, the verbs of ``penstock ctl`` and the table
in ``docs/operations.md`` derive from ``commands()``.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from penstock.admin.command import Answer, BoundCommands, Run
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:  # `penstock ctl` reads the table without loading the supervisor's parts
    from penstock.control.parts import Parts


@cache
def commands() -> Mapping[str, type[OperatorCommand]]:
    """Every command by its name, in alphabetical order."""
    found: dict[str, type[OperatorCommand]] = {}
    for module in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, OperatorCommand) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))


def bound(parts: "Parts") -> BoundCommands:
    """Every command, carried out on these parts."""
    return {kind: _run_on(parts) for kind in commands().values()}


def _run_on(parts: "Parts") -> Run:
    async def run(command: OperatorCommand) -> Answer:
        return await command.run(parts)

    return run
