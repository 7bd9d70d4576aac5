"""A file that a command writes at its end, looked at before it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class OutputFile(click.Path):
    """Refuse at once a file that cannot be written: a long run's results would be lost."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no directory {str(path.parent)!r}.", param, ctx)
        if not path.exists() and not os.access(path.parent, os.W_OK):
            self.fail(f"directory {str(path.parent)!r} is not writable.", param, ctx)
        return path
