"""What policies believe of an endpoint, and how such beliefs stay open to correction.

Every policy that learns from how requests went follows these three rules:

- *One sample is bounded*: it counts as at most ``MOST`` times what was believed a second before, or
  what is typical of the pool. An engine that hung for 20 s with four requests on it shows one bad
  moment, not as much as three hundred ordinary answers.
- *Belief fades where it is not renewed*: the evidence behind it shrinks while an endpoint gets far
  fewer requests than the others, and is replaced by what holds for the pool. So an endpoint that
  gets nothing is tried again. Where no endpoint gets requests, nothing fades. Trying a slow
  endpoint again and again takes 5% of an even share.
- *Silence is a sample too*: an endpoint that has owed an answer for longer than it ever should is
  at least as late as it is silent (``overdue_s``), before any of its requests has ended.
"""

from math import exp
from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.policy.support.mean import FadingMean

# Times what was believed. Of an exponential distribution 2% are above, so that they hardly matter;
# the mean of a sample of which all are far above is still followed, by that factor in a second.
MOST: Final = 4.0
_SETTLED_S: Final = 1.0  # answers that were held up together come within it
# Evidence is down to 1/e after that time, or after so many samples that an even share would have
# brought, whichever is later: by time, so that a busy pool does not forget within milliseconds; by
# samples, so that a quiet one does not forget.
_FADES_IN_S: Final = 10.0
_FADES_IN_SAMPLES: Final = 20.0
# Of an even share that may be missing before it fades: of one that gets a third, a slow one, little
# does.
_UNUSED_SAMPLES: Final = 4
_FULL: Final = 5.0  # samples left from which the pool's count for nothing
# Of what is expected: a wait that long is overdue.
PATIENCE: Final = 4.0
# Of what is expected: as slow an endpoint counts at most for being silent, so that one that has
# only a long request left is not starved while the others are crowded.
_MOST_LATE: Final = 16.0


class PoolSamples:
    """How many samples came of all endpoints of a pool, and how many endpoints there are."""

    def __init__(self) -> None:
        self.count: int = 0
        self.members: int = 1


class Evidence:
    """How many samples what is believed of one endpoint still rests on."""

    def __init__(self, pool: PoolSamples) -> None:
        self._pool: PoolSamples = pool
        self._samples: float = 0.0
        self._at: float = 0.0
        self._seen: int = 0  # of the pool's, when the last one of its own came

    def is_fresh(self) -> bool:
        """Whether all of it is left, whatever the time is."""
        pool = self._pool
        unused = pool.count - self._seen
        return unused <= _UNUSED_SAMPLES * pool.members or self._samples == 0.0

    def kept(self, now: float) -> float:
        """The share that is left of it now: 1 while it is used about as much as the others."""
        if self.is_fresh():
            return 1.0
        pool = self._pool
        missed = (pool.count - self._seen) / pool.members - _UNUSED_SAMPLES
        faded = min((now - self._at) / _FADES_IN_S, missed / _FADES_IN_SAMPLES)
        return exp(-faded) if faded > 0.0 else 1.0

    def samples(self, now: float) -> float:
        """How many samples that is."""
        return self._samples * self.kept(now)

    def add(self, now: float, kept: float = 1.0) -> float:
        """One more came; returns the share that is left of those before, of which ``kept`` is kept
        at every sample."""
        left = self.kept(now) * kept
        self._samples = self._samples * left + 1.0
        self._at = max(now, self._at)
        self._pool.count += 1
        self._seen = self._pool.count
        return left

    def lean(self, own: float, others: float, now: float) -> float:
        """Between what it says and what holds for the pool, by how much of it is left."""
        kept = self.kept(now)
        if kept >= 1.0:
            return own
        share = self._samples * kept / min(self._samples, _FULL) if self._samples > 0.0 else 0.0
        return own if share >= 1.0 else share * own + (1.0 - share) * others


class Reference:
    """What was believed before the samples that come now: what bounds them."""

    def __init__(self) -> None:
        self._value: float = 0.0
        self._at: float = -_SETTLED_S

    def value(self, believed: float, now: float) -> float:
        """``believed``, as it was up to a second ago."""
        if now - self._at >= _SETTLED_S:
            self._value = believed
            self._at = now
        return self._value


class PoolMean:
    """The mean of all endpoints' samples, on which a belief leans that rests on little."""

    def __init__(self, decay_s: float) -> None:
        self.samples: PoolSamples = PoolSamples()
        self.decay_s: float = decay_s
        self._mean: FadingMean = FadingMean()
        self._reference: Reference = Reference()

    @property
    def value(self) -> float:
        """0 without a sample."""
        return self._mean.value

    def bounded(self, sample: float, believed: float, now: float) -> float:
        """``sample``, or the most that it may count as where so much was believed."""
        typical = self._reference.value(self._mean.value, now)
        if typical <= 0.0:
            return sample
        return min(sample, MOST * max(typical, believed))

    def add(self, sample: float, now: float) -> None:
        """Take in a bounded sample of any endpoint."""
        self._mean.add(sample, now, self.decay_s)


class EndpointMean:
    """The mean of one endpoint's samples, for which the pool's stands as far as it has none."""

    def __init__(self, pool: PoolMean) -> None:
        self._pool: PoolMean = pool
        self._mean: FadingMean = FadingMean()
        self._reference: Reference = Reference()
        self.evidence: Evidence = Evidence(pool.samples)

    @property
    def known(self) -> bool:
        """Whether there was any sample."""
        return self._mean.weight > 0.0

    @property
    def learned(self) -> float:
        """What its own samples say."""
        return self._mean.value

    @property
    def weight(self) -> float:
        """Of its samples, faded by age as of when it was last asked: about how many are fresh."""
        return self._mean.weight

    def value(self, now: float) -> float:
        """What is to be expected."""
        return self.evidence.lean(self._mean.value, self._pool.value, now)

    def fade(self, now: float) -> float:
        """Let the weight fade until ``now``, and return it."""
        self._mean.fade(now, self._pool.decay_s)
        return self._mean.weight

    def add(self, sample: float, now: float) -> float:
        """Take in a sample; returns what it counted as."""
        believed = self.value(now)
        if self.evidence.kept(now) < 1.0:
            self._mean.value = believed  # what faded of it, the pool's stands for from here on
        sample = self._pool.bounded(sample, self._reference.value(believed, now), now)
        self._mean.add(sample, now, self._pool.decay_s)
        self._pool.add(sample, now)
        self.evidence.add(now)
        return sample


def overdue_s(endpoint: Endpoint, expected_s: float, now: float) -> float:
    """By how much longer than it should the endpoint has owed a first or further byte."""
    if expected_s <= 0.0:
        return 0.0
    late_s = endpoint.silence_s(now) - PATIENCE * expected_s
    return max(0.0, late_s)


def late_s(endpoint: Endpoint, latency_s: float, typical_s: float, now: float) -> float:
    """The latency that was learned of an endpoint, or how long overdue it is, if that is longer."""
    expected_s = max(latency_s, typical_s)
    overdue = overdue_s(endpoint, expected_s, now)
    if overdue <= latency_s:
        return latency_s
    return min(overdue, _MOST_LATE * expected_s)
