"""The document's part about routes: which requests, and what happens to them."""

from typing import Annotated, Any, Final, Literal

from msgspec.structs import replace
from pydantic import BeforeValidator, Field, model_validator

from penstock.config.document.compression import CompressionOrOff
from penstock.config.document.error_pages import ErrorPages
from penstock.config.document.forward_auth import BasicAuth, ForwardAuth
from penstock.config.document.headers import Edits, compiled_edits
from penstock.config.document.limits import Budgets, Limits
from penstock.config.document.listeners import parse_server_name
from penstock.config.document.match import Match
from penstock.config.document.paths import parse_path, parse_path_piece, parse_replacement
from penstock.config.document.section import Section, plain, required, setting
from penstock.config.document.values import (
    FieldValue,
    Name,
    OneOrMany,
    Port,
    Priority,
    Regex,
    RulePath,
    Share,
    Weight,
    parse_token,
)
from penstock.core import snapshot
from penstock.wire.upgrade import NEVER_PASSED

_ROUTE: Final = snapshot.Route(name="")
_REDIRECT: Final = snapshot.Redirect()
_RESPONSE: Final = snapshot.FixedResponse(status=200)


class Rewrite(Section):
    """A change of the path that the endpoint sees."""

    prefix: RulePath | None = setting(
        None, "The beginning to replace. Default: the `path_prefix` of the route."
    )
    regex: Regex | None = setting(
        None, "A regular expression whose first match in the path is replaced instead."
    )
    replacement: str = setting(
        "", "What to put there; `\\1` is the first group of `regex`. Empty: remove it."
    )

    @model_validator(mode="after")
    def _replaceable(self) -> "Rewrite":
        if self.prefix is not None and self.regex is not None:
            raise ValueError("give one of `prefix` and `regex`")
        try:
            if self.regex is not None:
                parse_replacement(self.regex, self.replacement)
            else:
                parse_path_piece(self.replacement)
        except ValueError as error:
            raise ValueError(f"`replacement` {error}") from error
        return self


def _host_or_empty(value: object) -> str:
    host = parse_server_name(value) if value else ""
    if host.startswith("*"):
        raise ValueError("a redirect leads to one host, not to a wildcard")
    return host


def _path_or_empty(value: object) -> str:
    return parse_path(value) if value else ""


class Redirect(Section):
    """Answer with a redirect. What is left out is taken from the request."""

    status: Literal[301, 302, 303, 307, 308] = setting(_REDIRECT.status, "Status code.")
    scheme: Literal["", "http", "https"] = setting(_REDIRECT.scheme, "`http` or `https`.")
    host: Annotated[str, BeforeValidator(_host_or_empty)] = setting(
        _REDIRECT.host, "Host without port."
    )
    port: Port = setting(_REDIRECT.port, "Port. 0: the scheme's own.")
    path: Annotated[str, BeforeValidator(_path_or_empty)] = setting(
        _REDIRECT.path, "A whole path. Empty: the request's, after `rewrite`."
    )


def _status_only(value: Any) -> Any:
    return {"status": value} if isinstance(value, (int, str)) else value


class FixedResponse(Section):
    """Answer with this, without any pool. A plain number stands for `status`."""

    status: Annotated[int, Field(ge=200, le=599)] = required(
        "Status code, 200 to 599. 405 comes with `Allow`: the methods that other routes take for "
        "the same request."
    )
    body: str = setting(_RESPONSE.body, "Body.")
    content_type: FieldValue = setting(_RESPONSE.content_type, "Type of the body.")

    @model_validator(mode="after")
    def _body_allowed(self) -> "FixedResponse":
        if self.body and self.status in (204, 205, 304):
            raise ValueError(f"a response of status {self.status} has no body (RFC 9110, 15)")
        return self


class Mirror(Section):
    """A pool that gets a copy of requests; its answers are dropped."""

    pool: str = required("Name of the pool.")
    share: Share = setting(_ROUTE.mirror_share, "Share of requests that are copied, 0 to 1.")


def parse_upgrade(value: object) -> str:
    """A protocol that HTTP/1.1 may change to, in lower case. Raises ValueError."""
    name = parse_token(value).lower()
    if name.encode() in NEVER_PASSED or name.startswith("tls"):
        raise ValueError(
            f"{name} cannot be changed to: it would carry requests past every route and rule"
        )
    return name


Upgrades = OneOrMany[Annotated[str, BeforeValidator(parse_upgrade)]]


def _file_only(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _mirror(value: Any) -> Any:
    return {"pool": value} if isinstance(value, str) else value


class Route(Section):
    """What happens to requests that match. Give one of pool, pools, redirect, respond and
    grpc_service."""

    name: Name | None = setting(None, "Name in logs and metrics. Default: `route-N`.")
    match: Match = setting(Match(), "Conditions that a request must meet.")
    pool: str | None = setting(None, "The pool that serves them.")
    pools: dict[str, Weight] | None = setting(
        None, "Several pools with their weights, for example for a canary."
    )
    mirror: (
        Annotated[Mirror, BeforeValidator(_mirror, json_schema_input_type=str | Mirror)] | None
    ) = setting(None, "A pool that gets copies, or `{pool, share}`.")
    redirect: Redirect | None = setting(None, "Answer with a redirect.")
    respond: (
        Annotated[
            FixedResponse,
            BeforeValidator(_status_only, json_schema_input_type=int | FixedResponse),
        ]
        | None
    ) = setting(None, "Answer with a fixed response.")
    grpc_service: Literal["grpc.health.v1.Health"] | None = setting(
        None,
        "Answer the calls of this gRPC service here: `grpc.health.v1.Health` tells whether the "
        "balancer, a pool, or the pools of a service can serve. `match` needs no path.",
    )
    rewrite: Rewrite | None = setting(None, "Change the path.")
    upgrades: Upgrades = setting(
        _ROUTE.upgrades,
        "Protocols that requests may change to (`Upgrade`, and `:protocol` of HTTP/2), after which "
        "bytes are relayed. Others are ignored, but a WebSocket, and whatever is asked for over "
        "HTTP/2, is refused with 501. `[]`: none.",
    )
    request_headers: Edits = setting((), "Change headers on the way to the endpoint.")
    response_headers: Edits = setting((), "Change headers on the way to the client.")
    compression: CompressionOrOff = setting(
        None, "Compress answers, or `off`. Default: as in its pools."
    )
    error_pages: ErrorPages = setting(
        (), "Pages in place of errors; they go before those of its pools."
    )
    priority: Priority | None = setting(
        None, "Of its requests in its pools' queues, 0 first. Default: as its pools say."
    )
    limits: Limits = setting((), "How much may be asked for by way of it, beside other limits.")
    budgets: Budgets = setting((), "How much may be asked for by way of it in a calendar's time.")
    basic_auth: (
        Annotated[BasicAuth, BeforeValidator(_file_only, json_schema_input_type=str | BasicAuth)]
        | None
    ) = setting(None, "Ask for a user and a password: a file of `htpasswd`, or a mapping.")
    forward_auth: ForwardAuth | None = setting(None, "Ask a service whether a request may go on.")
    tenants: Literal["off", "optional", "required"] | None = setting(
        None,
        "Whether requests need a tenant's key. `optional`: those without one are nobody's. "
        "Default: `required` where there are `tenants` or a `tenants_directory`, and the route has "
        "neither `forward_auth` nor `basic_auth`.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Route":
        ends = {
            "pool": self.pool,
            "pools": self.pools,
            "redirect": self.redirect,
            "respond": self.respond,
            "grpc_service": self.grpc_service,
        }
        given = [name for name, value in ends.items() if value is not None]
        if len(given) != 1:
            found = f"not {' and '.join(given)}" if given else "none is there"
            raise ValueError(
                "give exactly one of `pool`, `pools`, `redirect`, `respond`, `grpc_service`: "
                f"{found}"
            )
        if self.pools is not None and not sum(self.pools.values()) > 0:
            raise ValueError("at least one of `pools` needs a weight above 0")
        if self.mirror is not None and not (self.pool or self.pools):
            raise ValueError("`mirror` needs a `pool` or `pools` beside it")
        if self.grpc_service is not None:
            self._check_service(self.grpc_service)
        if self.forward_auth is not None and self.basic_auth is not None:
            raise ValueError("give one of `forward_auth` and `basic_auth`")
        if self.basic_auth is not None and not (self.pool or self.pools):
            raise ValueError("`basic_auth` needs a `pool` or `pools` beside it")
        if self.forward_auth is not None and not (self.pool or self.pools):
            raise ValueError("`forward_auth` needs a `pool` or `pools` beside it")
        if self.error_pages and not (self.pool or self.pools):
            raise ValueError("`error_pages` needs a `pool` or `pools` beside it")
        if self.compression is not None and not (self.pool or self.pools):
            raise ValueError("`compression` needs a `pool` or `pools` beside it")
        self._check_rewrite()
        return self

    def compiled(self, name: str) -> snapshot.Route:
        """As the snapshot has it, under ``name`` where it has none of its own."""
        weights = {self.pool: 1.0} if self.pool is not None else self.pools or {}
        return snapshot.Route(
            name=self.name or name,
            match=self._compiled_match(),
            pools=tuple(snapshot.WeightedPool(pool, weights[pool]) for pool in weights),
            forward_auth=self.forward_auth.compiled() if self.forward_auth else None,
            mirror=self.mirror.pool if self.mirror else "",
            mirror_share=self.mirror.share if self.mirror else _ROUTE.mirror_share,
            redirect=plain(snapshot.Redirect, self.redirect) if self.redirect else None,
            respond=plain(snapshot.FixedResponse, self.respond) if self.respond else None,
            grpc_service=self.grpc_service or "",
            rewrite=self._compiled_rewrite(),
            upgrades=self.upgrades,
            request_headers=compiled_edits(self.request_headers),
            response_headers=compiled_edits(self.response_headers),
            compression=self.compression.compiled() if self.compression else None,
            priority=-1 if self.priority is None else self.priority,
        )

    def _compiled_match(self) -> snapshot.Match:
        match = self.match.compiled()
        if self.grpc_service is None:
            return match
        return replace(match, path_kind="prefix", path=f"/{self.grpc_service}")

    def _check_service(self, service: str) -> None:
        """Its calls have paths of their own, and no endpoint sees them."""
        for key in ("path", "path_prefix", "path_regex"):
            if getattr(self.match, key) is not None:
                raise ValueError(f"`match` needs no `{key}`: calls of {service} go to /{service}/…")
        for key in ("rewrite", "request_headers", "upgrades"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` changes nothing in calls that are answered here")

    def _compiled_rewrite(self) -> snapshot.Rewrite | None:
        rewrite = self.rewrite
        if rewrite is None:
            return None
        if rewrite.regex is not None:
            return snapshot.Rewrite("regex", rewrite.regex, rewrite.replacement)
        prefix = rewrite.prefix or self.match.path_prefix or ""
        return snapshot.Rewrite("prefix", prefix, rewrite.replacement)

    def _check_rewrite(self) -> None:
        rewrite = self.rewrite
        if rewrite is not None:
            if self.respond is not None:
                raise ValueError("`rewrite` changes nothing in a fixed response")
            if rewrite.prefix is None and rewrite.regex is None and self.match.path_prefix is None:
                raise ValueError("`rewrite` needs a `prefix` or a `regex`")
        redirect = self.redirect
        if (
            redirect is not None
            and rewrite is None
            and redirect == Redirect(status=redirect.status)
        ):
            raise ValueError("`redirect` leads back to the same place; give what it changes")
