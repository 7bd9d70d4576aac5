"""From the document to what runs: the snapshot, and the settings of the supervisor.

What concerns several parts of the document, or other files, is checked here. Everything wrong is
collected and raised as one ``ConfigError``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.config.certificates import check_authorities, check_certificate, issued_names
from penstock.config.cores import usable_cores
from penstock.config.engines import compiled_engine
from penstock.config.errors import ConfigError, Location, did_you_mean
from penstock.config.findings import Findings
from penstock.config.headers import compiled_edits
from penstock.config.listeners import Certificate, Listener
from penstock.config.load import Loaded, load_arguments, load_document
from penstock.config.model import DEFAULT_ADMIN, DEFAULT_LISTEN, Document
from penstock.config.models import Models
from penstock.config.pools import Endpoint, EndpointTls, Pool, Probe, Sticky
from penstock.config.routes import Route
from penstock.config.section import plain
from penstock.core import snapshot
from penstock.core.policy import policy_class
from penstock.core.policy._serving import ServingPolicy

__all__ = [
    "AdminSettings",
    "ConfigError",
    "Configured",
    "configure_endpoints",
    "load_configuration",
]

ONLY: Final = "main"  # the listener and the pool of a short document


@dataclass(frozen=True)
class AdminSettings:
    """The admin address; ``host`` is None where there is none."""

    host: str | None
    port: int
    token: str | None


@dataclass(frozen=True)
class Configured:
    """A configuration that can run. ``source`` is None where it came from a command line.

    ``warnings`` are for people: what in it is hardly meant so.
    """

    snapshot: snapshot.Snapshot
    workers: int
    admin: AdminSettings
    shutdown_deadline_s: float
    source: Path | None
    warnings: tuple[str, ...] = ()


def load_configuration(source: Path) -> Configured:
    """What a file says. Raises ConfigError, whose text is for people, when it cannot run."""
    return compile_document(load_document(source), source)


def configure_endpoints(
    urls: Sequence[str],
    *,
    listen: Sequence[str] | str = str(DEFAULT_LISTEN),
    kind: str | None = None,
    policy: str | None = None,
    policy_options: Mapping[str, str] | None = None,
    workers: int | str = "auto",
    admin: str = str(DEFAULT_ADMIN),
    admin_token: str | None = None,
    health_check: str = "off",
    request_log: str = "off",
    shutdown_deadline: str = "30s",
) -> Configured:
    """What a command line says. Raises ConfigError, whose text is for people."""
    document = {
        "endpoints": list(urls),
        "listen": listen if isinstance(listen, str) else list(listen),
        "kind": kind,
        "policy": _policy(policy, policy_options or {}),
        "workers": workers,
        "admin": admin if admin == "off" else {"address": admin, "token": admin_token},
        "health_check": health_check,
        "request_log": request_log,
        "shutdown_deadline": shutdown_deadline,
    }
    document = {key: value for key, value in document.items() if value is not None}
    options = {key: f"--{key.replace('_', '-')}" for key in document} | {"endpoints": "URL"}
    return compile_document(load_arguments(document, options), None)


def _policy(name: str | None, options: Mapping[str, str]) -> dict[str, str] | None:
    if name is None and not options:
        return None
    return {"name": name or snapshot.PolicyChoice().name, **options}


def compile_document(loaded: Loaded, source: Path | None) -> Configured:
    """What a checked document says. Raises ConfigError when its parts do not fit together."""
    document = loaded.document
    findings = Findings(loaded.origin)
    listeners = _compile_listeners(document, findings)
    pools = _compile_pools(document, findings)
    routes = _compile_routes(document, set(listeners), list(pools), findings)
    admin = _compile_admin(document, findings)
    findings.raise_if_any()
    log = document.request_log
    return Configured(
        snapshot=snapshot.Snapshot(
            generation=0,
            listeners=tuple(listeners.values()),
            routes=routes,
            pools=tuple(pools.values()),
            request_log=snapshot.RequestLog(log.target, log.path and str(findings.path(log.path))),
            prompt_bytes=document.prompt_memory,
            via=document.via,
        ),
        workers=document.workers or usable_cores(),
        admin=admin,
        shutdown_deadline_s=document.shutdown_deadline,
        source=source,
        warnings=findings.warnings(),
    )


def _compile_admin(document: Document, findings: Findings) -> AdminSettings:
    admin = document.admin
    if admin is None:
        return AdminSettings(None, 0, None)
    at = ("admin",)
    if admin.token is not None and admin.token_file is not None:
        findings.wrong(at, "give one of `token` and `token_file`")
    tokens = findings.secrets(at, (admin.token,) if admin.token else (), admin.token_file)
    if len(tokens) > 1 and admin.token is None:
        findings.wrong(at, f"{admin.token_file} holds several lines; one token is needed")
    if not tokens and admin.token_file is None and not admin.address.is_loopback():
        findings.wrong(
            at,
            f"other machines reach {admin.address}: give a `token` or a `token_file` "
            "(`--admin-token` on the command line; `openssl rand -hex 32` makes one), or listen "
            "on 127.0.0.1",
        )
    return AdminSettings(admin.address.host, admin.address.port, tokens[0] if tokens else None)


def _compile_listeners(document: Document, findings: Findings) -> dict[str, snapshot.Listener]:
    if document.listeners is not None and document.listen is not None:
        findings.wrong(("listen",), "give one of `listen` and `listeners`")
    if document.listeners is None:
        addresses = document.listen if document.listen is not None else (DEFAULT_LISTEN,)
        names = [ONLY, *[f"{ONLY}-{number}" for number in range(2, len(addresses) + 1)]]
        named: dict[str, tuple[Listener, Location]] = {
            name: (Listener(address=address), ("listen", index))
            for index, (name, address) in enumerate(zip(names, addresses, strict=False))
        }
    else:
        named = {
            name: (listener, ("listeners", name)) for name, listener in document.listeners.items()
        }
    if not named:
        findings.wrong(
            ("listeners" if document.listeners is not None else "listen",),
            "at least one listener is needed",
        )
    _refuse_same_address([(str(listener.address), at) for listener, at in named.values()], findings)
    return {
        name: _compile_listener(name, listener, at, findings)
        for name, (listener, at) in named.items()
    }


def _refuse_same_address(addresses: Iterable[tuple[str, Location]], findings: Findings) -> None:
    seen: set[str] = set()
    for address, at in addresses:
        if address in seen and not address.endswith(":0"):
            findings.wrong(at, f"another listener has the address {address}")
        seen.add(address)


def _compile_listener(
    name: str, listener: Listener, at: Location, findings: Findings
) -> snapshot.Listener:
    certificates = listener.tls.certificates if listener.tls else ()
    return plain(
        snapshot.Listener,
        listener,
        name=name,
        host=listener.address.host,
        port=listener.address.port,
        certificates=_compile_certificates(certificates, (*at, "tls"), findings),
        tls_generation=0,
        timeouts=plain(snapshot.ListenerTimeouts, listener.timeouts),
        limits=plain(snapshot.Limits, listener.limits),
    )


def _compile_certificates(
    certificates: Sequence[Certificate], at: Location, findings: Findings
) -> tuple[snapshot.Certificate, ...]:
    """In order: the first also serves clients that ask for no known name."""
    compiled: list[snapshot.Certificate] = []
    serves: dict[str, int] = {}
    for index, pair in enumerate(certificates):
        here = (*at, "certificates", index)
        names = pair.server_names or ()
        file, key = findings.path(pair.certificate), findings.path(pair.key)
        with findings.noting(here):
            context = check_certificate(file, key)
            if pair.server_names is None and len(certificates) > 1:
                names = issued_names(file, context)
        for name in names:
            if serves.setdefault(name, index) != index:
                findings.wrong(here, f"another certificate serves {name} already")
        compiled.append(snapshot.Certificate(str(file), str(key), tuple(names)))
    return tuple(compiled)


def _compile_pools(document: Document, findings: Findings) -> dict[str, snapshot.Pool]:
    short = {
        "endpoints": document.endpoints,
        "kind": document.kind,
        "policy": document.policy,
        "health_check": document.health_check,
    }
    given = {key: value for key, value in short.items() if value is not None}
    if document.pools is not None:
        for key in given:
            findings.wrong((key,), f"give one of `{key}` and `pools`; it fits inside a pool")
        return {
            name: _compile_pool(name, pool, ("pools", name), findings)
            for name, pool in document.pools.items()
        }
    if document.endpoints is None:
        if not document.routes:
            findings.wrong((), "nothing to balance: give `endpoints`, or `pools`")
        return {}
    pool = Pool.model_construct(None, **given)
    return {ONLY: _compile_pool(ONLY, pool, (), findings)}


def _compile_pool(name: str, pool: Pool, at: Location, findings: Findings) -> snapshot.Pool:
    endpoints = _compile_endpoints(pool, (*at, "endpoints"), findings)
    choice = pool.policy
    keys = [policy_class(each.name).key for each in (choice, *pool.shadow)]
    if pool.hash_key is not None and "configured" not in keys:
        findings.wrong(
            (*at, "hash_key"), f"has no effect: the policy {choice.name!r} does not read it"
        )
    if pool.probe != Probe() and not policy_class(choice.name).probes:
        findings.wrong(
            (*at, "probe"), f"has no effect: the policy {choice.name!r} asks endpoints nothing"
        )
    if pool.tls != EndpointTls() and not any(endpoint.tls for endpoint in endpoints):
        findings.wrong((*at, "tls"), "has no effect: no endpoint's URL begins with https://")
    if pool.kind != "llm" and (pool.models != Models() or any(e.models for e in endpoints)):
        findings.wrong((*at, "models"), "has no effect: the pool is not of kind llm")
    if pool.kind != "llm" and pool.malformed != "pass":
        findings.wrong((*at, "malformed"), "has no effect: the pool is not of kind llm")
    if pool.kind != "llm" and _reads_prompts(choice):
        findings.doubtful(
            (*at, "policy"),
            f"{choice.name!r} reads prompts, which only pools of `kind: llm` understand: here it "
            "goes by load alone",
        )
    return plain(
        snapshot.Pool,
        pool,
        name=name,
        endpoints=endpoints,
        engine=compiled_engine(pool.engine, pool.kind),
        models=pool.models.compiled(),
        discovered={},
        hash_key=pool.hash_key.compiled() if pool.hash_key else snapshot.HashKey(),
        decisions=_compile_decisions(pool, at, findings),
        probe=plain(snapshot.Probe, pool.probe),
        sticky=_compile_sticky(pool.sticky, (*at, "sticky"), findings) if pool.sticky else None,
        request_headers=compiled_edits(pool.request_headers),
        response_headers=compiled_edits(pool.response_headers),
        timeouts=plain(snapshot.PoolTimeouts, pool.timeouts),
        retry=plain(snapshot.Retry, pool.retry),
        health_check=pool.health_check.compiled() if pool.health_check else None,
        agent_check=plain(snapshot.AgentCheck, pool.agent_check) if pool.agent_check else None,
        outlier=plain(snapshot.Outlier, pool.outlier),
        breaker=pool.circuit_breaker and plain(snapshot.Breaker, pool.circuit_breaker),
        admission=pool.admission.compiled(),
        slow_start=plain(snapshot.SlowStart, pool.slow_start),
        connections=pool.connections.compiled(pool.kind),
        tls=_compile_endpoint_tls(pool.tls, (*at, "tls"), findings),
        row=-1,
    )


def _reads_prompts(choice: snapshot.PolicyChoice) -> bool:
    """Whether the policy, or the one that it hands requests on to, decides by prompts."""
    inner = choice.options.get("policy")
    names = [choice.name, inner] if isinstance(inner, str) else [choice.name]
    return any(issubclass(policy_class(name), ServingPolicy) for name in names)


def _compile_decisions(pool: Pool, at: Location, findings: Findings) -> snapshot.Decisions:
    decisions = pool.decisions
    if pool.shadow and not decisions.sample:
        findings.wrong(
            (*at, "shadow"),
            "policies in the shadow are asked about recorded decisions only, and none are: set "
            "`decisions: {sample: 0.01}`",
        )
    if len({choice.name for choice in pool.shadow}) < len(pool.shadow):
        findings.wrong((*at, "shadow"), "a policy stands here twice")
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
        compiled[name] = _compile_endpoint(name, endpoint)
    if not compiled:
        findings.wrong(at, "a pool needs at least one endpoint")
    elif all(endpoint.weight == 0 for endpoint in compiled.values()):
        findings.wrong(at, "every endpoint has weight 0, so none would get a request")
    return tuple(compiled.values())


def _compile_endpoint(name: str, endpoint: Endpoint) -> snapshot.Endpoint:
    url = endpoint.url
    given = {"name": name, "host": url.host, "port": url.port, "tls": url.tls}
    return plain(snapshot.Endpoint, endpoint, row=-1, address="", **given)


def _compile_sticky(sticky: Sticky, at: Location, findings: Findings) -> snapshot.Sticky:
    return plain(snapshot.Sticky, sticky, keys=findings.secrets(at, sticky.keys, sticky.keys_file))


def _compile_endpoint_tls(
    tls: EndpointTls, at: Location, findings: Findings
) -> snapshot.EndpointTls:
    if tls.ca_file is None:
        return plain(snapshot.EndpointTls, tls, ca_file="")
    path = findings.path(tls.ca_file)
    with findings.noting((*at, "ca_file")):
        check_authorities(path)
    return plain(snapshot.EndpointTls, tls, ca_file=str(path))


def _compile_routes(
    document: Document, listeners: set[str], pools: list[str], findings: Findings
) -> tuple[snapshot.Route, ...]:
    if document.routes is None:
        if len(pools) > 1:
            findings.wrong(
                ("pools",), f"several pools ({', '.join(pools)}): say in `routes` what each serves"
            )
        return tuple(
            snapshot.Route(name="all", pools=(snapshot.WeightedPool(pool),)) for pool in pools[:1]
        )
    names: dict[str, int] = {}
    everything = ""
    compiled: list[snapshot.Route] = []
    for index, route in enumerate(document.routes):
        at: Location = ("routes", index)
        built = route.compiled(f"route-{index + 1}")
        if names.setdefault(built.name, index) != index:
            findings.wrong(at, f"another route is called {built.name!r}")
        if everything:
            findings.wrong(at, f"never reached: the route {everything!r} matches everything")
        if route.match.is_everything():
            everything = built.name
        _check_references(route, at, listeners, pools, findings)
        compiled.append(built)
    if not compiled:
        findings.wrong(("routes",), "at least one route is needed")
    return tuple(compiled)


def _check_references(
    route: Route, at: Location, listeners: set[str], pools: list[str], findings: Findings
) -> None:
    """The listeners and pools that a route names exist."""
    for name in route.match.listeners:
        if name not in listeners:
            where = (*at, "match", "listeners")
            findings.wrong(where, f"no listener is called {name!r}{did_you_mean(name, listeners)}")
    named: list[tuple[Location, str]] = [((*at, "pools", name), name) for name in route.pools or ()]
    if route.pool is not None:
        named.append(((*at, "pool"), route.pool))
    if route.mirror is not None:
        named.append(((*at, "mirror"), route.mirror.pool))
    for where, name in named:
        if name not in pools:
            findings.wrong(where, f"no pool is called {name!r}{did_you_mean(name, pools)}")
