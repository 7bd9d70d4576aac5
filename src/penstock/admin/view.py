"""What the admin server shows; the supervisor provides it.

Plain data, so that metrics and status are functions of it and of the board.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from penstock.dataplane.board.memory import Board


class EngineView(msgspec.Struct, frozen=True):
    """What an endpoint's engine reports; -1 where it does not. ``age_s``: of the newest report."""

    kind: str
    silent: bool  # own counts only: it has not reported its load for too long
    problem: str  # why it could not be read the last time; empty if it could
    age_s: float
    running: float
    waiting: float
    kv_usage: float
    kv_capacity: int
    prefix_queries: int
    prefix_hits: int
    loaded: tuple[str, ...]  # models and adapters in its memory


class AgentView(msgspec.Struct, frozen=True):
    """The last answer of an endpoint's agent, and why there was none since."""

    said: str
    problem: str


class DiscoveryView(msgspec.Struct, frozen=True):
    """How a provider does that finds endpoints."""

    provider: str
    shown: str  # the provider, and where it looks
    state: str  # waiting, found, held or failing
    reason: str  # why it is not found; else what of the answer was left out
    answered_at: float  # Unix time; 0.0: never
    endpoints: int  # of it that are known
    failures: int  # in a row


class EndpointView(msgspec.Struct, frozen=True):
    """``state`` is one word; ``available`` whether it may be picked; ``since`` is Unix time."""

    name: str
    address: str
    row: int
    state: str
    reason: str
    since: float
    health: int  # core.endpoint STARTING, UP, DOWN
    available: bool
    draining: bool
    ejected: bool
    ejections: int
    weight: float  # configured, or set at run time
    effective_weight: float  # times slow start
    configured_weight: float
    backup: bool
    last_check: str
    engine: EngineView | None = None  # where its load is read
    models_problem: str = ""  # why it could not be read which models it serves
    hit_distrust: float = 0.0  # share of predicted prefix hits that is not believed
    agent: AgentView | None = None
    max_in_flight: int = 0  # configured, or what its agent asks for; 0: no bound
    # Until when clients that are bound to it stay though it drains (Unix time): ``inf`` without a
    # deadline, 0 where none stay.
    clients_stay_until: float = 0.0
    prefix_exact: bool = False  # what its cache holds is known by its KV events
    addresses: tuple[str, ...] = ()  # of a host that is a name
    port: int = 0
    source: str = "file"  # whose word it is that it is there
    zone: str = ""
    models: tuple[str, ...] = ()  # that it serves, where they are known


class ScaleView(msgspec.Struct, frozen=True):
    """How many endpoints a pool is to have. ``present`` and ``ahead`` are needed now and foreseen
    for ``lead_s`` from now; sums of seconds are since the start, of what is and of what the advice
    would have made of it."""

    mode: str
    actuator: str
    desired: int
    actual: int  # that serve or start
    starting: int
    draining: int
    present: int
    ahead: int
    lead_s: float
    reason: str
    problem: str  # why it cannot be acted on; empty if it can
    foreseen: float  # requests per second after ``lead_s``: the middle of the forecast
    foreseen_high: float  # and its quantile that is planned for; both 0 without a forecast
    wakes: bool  # it may have no endpoint, and starts one for the first request
    endpoint_s: float
    advised_endpoint_s: float
    broken_s: float
    advised_broken_s: float


class AheadView(msgspec.Struct, frozen=True):
    """What is expected so far ahead, per second; ``quantiles`` by their levels."""

    ahead_s: float
    mean: float
    quantiles: dict[float, float]


class ForecastView(msgspec.Struct, frozen=True):
    """Of a quantity (requests, prompt_tokens, output_tokens) of a pool, or of a model there."""

    model: str  # empty: all of the pool
    quantity: str
    method: str
    step_s: float
    lead_s: float
    observed: int  # steps
    latest: float  # per second, in the last step
    ahead: tuple[AheadView, ...]  # one step, the lead, and the horizon
    weights: dict[str, float]  # of methods that are blended


class PoolView(msgspec.Struct, frozen=True):
    name: str
    row: int
    policy: str
    endpoints: tuple[EndpointView, ...]
    shadow: tuple[str, ...] = ()  # policies that are asked about recorded decisions
    ejections: dict[str, int] = {}  # by the detector that found the outlier
    refused_ejections: int = 0  # not made, because too many endpoints were out
    kind: str = "http"
    maintenance_since: float = 0.0  # when an operator set it aside (Unix time); 0: served
    scale: ScaleView | None = None  # where its number of endpoints is decided here
    discoveries: tuple[DiscoveryView, ...] = ()
    forecasts: tuple[ForecastView, ...] = ()
    excluded: tuple[str, ...] = ()  # addresses that operators keep away though they are found
    queues: bool = False  # requests wait in it for places
    priorities: tuple[str, ...] = ()  # its classes


class WorkerView(msgspec.Struct, frozen=True):
    """``generation`` is of the snapshot it acknowledged last; ``pid`` 0 while there is none."""

    index: int
    pid: int
    state: str
    since: float
    generation: int
    restarts: int


class ListenerView(msgspec.Struct, frozen=True):
    """``address`` is the real one, also where port 0 was configured. ``scheme``: http, https, tcp
    or tls. ``crl_ends`` is when its revocation list does (seconds since 1970); None without one.
    ``certificate_problem``: why the certificate that it fetches is not there, or not renewed."""

    name: str
    address: str
    scheme: str
    crl_ends: float | None = None
    certificate_problem: str = ""


class BalancerView(msgspec.Struct, frozen=True):
    """Another balancer, heard ``heard_s`` ago. ``lost``: of its messages."""

    name: str
    heard_s: float
    in_flight: int
    endpoints: int
    lost: int


class TracesView(msgspec.Struct, frozen=True):
    """Spans that went to a collector, and those that did not."""

    sent: int
    dropped: int


class PushView(msgspec.Struct, frozen=True):
    """Metrics that are pushed: points that a collector took, and pushes that failed."""

    points: int
    failed: int


class StoreView(msgspec.Struct, frozen=True):
    """The store that balancers share. ``dropped``: messages that it did not take in time.

    ``asked``: how often another balancer was asked for all it has; ``refused``: messages that no
    balancer says; ``delay_ms``: what a message takes; ``prefixes``: entries of others' ledgers;
    ``late``: times that a limit went on without its answer.
    """

    where: str
    connected: bool
    problem: str
    connects: int
    failed: int  # calls
    dropped: int
    me: str
    balancers: tuple[BalancerView, ...]
    sent: int
    sent_bytes: int
    received: int
    received_bytes: int
    refused: int
    lost: int
    asked: int
    delay_ms: float
    prefixes: int
    late: int = 0


class ReloadView(msgspec.Struct, frozen=True):
    at: float
    asked_by: str
    ok: bool
    message: str
    generation: int
    notes: tuple[str, ...] = ()


class EventView(msgspec.Struct, frozen=True):
    at: float
    level: str
    kind: str
    message: str
    fields: dict[str, str | int | float | bool | None]


class AdditionView(msgspec.Struct, frozen=True):
    """A pool or a route that was added at run time. ``problem``: why it is left out."""

    kind: str
    name: str
    saved: bool
    problem: str = ""


class LimitView(msgspec.Struct, frozen=True):
    """A limit that refused requests, had no place for what it tells apart, or was passed."""

    name: str
    refused: int
    overflowed: int
    beyond: float


class StandingView(msgspec.Struct, frozen=True):
    """What one subject took of a limit, of its ``amount``; "" where nothing is counted apart."""

    subject: str
    taken: float
    whole_s: float  # until it is whole again; inf: never


class LimitStateView(msgspec.Struct, frozen=True):
    """A limit as it stands now. ``amount`` may be taken at once."""

    name: str
    counts: str
    per: str
    budget: bool
    by: tuple[str, ...]
    amount: float
    refused: int
    overflowed: int
    fullest: tuple[StandingView, ...]  # the subjects that took most, in that order


class TenantView(msgspec.Struct, frozen=True):
    """What a tenant used today (UTC). ``refused``: requests, since the start, by its limits.

    ``fullest``: the share taken of that limit of its own of which most is; None without limits.
    """

    name: str
    keys: int
    requests: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: float
    refused: int
    fullest: float | None
    fullest_limit: str


class Tenancy(msgspec.Struct, frozen=True):
    """Who used how much, and how full limits are."""

    tenants: tuple[TenantView, ...]
    limits: tuple[LimitStateView, ...]


class UsedView(msgspec.Struct, frozen=True):
    """What a tenant used since the start; of its requests that were sent to an endpoint."""

    tenant: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


class Overview(msgspec.Struct, frozen=True):
    """The balancer at one moment."""

    version: str
    form: str  # "compiled" or "interpreted"
    pid: int
    started_at: float
    stopping: bool
    generation: int
    source: str  # the configuration file; empty where there is none
    listeners: tuple[ListenerView, ...]
    pools: tuple[PoolView, ...]
    workers: tuple[WorkerView, ...]
    reloads_ok: int
    reloads_failed: int
    last_reload: ReloadView | None
    events: tuple[EventView, ...]
    log_dropped: int = 0  # lines of the balancer's own log
    additions: tuple[AdditionView, ...] = ()  # in the order in which routes are asked
    store: StoreView | None = None  # that balancers share; None: this one is alone
    traces: TracesView | None = None  # None: nothing is traced
    push: PushView | None = None  # None: metrics are pushed nowhere
    limits: tuple[LimitView, ...] = ()
    tenants: tuple[str, ...] = ()  # that have keys or certificates
    used: tuple[UsedView, ...] = ()  # by these, as far as they are told apart


class Placed(Protocol):
    """An endpoint, as far as its counters are concerned."""

    @property
    def name(self) -> str:
        """Within its pool."""

    @property
    def row(self) -> int:
        """On the board."""


class PlacedPool(Protocol):
    """A pool, as far as its counters are concerned: a ``PoolView``, or one of a snapshot."""

    @property
    def name(self) -> str:
        """No other's."""

    @property
    def row(self) -> int:
        """On the board."""

    @property
    def kind(self) -> str:
        """``http`` or ``llm``."""

    @property
    def endpoints(self) -> Sequence[Placed]:
        """Its endpoints."""


class UnknownNameError(LookupError):
    """A pool or endpoint that does not exist. The text is for people."""


class RunningBalancer(Protocol):
    """The supervisor, as the admin server sees it."""

    @property
    def board(self) -> Board:
        """The memory that workers count in."""

    def overview(self) -> Overview:
        """The balancer at this moment."""

    def pools(self) -> Sequence[PlacedPool]:
        """Its pools; much cheaper than an overview."""

    def tenancy(self) -> Tenancy:
        """Its tenants and limits at this moment; dearer than the rest, for those who look."""
