"""The table of commands in ``docs/operations.md``:
``python -m penstock.control.commands.reference --write``.
"""

from inspect import cleandoc
from pathlib import Path
from typing import Final

from penstock.admin.command import Command
from penstock.config.describe.generated import main, with_generated
from penstock.control.commands import commands

FILE: Final = Path("docs/operations.md")
_MODULE: Final = "penstock.control.commands.reference"
_HEAD: Final = "| `penstock ctl …` | Over HTTP | What it does |\n|---|---|---|\n"


def table() -> str:
    """A row for each command, as Markdown."""
    return _HEAD + "".join(_row(each) for each in commands().values())


def with_table(text: str) -> str:
    """The document with the table of today. Raises ValueError where it has no place for it."""
    return with_generated(text, _MODULE, table())


def _row(command: type[Command]) -> str:
    fields = ", ".join(f"`{name}`" for name in command.__struct_fields__)
    asked = f"`{command.method} {command.path()}`" + (f": {fields}" if fields else "")
    about, _, _ = cleandoc(command.__doc__ or "").partition("\n\n")
    given = f"{command.name} {command.example}".strip()
    return f"| `{given}` | {asked} | {about} |\n"


if __name__ == "__main__":
    main(FILE, with_table)
