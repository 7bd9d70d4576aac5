"""Thompson sampling: learns what a request costs on each endpoint, and tries where it is unsure.

Each endpoint is an arm whose cost is the latency of a request over the load that it met, so that
speed is told apart from queue. Samples fade as e^(−age/τ), which lets beliefs follow drift and
widens them where nothing was tried lately. For a pick every arm draws from its belief,

    x = mean + σ/√samples · logistic draw,        least x·(load + 1) / weight wins

and an arm never tried draws around the pool's mean with a σ as large.
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
from penstock.core.policy._latency import MEASURE, SCAN_LIMIT, CostPolicy, Learned
from penstock.core.policy._mean import FadingMean
from penstock.core.policy.base import Option
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
        """The standard error of the mean at ``now``, at most the mean itself.

        As if one more sample had been off by the mean, so that few that agree prove little.
        """
        self._mean.fade(now, self._decay_s)
        mean = self._mean.value
        weight = self._mean.weight
        if weight <= 0.0:
            return mean
        spread = max(self._square.value - mean * mean, 0.0) + mean * mean / weight
        return min(sqrt(spread / weight), mean)

    def draw(self, env: Env) -> float:
        """What the truth may be, drawn from the belief."""
        return self.mean + self.deviation(env.now) * logistic(env)


def logistic(env: Env) -> float:
    """A draw of mean 0 and variance 1."""
    u = env.random()
    while u <= 0.0:
        u = env.random()
    return _LOGISTIC_SCALE * log(u / (1.0 - u))


class Arm(Learned):
    """One endpoint's belief, beside that of its pool."""

    def __init__(self, pool: Belief, decay_s: float) -> None:
        self.belief: Belief = Belief(decay_s)
        self._pool: Belief = pool

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        if self.belief.samples > 0.0:
            drawn = self.belief.draw(env)
        else:
            drawn = self._pool.mean * (1.0 + logistic(env))
        floor = 0.01 * self._pool.mean  # a draw below zero is a very good one, not a free one
        return max(drawn, floor) * (endpoint.load() + 1) / endpoint.weight


class Thompson(CostPolicy):
    name: ClassVar[str] = "thompson"
    options: ClassVar[tuple[Option, ...]] = (
        Option("decay_s", 60.0, "τ: seconds in which a sample fades to 1/e", minimum=0.001),
        MEASURE,
    )

    def __init__(self, decay_s: float = 60.0, measure: str = "first-byte") -> None:
        super().__init__(measure, SCAN_LIMIT)
        self._decay_s: float = decay_s
        self._pool: Belief = Belief(decay_s)

    def new_learned(self) -> Arm:
        return Arm(self._pool, self._decay_s)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        cost = latency_s / max(ticket.load, 1)
        self._pool.add(cost, now)
        self.arm(ticket.endpoint).belief.add(cost, now)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        belief = self.arm(ticket.endpoint).belief
        waited = waited_s / max(ticket.load, 1)
        belief.add(max(waited, 2.0 * belief.mean, 2.0 * self._pool.mean), now)

    def arm(self, endpoint: Endpoint) -> Arm:
        """What is believed of the endpoint."""
        found = self.learned(endpoint)
        assert isinstance(found, Arm)
        return found

    def beliefs(self) -> dict[str, dict[str, float]]:
        told = {}
        for endpoint in self._endpoints:
            belief = self.arm(endpoint).belief
            told[endpoint.name] = {"cost_s": belief.mean, "samples": belief.samples}
        return told
