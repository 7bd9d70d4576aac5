"""Client-side throttle: sends less to a backend that refuses, without being told how much.

A request is refused here, before it is sent, with probability

    max(0, (requests − K·accepts) / (requests + 1))

counted over two minutes; requests refused here count as requests. With K = 2 about one request is
sent in vain for each that is accepted. Source: B. Beyer et al. (ed.), "Site Reliability
Engineering", 2016, chapter 21. O(1).
"""

from penstock.core.env import Env
from penstock.core.measure.window import SlidingCount

_SLOTS = 24


class ClientThrottle:
    """One backend's throttle. A request that ``allows`` is to be reported if it was accepted."""

    def __init__(self, k: float = 2.0, window_s: float = 120.0) -> None:
        self._k: float = k
        self._requests: SlidingCount = SlidingCount(_SLOTS, window_s / _SLOTS)
        self._accepts: SlidingCount = SlidingCount(_SLOTS, window_s / _SLOTS)

    def allows(self, env: Env) -> bool:
        """Whether to send a request; it is counted."""
        refused = env.random() < self.refusal_probability(env.now)
        self._requests.add(env.now)
        return not refused

    def accepted(self, now: float) -> None:
        """The backend took a request, whatever became of it then."""
        self._accepts.add(now)

    def refusal_probability(self, now: float) -> float:
        """The probability that the next request is refused here."""
        requests = self._requests.at(now)
        return max(0.0, (requests - self._k * self._accepts.at(now)) / (requests + 1))
