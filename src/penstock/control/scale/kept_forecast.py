"""A forecast kept over a restart: the steps in between have passed, though nobody saw them."""

from typing import Final

from penstock.core.forecast import Forecaster
from penstock.core.forecast.plain import State, number, part

_LONGEST_GAP: Final = 20_160  # steps; what is known after that is no better than nothing


def to_keep(forecaster: Forecaster, now_s: float) -> State:
    """What ``go_on`` needs; ``now_s`` is Unix time."""
    return {"at": now_s, "forecaster": forecaster.state()}


def go_on(forecaster: Forecaster, kept: State, now_s: float, step_s: float) -> None:
    """As it would be had it run since. Raises ValueError for what it cannot go on from; make a new
    one then."""
    steps = (now_s - number(kept, "at")) / step_s
    if steps > _LONGEST_GAP:
        raise ValueError("it is too old")
    forecaster.restore(part(kept, "forecaster"))
    if steps >= 1.0:
        forecaster.pass_over(round(steps))
