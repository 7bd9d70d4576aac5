"""How many servers keep the share of customers that wait under a bound."""

from math import ceil, erf, exp, pi, sqrt

from penstock.theory.many_servers import erlang_c
from penstock.theory.steady import require_positive


def staffing_factor(waiting_share: float) -> float:
    """β such that R + β√R servers make a share ``waiting_share`` of customers wait.

    The root of α = 1/(1 + βΦ(β)/φ(β)). Source: Halfin and Whitt, Operations Research 29 (1981).
    Raises ValueError unless the share lies in (0, 1).
    """
    if not 0.0 < waiting_share < 1.0:
        raise ValueError(f"waiting_share must be in (0, 1), not {waiting_share!r}")
    low, high = 0.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if _halfin_whitt(middle) > waiting_share:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def square_root_staffing(offered: float, waiting_share: float) -> int:
    """⌈R + β√R⌉ servers for ``offered`` = R = λ/μ Erlangs."""
    require_positive(offered=offered)
    return ceil(offered + staffing_factor(waiting_share) * sqrt(offered))


def fewest_servers(offered: float, waiting_share: float) -> int:
    """The least number of servers at which Erlang's C is at most ``waiting_share``, exactly."""
    require_positive(offered=offered)
    if not 0.0 < waiting_share < 1.0:
        raise ValueError(f"waiting_share must be in (0, 1), not {waiting_share!r}")
    servers = int(offered) + 1
    while erlang_c(offered, servers) > waiting_share:
        servers += 1
    return servers


def _halfin_whitt(beta: float) -> float:
    density = exp(-beta * beta / 2.0) / sqrt(2.0 * pi)
    below = (1.0 + erf(beta / sqrt(2.0))) / 2.0
    return density / (density + beta * below)
