"""Confidence intervals from independent replications."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1, isnan, nan, pi, sqrt, tan
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its confidence interval; nan half-width where unknown."""

    mean: float
    half_width: float
    replications: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    @property
    def precision(self) -> float:
        """The half-width as a share of the mean."""
        return self.half_width / abs(self.mean) if self.mean else nan

    def covers(self, value: float) -> bool:
        """Whether ``value`` lies in the interval."""
        return self.low <= value <= self.high


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of independent ``values``, by Student's t; nan among them are left out."""
    known = [value for value in values if not isnan(value)]
    count = len(known)
    if count == 0:
        return Interval(nan, nan, 0)
    mean = sum(known) / count
    if count == 1:
        return Interval(mean, nan, 1)
    variance = sum((value - mean) ** 2 for value in known) / (count - 1)
    return Interval(mean, student_t(confidence, count - 1) * sqrt(variance / count), count)


def controlled_interval(
    values: Sequence[float],
    controls: Sequence[Sequence[float]],
    expected: Sequence[float],
    confidence: float = 0.95,
) -> Interval:
    """The mean of ``values`` corrected by control variates of known expectation.

    ``controls[i]`` were measured in the replication that gave ``values[i]``; their linear effect
    on the value is estimated by least squares and taken out, and with it the part of the variance
    that is due to chance in what came in. Needs more replications than controls + 1.
    Source: Lavenberg and Welch, Management Science 27 (1981).
    """
    count = len(values)
    varying = [i for i in range(len(expected)) if len({row[i] for row in controls}) > 1]
    used = len(varying)  # a control that never varies explains nothing
    freedom = count - used - 1
    if freedom < 1:
        raise ValueError(f"{used} controls need more than {used + 1} replications, not {count}")
    scales = [max(abs(row[i] - expected[i]) for row in controls) for i in varying]
    rows = [
        [1.0, *((row[i] - expected[i]) / scale for i, scale in zip(varying, scales, strict=True))]
        for row in controls
    ]
    normal = [[sum(r[i] * r[j] for r in rows) for j in range(used + 1)] for i in range(used + 1)]
    inverse = _inverse(normal)
    right = [sum(r[i] * v for r, v in zip(rows, values, strict=True)) for i in range(used + 1)]
    fitted = [sum(a * b for a, b in zip(row, right, strict=True)) for row in inverse]
    residual = sum(
        (value - sum(f * x for f, x in zip(fitted, row, strict=True))) ** 2
        for value, row in zip(values, rows, strict=True)
    )
    error = sqrt(residual / freedom * inverse[0][0])
    return Interval(fitted[0], student_t(confidence, freedom) * error, count)


def student_t(confidence: float, freedom: int) -> float:
    """The t with ``confidence`` of a Student variable between -t and t.

    Source: Hill, Algorithm 396, CACM 13 (1970), accurate to about six digits.
    """
    if freedom < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(f"no Student's t for {confidence!r}, {freedom!r}")
    p = 1.0 - confidence
    n = float(freedom)
    if freedom == 1:
        return 1.0 / tan(p * pi / 2.0)
    if freedom == 2:
        return sqrt(2.0 / (p * (2.0 - p)) - 2.0)
    a = 1.0 / (n - 0.5)
    b = 48.0 / (a * a)
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * sqrt(a * pi / 2.0) * n
    y = (d * p) ** (2.0 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(p / 2.0)
        y = x * x
        if freedom < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x
        y = a * y * y
        y = expm1(y)
    else:
        y = (
            (1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0))
            * y
            - 1.0
        ) * (n + 1.0) / (n + 2.0) + 1.0 / y
    return sqrt(n * y)


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """Of a small positive definite matrix, by Gauss and Jordan."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        lead = rows[column][column]
        rows[column] = [value / lead for value in rows[column]]
        for other in range(size):
            factor = rows[other][column]
            if other != column:
                rows[other] = [
                    x - factor * y for x, y in zip(rows[other], rows[column], strict=True)
                ]
    return [row[size:] for row in rows]
