"""From the document to the snapshot: pools and their endpoints."""

from pathlib import Path
from typing import Final

from penstock.config.compile.certificates import check_authorities, check_certificate
from penstock.config.compile.discovery import compile_discover, urls_of
from penstock.config.compile.error_pages import compile_error_pages
from penstock.config.compile.health import doubt_health_check
from penstock.config.compile.limits import compile_limits
from penstock.config.compile.protocols import (
    check_health_check,
    check_proxy_preface,
    check_retry,
    speaks_http2,
    spoken_by,
)
from penstock.config.compile.quic import check_quic
from penstock.config.compile.scale import compile_scale
from penstock.config.compile.sessions import compile_sticky
from penstock.config.compile.split import halves_of
from penstock.config.compile.streams import check_streams
from penstock.config.document.choice import reads_prompts
from penstock.config.document.endpoints import Endpoint, EndpointTls, Probe
from penstock.config.document.engines import compiled_engine, compiled_kv_events
from penstock.config.document.headers import compiled_edits
from penstock.config.document.model import ONLY, Document
from penstock.config.document.models import Models
from penstock.config.document.pools import Pool, default_policy
from penstock.config.document.section import plain
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.core.policy import policy_class

_REQUEST_BUFFER: Final = 65536  # as much as is kept of a body for another attempt
_MOST_REQUEST_BUFFER: Final = 1024 * 1024
_VERSION: Final = "/v1"  # where OpenAI's API begins, and what its clients call its base URL


def compile_pools(document: Document, findings: Findings) -> dict[str, snapshot.Pool]:
    """By name. What is wrong with them is noted in ``findings``."""
    short = {
        "endpoints": document.endpoints,
        "kind": document.kind,
        "policy": document.policy,
        "health_check": document.health_check,
        "host_header": document.host_header,
    }
    given = {key: value for key, value in short.items() if value is not None}
    if document.pools is not None:
        for key in given:
            findings.wrong(
                (key,), f"give one of `{key}` and `pools`; it can be set inside each pool"
            )
        halves: list[snapshot.Pool] = []
        for name, pool in document.pools.items():
            at = ("pools", name)
            whole = compile_pool(name, pool, at, findings)
            halves += halves_of(whole, pool, at, document.pools, findings)
        return {pool.name: pool for pool in halves}
    if document.endpoints is None:
        if not document.routes:
            findings.wrong((), "nothing to balance: give `endpoints`, or `pools`")
        return {}
    pool = Pool.model_construct(None, **given)
    return {ONLY: compile_pool(ONLY, pool, (), findings)}


def compile_pool(name: str, pool: Pool, at: Location, findings: Findings) -> snapshot.Pool:
    """One of that name, which stands there. What is wrong with it is noted in ``findings``."""
    endpoints = _compile_endpoints(pool, (*at, "endpoints"), findings)
    over_tls = any(url.tls for url in urls_of(pool))
    choice = pool.policy or default_policy(pool.kind)
    keys = [policy_class(each.name).key for each in (choice, *pool.shadow)]
    if pool.hash_key is not None and "configured" not in keys:
        findings.wrong(
            (*at, "hash_key"), f"has no effect: the policy {choice.name!r} does not read it"
        )
    if pool.probe != Probe() and not policy_class(choice.name).probes:
        findings.wrong(
            (*at, "probe"), f"has no effect: the policy {choice.name!r} asks endpoints nothing"
        )
    if pool.http2 != "off" and not over_tls:
        findings.wrong((*at, "http2"), "has no effect: no endpoint's URL begins with https://")
    if "http2_connection_age" in pool.timeouts.model_fields_set and not speaks_http2(pool):
        findings.wrong(
            (*at, "timeouts", "http2_connection_age"),
            "has no effect: no endpoint speaks HTTP/2; write h2c:// in place of http://, or "
            "`http2: on` or `auto` for https:// endpoints",
        )
    if pool.tls != EndpointTls() and not over_tls:
        findings.wrong((*at, "tls"), "has no effect: no endpoint's URL begins with https://")
    if pool.kind != "llm" and (pool.models != Models() or any(e.models for e in endpoints)):
        findings.wrong((*at, "models"), "has no effect: the pool is not of kind llm")
    if compiled_engine(pool.engine, pool.kind) is None:
        for index, endpoint in enumerate(pool.endpoints):
            if endpoint.kv_events is not None:
                findings.wrong(
                    (*at, "endpoints", index, "kv_events"),
                    "has no effect: the pool's `engine` is off",
                )
    check_proxy_preface(pool, compiled_engine(pool.engine, pool.kind) is not None, at, findings)
    check_health_check(pool, at, findings)
    doubt_health_check(pool, at, findings)
    check_retry(pool, at, findings)
    check_streams(pool, at, findings)
    check_quic(pool, at, findings)
    if pool.kind != "llm" and pool.malformed != "pass":
        findings.wrong((*at, "malformed"), "has no effect: the pool is not of kind llm")
    if pool.kind != "llm" and "kv_transfers" in pool.model_fields_set:
        findings.wrong((*at, "kv_transfers"), "has no effect: the pool is not of kind llm")
    if pool.kind != "llm" and reads_prompts(choice):
        findings.doubtful(
            (*at, "policy"),
            f"{choice.name!r} reads prompts, which only pools of `kind: llm` understand: here it "
            "uses load alone",
        )
    protocol = spoken_by(pool, at, findings)
    return plain(
        snapshot.Pool,
        pool,
        name=name,
        protocol=protocol,
        limits=compile_limits(pool, name, at, findings, protocol=protocol),
        endpoints=endpoints,
        discover=compile_discover(pool, at, findings),
        policy=choice,
        request_buffer=_request_buffer(pool, endpoints, at, findings),
        engine=compiled_engine(pool.engine, pool.kind),
        models=pool.models.compiled(),
        discovered={},
        awaited=(),
        asks_again=False,
        split=None,
        prefills_for="",
        quic_connection_ids=tuple(
            plain(snapshot.QuicConnectionIds, each) for each in pool.quic_connection_ids
        ),
        proxy_protocol=pool.proxy_protocol.version,
        proxy_datagrams=pool.proxy_protocol.datagrams,
        hash_key=pool.hash_key.compiled() if pool.hash_key else snapshot.HashKey(),
        decisions=_compile_decisions(pool, at, findings),
        probe=plain(snapshot.Probe, pool.probe),
        sticky=pool.sticky and compile_sticky(pool.sticky, name, (*at, "sticky"), findings),
        drain=plain(snapshot.Drain, pool.drain),
        request_headers=compiled_edits(pool.request_headers),
        response_headers=compiled_edits(pool.response_headers),
        compression=pool.compression.compiled() if pool.compression else None,
        error_pages=compile_error_pages(pool.error_pages, (*at, "error_pages"), findings),
        timeouts=pool.timeouts.compiled(pool.kind),
        first_token_header=pool.timeouts.compiled_header(),
        retry=pool.retry.compiled(pool.kind),
        hedge=pool.hedge and pool.hedge.compiled(),
        resume=pool.resume and plain(snapshot.Resume, pool.resume),
        websocket_responses=pool.websocket_responses and pool.websocket_responses.compiled(),
        health_check=pool.health_check.compiled() if pool.health_check else None,
        agent_check=plain(snapshot.AgentCheck, pool.agent_check) if pool.agent_check else None,
        outlier=pool.outlier.compiled(pool.kind),
        breaker=pool.circuit_breaker and pool.circuit_breaker.compiled(),
        admission=pool.admission.compiled(),
        slow_start=pool.slow_start.compiled(),
        forecast=_compile_forecast(pool),
        connections=pool.connections.compiled(pool.kind),
        tls=_compile_endpoint_tls(pool, (*at, "tls"), findings),
        scale=compile_scale(pool, at, findings),
        maintenance=None,
        row=-1,
        tls_generation=0,
    )


def _request_buffer(
    pool: Pool, endpoints: tuple[snapshot.Endpoint, ...], at: Location, findings: Findings
) -> int:
    """A client that sends slowly is not to stand in a place that others wait for."""
    if pool.request_buffer is not None:
        if pool.request_buffer > _MOST_REQUEST_BUFFER:
            findings.wrong((*at, "request_buffer"), "each request may keep at most 1MiB here")
        return pool.request_buffer
    bounded = any(endpoint.max_in_flight for endpoint in endpoints)
    bounded = bounded or bool(pool.scale and pool.scale.max_in_flight)
    return _REQUEST_BUFFER if bounded or pool.admission.limit else 0


def _compile_forecast(pool: Pool) -> snapshot.Forecast | None:
    """A pool that is scaled has one, unless it is said to have none."""
    if pool.forecast is not None:
        return pool.forecast.compiled()
    scaled = pool.scale is not None and "forecast" not in pool.model_fields_set
    return snapshot.Forecast() if scaled else None


def _compile_decisions(pool: Pool, at: Location, findings: Findings) -> snapshot.Decisions:
    decisions = pool.decisions
    if pool.shadow and not decisions.sample:
        findings.wrong(
            (*at, "shadow"),
            "shadow policies only see recorded decisions, and none are recorded: set "
            "`decisions: {sample: 0.01}`",
        )
    if len({choice.name for choice in pool.shadow}) < len(pool.shadow):
        findings.wrong((*at, "shadow"), "a policy is listed twice")
    file = str(findings.path(decisions.file)) if decisions.file else ""
    return plain(snapshot.Decisions, decisions, file=file)


def _compile_endpoints(
    pool: Pool, at: Location, findings: Findings
) -> tuple[snapshot.Endpoint, ...]:
    compiled: dict[str, snapshot.Endpoint] = {}
    for index, endpoint in enumerate(pool.endpoints):
        name = endpoint.full_name()
        if name in compiled:
            findings.wrong((*at, index), f"{name} is in this pool already; give it a `name`")
        base_path = endpoint.url.base_path
        if base_path.endswith(_VERSION) and pool.kind != "llm":
            findings.doubtful(
                (*at, index),
                f"all paths are added to `{base_path}`: who asks for `{_VERSION}/x` gets "
                f"`{base_path}{_VERSION}/x` there. If clients' paths begin with it, leave it away",
            )
        elif base_path.endswith(_VERSION):
            findings.wrong(
                (*at, index),
                f"leave `{_VERSION}` away: the paths that clients ask for begin with it, and are "
                f"added to `{base_path.removesuffix(_VERSION) or '/'}`",
            )
        compiled[name] = _compile_endpoint(name, endpoint, pool.http2 == "on")
    if pool.discover:
        return tuple(compiled.values())
    if not compiled:
        if pool.scale is None:
            findings.wrong(at, "a pool needs at least one endpoint, or `discover`")
    elif all(endpoint.weight == 0 for endpoint in compiled.values()):
        findings.wrong(at, "every endpoint has weight 0, so none would get a request")
    return tuple(compiled.values())


def _compile_endpoint(name: str, endpoint: Endpoint, http2: bool) -> snapshot.Endpoint:
    url = endpoint.url
    given = {
        "name": name,
        "host": url.host,
        "port": url.port,
        "tls": url.tls,
        "http2": url.http2 or (url.tls and http2),
        "base_path": url.base_path,
        "headers": tuple(endpoint.headers.items()),
        "kv_events": compiled_kv_events(endpoint.kv_events),
    }
    return plain(snapshot.Endpoint, endpoint, row=-1, addresses=(), no_address="", **given)


def _compile_endpoint_tls(pool: Pool, at: Location, findings: Findings) -> snapshot.EndpointTls:
    tls = pool.tls
    files = {"ca_file": "", "certificate": "", "key": ""}
    for key in files:
        named = getattr(tls, key)
        if named is not None:
            files[key] = str(findings.path(named))
    if tls.ca_file is not None:
        with findings.noting((*at, "ca_file")):
            check_authorities(Path(files["ca_file"]))
    if (tls.certificate is None) != (tls.key is None):
        lacking = "key" if tls.key is None else "certificate"
        findings.wrong(at, f"a certificate and its key go together: `{lacking}` is not given")
    elif tls.certificate is not None:
        with findings.noting((*at, "certificate")):
            check_certificate(Path(files["certificate"]), Path(files["key"]))
    return plain(snapshot.EndpointTls, tls, http2=pool.http2, **files)
