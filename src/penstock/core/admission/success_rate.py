"""Admission by success rate: refuses in proportion to how far success falls short.

    P(refuse) = ((n − s) / (n + 1))^(1 / aggression),   s = successes / threshold

over the last ``window_s``, at most ``max_refusal``, and 0 below ``min_rate`` requests per second.
Refused requests are not counted, so the rate that is judged is the backend's own.
Source: Envoy, admission control filter (95%, 30 s, at most 80%). O(1).
"""

from penstock.core.env import Env
from penstock.core.measure.window import SlidingCount

_SLOTS = 30


class SuccessRateAdmission:
    """One backend's gate. Every request that ``allows`` is to be reported by ``ended``."""

    def __init__(
        self,
        threshold: float = 0.95,
        aggression: float = 1.0,
        window_s: float = 30.0,
        max_refusal: float = 0.8,
        min_rate: float = 0.0,
    ) -> None:
        self._threshold: float = threshold
        self._power: float = 1.0 / aggression
        self._max_refusal: float = max_refusal
        self._min_requests: float = min_rate * window_s
        self._requests: SlidingCount = SlidingCount(_SLOTS, window_s / _SLOTS)
        self._successes: SlidingCount = SlidingCount(_SLOTS, window_s / _SLOTS)

    def allows(self, env: Env) -> bool:
        """Whether a request may pass."""
        return env.random() >= self.refusal_probability(env.now)

    def ended(self, success: bool, now: float) -> None:
        """A request that was let through ended."""
        self._requests.add(now)
        if success:
            self._successes.add(now)

    def refusal_probability(self, now: float) -> float:
        """The probability that the next request is refused."""
        requests = self._requests.at(now)
        if requests == 0 or requests < self._min_requests:
            return 0.0
        missing = requests - self._successes.at(now) / self._threshold
        if missing <= 0.0:
            return 0.0
        probability: float = (missing / (requests + 1)) ** self._power
        return min(probability, self._max_refusal)
