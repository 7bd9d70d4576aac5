"""The state directory: which one, and whether it can be used."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from penstock.control.events import Events

VARIABLE: Final = "STATE_DIRECTORY"  # systemd.exec(5): several, with colons between them
_MODE: Final = 0o700


def state_directory(
    configured: Path | None, events: Events, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """A private directory, created if missing; None where there is none, and the log says so."""
    given = environment.get(VARIABLE, "").partition(":")[0]
    directory = configured or (Path(given) if given else None)
    if directory is None:
        events.info(
            "state",
            "no state directory: what changes at run time, forecasts and the like live in memory "
            "and end with the balancer; `state: DIRECTORY` keeps them",
        )
        return None
    try:
        _make_private(directory)
    except OSError as error:
        events.error(
            "state.unusable",
            f"the state directory {directory} cannot be used: {error.strerror or error}; what it "
            "would keep lives in memory and ends with the balancer",
        )
        return None
    events.info("state", f"state directory: {directory}")
    return directory


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError("it belongs to another user")
    if found.st_mode & 0o077:  # as systemd makes it unless it is told StateDirectoryMode=0700
        directory.chmod(_MODE)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError("it cannot be read and written")
