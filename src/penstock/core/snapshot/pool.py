"""A pool: its endpoints, and how one of them is chosen, called and called again."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from penstock.core.snapshot.admission import Admission
from penstock.core.snapshot.data import Data
from penstock.core.snapshot.discovery import Discovery
from penstock.core.snapshot.endpoint import Endpoint
from penstock.core.snapshot.engine import Engine, Models, ServedModel
from penstock.core.snapshot.forecast import Forecast
from penstock.core.snapshot.health import AgentCheck, Breaker, HealthCheck, Outlier, SlowStart
from penstock.core.snapshot.limit import Limit
from penstock.core.snapshot.route import Compression, ErrorPage, HeaderEdit
from penstock.core.snapshot.scale import Scale
from penstock.core.snapshot.split import Split


class EndpointTls(Data, frozen=True):
    verify: bool = True
    ca_file: str = ""  # empty: the system's
    server_name: str = ""  # SNI and the name verified; empty: the endpoint's host
    certificate: str = ""  # shown to endpoints that ask for one, with its chain; empty: none is
    key: str = ""
    # By ALPN; on: it must be agreed on; auto: the endpoint chooses between it and HTTP/1.1.
    http2: Literal["off", "on", "auto"] = "off"

    @property
    def files(self) -> tuple[str, ...]:
        """All that it names."""
        return tuple([each for each in (self.ca_file, self.certificate, self.key) if each])


class Connections(Data, frozen=True):
    """Connections to each endpoint, per worker: the idle ones that are kept, and a bound."""

    max_idle: int = 256
    idle_timeout_s: float = 55.0  # under the 60 s and more that servers keep theirs open
    max_requests: int = 0
    response_header_bytes: int = 65536


class PoolTimeouts(Data, frozen=True):
    """How long an endpoint may take. 0 turns one off."""

    connect_s: float = 2.0  # TCP, and TLS where the endpoint speaks it
    first_byte_s: float = 300.0  # from the request sent to the first byte of the response
    stream_idle_s: float = 300.0  # between two reads of a response
    request_s: float = 0.0  # the whole exchange; off: inference runs long
    tunnel_idle_s: float = 3600.0  # a connection that is relayed, without a byte in either way
    session_idle_s: float = 60.0  # a UDP session, without a datagram in either way
    # Of a streamed answer of a language model, until its first token, and between two of them.
    first_token_s: float = 0.0
    token_s: float = 0.0
    # A connection that speaks HTTP/2, until it gets no further streams; some more or less each.
    http2_connection_age_s: float = 300.0


class FirstTokenHeader(Data, frozen=True):
    """A request's own ``timeouts.first_token_s``, in seconds, by a header that is named so."""

    name: str
    floor_s: float = 1.0
    ceiling_s: float = 60.0


class Retry(Data, frozen=True):
    """When a failed attempt is repeated on another endpoint (never after a byte was passed on).

    A request that was not sent is always safe; one that was sent is repeated only when its
    method is idempotent (RFC 9110, 9.2.2) or ``non_idempotent`` says so, and in pools of kind
    ``llm`` where the engine refused it with 429 or 503, or by ``generations``. A gRPC call that
    ended without a message is repeated where its status is in ``on_grpc_statuses``.
    """

    attempts: int = 3  # in all, the first included
    on_statuses: tuple[int, ...] = (502, 503, 504)
    on_grpc_statuses: tuple[int, ...] = ()
    on_connect_failure: bool = True
    on_reset: bool = True  # the connection died before the first byte
    on_timeout: bool = False  # no first byte in time
    non_idempotent: bool = False
    generations: bool = True  # of which no byte came, and of which nothing stays behind
    budget_share: float = 0.2  # retries per request, over 10 s (Finagle)
    budget_min_per_s: float = 10.0


class Hedge(Data, frozen=True):
    """A second attempt where a first one has no token yet."""

    after_s: float = 0.0  # 0: by the quantile
    quantile: float = 0.95  # of the waits for first tokens of late
    budget_share: float = 0.05  # of prompt tokens, or of requests of other kinds


class Resume(Data, frozen=True):
    """Another endpoint goes on with a streamed answer that is cut."""

    max_resumes: int = 2  # of one answer
    exact: bool = False  # only where the rest is certain to be what it would have been
    token_ids: bool = False  # engines are asked for them, to go on exactly
    answer_bytes: int = 1024 * 1024  # of text, that are kept of one


class WebSocketDeflate(Data, frozen=True):
    """Messages to and from clients may be compressed (permessage-deflate, RFC 7692)."""

    window_bits: int = 12  # at most, of what was said before
    context: bool = True  # what was said before helps to compress what follows


class WebSocketResponses(Data, frozen=True):
    """WebSockets of OpenAI's Responses are read, and each response is routed by itself."""

    message_bytes: int = 16 * 1024 * 1024  # of one message, either way
    most: int = 16  # responses of one WebSocket that run or wait for others of it
    compression: WebSocketDeflate | None = None


class PolicyChoice(Data, frozen=True):
    name: str = "least-request"
    options: dict[str, int | float | str | bool] = field(default_factory=dict)


class Probe(Data, frozen=True):
    """How endpoints are asked for their load, by policies that want it (``prequal``)."""

    path: str = "/load"
    timeout_s: float = 0.5


class Decisions(Data, frozen=True):
    """Which decisions a pool records. ``sample`` is the share of requests; 0: none."""

    sample: float = 0.0
    keep: int = 1000  # by each worker, for ``penstock ctl explain``
    max_per_s: float = 100.0  # over all workers
    file: str = ""  # gets them as JSON lines too; empty: none does


class HashKey(Data, frozen=True):
    """What hashing policies hash by."""

    kind: Literal["source", "source_port", "bytes", "header", "cookie", "path", "query"] = "source"
    names: tuple[str, ...] = ()  # of headers, the first of them that is there; else one
    offset: int = 0  # of ``bytes`` in a session's first datagram
    length: int = 0


class QuicConnectionIds(Data, frozen=True):
    """How QUIC servers make connection ids (draft-ietf-quic-load-balancers, plaintext)."""

    config: int  # the three leading bits
    server_id_length: int


class Sticky(Data, frozen=True):
    """A signed cookie that returns a client to its endpoint. ``keys``: first signs, all verify."""

    cookie: str
    keys: tuple[str, ...]
    ttl_s: float = 0.0  # 0: a session cookie
    path: str = "/"
    same_site: Literal["", "Strict", "Lax", "None"] = "Lax"
    secure: bool = False
    http_only: bool = True
    # Its endpoint has no room: its clients wait there, where the pool has a queue, or go elsewhere
    # this once.
    when_full: Literal["wait", "elsewhere"] = "wait"


class Drain(Data, frozen=True):
    """What becomes of clients of an endpoint that drains, or has weight 0."""

    sticky: Literal["stay", "move"] = "stay"  # those that a cookie, or an answer, binds to it
    deadline_s: float = 0.0  # how long they stay; 0: until they end by themselves
    move_streams_s: float = 0.0  # then streamed answers go on elsewhere; 0: they end there


class Maintenance(Data, frozen=True):
    """An operator set the pool aside: its clients get 503. "": the page that is configured."""

    text: str = ""
    retry_after_s: int = 0  # 0: not told


class Pool(Data, frozen=True):
    """``row`` is the pool's place on the board, given by the supervisor."""

    name: str
    endpoints: tuple[Endpoint, ...]
    # Where further ones are found; the supervisor adds them to ``endpoints``.
    discover: tuple[Discovery, ...] = ()
    # What endpoints speak; tcp and udp: bytes or datagrams are relayed unread.
    protocol: Literal["http", "tcp", "udp"] = "http"
    kind: Literal["http", "llm"] = "http"  # llm: bodies are understood before an endpoint is chosen
    # Tokens of answers: asked for and hidden from clients that did not ask; only where they asked.
    usage: Literal["hidden", "asked", "off"] = "hidden"
    prompt_bytes: int = 16 * 1024 * 1024  # of a body that is read; a million tokens with images
    malformed: Literal["pass", "refuse"] = "pass"  # bodies that are not understood
    # Fields in clients' bodies that tell engines with whom to hand over KV caches.
    split: Split | None = None  # its prompts are computed by another pool
    prefills_for: str = ""  # the pool whose prompts it computes, and nothing else
    kv_transfers: Literal["pass", "refuse"] = "refuse"
    # So much of a request's body is there before it takes a place at an endpoint; 0: none need be.
    request_buffer: int = 0
    engine: Engine | None = None  # None: endpoints are not asked for their load
    models: Models = Models()
    # What endpoints said they serve, by their names; the supervisor adds it.
    discovered: dict[str, tuple[ServedModel, ...]] = field(default_factory=dict)
    awaited: tuple[str, ...] = ()  # endpoints that have not said yet which models they serve
    asks_again: bool = False  # a worker that misses a model may have endpoints asked once more
    policy: PolicyChoice = PolicyChoice()
    probe: Probe = Probe()
    shadow: tuple[PolicyChoice, ...] = ()  # other policies, asked about recorded decisions
    decisions: Decisions = Decisions()
    hash_key: HashKey = HashKey()
    sticky: Sticky | None = None
    drain: Drain = Drain()
    # Any other text is sent as it is; auto: endpoint for those over TLS by name, else pass.
    host_header: Literal["auto", "pass", "endpoint"] | str = "auto"
    request_headers: tuple[HeaderEdit, ...] = ()
    response_headers: tuple[HeaderEdit, ...] = ()
    compression: Compression | None = None
    error_pages: tuple[ErrorPage, ...] = ()  # before those of the snapshot
    timeouts: PoolTimeouts = PoolTimeouts()
    first_token_header: FirstTokenHeader | None = None
    retry: Retry = Retry()
    hedge: Hedge | None = None
    resume: Resume | None = None
    websocket_responses: WebSocketResponses | None = None
    health_check: HealthCheck | None = None
    agent_check: AgentCheck | None = None
    outlier: Outlier = Outlier()
    breaker: Breaker | None = None
    admission: Admission = Admission()
    limits: tuple[Limit, ...] = ()
    slow_start: SlowStart = SlowStart()
    panic_threshold: float = 0.0  # share of available endpoints under which health is ignored
    connections: Connections = Connections()
    tls: EndpointTls = EndpointTls()
    tls_generation: int = 0  # raised by the supervisor when files of ``tls`` changed
    quic_connection_ids: tuple[QuicConnectionIds, ...] = ()
    # The PROXY header that goes first on connections to endpoints: who the client is.
    proxy_protocol: Literal["off", "v1", "v2"] = "off"
    proxy_datagrams: Literal["each", "first"] = "each"  # of UDP, that begin with a header
    scale: Scale | None = None  # how many endpoints there are to be; None: those listed
    forecast: Forecast | None = None
    maintenance: Maintenance | None = None  # the supervisor adds it
    row: int = -1
