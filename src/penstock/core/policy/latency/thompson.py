"""Thompson sampling: learns what a request costs on each endpoint, and tries where it is unsure.

Each endpoint is an arm whose cost is the latency of a request over the load that it met, so that
speed is told apart from queue. Samples fade as e^(−age/τ), which lets beliefs follow drift and
widens them where nothing was tried lately. For a pick every arm draws from its belief,

    x = mean + σ/√samples · logistic draw,        least x·(load + 1) / weight wins

and an arm never tried draws around the pool's mean with a σ as large. The mean of an arm that is
not pulled leans on the pool's, and an endpoint that is silent for too long costs as much as it is
silent (``support.belief``).
Sources: W. Thompson, "On the likelihood that one unknown probability exceeds another",
Biometrika 1933; for fading, A. Garivier, E. Moulines, "On upper-confidence bound policies for
switching bandit problems", ALT 2011. A logistic draw costs one logarithm and has heavier tails
than a normal one.

All endpoints up to 16 draw; beyond that two chosen by weight: O(1). A failed attempt counts as no
cheaper than twice the mean.
"""

from math import log, sqrt
from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.belief import EndpointMean, PoolMean, late_s
from penstock.core.policy.support.latency import MEASURE, SCAN_LIMIT, CostPolicy, Learned
from penstock.core.policy.support.mean import FadingMean
from penstock.core.ticket import Ticket

_LOGISTIC_SCALE: Final = 0.5513288954217921  # √3/π: unit variance


class Belief:
    """A fading mean with its own uncertainty."""

    def __init__(self, decay_s: float) -> None:
        self._decay_s: float = decay_s
        self._mean: FadingMean = FadingMean()
        self._square: FadingMean = FadingMean()

    def add(self, sample: float, now: float) -> None:
        """Take in a sample seen at ``now``."""
        self._mean.add(sample, now, self._decay_s)
        self._square.add(sample * sample, now, self._decay_s)

    @property
    def mean(self) -> float:
        """Of the samples, weighted by freshness; 0 without any."""
        return self._mean.value

    @property
    def samples(self) -> float:
        """How many fresh samples the belief is worth, when last told of the time."""
        return self._mean.weight

    def deviation(self, now: float) -> float:
        """The standard error of the mean at ``now``, at most the mean itself."""
        self._mean.fade(now, self._decay_s)
        return standard_error(self._mean.value, self._square.value, self._mean.weight)

    def draw(self, env: Env) -> float:
        """What the truth may be, drawn from the belief."""
        return self.mean + self.deviation(env.now) * logistic(env)


def standard_error(mean: float, square: float, weight: float) -> float:
    """Of a mean with such a mean of squares and weight; at most the mean itself.

    As if one more sample had been off by the mean, so that few that agree prove little.
    """
    if weight <= 0.0:
        return mean
    spread = max(square - mean * mean, 0.0) + mean * mean / weight
    return min(sqrt(spread / weight), mean)


def logistic(env: Env) -> float:
    """A draw of mean 0 and variance 1."""
    u = env.random()
    while u <= 0.0:
        u = env.random()
    return _LOGISTIC_SCALE * log(u / (1.0 - u))


class Arm(Learned):
    """One endpoint's belief, beside that of its pool."""

    def __init__(self, pool: PoolMean) -> None:
        self.mean: EndpointMean = EndpointMean(pool)
        self._square: FadingMean = FadingMean()
        self._pool: PoolMean = pool

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        typical = self._pool.value
        if self.mean.known:
            mean = self.mean.value(env.now)
            weight = self.mean.fade(env.now)
            drawn = mean + standard_error(mean, self._square.value, weight) * logistic(env)
        else:
            drawn = typical * (1.0 + logistic(env))
        floor = 0.01 * typical  # a draw below zero is a very good one, not a free one
        load = endpoint.load() + 1
        drawn_s = late_s(endpoint, max(drawn, floor) * load, typical * load, env.now)
        return drawn_s / endpoint.weight

    def add(self, sample: float, now: float) -> None:
        """Take in a sample seen at ``now``."""
        sample = self.mean.add(sample, now)
        self._square.add(sample * sample, now, self._pool.decay_s)


class Thompson(CostPolicy):
    name: ClassVar[str] = "thompson"
    options: ClassVar[tuple[Option, ...]] = (
        Option("decay_s", 20.0, "τ: seconds in which a sample fades to 1/e", minimum=0.001),
        MEASURE,
    )

    def __init__(self, decay_s: float = 20.0, measure: str = "first-byte") -> None:
        super().__init__(measure, SCAN_LIMIT, decay_s)

    def new_learned(self) -> Arm:
        return Arm(self._pool)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        self.arm(ticket.endpoint).add(latency_s / max(ticket.load, 1), now)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        arm = self.arm(ticket.endpoint)
        waited = waited_s / max(ticket.load, 1)
        arm.add(max(waited, 2.0 * arm.mean.value(now), 2.0 * self._pool.value), now)

    def arm(self, endpoint: Endpoint) -> Arm:
        """What is believed of the endpoint."""
        found = self.learned(endpoint)
        assert isinstance(found, Arm)
        return found

    def beliefs(self) -> dict[str, dict[str, float]]:
        told = {}
        for endpoint in self._endpoints:
            mean = self.arm(endpoint).mean
            told[endpoint.name] = {"cost_s": mean.learned, "samples": mean.weight}
        return told
