"""Listeners for gateways, which ask for endpoints (`protocol: epp`)."""

from typing import Final

from msgspec.structs import replace

from penstock.config.document.listeners import Listener
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.core.snapshot.address import socket_path
from penstock.wire import ext_proc, grpc_health

# Of a stream for each request, whose messages come when the gateway has something to tell: for
# minutes nothing, and in the end the whole answer.
_NO_IDLE_TIME: Final = 0.0
_STREAMS: Final = 10_000  # of one connection: a gateway has one for all its requests
_TIMEOUT_KEYS: Final = ("client_body_idle",)
_LIMIT_KEYS: Final = ("body_bytes", "body_rate")


def check_picking(
    listener: Listener,
    pool: snapshot.Pool | None,
    at: Location,
    findings: Findings,
) -> None:
    """Who asks is told which endpoints there are, and tells the text of all prompts."""
    if listener.pool is None:
        findings.wrong(at, "`protocol: epp` picks endpoints of one pool: name it, as `pool: NAME`")
    tls = listener.tls
    mutual = (
        tls is not None and tls.client_ca_file is not None and tls.client_certificate == "require"
    )
    if not (listener.address.is_loopback() or mutual or listener.allow):
        findings.wrong(
            (*at, "address"),
            f"other machines reach {listener.address}, and could ask for endpoints: listen on "
            "127.0.0.1, ask gateways for certificates (`tls` with a `client_ca_file`), or say "
            "which networks they are in: `allow: [10.0.0.0/8]`",
        )
    if listener.http2 is None:
        findings.wrong((*at, "http2"), "gateways ask by gRPC, which needs HTTP/2")
    for key in _TIMEOUT_KEYS:
        if key in listener.timeouts.model_fields_set:
            findings.wrong(
                (*at, "timeouts", key), "has no effect: a gateway is silent while an answer is made"
            )
    for key in _LIMIT_KEYS:
        if key in listener.limits.model_fields_set:
            findings.wrong(
                (*at, "limits", key), "has no effect: the gateway bounds its clients' requests"
            )
    if pool is not None:
        for endpoint in pool.endpoints:
            if socket_path(endpoint.host):
                findings.wrong(
                    (*at, "pool"),
                    f"the endpoint {endpoint.name} is a socket file, and a gateway is told "
                    "addresses",
                )


def picking_listener(compiled: snapshot.Listener, written: Listener) -> snapshot.Listener:
    """With what its long streams need."""
    streams = compiled.http2.streams
    if written.http2 is None or "streams" not in written.http2.model_fields_set:
        streams = _STREAMS
    return replace(
        compiled,
        timeouts=replace(compiled.timeouts, client_body_idle_s=_NO_IDLE_TIME),
        limits=replace(compiled.limits, body_bytes=0, body_rate=0),
        http2=replace(compiled.http2, streams=streams),
    )


def picking_routes(listener: str, pool: str) -> tuple[snapshot.Route, ...]:
    """What is called there: the picker, and its health."""
    named = {"": ext_proc.SERVICE, "-health": grpc_health.SERVICE}
    return tuple(
        snapshot.Route(
            name=listener + suffix,
            match=snapshot.Match(listeners=(listener,), path_kind="prefix", path=f"/{service}"),
            grpc_service=service,
            pools=(snapshot.WeightedPool(pool),),
        )
        for suffix, service in named.items()
    )
