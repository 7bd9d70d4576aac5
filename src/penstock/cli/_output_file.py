"""What verbs write: files, looked at before a long run, and what is said where there is no room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

# A full disk or quota, a file too large, a device that fails.
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Ends the verb with a message that names the file where it cannot be written."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(_message(str(path), error)) from error


def is_about_room(error: OSError) -> bool:
    """Whether something could not be written for want of room, or because its device fails."""
    return error.errno in _NO_ROOM


def end_without_output(error: OSError) -> None:
    """End the process with 1 and a message: what goes to standard output cannot be written."""
    # What is still buffered would be tried once more when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        click.echo(f"Error: {_message(error.filename or 'standard output', error)}", err=True)
    except OSError:
        os.dup2(nowhere, 2)  # there is no room for the message either
    raise SystemExit(1)


def _message(what: str, error: OSError) -> str:
    why = error.strerror or str(error)
    return f"cannot write to {what}: {why[:1].lower()}{why[1:]}"


def write_configuration(path: Path, text: str, *, replace: bool) -> None:
    """A new file that this user alone can read: it may hold tokens and keys. Raises ClickException
    where it is there already and not to be replaced, or cannot be written."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise click.ClickException(f"{path} is there already: --force replaces it") from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
