"""Which requests go where, and what is changed on them."""

from __future__ import annotations

from typing import Literal

from penstock.core.snapshot.data import Data
from penstock.core.snapshot.limit import Limit


class HeaderMatch(Data, frozen=True):
    """A condition on one request header; ``name`` is lower case."""

    name: str
    kind: Literal["present", "exact", "prefix", "regex"] = "present"
    value: str = ""
    invert: bool = False


class Match(Data, frozen=True):
    """When a route applies: every condition given must hold; an empty one always does."""

    listeners: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # "a.example" or "*.example", lower case, without port
    path_kind: Literal["any", "exact", "prefix", "regex"] = "any"
    path: str = ""
    methods: tuple[str, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()
    sources: tuple[str, ...] = ()  # networks of the client's address, in CIDR form
    server_names: tuple[str, ...] = ()  # that its TLS asks for, as ``hosts``


class HeaderEdit(Data, frozen=True):
    """One change to the headers of a request or response, applied in order."""

    operation: Literal["set", "add", "remove"]
    name: str
    value: str = ""


class Rewrite(Data, frozen=True):
    """A change of the path: the matched prefix is replaced, or a regex is substituted."""

    kind: Literal["prefix", "regex"]
    pattern: str  # the prefix or the regular expression to look for
    replacement: str  # "" strips it; the result always begins with "/"


class WeightedPool(Data, frozen=True):
    pool: str
    weight: float = 1.0


class Redirect(Data, frozen=True):
    """Answer with a redirect. Parts not given are taken from the request."""

    status: int = 308
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""  # a whole path; empty keeps the request's, rewritten if a rewrite is given


class FixedResponse(Data, frozen=True):
    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


class ErrorPage(Data, frozen=True):
    """What clients get in place of errors of those statuses, in up to three forms; "": not in it.

    ``replaces_endpoints``: also in place of endpoints' answers, else of the balancer's own.
    """

    statuses: tuple[int, ...]
    html: str = ""
    json: str = ""
    text: str = ""
    replaces_endpoints: bool = False


class Compression(Data, frozen=True):
    """Which answers are compressed. Without ``codings``: none."""

    codings: tuple[str, ...] = ("zstd", "gzip")
    types: tuple[str, ...] = (
        "text/html",
        "text/css",
        "text/plain",
        "text/javascript",
        "text/xml",
        "text/csv",
        "text/markdown",
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/manifest+json",
        "application/problem+json",
        "application/xml",
        "application/xhtml+xml",
        "application/rss+xml",
        "application/atom+xml",
        "application/wasm",
        "image/svg+xml",
    )
    minimum_size: int = 1024
    private: bool = False  # also where cookies or credentials go along


class ForwardAuth(Data, frozen=True):
    """Whether a request may go on is asked of a service, which ``pool`` serves."""

    pool: str
    path: str = "/"
    pass_headers: tuple[str, ...] = ()  # of its yes, to the endpoint; clients cannot send them
    tenant_header: str = ""  # of its yes: the name of the tenant that asks, and of its user
    user_header: str = ""
    timeout_s: float = 5.0
    cache_s: float = 0.0  # how long an answer counts for the same head; 0: it is asked each time


class BasicAuth(Data, frozen=True):
    """Users who show a password (RFC 7617)."""

    users: dict[str, str]  # hashes, as ``wire.htpasswd`` reads them
    realm: str = "penstock"
    user_header: str = ""  # that tells the endpoint who it is; "": none does
    file: str = ""  # that they stand in


class Route(Data, frozen=True):
    """What happens to requests that match: exactly one of pools, redirect, respond and
    grpc_service is set."""

    name: str
    match: Match = Match()
    pools: tuple[WeightedPool, ...] = ()
    mirror: str = ""  # a pool that gets a copy; its answers are dropped
    mirror_share: float = 1.0
    redirect: Redirect | None = None
    respond: FixedResponse | None = None
    grpc_service: str = ""  # that is answered here, by its full name
    rewrite: Rewrite | None = None
    upgrades: tuple[str, ...] = ("websocket",)  # protocols that requests may change to, lower case
    request_headers: tuple[HeaderEdit, ...] = ()
    response_headers: tuple[HeaderEdit, ...] = ()
    compression: Compression | None = None  # in place of its pools'
    error_pages: tuple[ErrorPage, ...] = ()  # the first that names a status; before its pool's
    # Whether requests need a tenant's key. optional: those without one are nobody's.
    tenants: Literal["off", "optional", "required"] = "off"
    priority: int = -1  # of its requests in queues, 0 most important; -1: as its pools say
    limits: tuple[Limit, ...] = ()
    forward_auth: ForwardAuth | None = None
    basic_auth: BasicAuth | None = None
