"""When a certificate is to be renewed, and how long to wait after a failure. Pure."""

from random import Random
from typing import Final

# Renewed before a third of its life is left; with this much of its life in jitter before that, so
# that those of one day do not all come on one day again.
_LEFT: Final = 1.0 / 3.0
_JITTER: Final = 0.1
_FIRST_WAIT_S: Final = 60.0
# Let's Encrypt counts five failures an hour for a name.
_LONGEST_WAIT_S: Final = 6 * 3600.0


def due_at(not_before: float, not_after: float, rng: Random) -> float:
    """When to renew one that is valid from then until then (Unix time)."""
    life = not_after - not_before
    return not_after - life * (_LEFT + _JITTER * rng.random())


def wait_after(failures: int, rng: Random) -> float:
    """Seconds to the next try after so many failures in a row: doubled, half of it by chance."""
    whole = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures - 1, 20))
    return whole * (0.5 + 0.5 * rng.random())
