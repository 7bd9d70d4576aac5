"""What it takes to hand over a prompt's KV cache, learned from those that were.

    seconds = t₀ + t₁·tokens

by least squares that forget, of what passed from asking the answering endpoint to its first token,
without what that takes where the prompt is cached. Until something was seen it is next to nothing:
optimism, so that it is tried (R. Sutton, A. Barto, "Reinforcement Learning", 2.6).
"""

from typing import Final

from penstock.core.policy.support.belief import MOST
from penstock.core.policy.support.least_squares import LeastSquares

HOPED_TOKEN_S: Final = 131072 / 50e9  # an 8B model's KV cache of a token, over 400 Gbit/s
_CONFIDENCE: Final = 4.0  # in what is hoped, in samples: one of few is mostly a step under way
_KEPT: Final = 0.98  # of the past, per sample: 50 in memory
_LEAST_S: Final = 0.1  # what one sample may tell, whatever is expected, over ``MOST``


class Transfers:
    """From one half of a pool to the other."""

    def __init__(self) -> None:
        self._fit: LeastSquares = LeastSquares([0.0, 1e3 * HOPED_TOKEN_S], _CONFIDENCE, _KEPT)
        self._base_s: float = 0.0
        self._token_s: float = HOPED_TOKEN_S

    @property
    def samples(self) -> int:
        """How many were seen."""
        return self._fit.samples

    def expected_s(self, tokens: int) -> float:
        """For a prompt of so many tokens."""
        return self._base_s + self._token_s * tokens

    def hoped_s(self, tokens: int) -> float:
        """What it may take if what was seen is no longer so."""
        return HOPED_TOKEN_S * tokens

    def learn(self, tokens: int, seconds: float) -> None:
        """One took so long."""
        most = MOST * max(self.expected_s(tokens), _LEAST_S)
        fit = self._fit
        fit.add([1.0, tokens / 1e3], min(max(seconds, 0.0), most))
        base, slope = fit.beta
        of_one, of_tokens, products = fit.sums()
        # Neither can be negative: where one would be, the other alone explains what was seen.
        if base < 0.0:
            start = 1e3 * HOPED_TOKEN_S
            base = 0.0
            slope = (products[1] + _CONFIDENCE * start) / (of_tokens[1] + _CONFIDENCE)
        elif slope < 0.0:
            base = products[0] / (of_one[0] + _CONFIDENCE)
            slope = 0.0
        self._base_s = base
        self._token_s = slope / 1e3
