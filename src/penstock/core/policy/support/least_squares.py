"""Least squares over samples that come one at a time, the older the less they weigh.

    β = argmin Σ kept^age · (y − β·x)²  +  confidence · |β − start|²

by the normal equations, which are sums, and a Cholesky factorisation for every sample. The
recursion for the covariance is as cheap, but its rounding errors grow with 1/kept: of 0.999 it is
nonsense after some 25,000 samples, and with features that stand still the covariance grows as well.
Here both fade, and what no sample tells of late goes back to the start.
"""

from math import sqrt


class LeastSquares:
    """Features should be of order one."""

    def __init__(self, start: list[float], confidence: float, kept: float) -> None:
        """``confidence`` in the start, as a number of samples; ``kept`` of the past per sample."""
        size = len(start)
        self.beta: list[float] = list(start)
        self.samples: int = 0
        self._start: list[float] = list(start)
        self._confidence: float = confidence
        self._kept: float = kept
        self._xx: list[list[float]] = [[0.0] * size for _ in range(size)]  # lower triangle
        self._xy: list[float] = [0.0] * size
        self._factor: list[list[float]] = [[0.0] * size for _ in range(size)]

    def add(self, x: list[float], y: float) -> None:
        """Take in a sample."""
        kept = self._kept
        xy = self._xy
        for i in range(len(x)):
            row = self._xx[i]
            for j in range(i + 1):
                row[j] = kept * row[j] + x[i] * x[j]
            xy[i] = kept * xy[i] + x[i] * y
        self.samples += 1
        self._factorise()
        self._solve()

    def sums(self) -> list[list[float]]:
        """All that it remembers of the samples: a row of Σ xxᵀ for each feature, then Σ xy."""
        return [*(list(row) for row in self._xx), list(self._xy)]

    def restore(self, sums: list[list[float]], samples: int) -> None:
        """As one of as many features was. Raises ValueError for sums of another form."""
        size = len(self._start)
        if [len(row) for row in sums] != [size] * (size + 1):
            raise ValueError(f"the sums are not of {size} features")
        self._xx = [list(row) for row in sums[:size]]
        self._xy = list(sums[size])
        self.samples = samples
        self._factorise()
        self._solve()

    def _factorise(self) -> None:
        """L with L·Lᵀ = Σ xxᵀ + confidence; its diagonal is at least the root of that."""
        for i in range(len(self.beta)):
            row = self._factor[i]
            for j in range(i + 1):
                other = self._factor[j]
                rest = self._xx[i][j]
                for k in range(j):
                    rest -= row[k] * other[k]
                if j < i:
                    row[j] = rest / other[j]
                else:
                    # Rounding must not take away what the confidence adds.
                    row[i] = sqrt(max(rest, 0.0) + self._confidence)

    def _solve(self) -> None:
        """β from L·Lᵀ·β = Σ xy + confidence·start."""
        size = len(self.beta)
        beta = self.beta
        for i in range(size):
            row = self._factor[i]
            rest = self._xy[i] + self._confidence * self._start[i]
            for k in range(i):
                rest -= row[k] * beta[k]
            beta[i] = rest / row[i]
        for i in range(size - 1, -1, -1):
            rest = beta[i]
            for k in range(i + 1, size):
                rest -= self._factor[k][i] * beta[k]
            beta[i] = rest / self._factor[i][i]
