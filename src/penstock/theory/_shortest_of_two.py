"""The Markov chain of two equal exponential servers whose shorter queue is joined.

States are (m, d): the shorter queue and the difference. Level by level in m this is a
quasi-birth-death process, solved with Latouche and Ramaswami's logarithmic reduction (1993).
Differences are cut off at ``_DIFFERENCES``: their share falls by 1/(2+ρ) a step
(Adan, Wessels and Zijm 1990), so that 24 leave an error near 1e-11.
"""

from functools import lru_cache
from operator import mul
from typing import Final, TypeAlias

_DIFFERENCES: Final = 24
_TOLERANCE: Final = 1e-14

Matrix: TypeAlias = list[list[float]]


@lru_cache(maxsize=1024)  # curves of several metrics have the same loads
def mean_present_of_two(load: float) -> float:
    """The mean number in both queues; each server works at rate 1 and has utilisation ``load``."""
    up, within, down, ground = _rates(load)
    ratio = _levels_ratio(up, within, down)
    lowest = _stationary(_add(ground, _product(ratio, down)))
    sums = _inverse(_subtract(_identity(), ratio))  # Σ R^m
    one = [1.0] * len(lowest)
    share = _dot(lowest, _apply(sums, one))
    differences = _dot(lowest, _apply(sums, [float(d) for d in range(len(lowest))]))
    levels = _dot(lowest, _apply(ratio, _apply(sums, _apply(sums, one))))  # Σ m R^m
    return (2.0 * levels + differences) / share


def _rates(load: float) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """The generator's blocks: a level up, within a level m ≥ 1, a level down, within level 0."""
    size = _DIFFERENCES + 1
    up, within, down, ground = _zero(), _zero(), _zero(), _zero()
    arrivals = 2.0 * load
    for d in range(size):
        if d == 0:
            within[0][1] = ground[0][1] = arrivals
            down[0][1] = 2.0  # either server ends: it is the shorter then
            continue
        up[d][d - 1] = arrivals
        within[d][d - 1] = ground[d][d - 1] = 1.0  # the longer queue's server ends
        if d < _DIFFERENCES:
            down[d][d + 1] = 1.0
    for d in range(size):
        within[d][d] = -sum(up[d]) - sum(within[d]) - sum(down[d])
        ground[d][d] = -sum(up[d]) - sum(ground[d])
    return up, within, down, ground


def _levels_ratio(up: Matrix, within: Matrix, down: Matrix) -> Matrix:
    """R, with which the shares of level m + 1 are those of level m times R."""
    minus_inverse = _scaled(_inverse(within), -1.0)
    rise = _product(minus_inverse, up)
    fall = _product(minus_inverse, down)
    first_fall = fall  # G: where the chain is when it first comes a level down
    reach = rise
    while max(abs(1.0 - sum(row)) for row in first_fall) > _TOLERANCE:
        both = _add(_product(rise, fall), _product(fall, rise))
        inverse = _inverse(_subtract(_identity(), both))
        rise = _product(inverse, _product(rise, rise))
        fall = _product(inverse, _product(fall, fall))
        step = _product(reach, fall)
        first_fall = _add(first_fall, step)
        reach = _product(reach, rise)
        if max(max(row) for row in step) < _TOLERANCE:
            break
    return _product(up, _scaled(_inverse(_add(within, _product(up, first_fall))), -1.0))


def _stationary(generator: Matrix) -> list[float]:
    """The x ≥ 0 with x·generator = 0, up to a factor: its first entry is 1."""
    size = len(generator)
    system = [[generator[i][j] for i in range(1, size)] for j in range(1, size)]
    right = [[-generator[0][j]] for j in range(1, size)]
    return [1.0, *(row[0] for row in _product(_inverse(system), right))]


def _zero() -> Matrix:
    return [[0.0] * (_DIFFERENCES + 1) for _ in range(_DIFFERENCES + 1)]


def _identity() -> Matrix:
    size = _DIFFERENCES + 1
    return [[1.0 if i == j else 0.0 for j in range(size)] for i in range(size)]


def _scaled(a: Matrix, factor: float) -> Matrix:
    return [[factor * x for x in row] for row in a]


def _add(a: Matrix, b: Matrix) -> Matrix:
    return [[x + y for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]


def _subtract(a: Matrix, b: Matrix) -> Matrix:
    return [[x - y for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]


def _product(a: Matrix, b: Matrix) -> Matrix:
    columns = list(zip(*b, strict=True))
    return [[_dot(row, column) for column in columns] for row in a]


def _apply(a: Matrix, x: list[float]) -> list[float]:
    return [_dot(row, x) for row in a]


def _dot(x: list[float], y: list[float] | tuple[float, ...]) -> float:
    total: float = sum(map(mul, x, y))  # a third of the time of a comprehension
    return total


def _inverse(a: Matrix) -> Matrix:
    """By Gauss and Jordan with partial pivoting."""
    size = len(a)
    rows = [[*row, *(1.0 if i == j else 0.0 for j in range(size))] for i, row in enumerate(a)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        lead = rows[column][column]
        rows[column] = [x / lead for x in rows[column]]
        for i in range(size):
            factor = rows[i][column]
            if i != column and factor != 0.0:
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[column], strict=True)]
    return [row[size:] for row in rows]
