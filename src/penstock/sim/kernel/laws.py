"""Laws of durations: of service, of gaps between arrivals, of thinking, of delay on the network.

Each draws from the source of chance it is given. Means are seconds; ``cv2`` is the squared
coefficient of variation, variance / mean².
"""

from bisect import bisect_right
from math import cos, erf, exp, gamma, inf, log, pi, sqrt
from random import Random

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Law:
    """A distribution of non-negative numbers."""

    def __init__(self, mean: float, cv2: float) -> None:
        if not 0.0 <= mean < inf:
            raise ValueError(f"a law's mean must be finite and at least 0, not {mean!r}")
        self.mean: float = mean
        self.cv2: float = cv2  # infinite where the law has no variance

    def draw(self, rng: Random) -> float:
        """One value."""
        raise NotImplementedError


class Deterministic(Law):
    """Always the mean."""

    def __init__(self, mean: float) -> None:
        super().__init__(mean, 0.0)

    def draw(self, rng: Random) -> float:
        return self.mean


class Exponential(Law):
    """Without memory."""

    def __init__(self, mean: float) -> None:
        super().__init__(mean, 1.0)

    def draw(self, rng: Random) -> float:
        return -self.mean * log(1.0 - rng.random())


class HyperExponential(Law):
    """One of two exponentials, with balanced means: short mostly, long at times. cv² ≥ 1.

    Source: ``penstock.theory.h2_balanced``, which gives the same parameters.
    """

    def __init__(self, mean: float, cv2: float) -> None:
        super().__init__(mean, cv2)
        if not cv2 >= 1.0:
            raise ValueError(f"a hyper-exponential law has a cv2 of at least 1, not {cv2!r}")
        self.p1: float = (1.0 + sqrt((cv2 - 1.0) / (cv2 + 1.0))) / 2.0
        self._mean1: float = mean / (2.0 * self.p1)
        self._mean2: float = mean / (2.0 * (1.0 - self.p1))

    def draw(self, rng: Random) -> float:
        mean = self._mean1 if rng.random() < self.p1 else self._mean2
        return -mean * log(1.0 - rng.random())


class Gamma(Law):
    """Gamma by its mean and cv²: smoother than exponential below 1, burstier above."""

    def __init__(self, mean: float, cv2: float) -> None:
        super().__init__(mean, cv2)
        if not cv2 > 0.0:
            raise ValueError(f"a gamma law has a cv2 above 0, not {cv2!r}; use deterministic")
        self._shape: float = 1.0 / cv2
        self._scale: float = mean * cv2
        whole = round(self._shape)
        self._stages: int = whole if whole <= 8 and abs(whole - self._shape) < 1e-9 else 0

    def draw(self, rng: Random) -> float:
        if self._stages:  # Erlang: the product of a few uniforms is quicker
            product = 1.0
            for _ in range(self._stages):
                product *= 1.0 - rng.random()
            return -self._scale * log(product)
        return rng.gammavariate(self._shape, self._scale)


class Weibull(Law):
    """Weibull by its mean and cv²; the shape solves Γ(1+2/k)/Γ(1+1/k)² = 1+cv²."""

    def __init__(self, mean: float, cv2: float) -> None:
        super().__init__(mean, cv2)
        if not 1e-4 <= cv2 <= 1e4:
            raise ValueError(f"a Weibull law takes a cv2 of 0.0001 to 10000, not {cv2!r}")
        low, high = 0.1, 200.0
        for _ in range(100):  # cv² falls as the shape grows
            middle = sqrt(low * high)
            if gamma(1.0 + 2.0 / middle) / gamma(1.0 + 1.0 / middle) ** 2 - 1.0 > cv2:
                low = middle
            else:
                high = middle
        self.shape: float = low
        self._exponent: float = 1.0 / low
        self._scale: float = mean / gamma(1.0 + 1.0 / low)

    def draw(self, rng: Random) -> float:
        value: float = (-log(1.0 - rng.random())) ** self._exponent
        return self._scale * value


class LogNormal(Law):
    """The exponential of a normal variable, by the mean and cv² of the result."""

    def __init__(self, mean: float, cv2: float) -> None:
        super().__init__(mean, cv2)
        if not (cv2 >= 0.0 and mean > 0.0):
            raise ValueError(f"a log-normal law takes mean > 0, cv2 >= 0, not {mean!r}, {cv2!r}")
        variance = log(1.0 + cv2)
        self._sigma: float = sqrt(variance)
        self._mu: float = log(mean) - variance / 2.0

    def draw(self, rng: Random) -> float:
        return exp(self._mu + self._sigma * _standard_normal(rng))


class Pareto(Law):
    """A power-law tail: P(X > x) = (minimum/x)^alpha, cut off at ``maximum`` when given.

    ``alpha`` must be above 1. Given by its mean; without a cut-off the variance is infinite for
    alpha ≤ 2.
    """

    def __init__(self, mean: float, alpha: float, maximum: float = inf) -> None:
        if not (alpha > 1.0 and mean > 0.0 and maximum > mean):
            raise ValueError(
                f"a Pareto law takes alpha > 1, mean > 0 and maximum > mean,"
                f" not {alpha!r}, {mean!r}, {maximum!r}"
            )
        self.alpha: float = alpha
        self.maximum: float = maximum
        self.minimum: float = _pareto_minimum(mean, alpha, maximum)
        second = _pareto_moment(self.minimum, alpha, maximum, 2.0)
        super().__init__(mean, second / (mean * mean) - 1.0)
        self._kept: float = 1.0 - (self.minimum / maximum) ** alpha  # the share not cut off
        self._exponent: float = -1.0 / alpha

    def draw(self, rng: Random) -> float:
        value: float = (1.0 - self._kept * rng.random()) ** self._exponent
        return self.minimum * value


class TruncatedNormal(Law):
    """A normal variable of mean ``center`` and deviation ``sigma``, values below 0 made 0.

    Prequal's testbed uses sigma = center (Wydrowski et al., NSDI 2024, 5.1). ``mean`` is that of
    the truncated values.
    """

    def __init__(self, center: float, sigma: float) -> None:
        if not (sigma > 0.0 and center > 0.0):
            raise ValueError(f"center and sigma must be above 0, not {center!r}, {sigma!r}")
        self._center: float = center
        self._sigma: float = sigma
        ratio = center / sigma
        density = exp(-ratio * ratio / 2.0) / sqrt(2.0 * pi)
        below = _normal_share_below(ratio)
        mean = center * below + sigma * density
        second = (center * center + sigma * sigma) * below + center * sigma * density
        super().__init__(mean, second / (mean * mean) - 1.0)

    def draw(self, rng: Random) -> float:
        value = self._center + self._sigma * _standard_normal(rng)
        return max(0.0, value)


class Empirical(Law):
    """One of the values that were measured, each as likely, or by ``weights``."""

    def __init__(self, values: list[float], weights: list[float] | None = None) -> None:
        if not values or (weights is not None and len(weights) != len(values)):
            raise ValueError("an empirical law needs values, and as many weights if any")
        shares = weights if weights is not None else [1.0] * len(values)
        total = sum(shares)
        if min(values) < 0.0 or min(shares) < 0.0 or not total > 0.0:
            raise ValueError("an empirical law's values and weights must be at least 0")
        mean = sum([v * w for v, w in zip(values, shares, strict=True)]) / total
        second = sum([v * v * w for v, w in zip(values, shares, strict=True)]) / total
        super().__init__(mean, second / (mean * mean) - 1.0 if mean > 0.0 else 0.0)
        self._values: list[float] = values
        self._below: list[float] = []
        if weights is not None:
            seen = 0.0
            for share in shares:
                seen += share / total
                self._below.append(seen)

    def draw(self, rng: Random) -> float:
        if self._below:
            chosen = bisect_right(self._below, rng.random())
            return self._values[min(chosen, len(self._values) - 1)]
        return self._values[int(rng.random() * len(self._values))]


def _standard_normal(rng: Random) -> float:
    """Box and Muller (1958), one of the pair: without state, a seed gives the same values."""
    radius = sqrt(-2.0 * log(1.0 - rng.random()))
    return radius * cos(2.0 * pi * rng.random())


def _normal_share_below(x: float) -> float:
    return (1.0 + erf(x / sqrt(2.0))) / 2.0


def _pareto_moment(minimum: float, alpha: float, maximum: float, power: float) -> float:
    """E[X^power] of the Pareto law that is cut off at ``maximum``."""
    if maximum == inf:
        return alpha * minimum**power / (alpha - power) if alpha > power else inf
    kept: float = 1.0 - (minimum / maximum) ** alpha
    if abs(alpha - power) < 1e-9:
        value: float = alpha * minimum**alpha * log(maximum / minimum) / kept
        return value
    scale: float = alpha * minimum**alpha / ((alpha - power) * kept)
    ends: float = minimum ** (power - alpha) - maximum ** (power - alpha)
    return scale * ends


def _pareto_minimum(mean: float, alpha: float, maximum: float) -> float:
    if maximum == inf:
        return mean * (alpha - 1.0) / alpha
    low, high = mean * 1e-12, mean
    for _ in range(200):  # the mean grows with the minimum
        middle = (low + high) / 2.0
        if _pareto_moment(middle, alpha, maximum, 1.0) < mean:
            low = middle
        else:
            high = middle
    return low
