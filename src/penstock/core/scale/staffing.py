"""How many places serve a load so that few requests find none free.

Up to ``_EXACT`` Erlangs by Erlang's C itself, one step of his B's recursion for each place; beyond
by square-root staffing, R + β√R (Halfin and Whitt 1981), which is then off by less than one.
``theory.staffing`` has the same closed forms; ``core`` imports nothing of it, and a test holds
both to each other.
"""

from math import ceil, erf, exp, pi, sqrt
from typing import Final

_EXACT: Final = 400.0
_BISECTIONS: Final = 60


def fewest_places(offered: float, late_share: float) -> int:
    """The fewest places at which at most ``late_share`` (0..1) of requests wait.

    ``offered`` is in Erlangs: arrivals per second times seconds of service. 0 places serve no load.
    """
    if offered <= 0.0:
        return 0
    if offered > _EXACT:
        return ceil(offered + _beta(late_share) * sqrt(offered))
    blocked = 1.0
    places = 0
    while True:
        places += 1
        blocked = offered * blocked / (places + offered * blocked)
        utilisation = offered / places
        if utilisation < 1.0:
            waiting = blocked / (1.0 - utilisation * (1.0 - blocked))
            if waiting <= late_share:
                return places


def _beta(late_share: float) -> float:
    """The root of α = 1/(1 + βΦ(β)/φ(β))."""
    low = 0.0
    high = 8.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        density = exp(-middle * middle / 2.0) / sqrt(2.0 * pi)
        below = (1.0 + erf(middle / sqrt(2.0))) / 2.0
        if density / (density + middle * below) > late_share:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
