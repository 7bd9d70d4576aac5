"""What doing as advised would have changed: endpoint-hours, and time with too few endpoints.

The advised fleet is imagined beside the real one: who is added serves after a start time, who is
removed is gone at once. Time counts as broken while fewer serve than the present demand needs.
"""


class Regret:
    """Sums since it began, in seconds."""

    def __init__(self, actual: int) -> None:
        self.advised: int = actual  # that the advice has come to, those that start included
        self.endpoint_s: float = 0.0
        self.advised_endpoint_s: float = 0.0
        self.broken_s: float = 0.0
        self.advised_broken_s: float = 0.0
        self._starting: list[float] = []  # when they would serve
        self._at: float = -1.0

    def look(self, now: float, serving: int, actual: int, needed: int) -> None:
        """So many serve and are paid for at ``now``, and so many are needed, as since before."""
        passed = now - self._at if self._at >= 0.0 else 0.0
        self._at = now
        self._starting = [when for when in self._starting if when > now]
        self.endpoint_s += passed * actual
        self.advised_endpoint_s += passed * self.advised
        if serving < needed:
            self.broken_s += passed
        if self.advised - len(self._starting) < needed:
            self.advised_broken_s += passed

    def advise(self, desired: int, now: float, lead_s: float) -> None:
        """So many are advised from here on."""
        if desired > self.advised:
            self._starting += [now + lead_s] * (desired - self.advised)
        elif desired < self.advised:
            fewer = self.advised - desired
            self._starting = self._starting[: max(len(self._starting) - fewer, 0)]
        self.advised = desired
