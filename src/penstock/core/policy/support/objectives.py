"""Objectives of answers: how sure a predicted time is to keep to them, and what that is worth."""

import math
from typing import Final

# A prediction this share above or below its bound is wrong about it once in 1 + e times. Of 0.05,
# 0.1, 0.15 and 0.2, simulated on prompts without prefixes and engines of two speeds, 0.15 has the
# most answers within their objectives: a sharper edge trusts predictions too far, a duller one
# gives up answers that could be saved.
_DOUBT: Final = 0.15
_SURE: Final = 50.0  # exp of more changes nothing


class Objectives:
    """Of the time to first token and of the time per token, in seconds; 0 sets none."""

    def __init__(self, ttft_s: float, token_s: float) -> None:
        self.ttft_s: float = ttft_s
        self.token_s: float = token_s
        self.any: bool = ttft_s > 0.0 or token_s > 0.0

    def ttft_met(self, seconds: float) -> float:
        """The probability that a first token expected after this long comes in time."""
        return _kept(seconds, self.ttft_s)

    def token_met(self, seconds: float) -> float:
        """The probability that tokens expected this far apart are fast enough."""
        return _kept(seconds, self.token_s)

    def worth(self, output_tokens: int, delay_weight: float) -> float:
        """Of an answer that keeps to them: what they let it cost, in seconds before a first token,
        of which one of streaming is ``delay_weight``."""
        return self.ttft_s + delay_weight * self.token_s * output_tokens


def _kept(seconds: float, bound: float) -> float:
    if bound <= 0.0:
        return 1.0
    over = (seconds / bound - 1.0) / _DOUBT
    return 1.0 / (1.0 + math.exp(min(max(over, -_SURE), _SURE)))
