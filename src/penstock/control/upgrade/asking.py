"""What ``penstock upgrade`` does: it asks the running supervisor, over its socket."""

from pathlib import Path
from typing import Final

from penstock.control.upgrade.channel import ChannelClosedError, connect_to
from penstock.control.upgrade.handover import READY_S
from penstock.control.upgrade.messages import Told, Upgrade
from penstock.control.workers.takeover import SOCKET_SUFFIX, chosen_directory

_CONNECT_S: Final = 5.0
_DONE_S: Final = 2 * READY_S


class AskingError(Exception):
    """The upgrade was not made. The text is for people."""


def ask_for_upgrade(directory: Path | None, pid: int | None, command: list[str]) -> str:
    """Have the supervisor there start ``command`` in its place; what it says. Raises AskingError.

    ``pid`` is needed where several run in the directory.
    """
    directory = directory or chosen_directory()
    socket = _socket_of(directory, pid)
    try:
        channel = connect_to(socket, _CONNECT_S)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AskingError(f"{socket} cannot be connected to: {reason}") from error
    try:
        channel.send(Upgrade(command))
        message, _ = channel.receive(_DONE_S)
    except ChannelClosedError as error:
        raise AskingError("the running balancer ended; its log says why") from error
    except (TimeoutError, ValueError) as error:
        raise AskingError(f"the running balancer does not answer: {error}") from error
    finally:
        channel.close()
    if not isinstance(message, Told):
        raise AskingError(f"the running balancer answered {message}")
    if not message.ok:
        raise AskingError(message.message)
    return message.message


def _socket_of(directory: Path, pid: int | None) -> Path:
    pattern = f"supervisor-{pid}-*" if pid is not None else "supervisor-*"
    try:
        found = sorted(directory.glob(f"{pattern}{SOCKET_SUFFIX}"))
    except OSError as error:
        raise AskingError(f"{directory}: {error.strerror or error}") from error
    if not found:
        raise AskingError(
            f"no balancer that can be upgraded runs with the runtime directory {directory}; "
            "--runtime-directory names another, as the user of the service has it"
        )
    if len(found) > 1:
        pids = ", ".join(path.name.split("-")[1] for path in found)
        raise AskingError(f"several balancers run in {directory}: give --pid, one of {pids}")
    return found[0]
