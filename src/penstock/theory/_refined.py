"""What finitely many servers add to the mean field of JSQ(d): the term of order 1/N.

x_i is the share of servers with at least i customers. Its mean drift is
f_i = λ(x_{i-1}^d - x_i^d) - (x_i - x_{i+1}), and every event moves one x_i by 1/N. Then
E[x] = π + V/N + O(1/N²) with

    A·W + W·Aᵀ + Q = 0        A = Df(π), Q_ii = 2(π_i - π_{i+1})
    A·V + ½·D²f(π):W + C = 0

where C is what drawing without repetition changes in the drift. Source: N. Gast, B. Van Houdt,
"A refined mean field approximation", SIGMETRICS 2018, theorem 1.
"""

from collections.abc import Sequence
from typing import Final

_NEGLIGIBLE: Final = 1e-15

Matrix = list[list[float]]


def correction(load: float, choices: int, tail: Sequence[float], *, distinct: bool) -> float:
    """N times what is to be added to the customers per server. ``tail[i]`` is π_i, from 1 at 0.

    With ``distinct`` the draws after the first never repeat it.
    """
    pi = [share for share in tail if share > _NEGLIGIBLE]
    size = len(pi) - 1  # π_1 … π_size; π_0 is 1 whatever happens
    pi.append(0.0)
    d = choices
    bend = [load * d * (d - 1) * share ** (d - 2) for share in pi[: size + 1]]
    drift = _drift(load, d, pi, size)
    spread = _covariance(drift, [2.0 * (pi[i] - pi[i + 1]) for i in range(1, size + 1)])
    rarer = [0.0] * (size + 1)
    if distinct:
        rarer = [-load * (d - 1) * share ** (d - 1) * (1.0 - share) for share in pi[: size + 1]]
    right = []
    for i in range(1, size + 1):
        above = 0.5 * bend[i - 1] * spread[i - 2][i - 2] if i > 1 else 0.0
        own = 0.5 * bend[i] * spread[i - 1][i - 1]
        right.append(own - above - rarer[i - 1] + rarer[i])
    return sum(_solved(drift, right))


def _drift(load: float, choices: int, pi: Sequence[float], size: int) -> Matrix:
    """A, tridiagonal."""
    slope = [load * choices * share ** (choices - 1) for share in pi]
    a = [[0.0] * size for _ in range(size)]
    for i in range(1, size + 1):
        a[i - 1][i - 1] = -slope[i] - 1.0
        if i > 1:
            a[i - 1][i - 2] = slope[i - 1]
        if i < size:
            a[i - 1][i] = 1.0
    return a


def _covariance(a: Matrix, noise: Sequence[float]) -> Matrix:
    """W of A·W + W·Aᵀ + Q = 0 (Lyapunov), Q being diagonal, as one linear system of all W_ij."""
    size = len(a)
    system = [[0.0] * (size * size) for _ in range(size * size)]
    right = [0.0] * (size * size)
    for i in range(size):
        for j in range(size):
            row = system[i * size + j]
            for k in range(size):
                row[k * size + j] += a[i][k]
                row[i * size + k] += a[j][k]
        right[i * size + i] = -noise[i]
    flat = _solved(system, right)
    return [flat[i * size : (i + 1) * size] for i in range(size)]


def _solved(matrix: Matrix, right: Sequence[float]) -> list[float]:
    """x of matrix·x = right, by Gauss with row exchanges."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        lead = rows[column]
        for below in rows[column + 1 :]:
            factor = below[column] / lead[column]
            if factor:
                for k in range(column, size + 1):
                    below[k] -= factor * lead[k]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = sum(rows[i][k] * solution[k] for k in range(i + 1, size))
        solution[i] = (rows[i][size] - known) / rows[i][i]
    return solution
