"""A moving average that forgets by time, and knows how much it rests on."""

from math import exp


class FadingMean:
    """Each sample's weight fades as e^(−age/τ), so the mean follows drift at any sample rate.

    ``weight`` is the sum of the samples' weights: about the number of samples in the last τ.
    """

    def __init__(self) -> None:
        self.value: float = 0.0
        self.weight: float = 0.0
        self._at: float = 0.0

    def add(self, sample: float, now: float, decay_s: float) -> None:
        """Take in a sample seen at ``now``."""
        self.fade(now, decay_s)
        self.weight += 1.0
        self.value += (sample - self.value) / self.weight

    def fade(self, now: float, decay_s: float) -> None:
        """Let the weight fade until ``now``."""
        if now > self._at:
            self.weight *= exp((self._at - now) / decay_s)
            self._at = now
