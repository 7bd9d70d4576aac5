"""A snapshot: the whole configured world as immutable data, replaced in one step.

``config.compile`` makes it from the document, the supervisor fills in the board rows and sends
it, a worker builds its listeners, routes and pools from it. Durations are seconds, sizes bytes.
It is not compiled: it is read only when a snapshot is applied.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable plain data."""


class Certificate(_Data, frozen=True):
    """One certificate chain and its key, as PEM files, and the names it serves."""

    certificate: str
    key: str
    server_names: tuple[str, ...] = ()  # exact or "*.example.com"; empty: the default


class ListenerTimeouts(_Data, frozen=True):
    """How long a client may take. 0 turns one off."""

    client_headers_s: float = 10.0  # from the first byte of a request to the end of its head
    client_body_idle_s: float = 30.0  # between two reads of a request body
    keep_alive_idle_s: float = 75.0  # between two requests
    client_write_idle_s: float = 60.0  # a client that stops reading its response
    tls_handshake_s: float = 10.0


class Limits(_Data, frozen=True):
    """What a client may send. 0 means no limit, except for the header limits."""

    header_bytes: int = 32 * 1024
    header_count: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 256 * 1024 * 1024
    connections: int = 0  # of the whole balancer
    connections_per_address: int = 0
    requests_per_connection: int = 0


class Listener(_Data, frozen=True):
    """An address that clients connect to. ``trusted_proxies`` are networks in CIDR form."""

    name: str
    host: str
    port: int
    certificates: tuple[Certificate, ...] = ()  # empty: plain HTTP
    tls_generation: int = 0  # raised when certificate files change
    trusted_proxies: tuple[str, ...] = ()
    timeouts: ListenerTimeouts = ListenerTimeouts()
    limits: Limits = Limits()
    backlog: int = 4096


class HeaderMatch(_Data, frozen=True):
    """A condition on one request header; ``name`` is lower case."""

    name: str
    kind: Literal["present", "exact", "prefix", "regex"] = "present"
    value: str = ""
    invert: bool = False


class Match(_Data, frozen=True):
    """When a route applies: every condition given must hold; an empty one always does."""

    listeners: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # "a.example" or "*.example", lower case, without port
    path_kind: Literal["any", "exact", "prefix", "regex"] = "any"
    path: str = ""
    methods: tuple[str, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()


class HeaderEdit(_Data, frozen=True):
    """One change to the headers of a request or response, applied in order."""

    operation: Literal["set", "add", "remove"]
    name: str
    value: str = ""


class Rewrite(_Data, frozen=True):
    """A change of the path: the matched prefix is replaced, or a regex is substituted."""

    kind: Literal["prefix", "regex"]
    pattern: str  # the prefix or the regular expression to look for
    replacement: str  # "" strips it; the result always begins with "/"


class WeightedPool(_Data, frozen=True):
    pool: str
    weight: float = 1.0


class Redirect(_Data, frozen=True):
    """Answer with a redirect. Parts not given are taken from the request."""

    status: int = 308
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""  # a whole path; empty keeps the request's, rewritten if a rewrite is given


class FixedResponse(_Data, frozen=True):
    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Route(_Data, frozen=True):
    """What happens to requests that match: exactly one of pools, redirect and respond is set."""

    name: str
    match: Match = Match()
    pools: tuple[WeightedPool, ...] = ()
    mirror: str = ""  # a pool that gets a copy; its answers are dropped
    mirror_share: float = 1.0
    redirect: Redirect | None = None
    respond: FixedResponse | None = None
    rewrite: Rewrite | None = None
    request_headers: tuple[HeaderEdit, ...] = ()
    response_headers: tuple[HeaderEdit, ...] = ()


class PoolTimeouts(_Data, frozen=True):
    """How long an endpoint may take. 0 turns one off."""

    connect_s: float = 2.0  # TCP, and TLS where the endpoint speaks it
    first_byte_s: float = 300.0  # from the request sent to the first byte of the response
    stream_idle_s: float = 300.0  # between two reads of a response
    request_s: float = 0.0  # the whole exchange; off: inference runs long


class Retry(_Data, frozen=True):
    """When a failed attempt is repeated on another endpoint (never after a byte was passed on).

    A request that was not sent is always safe; one that was sent is repeated only when its
    method is idempotent (RFC 9110, 9.2.2) or ``non_idempotent`` says so.
    """

    attempts: int = 3  # in all, the first included
    on_statuses: tuple[int, ...] = (502, 503, 504)
    on_connect_failure: bool = True
    on_reset: bool = True  # the connection died before the first byte
    on_timeout: bool = False  # no first byte in time
    non_idempotent: bool = False
    budget_share: float = 0.2  # retries per request, over 10 s (Finagle)
    budget_min_per_s: float = 10.0


class HealthCheck(_Data, frozen=True):
    """Active checks of every endpoint of a pool."""

    kind: Literal["http", "tcp"] = "tcp"
    method: str = "GET"
    path: str = "/"
    host: str = ""  # empty: the endpoint's own
    headers: tuple[tuple[str, str], ...] = ()
    expect_statuses: tuple[tuple[int, int], ...] = ((200, 399),)  # inclusive ranges
    expect_body: str = ""  # a substring of the first 64 KiB
    port: int = 0  # 0: the endpoint's own
    interval_s: float = 5.0
    fast_interval_s: float = 1.0  # while the verdict is in doubt
    timeout_s: float = 2.0
    rise: int = 2
    fall: int = 3
    jitter: float = 0.1  # share of the interval
    initial: Literal["up", "down"] = "up"  # what STARTING counts as until the first verdict


class AgentCheck(_Data, frozen=True):
    """An agent beside every endpoint of a pool that says how much it can take (HAProxy)."""

    port: int
    send: str = ""  # first, as it is
    interval_s: float = 2.0
    timeout_s: float = 2.0


class Outlier(_Data, frozen=True):
    """Passive detection (Envoy's values; 0: off).

    Those of local failures (``core.outlier``) count only where these are split off.
    """

    enabled: bool = True
    split_local_failures: bool = False
    consecutive_failures: int = 5
    consecutive_gateway_failures: int = 0  # Envoy: 5, enforced in 0%
    consecutive_local_failures: int = 5
    failure_share: float = 0.85
    local_failure_share: float = 0.85
    failure_share_min_requests: int = 50
    success_rate_stdev_factor: float = 1.9
    local_success_rate_stdev_factor: float = 1.9
    success_rate_min_endpoints: int = 5
    success_rate_min_requests: int = 100
    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejected_share: float = 0.1  # at least one endpoint may always be ejected


class SlowStart(_Data, frozen=True):
    window_s: float = 0.0  # 0: off
    aggression: float = 1.0
    min_share: float = 0.1


class Breaker(_Data, frozen=True):
    """A circuit breaker for each endpoint, in each worker (core/breaker.py)."""

    failures: int = 5  # in a row
    open_s: float = 5.0
    max_open_s: float = 60.0
    trials: int = 1  # at a time while half-open


class LimitChoice(_Data, frozen=True):
    """A limit on concurrency by its name (core/admission)."""

    name: str
    options: dict[str, int | float | str | bool] = {}


class CoDel(_Data, frozen=True):
    """RFC 8289's values."""

    target_s: float = 0.005
    interval_s: float = 0.1


class Queue(_Data, frozen=True):
    """Requests that wait until there is room for them, in each worker."""

    length: int = 100
    timeout_s: float = 10.0
    newest_first_above: float = 1.0  # share of the length; 1: never
    codel: CoDel | None = None


class Throttle(_Data, frozen=True):
    """Client-side throttling ("Site Reliability Engineering", chapter 21)."""

    k: float = 2.0
    window_s: float = 120.0


class SuccessRate(_Data, frozen=True):
    """Admission by success rate (Envoy's values)."""

    threshold: float = 0.95
    aggression: float = 1.0
    window_s: float = 30.0
    max_refusal: float = 0.8
    min_rate: float = 0.0  # requests a second under which nobody is refused


class Shedding(_Data, frozen=True):
    """Priority shedding (DAGOR's values)."""

    levels: int = 128
    mean_wait_s: float = 0.02


class Admission(_Data, frozen=True):
    """What may turn a request away, or let it wait, before an endpoint is chosen."""

    limit: LimitChoice | None = None
    queue: Queue | None = None
    throttle: Throttle | None = None
    success_rate: SuccessRate | None = None
    shedding: Shedding | None = None
    priority_header: str = ""  # lower case; its value: 0 (most important) and up
    default_priority: int = 64


class Sticky(_Data, frozen=True):
    """A signed cookie that returns a client to its endpoint. ``keys``: first signs, all verify."""

    cookie: str
    keys: tuple[str, ...]
    ttl_s: float = 0.0  # 0: a session cookie
    path: str = "/"
    same_site: Literal["", "Strict", "Lax", "None"] = "Lax"
    secure: bool = False
    http_only: bool = True


class HashKey(_Data, frozen=True):
    """What hashing policies hash by."""

    kind: Literal["source", "header", "cookie", "path", "query"] = "source"
    names: tuple[str, ...] = ()  # of headers, the first of them that is there; else one


class Connections(_Data, frozen=True):
    """The pool of idle connections to each endpoint, per worker."""

    max_idle: int = 256
    idle_timeout_s: float = 55.0  # under the 60 s and more that servers keep theirs open
    max_requests: int = 0


class EndpointTls(_Data, frozen=True):
    verify: bool = True
    ca_file: str = ""  # empty: the system's
    server_name: str = ""  # SNI and the name verified; empty: the endpoint's host


class Endpoint(_Data, frozen=True):
    """``row``, its place on the board, and ``address`` are given by the supervisor."""

    name: str  # unique in its pool: host:port unless configured
    host: str
    port: int
    tls: bool = False
    weight: float = 1.0
    max_in_flight: int = 0
    priority: int = 0  # of its group: 0 first
    backup: bool = False  # behind all groups
    zone: str = ""
    models: tuple[str, ...] = ()  # that it serves; empty: it is asked, or may serve any
    row: int = -1
    address: str = ""  # of a host that is a name

    @property
    def connect_host(self) -> str:
        """What connections to it are made to: requests, checks, and questions to its engine.

        Names in heads and certificates stay those of ``host``.
        """
        return self.address or self.host


class EngineMetrics(_Data, frozen=True):
    """Names of a server's own Prometheus metrics, for one that is none of the known engines."""

    running: str = ""
    waiting: str = ""
    kv_usage: str = ""  # 0..1


class KvEvents(_Data, frozen=True):
    """Where an engine publishes what its KV cache holds, over ZeroMQ."""

    port: int = 5557
    replay_port: int = 0  # 0: what was missed cannot be asked for
    topic: str = ""


class Engine(_Data, frozen=True):
    """How the load of the inference engines of a pool is read."""

    kind: Literal[
        "auto", "vllm", "sglang", "tgi", "llamacpp", "ollama", "triton", "tensorrt-llm", "generic"
    ] = "auto"
    interval_s: float = 1.0
    timeout_s: float = 1.0
    silent_after_s: float = 5.0  # then a report counts no more
    port: int = 0  # of the metrics; 0: the engine's usual one
    path: str = ""  # of the metrics; empty: the engine's usual one
    headers: tuple[tuple[str, str], ...] = ()
    kv_tokens: int = 0  # that fit in an endpoint's cache; 0: learned from its metrics
    orca: bool = False  # responses are asked for the load in their heads
    metrics: EngineMetrics = EngineMetrics()
    kv_events: KvEvents | None = None


class ServedModel(_Data, frozen=True):
    """A model as an endpoint lists it; an adapter's ``parent`` is its base model."""

    id: str
    parent: str = ""
    created: int = 0  # Unix time
    owned_by: str = ""
    max_tokens: int = 0  # of a prompt and its answer; 0: not told


class Models(_Data, frozen=True):
    """Names of models: by alias, models with their weights; by model, what stands in for it."""

    discover_s: float = 30.0  # between two looks at what endpoints serve; 0: they are not asked
    aliases: dict[str, dict[str, float]] = {}
    fallbacks: dict[str, tuple[str, ...]] = {}


class PolicyChoice(_Data, frozen=True):
    name: str = "least-request"
    options: dict[str, int | float | str | bool] = {}


class Probe(_Data, frozen=True):
    """How endpoints are asked for their load, by policies that want it (core/policy/prequal.py)."""

    path: str = "/load"
    timeout_s: float = 0.5


class Decisions(_Data, frozen=True):
    """Which decisions a pool records. ``sample`` is the share of requests; 0: none."""

    sample: float = 0.0
    keep: int = 1000  # by each worker, for ``penstock ctl explain``
    max_per_s: float = 100.0  # over all workers
    file: str = ""  # gets them as JSON lines too; empty: none does


class Pool(_Data, frozen=True):
    """``row`` is the pool's place on the board, given by the supervisor."""

    name: str
    endpoints: tuple[Endpoint, ...]
    kind: Literal["http", "llm"] = "http"  # llm: bodies are understood before an endpoint is chosen
    # Tokens of answers: asked for and hidden from clients that did not ask; only where they asked.
    usage: Literal["hidden", "asked", "off"] = "hidden"
    malformed: Literal["pass", "refuse"] = "pass"  # bodies that are not understood
    engine: Engine | None = None  # None: endpoints are not asked for their load
    models: Models = Models()
    # What endpoints said they serve, by their names; the supervisor adds it.
    discovered: dict[str, tuple[ServedModel, ...]] = {}
    policy: PolicyChoice = PolicyChoice()
    probe: Probe = Probe()
    shadow: tuple[PolicyChoice, ...] = ()  # other policies, asked about recorded decisions
    decisions: Decisions = Decisions()
    hash_key: HashKey = HashKey()
    sticky: Sticky | None = None
    host_header: Literal["pass", "endpoint"] | str = "pass"  # any other text is sent as it is
    request_headers: tuple[HeaderEdit, ...] = ()
    response_headers: tuple[HeaderEdit, ...] = ()
    timeouts: PoolTimeouts = PoolTimeouts()
    retry: Retry = Retry()
    health_check: HealthCheck | None = None
    agent_check: AgentCheck | None = None
    outlier: Outlier = Outlier()
    breaker: Breaker | None = None
    admission: Admission = Admission()
    slow_start: SlowStart = SlowStart()
    panic_threshold: float = 0.0  # share of available endpoints under which health is ignored
    connections: Connections = Connections()
    tls: EndpointTls = EndpointTls()
    row: int = -1


class RequestLog(_Data, frozen=True):
    target: Literal["off", "stdout", "file"] = "off"
    path: str = ""


class Snapshot(_Data, frozen=True):
    """Routes are tried in order; the first that matches wins."""

    generation: int
    listeners: tuple[Listener, ...]
    routes: tuple[Route, ...]
    pools: tuple[Pool, ...]
    request_log: RequestLog = RequestLog()
    via: str = "penstock"  # the pseudonym in Via (RFC 9110, 7.6.3)

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


def decode_snapshot(encoded: bytes) -> Snapshot:
    """The inverse of ``Snapshot.encode``. Raises msgspec.ValidationError."""
    return msgspec.json.decode(encoded, type=Snapshot)
