"""Arrival processes: when the next request comes. Times are seconds, rates are per second."""

from math import cos, inf, log, pi
from random import Random

from mypy_extensions import mypyc_attr

from penstock.sim.kernel.laws import Law


@mypyc_attr(allow_interpreted_subclasses=True)
class Arrivals:
    """A point process on the line; ``rate`` is its long-run mean, 0.0 where it has none."""

    def __init__(self, rate: float) -> None:
        if not 0.0 <= rate < inf:
            raise ValueError(f"a rate must be finite and at least 0, not {rate!r}")
        self.rate: float = rate

    def after(self, now: float, rng: Random) -> float:
        """When the first arrival after the one at ``now`` comes; infinity when none does.

        Asked once for every arrival, in order, beginning with 0.0.
        """
        raise NotImplementedError


class Poisson(Arrivals):
    """Independent exponential gaps."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        if rate <= 0.0:
            raise ValueError(f"a Poisson rate must be above 0, not {rate!r}")
        self._mean_gap: float = 1.0 / rate

    def after(self, now: float, rng: Random) -> float:
        return now - self._mean_gap * log(1.0 - rng.random())


class Renewal(Arrivals):
    """Independent gaps of any law: deterministic, Gamma or Weibull by cv², hyper-exponential."""

    def __init__(self, gaps: Law) -> None:
        if not gaps.mean > 0.0:
            raise ValueError(f"the mean gap between arrivals must be above 0, not {gaps.mean!r}")
        super().__init__(1.0 / gaps.mean)
        self._gaps: Law = gaps

    def after(self, now: float, rng: Random) -> float:
        return now + self._gaps.draw(rng)


class Bursts(Arrivals):
    """A Markov-modulated Poisson process: ``rates[i]`` for an exponential time of mean
    ``stays_s[i]``, then the next state, in turn. Two states make quiet times and bursts.

    Source: Fischer and Meier-Hellstern, The MMPP Cookbook (1993).
    """

    def __init__(self, rates: list[float], stays_s: list[float]) -> None:
        if len(rates) != len(stays_s) or len(rates) < 2:
            raise ValueError("bursts need at least two states, each with a rate and a stay")
        if min(rates) < 0.0 or max(rates) <= 0.0 or min(stays_s) <= 0.0:
            raise ValueError("rates must be at least 0, one above it, and stays above 0")
        expected = 0.0
        cycle_s = 0.0
        for rate, stay_s in zip(rates, stays_s, strict=True):
            expected += rate * stay_s
            cycle_s += stay_s
        super().__init__(expected / cycle_s)
        self._rates: list[float] = rates
        self._stays_s: list[float] = stays_s
        self._state: int = -1
        self._until: float = 0.0

    def after(self, now: float, rng: Random) -> float:
        at = now
        while True:
            if self._state >= 0 and self._rates[self._state] > 0.0:
                candidate = at - log(1.0 - rng.random()) / self._rates[self._state]
                if candidate <= self._until:
                    return candidate
            at = max(at, self._until)  # without memory: draw afresh in the next state
            self._state = (self._state + 1) % len(self._rates)
            self._until = at - self._stays_s[self._state] * log(1.0 - rng.random())


class Diurnal(Arrivals):
    """A Poisson process whose rate swings: rate·(1 + swing·cos(2π(t - peak)/period)).

    By thinning (Lewis and Shedler 1979).
    """

    def __init__(
        self, rate: float, *, swing: float, period_s: float = 86400.0, peak_s: float = 0.0
    ) -> None:
        super().__init__(rate)
        if not (rate > 0.0 and 0.0 <= swing <= 1.0 and period_s > 0.0):
            raise ValueError(
                f"diurnal arrivals take rate > 0, swing in 0..1 and period > 0,"
                f" not {rate!r}, {swing!r}, {period_s!r}"
            )
        self._swing: float = swing
        self._period_s: float = period_s
        self._peak_s: float = peak_s
        self._mean_gap: float = 1.0 / (rate * (1.0 + swing))

    def after(self, now: float, rng: Random) -> float:
        at = now
        while True:
            at -= self._mean_gap * log(1.0 - rng.random())
            phase = cos(2.0 * pi * (at - self._peak_s) / self._period_s)
            if rng.random() * (1.0 + self._swing) < 1.0 + self._swing * phase:
                return at


class RateProfile(Arrivals):
    """A Poisson process whose rate goes in straight lines through (time, rate) points.

    Before the first point and after the last the rate stays as it is there: a flash crowd is
    (0, 100), (60, 100), (62, 900), (90, 900), (120, 100). By thinning. ``rate`` is the mean
    between the first point and the last.
    """

    def __init__(self, times_s: list[float], rates: list[float]) -> None:
        if len(times_s) != len(rates) or len(times_s) < 2:
            raise ValueError("a rate profile needs at least two points")
        if min(rates) < 0.0 or max(rates) <= 0.0:
            raise ValueError("a profile's rates must be at least 0, and one above it")
        area = 0.0
        for i in range(1, len(times_s)):
            if times_s[i] <= times_s[i - 1]:
                raise ValueError("a profile's times must grow")
            area += (rates[i] + rates[i - 1]) / 2.0 * (times_s[i] - times_s[i - 1])
        super().__init__(area / (times_s[-1] - times_s[0]))
        self._times_s: list[float] = times_s
        self._rates: list[float] = rates
        self._most: float = max(rates)
        self._segment: int = 0

    def rate_at(self, when: float) -> float:
        """The rate at ``when``, which must not lie before the last one asked for."""
        times = self._times_s
        while self._segment < len(times) and times[self._segment] <= when:
            self._segment += 1
        right = self._segment
        if right == 0:
            return self._rates[0]
        if right == len(times):
            return self._rates[-1]
        share = (when - times[right - 1]) / (times[right] - times[right - 1])
        return self._rates[right - 1] + share * (self._rates[right] - self._rates[right - 1])

    def after(self, now: float, rng: Random) -> float:
        at = now
        while at < self._times_s[-1] or self._rates[-1] > 0.0:
            at -= log(1.0 - rng.random()) / self._most
            if rng.random() * self._most < self.rate_at(at):
                return at
        return inf


class Recorded(Arrivals):
    """The times of a trace, in seconds from its beginning; then nothing."""

    def __init__(self, times_s: list[float]) -> None:
        span = times_s[-1] - times_s[0] if times_s else 0.0
        super().__init__(len(times_s) / span if span > 0.0 else 0.0)
        self._times_s: list[float] = times_s
        self._next: int = 0

    def after(self, now: float, rng: Random) -> float:
        if self._next == len(self._times_s):
            return inf
        when = self._times_s[self._next]
        if when < now:
            raise ValueError(
                f"arrival {self._next} of the trace, at {when} s, lies before the last"
            )
        self._next += 1
        return when
