"""The table of commands in ``docs/operations.md``:
``python -m penstock.control.commands.reference --write``.
"""

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Final

from penstock.admin.command import Command
from penstock.control.commands import commands

FILE: Final = Path("docs/operations.md")
BEGIN: Final = "<!-- Made by: python -m penstock.control.commands.reference --write -->\n"
END: Final = "<!-- End of what is made. -->\n"
_HEAD: Final = "| `penstock ctl …` | Over HTTP | What it does |\n|---|---|---|\n"


def table() -> str:
    """A row for each command, as Markdown."""
    return _HEAD + "".join(_row(each) for each in commands().values())


def with_table(text: str) -> str:
    """The document with the table between its marks. Raises ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no lines {BEGIN!r} and {END!r} between which the table could stand")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _row(command: type[Command]) -> str:
    fields = ", ".join(f"`{name}`" for name in command.__struct_fields__)
    asked = f"`{command.method} {command.path()}`" + (f": {fields}" if fields else "")
    about, _, _ = cleandoc(command.__doc__ or "").partition("\n\n")
    given = f"{command.name} {command.example}".strip()
    return f"| `{given}` | {asked} | {about} |\n"


if __name__ == "__main__":
    made = with_table(FILE.read_text())
    if "--write" in sys.argv:
        FILE.write_text(made)
    else:
        print(made, end="")
