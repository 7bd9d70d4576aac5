"""Reads a configuration in a process of its own, so that the one that serves imports no reader.

The model of the document and what compiles it take half of a start and 13 MB, and are needed for
a moment. On a second core they are read while the supervisor is imported. What cannot be
read so, for whatever reason, is read in place, which then says what is wrong.
"""

import os
import pickle
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.config.compile.own_modules import directories, look_up_in

if TYPE_CHECKING:
    from penstock.config.compile.configured import Configured


def read_apart(
    read: "Callable[[], Configured]", meanwhile: Callable[[], None]
) -> "Configured | None":
    """What ``read`` returns in a child, which ends with it; None where that failed.

    ``meanwhile`` is called while it reads.
    """
    if threading.active_count() > 1:  # a fork would leave their locks as they are
        return None
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _tell(read, writer)
    os.close(writer)
    with open(reader, "rb") as told:
        meanwhile()
        answer = told.read()
    os.waitpid(child, 0)
    try:
        looked_up, configured = pickle.loads(answer)  # noqa: S301  # of our own child
    except (EOFError, pickle.UnpicklingError):  # it failed, or was killed
        return None
    for directory in looked_up:
        look_up_in(directory)
    found: Configured = configured
    return found


def _tell(read: "Callable[[], Configured]", writer: int) -> None:
    """Ends this process."""
    try:
        configured = read()
        with open(writer, "wb") as telling:
            pickle.dump((directories(), configured), telling, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)
