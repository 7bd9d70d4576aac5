"""Waiting until an endpoint that drains has nothing in flight."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final

import click

TOO_LATE: Final = 3  # the exit code; 1 is for errors, 2 for wrong use
LOOK_S: Final = 0.5
# A worker may have chosen the endpoint just before it heard of the drain.
_LOOKS_IN_A_ROW: Final = 2


@dataclass(frozen=True)
class Look:
    """What the balancer says of the endpoint."""

    in_flight: int
    clients_stay: bool  # those with a cookie for it may come again
    until: float | None  # Unix time; None: as long as they want

    @property
    def is_over(self) -> bool:
        """Nothing runs there, and nobody who is waited for may come."""
        return self.in_flight == 0 and not (self.clients_stay and self.until is not None)


def look_at(status: dict[str, Any], pool: str, endpoint: str) -> Look | None:
    """What the status document says; None where it knows no such endpoint any more."""
    for each in status["pools"]:
        for member in each["endpoints"]:
            if (each["name"], member["name"]) == (pool, endpoint):
                stays, until = member["clients_stay"], member["clients_stay_until"]
                return Look(member["in_flight"], stays, until)
    return None


def await_drained(
    status: Callable[[], dict[str, Any]],
    endpoint: tuple[str, str],
    timeout_s: float,
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Return when it is over; exits with ``TOO_LATE`` when so much time has passed (0: never)."""
    began = clock()
    in_a_row = 0
    while True:
        seen = look_at(status(), *endpoint)  # None: a reload took it away, and nobody comes
        in_a_row = in_a_row + 1 if seen is None or seen.is_over else 0
        waited_s = clock() - began
        if in_a_row == _LOOKS_IN_A_ROW:
            break
        if seen is not None and 0.0 < timeout_s <= waited_s:
            click.echo(f"after {waited_s:.0f} s {_what_remains(seen)}", err=True)
            click.get_current_context().exit(TOO_LATE)
        pause(LOOK_S)
    click.echo(f"nothing is in flight there after {waited_s:.0f} s")
    if seen is not None and seen.clients_stay:
        click.echo(
            "clients that are bound to it may come again: the pool's `drain` has no deadline"
        )


def _what_remains(seen: Look) -> str:
    if seen.in_flight == 0:
        return "clients that are bound to it may still come: the pool's `drain` has a deadline"
    many = "s are" if seen.in_flight > 1 else " is"
    return f"{seen.in_flight} request{many} in flight there"
