"""What every model answers with, and the checks that they share."""

from dataclasses import dataclass


class Unstable(ValueError):
    """The work offered is at least what the servers can do: queues grow without end."""

    def __init__(self, model: str, utilisation: float) -> None:
        super().__init__(
            f"{model} has no steady state at a utilisation of {utilisation:.6g}: it must be below 1"
        )
        self.model = model
        self.utilisation = utilisation


@dataclass(frozen=True)
class Steady:
    """The steady state of a queue.

    ``utilisation`` is the share of time that a server works; ``wait`` and ``response`` are the
    mean time before service and in the system, of customers that were admitted; ``queued`` and
    ``present`` are the mean numbers waiting and in the system; ``blocked`` is the share of
    customers turned away. The last four obey Little's law with the admitted rate.
    """

    utilisation: float
    wait: float
    response: float
    queued: float
    present: float
    blocked: float = 0.0


def require_positive(**arguments: float) -> None:
    """Raises ValueError naming the first argument that is not a number above 0."""
    for name, value in arguments.items():
        if not value > 0.0:
            raise ValueError(f"{name} must be above 0, not {value!r}")


def require_cv2(cv2: float) -> None:
    """Raises ValueError when ``cv2`` cannot be a squared coefficient of variation."""
    if not cv2 >= 0.0:
        raise ValueError(f"cv2 must be 0 or more, not {cv2!r}")


def from_wait(arrival_rate: float, mean_service: float, servers: int, wait: float) -> Steady:
    """The whole steady state from the mean wait, by Little's law (Little 1961: L = λW)."""
    response = wait + mean_service
    return Steady(
        utilisation=arrival_rate * mean_service / servers,
        wait=wait,
        response=response,
        queued=arrival_rate * wait,
        present=arrival_rate * response,
    )
