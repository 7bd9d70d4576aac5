"""A scenario: who asks, who serves, who balances, what goes wrong, and how long it is watched."""

from math import inf
from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.document.attempts import HedgeOrOff
from penstock.config.document.choice import Policy
from penstock.config.document.forecast import ForecastOrOff
from penstock.config.document.health import Outlier, OutlierOrOff, SlowStart, SlowStartOrWindow
from penstock.config.document.protection import Admission, BreakerOrOff
from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import (
    Count,
    Duration,
    Factor,
    Flag,
    PositiveCount,
    PositiveDuration,
    Share,
    Weight,
)
from penstock.core.policy import policy_class
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.snapshot import PolicyChoice
from penstock.sim.kernel.laws import Empirical
from penstock.sim.kernel.session_server import SessionRules
from penstock.sim.prompt_specs import EngineSpec, Prompts, TenantSpec
from penstock.sim.scaling.spec import ScaleSpec
from penstock.sim.specs import ArrivalsSpec, LawSpec
from penstock.sim.tenant_specs import TenantTraffic
from penstock.sim.trace import BLOCK_TOKENS


class AntagonistSpec(Section):
    """Neighbours on the servers' machines: each server's speed changes at random."""

    factors: tuple[Factor, ...] = required("What the speed is multiplied by, one drawn each time.")
    cores: Flag = setting(False, "The slots of `model: sharing` are multiplied, not the speed.")
    weights: tuple[Factor, ...] = setting((), "How often each factor is drawn; equally.")
    stay: LawSpec = required("How long until the next change.")

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.build()
        return self

    def build(self) -> Empirical:
        """The law of the factor. Raises ValueError when there is none, or too few weights."""
        return Empirical(list(self.factors), list(self.weights) or None)


class ServerGroup(Section):
    """Servers that are alike."""

    count: PositiveCount = setting(1, "How many there are.")
    name: str = setting("s", "They are called by this name and a number.")
    model: Literal["fifo", "sharing", "engine", "sessions"] = setting(
        "fifo",
        "First come first served, processor sharing, an inference engine, or a holder of sessions.",
    )
    engine: EngineSpec | None = setting(None, "Of the model engine.")
    slots: PositiveCount = setting(
        1, "Requests (fifo) or cores (sharing) served at full speed; sessions it is meant to hold."
    )
    speed: Factor = setting(1.0, "Seconds of work done in a second, by each slot.", gt=0)
    room: Count = setting(
        0,
        "Most requests present, those beyond are answered 503, sessions refused; 0: no bound.",
    )
    weight: Weight | Literal["capacity"] = setting(1.0, "Of the endpoint; or its slots × speed.")
    max_in_flight: Count = setting(0, "Bound that the balancer keeps; 0: none.")
    zone: str = setting("", "Where they are.")
    priority: Count = setting(0, "Only those of the least number that is available are used.")
    backup: Flag = setting(False, "Used only when no other is available.")
    antagonist: AntagonistSpec | None = setting(None, "Neighbours that take speed, or leave it.")

    @model_validator(mode="after")
    def _antagonist_fits(self) -> Self:
        if self.antagonist is not None and self.antagonist.cores and self.model != "sharing":
            raise ValueError("only `model: sharing` has cores that an antagonist can take")
        return self

    @model_validator(mode="after")
    def _engine_where_needed(self) -> Self:
        if (self.model == "engine") != (self.engine is not None):
            raise ValueError("`engine` goes with `model: engine`, and only with it")
        return self

    @property
    def capacity(self) -> float:
        """Seconds of work that one of them does in a second."""
        return self.slots * self.speed


class Keys(Section):
    """What hashing policies hash by: each request has the key of one of ``count`` clients."""

    count: PositiveCount = setting(10_000, "How many keys there are.")
    skew: Factor = setting(0.0, "Exponent of Zipf's law; 0: all keys are equally frequent.")


class Sessions(Section):
    """What comes are connections, or sessions of UDP: `service` is how long one lasts."""

    protocol: Literal["tcp", "udp"] = setting(
        "tcp", "Whether one breaks when its server dies, or goes on at another at once."
    )
    rejoin: LawSpec | None = setting(
        None, "Of TCP: how long until a client whose connection broke is back for the rest."
    )

    @model_validator(mode="after")
    def _only_tcp_breaks(self) -> Self:
        if self.protocol == "udp" and self.rejoin is not None:
            raise ValueError("`rejoin` is of connections, which break; a UDP session is moved")
        return self

    def build(self) -> SessionRules:
        """What becomes of those whose server died."""
        rejoin = None if self.rejoin is None else self.rejoin.build()
        return SessionRules(self.protocol == "udp", rejoin)


class Network(Section):
    """One-way delays between balancer and server."""

    request: LawSpec | None = setting(None, "Of the request.")
    response: LawSpec | None = setting(None, "Of the answer.")


class Retrying(Section):
    """What the balancer does about attempts that fail; each endpoint is tried once."""

    attempts: PositiveCount = setting(
        3, "Tries for a request, the first included, counted as in a pool's `retry`."
    )
    idempotent: Flag = setting(True, "Whether requests are safe to repeat once they were sent.")
    budget_share: Share = setting(0.2, "Retries allowed per request, over 10 s.")
    budget_min_per_s: Factor = setting(10.0, "Retries always allowed.")


class Reports(Section):
    """What balancers hear of load beside their own requests."""

    every: PositiveDuration | None = setting(None, "Time between exchanges of balancers' loads.")
    delay: Duration = setting(0.0, "Age of a load when it is heard.")
    prefixes: Flag = setting(
        False,
        "Whether they tell as well which prefixes they sent where, as those that share a store do.",
    )
    own: Flag = setting(True, "Whether a balancer counts its own requests at once besides.")
    responses: Flag = setting(False, "Whether answers bring the server's load report.")
    poll: PositiveDuration | None = setting(
        None, "Time between a balancer's polls of the servers' requests in flight."
    )
    scrape: PositiveDuration | None = setting(None, "Time between reports of servers to policies.")
    weights: PositiveDuration | None = setting(
        None, "Time between weights made of what servers report: requests per utilisation."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.poll is not None and self.every is not None:
            raise ValueError("loads are exchanged (`every`) or polled (`poll`), not both")
        if self.prefixes and self.every is None:
            raise ValueError("prefixes are told with loads: say how often with `every`")
        return self


class Incident(Section):
    """Something that befalls servers at a time; ``servers`` are numbers, counted from 0."""

    at: Duration = required("When, since the beginning.")
    servers: tuple[Count, ...] = required("Which servers.")
    speed: Factor | None = setting(None, "From then on they work at this speed.", gt=0)
    pause: PositiveDuration | None = setting(None, "They stand still for this long.")
    fail: Flag = setting(False, "They die, with all that they hold.")
    recover: Flag = setting(False, "They are back.")
    noticed: Duration = setting(0.0, "After a failure or recovery, until health checks see it.")
    drain: Flag | None = setting(None, "No new requests; `false` ends it.")
    weight: Weight | None = setting(None, "From then on they have this weight.")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        said = [self.speed, self.pause, self.drain, self.weight]
        if sum(value is not None for value in said) + self.fail + self.recover != 1:
            raise ValueError(
                "an incident says one of speed, pause, fail, recover, drain and weight"
            )
        return self


class Run(Section):
    """How long, how often, and what is left out."""

    customers: PositiveCount | None = setting(None, "Requests sent; or give a duration.")
    duration: PositiveDuration | None = setting(None, "Time during which requests are sent.")
    warm_up: Share = setting(0.1, "Share of either that is not measured.", lt=1)
    drain: Duration | None = setting(
        None, "How long requests that run at the end are waited for; without it until they end."
    )
    replications: PositiveCount = setting(5, "Independent repetitions, for the intervals.")
    seed: Count = setting(1, "Everything drawn follows from it.")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.customers is not None and self.duration is not None:
            raise ValueError("a run ends by customers or by duration, not both")
        return self


class Scenario(Section):
    """The whole file."""

    name: str = setting("", "A title.")
    about: str = setting("", "What it shows, in a few sentences.")
    arrivals: ArrivalsSpec = required("When requests come.")
    service: LawSpec = setting(LawSpec(), "The work that a request brings.")
    servers: tuple[ServerGroup, ...] = required("Groups of equal servers.")
    policies: tuple[Policy, ...] = setting((PolicyChoice(),), "Compared side by side.")
    balancers: PositiveCount = setting(1, "Balancers that share the servers.")
    reports: Reports | None = setting(None, "What they hear of load that is not their own.")
    keys: Keys | None = setting(None, "Clients that hashing policies tell apart.")
    tenants: tuple[TenantTraffic, ...] = setting(
        (), "Who sends the requests; of prompts, `prompts.tenants` says it."
    )
    knows_tenants: Flag = setting(
        True, "Whether the balancer tells tenants apart; otherwise first come first served."
    )
    sessions: Sessions | None = setting(
        None, "Sessions come, no requests, to servers of `model: sessions`."
    )
    prompts: Prompts | None = setting(None, "Requests to language models; servers are engines.")
    network: Network = setting(Network(), "Delays.")
    objective: PositiveDuration | None = setting(None, "Answers within it count for goodput.")
    objective_ttft: PositiveDuration | None = setting(None, "And the first token within this.")
    objective_tpot: PositiveDuration | None = setting(None, "And further tokens within this each.")
    timeout: PositiveDuration | None = setting(None, "After which a client goes away.")
    cancel: Flag = setting(True, "Whether a server hears that the client went away.")
    retry: Retrying | None = setting(None, "Repeat what failed.")
    hedge: HedgeOrOff = setting(None, "Ask a second server where the first is late, as pools do.")
    admission: Admission = setting(
        Admission(), "Limits and queues before a server is chosen, as pools have them."
    )
    circuit_breaker: BreakerOrOff = setting(
        None, "Cut an endpoint off for a while after failures in a row, as pools do."
    )
    outlier: OutlierOrOff = setting(
        Outlier(enabled=False),
        "Eject endpoints that fail, as pools do. Off unless asked for; `on` for a pool's defaults.",
    )
    slow_start: SlowStartOrWindow = setting(
        SlowStart(), "Give endpoints that come into service little at first, as pools do."
    )
    forecast: ForecastOrOff = setting(
        None, "Forecast the load as pools do; the report shows it beside what came."
    )
    scale: ScaleSpec | None = setting(
        None, "Start and drain servers while the run goes on; those listed are all there may be."
    )
    incidents: tuple[Incident, ...] = setting((), "What befalls servers.")
    run: Run = Field(default_factory=Run, description="How long, how often.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.servers:
            raise ValueError("at least one group of servers is needed")
        if not self.policies:
            raise ValueError("at least one policy is needed")
        self._check_prompts()
        self._check_sessions()
        self._check_tenants()
        self._check_scale()
        known = self.server_count
        for incident in self.incidents:
            for server in incident.servers:
                if server >= known:
                    raise ValueError(f"an incident names server {server}; they are 0..{known - 1}")
        return self

    def _check_prompts(self) -> None:
        engines = [group.model == "engine" for group in self.servers]
        if any(engines) != all(engines) or all(engines) != (self.prompts is not None):
            raise ValueError("`prompts` go to servers of `model: engine`, and only to them")
        if self.prompts is None:
            return
        if self.arrivals.load is not None or self.arrivals.kind == "closed":
            raise ValueError("prompts arrive by a rate: conversations per second")
        if self.prompts.trace and self.arrivals.kind != "recorded":
            raise ValueError("a trace has its own times: say `arrivals: {kind: recorded}`")
        blocks = {group.engine.block_tokens for group in self.servers if group.engine}
        if self.prompts.trace and blocks != {BLOCK_TOKENS}:
            raise ValueError(f"a trace tells blocks of {BLOCK_TOKENS} tokens: so must the engines")
        if len(blocks) > 1:
            raise ValueError("all engines must have blocks of the same size")

    def _check_tenants(self) -> None:
        if self.tenants and (self.prompts is not None or self.keys is not None):
            other = "prompts" if self.prompts is not None else "keys"
            raise ValueError(f"`tenants` send plain requests: they go with no `{other}`")
        names = [tenant.name for tenant in self.sharers]
        if len(set(names)) < len(names):
            raise ValueError("two tenants have the same name")
        if self.tenants and self.arrivals.kind == "closed":
            raise ValueError("`tenants` send a share of open arrivals, not of a closed loop")

    def _check_sessions(self) -> None:
        holders = [group.model == "sessions" for group in self.servers]
        if any(holders) != all(holders) or all(holders) != (self.sessions is not None):
            raise ValueError("`sessions` go to servers of `model: sessions`, and only to them")
        if self.sessions is not None and self.network.response is not None:
            raise ValueError("sessions have no answer that a network could delay")

    def _check_scale(self) -> None:
        scale = self.scale
        if scale is None:
            return
        if scale.first > self.server_count:
            raise ValueError(
                f"`scale` begins with {scale.first} servers, and {self.server_count} are listed"
            )
        if len({(group.model, group.slots, group.speed) for group in self.servers}) > 1:
            raise ValueError("servers that are scaled are alike: give one group")
        if self.sessions is not None:
            raise ValueError("`scale` is of requests; sessions are not scaled yet")
        if self.incidents:
            raise ValueError("`scale` says which servers run: `incidents` would contradict it")
        if self.prompts is not None and scale.rule != "penstock":
            raise ValueError(f"`rule: {scale.rule}` knows no engines; write `rule: penstock`")
        if self.prompts is not None:
            unfit = [each.name for each in self.policies if not is_fitted(each.name)]
            if unfit:
                raise ValueError(
                    f"the policy {unfit[0]!r} learns no model of engines, by which they are "
                    "scaled; `marginal-cost` does"
                )

    @property
    def sharers(self) -> tuple[TenantTraffic | TenantSpec, ...]:
        """The tenants who share the servers."""
        return self.tenants or (self.prompts.tenants if self.prompts is not None else ())

    @property
    def has_objective(self) -> bool:
        """Whether goodput is more than throughput."""
        return any((self.objective, self.objective_ttft, self.objective_tpot))

    @property
    def spares_endpoints(self) -> bool:
        """Whether breakers, outlier detection or slow start run."""
        return bool(self.circuit_breaker or self.outlier.enabled or self.slow_start.window)

    @property
    def server_count(self) -> int:
        """How many servers there are in all groups."""
        return sum(group.count for group in self.servers)

    @property
    def capacity(self) -> float:
        """Requests per second that all servers can do."""
        total = sum(group.count * group.capacity for group in self.servers)
        return total / self.service.build().mean

    @property
    def customers(self) -> int:
        """Requests of one run; 0 when time ends it."""
        if self.run.duration is not None:
            return 0
        return self.run.customers or 100_000

    @property
    def duration_s(self) -> float:
        """Time of one run; infinite when the number of requests ends it."""
        return inf if self.run.duration is None else self.run.duration


def is_fitted(policy: str) -> bool:
    """Whether a policy learns how fast engines are."""
    return issubclass(policy_class(policy), FittedPolicy)
