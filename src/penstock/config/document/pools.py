"""The document's part about pools: who serves them, and how one endpoint of many is chosen."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from penstock.config.document.attempts import (
    Connections,
    HedgeOrOff,
    PoolTimeouts,
    ResumeOrOff,
    Retry,
    RetryOrOff,
    WebSocketResponsesOrOff,
)
from penstock.config.document.choice import Policy
from penstock.config.document.compression import CompressionOrOff
from penstock.config.document.discover import Discover
from penstock.config.document.endpoints import Endpoints, EndpointTls, Http2OrAuto, Probe
from penstock.config.document.engines import EngineOrOff
from penstock.config.document.error_pages import ErrorPages
from penstock.config.document.forecast import ForecastOrOff
from penstock.config.document.hash_key import HashKeyOrName
from penstock.config.document.headers import Edits
from penstock.config.document.health import (
    AgentCheckOrOff,
    HealthCheckOrOff,
    Outlier,
    OutlierOrOff,
    SlowStart,
    SlowStartOrWindow,
)
from penstock.config.document.limits import Budgets, Limits
from penstock.config.document.models import Models
from penstock.config.document.protection import Admission, BreakerOrOff
from penstock.config.document.proxy_headers import Version, WrittenProxyHeaders, written_headers
from penstock.config.document.quic import QuicConnectionIds
from penstock.config.document.scale import ScaleOrOff
from penstock.config.document.section import Section, setting
from penstock.config.document.sessions import Drain, Sticky
from penstock.config.document.split import Split
from penstock.config.document.values import (
    Authority,
    Factor,
    OneOrMany,
    PositiveCount,
    PositiveSize,
    Share,
    Size,
)
from penstock.core import snapshot
from penstock.dataplane.board.layout import MAX_SHADOWS

_POOL: Final = snapshot.Pool(name="", endpoints=())
_DECISIONS: Final = snapshot.Decisions()


def default_policy(kind: str) -> snapshot.PolicyChoice:
    """How a pool of that kind chooses where its configuration does not say."""
    return snapshot.PolicyChoice("marginal-cost") if kind == "llm" else _POOL.policy


class Decisions(Section):
    """Recording choices of endpoints, for `penstock ctl explain` and replay. Clients cannot ask
    for it."""

    sample: Share = setting(_DECISIONS.sample, "Share of requests that are recorded. 0: none.")
    keep: PositiveCount = setting(
        _DECISIONS.keep, "Records that each worker keeps in memory; the oldest are dropped first."
    )
    max_per_s: Factor = setting(
        _DECISIONS.max_per_s, "Most records a second, over all workers, whatever the share."
    )
    file: str | None = setting(
        None, "A file that gets each record as a JSON line. SIGUSR1 opens it again."
    )


class Pool(Section):
    """Endpoints that serve the same requests."""

    endpoints: Endpoints = setting(
        (),
        "Its servers: URLs, or mappings with a `url`. Needed unless `discover` finds, or `scale` "
        "starts some.",
    )
    discover: OneOrMany[Discover] = setting(
        (), "Where further endpoints are found while the balancer runs (docs/discovery.md)."
    )
    kind: Literal["http", "llm"] = setting(
        _POOL.kind,
        "`llm`: the pool serves language models through the API of OpenAI or Anthropic, and "
        "policies know prompts and tokens.",
    )
    usage: Literal["hidden", "asked", "off"] = setting(
        _POOL.usage,
        "Token counts in the request log and metrics. `hidden`: asked for in every stream, and "
        "hidden from clients that did not ask; `asked`: only where the client asks; `off`: none.",
    )
    prompt_bytes: PositiveSize = setting(
        _POOL.prompt_bytes,
        "Bodies up to this size, decompressed, are read before an endpoint is chosen. Of "
        "longer ones only the model is read, where it stands at the front; the rest passes "
        "unread.",
    )
    malformed: Literal["pass", "refuse"] = setting(
        _POOL.malformed,
        "What happens to request bodies that cannot be parsed, or are too long for it. "
        "`pass`: sent to any endpoint; `refuse`: answered with an error.",
    )
    split: Split | None = setting(
        None, "Have prompts computed by some endpoints and answered by the others (docs/split.md)."
    )
    kv_transfers: Literal["pass", "refuse"] = setting(
        _POOL.kv_transfers,
        "What happens to requests that tell engines with whom to hand over KV caches "
        "(`kv_transfer_params`, `bootstrap_host` and the like). `refuse`: answered with 400; "
        "`pass`: clients are trusted with it. Of pools of kind llm.",
    )
    request_buffer: Size | None = setting(
        None,
        "So much of a request's body, or all of a shorter one, is there before the request takes "
        "a place at an endpoint, where its length is told; at most 1MiB, or `off`. Default: "
        "`64KiB` where `max_in_flight` or a limit bounds places, else `off`.",
    )
    engine: EngineOrOff = setting(
        None,
        "How the load of its engines is read: `off`, a kind such as `vllm`, or a mapping. "
        "Default: `auto` for pools of kind `llm`, else `off`.",
    )
    models: Models = setting(Models(), "Names of models, in a pool of kind `llm`.")
    policy: Policy | None = setting(
        None,
        f"How an endpoint is chosen. Default: `{default_policy('http').name}`; "
        f"`{default_policy('llm').name}` in pools of kind `llm`.",
    )
    probe: Probe = setting(Probe(), "How endpoints are probed for their load.")
    shadow: Annotated[OneOrMany[Policy], Field(max_length=MAX_SHADOWS)] = setting(
        _POOL.shadow,
        f"Other policies, at most {MAX_SHADOWS}, that are asked about recorded decisions; status "
        "and metrics tell where they differ and what that would cost.",
    )
    decisions: Decisions = setting(
        Decisions(), "Record decisions: which endpoint was chosen, and why."
    )
    hash_key: HashKeyOrName | None = setting(None, "What hashing policies hash. Default: `source`.")
    sticky: Sticky | None = setting(None, "Return a client to its endpoint by a cookie.")
    drain: Drain = setting(Drain(), "What happens to clients of an endpoint that drains.")
    host_header: Authority = setting(
        _POOL.host_header,
        "`pass`: the client's. `endpoint`: the endpoint's host and port. `auto`: `endpoint` for "
        "`https://` endpoints given by name, as they serve the names of their certificates, else "
        "`pass`. Other text: that host.",
    )
    request_headers: Edits = setting((), "Change headers on the way to the endpoint.")
    response_headers: Edits = setting((), "Change headers on the way to the client.")
    compression: CompressionOrOff = setting(
        None, "Compress answers for clients that accept it: `on`, or a mapping. Default: off."
    )
    error_pages: ErrorPages = setting(
        (), "Pages in place of errors; they go before those of the whole configuration."
    )
    timeouts: PoolTimeouts = setting(PoolTimeouts(), "How long an endpoint may take.")
    retry: RetryOrOff = setting(Retry(), "When a failed request is retried.")
    hedge: HedgeOrOff = setting(
        None,
        "Ask a second endpoint where the first one is late with its first token, or in pools of "
        "kind `http` its first byte: `on`, or a mapping. Only what may be repeated. Default: off.",
    )
    resume: ResumeOrOff = setting(
        None,
        "Streamed answers that are cut are gone on with by another endpoint, in pools of kind "
        "`llm`: `on`, or a mapping. Default: off.",
    )
    websocket_responses: WebSocketResponsesOrOff = setting(
        None,
        "OpenAI's Responses and Realtime over WebSocket are read here (kind `llm`): each "
        "response counts for limits, load and log, and those of Responses are sent where they are "
        "best served. `on`, or a mapping; `off`: bytes are relayed unread. Default: off.",
    )
    health_check: HealthCheckOrOff = setting(
        None, "Active checks: `tcp`, a path such as `/health`, or a mapping. Default: off."
    )
    agent_check: AgentCheckOrOff = setting(
        None, "Ask an agent beside each endpoint for its weight and state: a port, or a mapping."
    )
    outlier: OutlierOrOff = setting(Outlier(), "Eject endpoints whose answers fail.")
    circuit_breaker: BreakerOrOff = setting(
        None, "Stop sending to an endpoint that keeps failing: `on`, or a mapping."
    )
    admission: Admission = setting(
        Admission(), "Limits and queues, applied before an endpoint is chosen."
    )
    limits: Limits = setting((), "How much may be asked for of it, beside other limits.")
    budgets: Budgets = setting((), "How much may be asked for of it in a calendar's time.")
    slow_start: SlowStartOrWindow = setting(
        SlowStart(), "Give endpoints that come up less traffic at first: a duration, or a mapping."
    )
    scale: ScaleOrOff = setting(
        None, "Start and stop endpoints as the load and its forecast need. Default: off."
    )
    forecast: ForecastOrOff = setting(
        None, "Forecast its load: `on`, the name of a method, or a mapping. Default: off."
    )
    panic_threshold: Share = setting(
        _POOL.panic_threshold,
        "When less than this share of the pool is available, health is ignored. 0: never.",
    )
    connections: Connections = setting(Connections(), "Idle connections to each endpoint.")
    http2: Http2OrAuto = setting(
        snapshot.EndpointTls().http2,
        "HTTP/2 to `https://` endpoints: `on`, `off`, or `auto`, where each endpoint chooses by "
        "ALPN between it and HTTP/1.1. To `h2c://` it is spoken in any case.",
    )
    tls: EndpointTls = setting(
        EndpointTls(), "How `https://` endpoints are verified, and what they are shown."
    )
    quic_connection_ids: OneOrMany[QuicConnectionIds] = setting(
        (),
        "How its QUIC servers make their connection ids: a client that comes from a new address "
        "finds its server by it. Several while they change from one way to another.",
    )
    proxy_protocol: Annotated[
        WrittenProxyHeaders,
        BeforeValidator(written_headers, json_schema_input_type=Version | WrittenProxyHeaders),
    ] = setting(
        WrittenProxyHeaders(),
        "Begin connections to endpoints with a header of HAProxy's PROXY protocol, before TLS, "
        "that tells the client's address and port. Each connection then carries one request. `v2` "
        "tells the server name, the protocol agreed on by ALPN and the request id as well. To UDP "
        "endpoints datagrams begin with it.",
    )
