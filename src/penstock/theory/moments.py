"""Laws of service given by their first two moments."""

from dataclasses import dataclass
from math import sqrt

from penstock.theory.steady import require_positive


@dataclass(frozen=True)
class BalancedH2:
    """A mixture of two exponentials: rate ``rate1`` with probability ``p1``, else ``rate2``."""

    p1: float
    rate1: float
    rate2: float


def h2_balanced(mean: float, cv2: float) -> BalancedH2:
    """The hyper-exponential law with this mean and cv², and balanced means: p1/rate1 = p2/rate2.

    p1 = (1 + √((cv²-1)/(cv²+1))) / 2, rate1 = 2·p1/mean, rate2 = 2·(1-p1)/mean. Needs cv² ≥ 1.
    Source: Tijms, A First Course in Stochastic Models (2003), appendix B.
    """
    require_positive(mean=mean)
    if not cv2 >= 1.0:
        raise ValueError(f"a hyper-exponential law has a cv2 of at least 1, not {cv2!r}")
    p1 = (1.0 + sqrt((cv2 - 1.0) / (cv2 + 1.0))) / 2.0
    return BalancedH2(p1=p1, rate1=2.0 * p1 / mean, rate2=2.0 * (1.0 - p1) / mean)
