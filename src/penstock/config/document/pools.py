"""The document's part about pools: endpoints, how one is chosen, and what failure means."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from penstock.config.document.check_bytes import CheckBytes
from penstock.config.document.choice import Policy
from penstock.config.document.compression import CompressionOrOff
from penstock.config.document.engines import EngineOrOff, KvEvents
from penstock.config.document.error_pages import ErrorPages
from penstock.config.document.grpc_status import GrpcStatus
from penstock.config.document.headers import EditedName, Edits
from penstock.config.document.health import (
    AgentCheckOrOff,
    HealthCheckOrOff,
    Outlier,
    OutlierOrOff,
    SlowStart,
    SlowStartOrWindow,
)
from penstock.config.document.models import ModelName, Models
from penstock.config.document.protection import Admission, BreakerOrOff
from penstock.config.document.proxy_headers import (
    Version,
    WrittenProxyHeaders,
    written_headers,
)
from penstock.config.document.quic import QuicConnectionIds
from penstock.config.document.section import Section, plain, required, setting
from penstock.config.document.sessions import Drain, Sticky
from penstock.config.document.socket_files import parse_socket_file
from penstock.config.document.values import (
    Address,
    Authority,
    Count,
    Duration,
    Factor,
    FieldValue,
    Flag,
    Name,
    OneOrMany,
    PositiveCount,
    PositiveDuration,
    PositiveSize,
    RequestTarget,
    Share,
    Token,
    Weight,
    parse_host,
    parse_path,
    parse_port,
    show,
)
from penstock.core import snapshot
from penstock.core.snapshot.address import SOCKET_FILE
from penstock.dataplane.board.layout import MAX_SHADOWS

_POOL: Final = snapshot.Pool(name="", endpoints=())
_ENDPOINT: Final = snapshot.Endpoint(name="", host="", port=0)
_TIMEOUTS: Final = snapshot.PoolTimeouts()
_RETRY: Final = snapshot.Retry()
_CONNECTIONS: Final = snapshot.Connections()
# uvicorn (vLLM, SGLang, TensorRT-LLM) and cpp-httplib (llama.cpp) close idle connections after 5 s.
# A POST that meets one as it closes is lost, as it may have been read.
ENGINE_IDLE_S: Final = 4.0
# The clients of OpenAI and Anthropic wait 600 s and then ask anew, twice: an answer of ours before
# that would have a generation begun again that still ran. Theirs is the decision.
ENGINE_FIRST_BYTE_S: Final = 900.0
ENGINE_RETRIED: Final = (429, 502, 503, 504)
_TLS: Final = snapshot.EndpointTls()
_PROBE: Final = snapshot.Probe()
_DECISIONS: Final = snapshot.Decisions()
_SCHEME_PORTS: Final = {"http": 80, "https": 443, "h2c": 80, "tcp": 0, "udp": 0}  # 0: none is usual
_RELAYED: Final[dict[str, Literal["http", "tcp", "udp"]]] = {"tcp": "tcp", "udp": "udp"}
_SOCKET_SCHEMES: Final = ("http", "h2c", "tcp")  # over a socket of the file system
_OTHER_SCHEMES: Final = {
    "grpc": "; gRPC is spoken over HTTP/2: write h2c://",
    "grpcs": "; gRPC is spoken over HTTP/2: write https:// and `http2: on`",
    "ws": "; WebSockets begin with HTTP: write http://",
    "wss": "; WebSockets begin with HTTP: write https://",
}


def _http2_choice(value: object) -> object:
    named = {"yes": "on", "no": "off", True: "on", False: "off"}
    return named.get(value, value) if isinstance(value, (str, bool)) else value


def default_policy(kind: str) -> snapshot.PolicyChoice:
    """How a pool of that kind chooses where its configuration does not say."""
    return snapshot.PolicyChoice("marginal-cost") if kind == "llm" else _POOL.policy


@dataclass(frozen=True)
class EndpointUrl:
    """Where an endpoint listens, and what it speaks there."""

    host: str
    port: int
    tls: bool
    base_path: str = ""  # that all paths begin with there; without a slash at its end
    protocol: Literal["http", "tcp", "udp"] = "http"
    http2: bool = False  # with prior knowledge


def parse_endpoint_url(value: object) -> EndpointUrl:
    """``http://host:port``, ``https://host/base/path``, ``host:port``, ``tcp://host:port``,
    ``udp://host:port``, or a socket file: ``unix:/path``, ``h2c+unix:/path``, ``tcp+unix:/path``.

    Raises ValueError.
    """
    if isinstance(value, EndpointUrl):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"a URL such as http://10.0.0.1:8000 is needed, not {show(value)}")
    if value.startswith("/"):
        raise ValueError(f"{value}: write {SOCKET_FILE}{value} for a socket of the file system")
    spoken, file, path = value.partition(SOCKET_FILE)
    if file and (not spoken or spoken.endswith(("+", "://"))):
        return _behind_socket_file(value, spoken, SOCKET_FILE + path)
    scheme, found, rest = value.partition("://")
    if not found:
        scheme, rest = "http", value
        if ":" not in value:
            raise ValueError(f"an endpoint needs a scheme or a port: http://{value}")
    if scheme not in _SCHEME_PORTS:
        other = _OTHER_SCHEMES.get(scheme, "")
        raise ValueError(
            "an endpoint's URL begins with http://, https://, h2c://, tcp:// or udp://, not "
            f"{scheme}://{other}"
        )
    authority, slash, beyond = rest.partition("/")
    if "@" in authority:
        raise ValueError("a URL of an endpoint cannot hold a user name or password")
    if any(mark in rest for mark in "?#"):
        raise ValueError(f"{show(value)} has a query or fragment, which no endpoint can have")
    base_path = parse_path(slash + beyond.rstrip("/")) if beyond.strip("/") else ""
    if any(segment in ("", ".", "..") for segment in base_path.split("/")[1:]):
        raise ValueError(f"{show(value)} has a path with an empty segment, `.` or `..`")
    if scheme in _RELAYED and base_path:
        raise ValueError(f"{value}: {scheme}:// knows no paths; write {scheme}://{authority}")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        if scheme in _RELAYED:
            raise ValueError(f"{value} needs a port: {scheme}://{authority}:PORT")
        host, port = authority, str(_SCHEME_PORTS[scheme])
    number = parse_port(port)
    if number == 0:
        raise ValueError("an endpoint cannot have port 0")
    protocol = _RELAYED.get(scheme, "http")
    return EndpointUrl(
        parse_host(host), number, scheme == "https", base_path, protocol, http2=scheme == "h2c"
    )


def _behind_socket_file(value: str, spoken: str, file: str) -> EndpointUrl:
    scheme = spoken.removesuffix("+") or "http"
    if scheme in _SOCKET_SCHEMES:
        return EndpointUrl(
            parse_socket_file(file),
            0,
            tls=False,
            protocol=_RELAYED.get(scheme, "http"),
            http2=scheme == "h2c",
        )
    if spoken.endswith("://"):  # as nginx and others write it
        scheme = spoken.removesuffix("://")
    if scheme in _SOCKET_SCHEMES:
        right = file if scheme == "http" else f"{scheme}+{file}"
        raise ValueError(f"{value}: write {right}")
    raise ValueError(
        f"{value}: what is spoken over a socket file is HTTP ({SOCKET_FILE}/path), or "
        f"h2c+{SOCKET_FILE}/path or tcp+{SOCKET_FILE}/path"
    )


class Endpoint(Section):
    """A server of a pool. A plain text stands for its `url`."""

    url: Annotated[EndpointUrl, PlainValidator(parse_endpoint_url, json_schema_input_type=str)] = (
        required(
            "`http://host:port` or `https://host:port`; http where only `host:port` is given. A "
            "path, as in `https://host/openai`, comes before every path that is asked for there. "
            "`h2c://host:port`: HTTP/2 without TLS. "
            "`tcp://host:port`: connections of `tcp` and `tls-passthrough` listeners. "
            "`udp://host:port`: datagrams of `udp` listeners. `unix:/path`, `h2c+unix:/path`, "
            "`tcp+unix:/path`: the same over a socket of the file system."
        )
    )
    name: Name | None = setting(
        None, "Unique in its pool. Default: `host:port`, and the path if the `url` has one."
    )
    kv_events: KvEvents | None = setting(
        None, "Where its engine publishes KV events, instead of its pool's `engine: {kv_events}`."
    )
    headers: dict[EditedName, FieldValue] = setting(
        {},
        "Headers of all requests to it, health checks and questions to its engine among them, such "
        "as its own `Authorization`; in place of the client's.",
    )
    weight: Weight = setting(
        _ENDPOINT.weight, "Its share of requests relative to the others. 0: it gets none."
    )
    max_in_flight: Count = setting(
        _ENDPOINT.max_in_flight,
        "Most requests in flight there at once, over all workers. 0: no limit.",
    )
    priority: Count = setting(
        _ENDPOINT.priority,
        "Its priority group. The group with the lowest number is used; the next only when "
        "none of it is available.",
    )
    backup: Flag = setting(_ENDPOINT.backup, "Used only when no other endpoint is available.")
    zone: str = setting(_ENDPOINT.zone, "Its zone, for policies that prefer nearby endpoints.")
    models: OneOrMany[ModelName] = setting(
        _ENDPOINT.models, "Models that it serves, in a pool of kind `llm`. Default: it is asked."
    )
    quic_server_ids: OneOrMany[CheckBytes] = setting(
        (), "What it puts into its connection ids of QUIC; `hex:` begins bytes."
    )

    def full_name(self) -> str:
        """Its name, given or made from its address."""
        return self.name or str(Address(self.url.host, self.url.port)) + self.url.base_path


def _endpoint(value: Any) -> Any:
    return {"url": value} if isinstance(value, (str, EndpointUrl)) else value


Endpoints = OneOrMany[
    Annotated[Endpoint, BeforeValidator(_endpoint, json_schema_input_type=str | Endpoint)]
]


class HashedBytes(Section):
    """Where a token stands in datagrams. One that is too short is hashed by its source."""

    offset: Count = setting(0, "How many bytes stand before it.")
    length: PositiveCount = required("How many bytes it has.")


class HashKey(Section):
    """What hashing policies hash by: `source`, `source_port`, `path`, or one of these."""

    source: Flag = setting(False, "The client's address.")
    source_port: Flag = setting(False, "The client's address and port, of UDP.")
    bytes: HashedBytes | None = setting(
        None, "Bytes of a UDP session's first datagram, such as a token."
    )
    path: Flag = setting(False, "The path of the request.")
    header: OneOrMany[Token] = setting(
        (), "A request header, or several: the first one present is used."
    )
    cookie: Token | None = setting(None, "A cookie.")
    query: str | None = setting(None, "A query parameter.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "HashKey":
        if len([value for value in self._parts().values() if value]) != 1:
            raise ValueError(
                "give exactly one of `source`, `source_port`, `bytes`, `path`, `header`, `cookie`, "
                "`query`"
            )
        return self

    def _parts(self) -> dict[str, object]:
        return {
            "source": self.source,
            "source_port": self.source_port,
            "bytes": self.bytes,
            "path": self.path,
            "header": self.header,
            "cookie": self.cookie,
            "query": self.query,
        }

    def compiled(self) -> snapshot.HashKey:
        """As the snapshot has it; names of headers are lower case."""
        if self.header:
            return snapshot.HashKey("header", tuple(name.lower() for name in self.header))
        if self.cookie:
            return snapshot.HashKey("cookie", (self.cookie,))
        if self.query:
            return snapshot.HashKey("query", (self.query,))
        if self.bytes:
            return snapshot.HashKey("bytes", offset=self.bytes.offset, length=self.bytes.length)
        if self.source_port:
            return snapshot.HashKey("source_port")
        return snapshot.HashKey("path" if self.path else "source")


def _hash_key(value: Any) -> Any:
    if value in ("source", "source_port", "path"):
        return {value: True}
    if isinstance(value, str):
        raise ValueError(
            "`source`, `source_port`, `path` or a mapping such as {header: X-User} is needed, not "
            f"{show(value)}"
        )
    return value


class PoolTimeouts(Section):
    """How long an endpoint may take."""

    connect: Duration = setting(_TIMEOUTS.connect_s, "Time to connect, TLS included.")
    first_byte: Duration | None = setting(
        None,
        "Time from the request sent to the first byte of the response. Default: `5m`; `15m` "
        "in pools of kind `llm`, whose clients wait 10 minutes and would retry after an "
        "earlier timeout.",
    )
    stream_idle: Duration | None = setting(
        None,
        "Time between two pieces of a response. Default: `5m`; `15m` in pools of kind `llm`.",
    )
    request: Duration = setting(
        _TIMEOUTS.request_s, "Time for the whole exchange, retries included."
    )
    tunnel_idle: Duration = setting(
        _TIMEOUTS.tunnel_idle_s,
        "Time for which a relayed connection carries no byte in either direction.",
    )
    session_idle: PositiveDuration = setting(
        _TIMEOUTS.session_idle_s, "A UDP session, without a datagram in either direction."
    )
    http2_connection_age: Duration = setting(
        _TIMEOUTS.http2_connection_age_s,
        "Age at which an HTTP/2 connection to an endpoint gets no more requests, give or take a "
        "fifth; it closes when the last one on it has ended. So servers that are new behind a name "
        "or an address get their share. `off`: never.",
    )

    def compiled(self, kind: str) -> snapshot.PoolTimeouts:
        """Of a pool of that kind."""
        llm = kind == "llm"
        first_s, idle_s = self.first_byte, self.stream_idle
        if first_s is None:
            first_s = ENGINE_FIRST_BYTE_S if llm else _TIMEOUTS.first_byte_s
        if idle_s is None:
            idle_s = ENGINE_FIRST_BYTE_S if llm else _TIMEOUTS.stream_idle_s
        return plain(snapshot.PoolTimeouts, self, first_byte_s=first_s, stream_idle_s=idle_s)


class Retry(Section):
    """When a failed request is tried on another endpoint; never after a byte was passed on."""

    attempts: PositiveCount = setting(
        _RETRY.attempts,
        "Most attempts, the first included; `retry: off` means 1. Refused connections do not "
        "count while untried endpoints remain; a model's fallback gets as many attempts "
        "again.",
    )
    on_statuses: OneOrMany[Annotated[int, Field(ge=400, le=599)]] | None = setting(
        None,
        "Response statuses to retry, for requests that may be repeated: GET and similar, and "
        "POST with `non_idempotent`. In pools of kind `llm`, 429 and 503 mean that the engine"
        " refused, so any request is sent to another endpoint, if one is left. Default: "
        "`502`, `503`, `504`; in pools of kind `llm` also `429`.",
    )
    on_grpc_statuses: OneOrMany[GrpcStatus] = setting(
        _RETRY.on_grpc_statuses,
        "How gRPC calls end that are made again, by name or number, such as `unavailable`: as long "
        "as no message of the response came, also where the call was sent, since only whoever "
        "writes this knows that it does no harm.",
    )
    on_connect_failure: Flag = setting(
        _RETRY.on_connect_failure, "When no connection could be made."
    )
    on_reset: Flag = setting(
        _RETRY.on_reset, "When the connection broke before the first byte of the response."
    )
    on_timeout: Flag = setting(_RETRY.on_timeout, "When the first byte did not come in time.")
    non_idempotent: Flag = setting(
        _RETRY.non_idempotent,
        "Also repeat requests such as POST after they were sent. Only use it where that is "
        "harmless.",
    )
    generations: Flag = setting(
        _RETRY.generations,
        "In pools of kind `llm`, also repeat requests for answers and embeddings of which no "
        "byte arrived. Never those that leave something at the endpoint: `store`, "
        "`background`, and OpenAI's responses without `store: false`.",
    )
    budget_share: Share = setting(
        _RETRY.budget_share, "Retries allowed as a share of requests, over 10 s."
    )
    budget_min_per_s: Factor = setting(
        _RETRY.budget_min_per_s, "Retries a second that are always allowed."
    )

    def compiled(self, kind: str) -> snapshot.Retry:
        """Of a pool of that kind."""
        statuses = self.on_statuses
        if statuses is None:
            statuses = ENGINE_RETRIED if kind == "llm" else _RETRY.on_statuses
        return plain(snapshot.Retry, self, on_statuses=statuses)


def _retry(value: Any) -> Any:
    return {"attempts": 1} if value == "off" or value is False else value


class Connections(Section):
    """Connections to each endpoint, by each worker. A server's `Keep-Alive: timeout=` is heeded."""

    max_idle: Count = setting(_CONNECTIONS.max_idle, "Most idle connections to keep.")
    idle_timeout: Duration | None = setting(
        None,
        "How long an idle connection is kept. It should be shorter than the endpoint's own "
        "keep-alive timeout. Default: `55s`; `4s` in pools of kind `llm`, as most engines "
        "close theirs after 5 s.",
    )
    max_requests: Count = setting(
        _CONNECTIONS.max_requests,
        "Requests sent on one connection before it is closed. 0: any number.",
    )
    response_header_bytes: PositiveSize = setting(
        _CONNECTIONS.response_header_bytes,
        "Most bytes of all headers of a response; a larger head is answered with 502.",
    )

    def compiled(self, kind: str) -> snapshot.Connections:
        """Of a pool of that kind."""
        idle_s = self.idle_timeout
        if idle_s is None:
            idle_s = ENGINE_IDLE_S if kind == "llm" else _CONNECTIONS.idle_timeout_s
        return plain(snapshot.Connections, self, idle_timeout_s=idle_s)


def _host_or_empty(value: object) -> str:
    return parse_host(str(value)) if value else ""


class EndpointTls(Section):
    """How `https://` endpoints are verified, and what they are shown."""

    verify: Flag = setting(_TLS.verify, "Whether certificates are verified. Leave it on.")
    ca_file: str | None = setting(
        None, "PEM file with the authorities to trust. Default: the system's."
    )
    server_name: Annotated[str, BeforeValidator(_host_or_empty)] = setting(
        _TLS.server_name, "Server name to send and verify. Empty: the endpoint's host."
    )
    certificate: str | None = setting(
        None,
        "PEM file with the certificate, and its intermediates, for endpoints that ask for one "
        "(mutual TLS); health checks show it too. Read again when it changes. Default: none.",
    )
    key: str | None = setting(None, "PEM file with its private key, unencrypted.")


class Probe(Section):
    """How endpoints are asked for their load, where the policy wants that (`prequal` with `answers:
    asked`): by GET. The answer is an `endpoint-load-metrics` header or a JSON object, with `rif` or
    vLLM's `server_load`, and `latency_s` or `latency_ms`."""

    path: RequestTarget = setting(_PROBE.path, "Path to ask, with its query if it has one.")
    timeout: PositiveDuration = setting(_PROBE.timeout_s, "Timeout of one question.")


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

    endpoints: Endpoints = required("Its servers: URLs, or mappings with a `url`.")
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
    hash_key: (
        Annotated[HashKey, BeforeValidator(_hash_key, json_schema_input_type=str | HashKey)] | None
    ) = setting(None, "What hashing policies hash. Default: `source`.")
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
    retry: Annotated[Retry, BeforeValidator(_retry, json_schema_input_type=str | Retry)] = setting(
        Retry(), "When a failed request is retried."
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
    slow_start: SlowStartOrWindow = setting(
        SlowStart(), "Give endpoints that come up less traffic at first: a duration, or a mapping."
    )
    panic_threshold: Share = setting(
        _POOL.panic_threshold,
        "When less than this share of the pool is available, health is ignored. 0: never.",
    )
    connections: Connections = setting(Connections(), "Idle connections to each endpoint.")
    http2: Annotated[
        Literal["off", "on", "auto"],
        BeforeValidator(_http2_choice, json_schema_input_type=Literal["off", "on", "auto"] | bool),
    ] = setting(
        _TLS.http2,
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
