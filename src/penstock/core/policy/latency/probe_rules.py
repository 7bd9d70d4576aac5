"""How a pool of probes is ranked: by Prequal's own rule, or by the two it was compared with."""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.latency.c3 import RankedPool, Ranking
from penstock.core.policy.support.memory import pruned
from penstock.core.policy.support.quantile import SlidingQuantile

_RECENT_ANSWERS: Final = 128  # that the RIF quantile is taken of
_DECAY_S: Final = 1.0  # τ of C3's means, for which the comparison gives no figure


class Probe:
    """An endpoint's answer, waiting to be used."""

    def __init__(
        self, endpoint: Endpoint, rif: float, latency_s: float, at: float, uses: int
    ) -> None:
        self.endpoint: Endpoint = endpoint
        self.rif: float = rif
        self.latency_s: float = latency_s
        self.at: float = at
        self.uses: int = uses


class ProbeRule:
    """Ranks probes by a score, the least being best. Hears of answers as they come in."""

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        """These endpoints are probed."""

    def note_answer(self, probe: Probe) -> None:
        """``probe`` came in."""

    def note_response(self, endpoint: Endpoint, latency_s: float, now: float) -> None:
        """A request of this client's own was answered in this time."""

    def score(self, probe: Probe, env: Env) -> float:
        """What a request to it would cost."""
        raise NotImplementedError

    def best(self, probes: list[Probe], env: Env) -> Probe:
        """The one to use."""
        best = probes[0]
        least = self.score(best, env)
        for probe in probes:
            score = self.score(probe, env)
            if score < least:
                least = score
                best = probe
        return best

    def worst(self, probes: list[Probe], env: Env) -> Probe:
        """The one to be rid of."""
        worst = probes[0]
        most = self.score(worst, env)
        for probe in probes:
            score = self.score(probe, env)
            if score > most:
                most = score
                worst = probe
        return worst


class HotCold(ProbeRule):
    """The cold probe of least latency, or of least RIF when all are hot: above the quantile."""

    def __init__(self, quantile: float) -> None:
        self._rifs: SlidingQuantile = SlidingQuantile(_RECENT_ANSWERS, quantile)

    def note_answer(self, probe: Probe) -> None:
        self._rifs.add(int(probe.rif))

    def best(self, probes: list[Probe], env: Env) -> Probe:
        limit = float(self._rifs.value())
        coldest: Probe | None = None
        least_loaded = probes[0]
        for probe in probes:
            if probe.rif <= limit and (coldest is None or probe.latency_s < coldest.latency_s):
                coldest = probe
            if probe.rif < least_loaded.rif:
                least_loaded = probe
        return coldest if coldest is not None else least_loaded

    def worst(self, probes: list[Probe], env: Env) -> Probe:
        limit = float(self._rifs.value())
        hottest = probes[0]
        slowest = probes[0]
        for probe in probes:
            if probe.rif > hottest.rif:
                hottest = probe
            if probe.latency_s > slowest.latency_s:
                slowest = probe
        return hottest if hottest.rif > limit else slowest


class Linear(ProbeRule):
    """(1 − λ)·latency + λ·α·RIF (appendix A): α is the latency that a request in flight adds."""

    def __init__(self, rif_share: float, rif_cost_s: float) -> None:
        self._latency_share: float = 1.0 - rif_share
        self._cost_s: float = rif_share * rif_cost_s

    def score(self, probe: Probe, env: Env) -> float:
        return self._latency_share * probe.latency_s + self._cost_s * probe.rif


class C3Score(ProbeRule):
    """C3's score of the endpoints in the pool (section 5.2).

    Its queue is the mean of the RIF that probes told, and its service time the mean of the latency
    that they told; its response time is what this client saw.
    """

    def __init__(self, balancers: int) -> None:
        self._balancers: int = balancers
        self._pool: RankedPool = RankedPool(_DECAY_S)
        self._rankings: dict[Endpoint, Ranking] = {}

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._pool.rebuild(endpoints)
        self._rankings = pruned(self._rankings, endpoints)

    def note_answer(self, probe: Probe) -> None:
        ranking = self._ranking(probe.endpoint)
        ranking.queue.add(probe.rif, probe.at, _DECAY_S)
        if probe.latency_s <= 0.0:
            return  # not known there: it must not pass for speed
        ranking.service_s.add(probe.latency_s, probe.at)

    def note_response(self, endpoint: Endpoint, latency_s: float, now: float) -> None:
        self._ranking(endpoint).response_s.add(latency_s, now)

    def score(self, probe: Probe, env: Env) -> float:
        return self._ranking(probe.endpoint).cost(probe.endpoint, env)

    def _ranking(self, endpoint: Endpoint) -> Ranking:
        found = self._rankings.get(endpoint)
        if found is None:
            found = Ranking(self._balancers, self._pool)
            self._rankings[endpoint] = found
        return found
