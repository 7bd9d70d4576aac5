"""Prequal: probes a few endpoints all the time, and picks by their answers.

Every request sends ``probe_rate`` probes to endpoints drawn at random; their answers, requests in
flight (RIF) and latency, wait in a pool of at most ``pool_size`` for ``probe_age_s``. Hot is a
probe whose RIF is above the ``q_rif`` quantile of recent answers. The cold probe of least latency
is picked, or when all are hot the one of least RIF (hot-cold lexicographic rule); its RIF is raised
by one, and it may be used b times:

    b = max(1, (1 + δ) / ((1 − m/n)·probe_rate − remove_rate))       rounded to that mean, δ = 1

Each request also removes ``remove_rate`` probes, in turns the oldest and the worst (highest RIF if
any is hot, else highest latency). With fewer than two probes an endpoint is drawn at random.
Source: B. Wydrowski, R. Kleinberg, S. Rumble, A. Archer, "Load is not what you should balance:
introducing Prequal", NSDI 2024.

The paper has m far below n; here at most n/2 answers are kept, as more would be several of the
same endpoint, all but one out of date. With ``answers: asked`` endpoints are asked for their RIF
and latency (the pool's ``probe``). With ``observed`` the policy answers its own probes from what
this process sees: the load, and as latency at that load the recent latency per request met, times
(load + 1); so it does for the latency of endpoints that tell only their RIF. The latency of one
that is not used leans on the pool's, and one that is silent for too long answers with how long it
is silent (``support.belief``). Weights count only for draws. O(pool_size) per pick.

``rule`` puts another in place of hot-cold, as the paper did to compare them, with the same probes:
``linear``, (1 − λ)·latency + λ·α·RIF with λ = ``rif_share`` and α = ``rif_cost_s``; or ``c3``, the
score of the policy of that name with the RIF and latency that probes tell as queue and service
time. Both did worse there.
"""

from math import floor
from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Option
from penstock.core.policy.latency.probe_rules import C3Score, HotCold, Linear, Probe, ProbeRule
from penstock.core.policy.plain.random import draw
from penstock.core.policy.support.belief import EndpointMean, PoolMean, late_s
from penstock.core.policy.support.latency import MEASURE, LatencyPolicy
from penstock.core.policy.support.memory import pruned
from penstock.core.policy.support.sampler import Sampler
from penstock.core.request import Request
from penstock.core.ticket import Ticket

_DELTA: Final = 1.0
_LATENCY_DECAY_S: Final = 1.0  # of the latency answered for ``observed`` probes
_UNLIMITED_USES: Final = 1_000_000


class Prequal(LatencyPolicy):
    name: ClassVar[str] = "prequal"
    weighted: ClassVar[bool] = False
    probes: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("pool_size", 16, "m: answers kept", minimum=2, maximum=1000),
        Option("probe_rate", 3.0, "probes per request", minimum=0.0, maximum=100.0),
        Option("remove_rate", 1.0, "answers removed per request", minimum=0.0, maximum=100.0),
        Option("probe_age_s", 1.0, "seconds after which an answer is dropped", minimum=0.001),
        Option(
            "q_rif", 0.84, "quantile of RIF above which an answer is hot", minimum=0.0, maximum=1.0
        ),
        Option(
            "answers",
            "observed",
            "who answers probes: this process from what it sees, or the endpoints when asked",
            choices=("observed", "asked"),
        ),
        MEASURE,
        Option(
            "rule",
            "hot-cold",
            "which answer is best: hot-cold, linear in latency and RIF, or C3's score",
            choices=("hot-cold", "linear", "c3"),
        ),
        Option("rif_share", 0.5, "λ of the linear rule: weight of RIF", minimum=0.0, maximum=1.0),
        Option(
            "rif_cost_s",
            0.075,
            "α of the linear rule: the latency of an endpoint with one request in flight",
            minimum=0.0,
        ),
        Option(
            "balancers",
            1,
            "n of the rule c3: balancers that do not see each other's requests",
            minimum=1,
        ),
    )

    def __init__(
        self,
        pool_size: int = 16,
        probe_rate: float = 3.0,
        remove_rate: float = 1.0,
        probe_age_s: float = 1.0,
        q_rif: float = 0.84,
        answers: str = "observed",
        measure: str = "first-byte",
        rule: str = "hot-cold",
        rif_share: float = 0.5,
        rif_cost_s: float = 0.075,
        balancers: int = 1,
    ) -> None:
        super().__init__(measure)
        self._pool_size: int = pool_size
        self._kept: int = pool_size  # answers at a time in a pool of this size
        self._probe_rate: float = probe_rate
        self._remove_rate: float = remove_rate
        self._probe_age_s: float = probe_age_s
        self._asks: bool = answers == "asked"
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])
        self._member: dict[Endpoint, bool] = {}
        self._pool: list[Probe] = []  # oldest first
        self._rule: ProbeRule = HotCold(q_rif)
        if rule == "linear":
            self._rule = Linear(rif_share, rif_cost_s)
        elif rule == "c3":
            self._rule = C3Score(balancers)
        self._probes_due: float = 0.0
        self._removals_due: float = 0.0
        self._remove_oldest: bool = True
        self._uses: float = 1.0  # b, of each answer
        self._rounding: float = 0.0  # part of b carried to the next answer
        self._mean: PoolMean = PoolMean(_LATENCY_DECAY_S)
        self._latencies: dict[Endpoint, EndpointMean] = {}  # over the load that requests met

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._sampler = Sampler(endpoints)
        self._member = dict.fromkeys(endpoints, True)
        self._mean.samples.members = max(len(endpoints), 1)
        self._latencies = pruned(self._latencies, endpoints)
        self._rule.rebuild(endpoints)
        self._pool = [probe for probe in self._pool if probe.endpoint in self._member]
        self._kept = min(self._pool_size, max(2, len(endpoints) // 2))
        self._uses = uses_per_answer(
            self._kept, len(endpoints), self._probe_rate, self._remove_rate
        )

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            return self._pick_among(eligible, env)
        if not self._asks:
            for endpoint in self._due(env):
                self._answer(endpoint, env)
        self._drop_aged(env.now)
        if len(self._pool) < 2:
            return eligible[self._sampler.one(env)]
        endpoint = self._use(self._rule.best(self._pool, env))
        self._remove(env)
        return endpoint

    def probes_wanted(self, env: Env) -> list[Endpoint]:
        return self._due(env) if self._asks else []

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        if not self._asks or endpoint not in self._member or report.in_flight < 0.0:
            return
        latency_s = report.latency_s
        if latency_s < 0.0:
            latency_s = self._seen_latency_s(endpoint, report.in_flight, report.at)
        self._add(endpoint, report.in_flight, latency_s, report.at)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        self._rule.note_response(ticket.endpoint, latency_s, now)
        self._latency(ticket.endpoint).add(latency_s / max(ticket.load, 1), now)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        self._rule.note_response(ticket.endpoint, waited_s, now)
        latency = self._latency(ticket.endpoint)
        waited = waited_s / max(ticket.load, 1)
        latency.add(max(waited, 2.0 * latency.value(now)), now)

    def beliefs(self) -> dict[str, dict[str, float]]:
        told = {}
        for probe in self._pool:  # the newest answer of each endpoint comes last
            told[probe.endpoint.name] = {"rif": probe.rif, "latency_s": probe.latency_s}
        return told

    def _due(self, env: Env) -> list[Endpoint]:
        """Whom to probe for the request at hand: all different, drawn at random."""
        self._probes_due += self._probe_rate
        wanted = min(int(self._probes_due), len(self._endpoints))
        self._probes_due -= floor(self._probes_due)
        chosen: list[Endpoint] = []
        while len(chosen) < wanted:
            endpoint = self._endpoints[env.below(len(self._endpoints))]
            if endpoint not in chosen:
                chosen.append(endpoint)
        return chosen

    def _answer(self, endpoint: Endpoint, env: Env) -> None:
        load = float(endpoint.load())
        self._add(endpoint, load, self._seen_latency_s(endpoint, load, env.now), env.now)

    def _seen_latency_s(self, endpoint: Endpoint, load: float, now: float) -> float:
        """At that load, by what this process sees of it."""
        latency = self._latency(endpoint)
        typical_s = self._mean.value * (load + 1.0)
        latency_s = latency.value(now) * (load + 1.0) if latency.known else 0.0
        return late_s(endpoint, latency_s, typical_s, now)

    def _add(self, endpoint: Endpoint, rif: float, latency_s: float, at: float) -> None:
        if len(self._pool) >= self._kept:
            self._pool.pop(0)
        self._rounding += self._uses
        uses = int(self._rounding)
        self._rounding -= uses
        probe = Probe(endpoint, rif, latency_s, at, max(uses, 1))
        self._rule.note_answer(probe)
        self._pool.append(probe)

    def _drop_aged(self, now: float) -> None:
        oldest = now - self._probe_age_s
        while self._pool and self._pool[0].at < oldest:
            self._pool.pop(0)

    def _use(self, probe: Probe) -> Endpoint:
        probe.rif += 1.0
        probe.uses -= 1
        if probe.uses <= 0:
            self._pool.remove(probe)
        return probe.endpoint

    def _remove(self, env: Env) -> None:
        self._removals_due += self._remove_rate
        while self._removals_due >= 1.0:
            self._removals_due -= 1.0
            if not self._pool:
                continue
            if self._remove_oldest:
                self._pool.pop(0)
            else:
                self._pool.remove(self._rule.worst(self._pool, env))
            self._remove_oldest = not self._remove_oldest

    def _pick_among(self, eligible: list[Endpoint], env: Env) -> Endpoint:
        allowed = dict.fromkeys(eligible, True)
        self._drop_aged(env.now)
        probes = [probe for probe in self._pool if probe.endpoint in allowed]
        return self._use(self._rule.best(probes, env)) if len(probes) >= 2 else draw(eligible, env)

    def _latency(self, endpoint: Endpoint) -> EndpointMean:
        found = self._latencies.get(endpoint)
        if found is None:
            found = EndpointMean(self._mean)
            self._latencies[endpoint] = found
        return found


def uses_per_answer(pool_size: int, endpoints: int, probe_rate: float, remove_rate: float) -> float:
    """b: how often an answer may be used so that the pool neither runs dry nor fills up.

    Where every endpoint fits the pool, or probes come no faster than they are removed, the
    formula has no answer: only age and removal end a probe.
    """
    if endpoints <= 0:
        return 1.0
    gain = (1.0 - pool_size / endpoints) * probe_rate - remove_rate
    return max(1.0, (1.0 + _DELTA) / gain) if gain > 0.0 else float(_UNLIMITED_USES)
