"""Where modules with policies of people's own are looked up: beside the file that names them."""

import sys
from pathlib import Path
from typing import Final

_DIRECTORIES: Final[list[str]] = []


def look_up_beside(file: Path) -> None:
    """From now on, find modules in the directory of this configuration or scenario.

    Last, so that a file there replaces no module of Python's or of an installed package.
    """
    look_up_in(str(file.absolute().parent))


def look_up_in(directory: str) -> None:
    """From now on, find modules there."""
    if directory not in _DIRECTORIES:
        _DIRECTORIES.append(directory)
    if directory not in sys.path:
        sys.path.append(directory)


def directories() -> tuple[str, ...]:
    """Those directories, for processes that are to find the same modules."""
    return tuple(_DIRECTORIES)
