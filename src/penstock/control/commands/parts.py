"""The parts of the supervisor that commands act on."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.endpoints.states import EndpointStates
from penstock.control.workers.workers import Workers
from penstock.control.world.publish import Publisher
from penstock.control.world.reload import Reloader


@dataclass(frozen=True)
class Parts:
    """Add a field where a command needs a part that none has used yet."""

    states: EndpointStates
    workers: Workers
    publisher: Publisher
    reloader: Reloader
    stop: Callable[[], None]  # as SIGTERM does
