"""From the document to what runs: the snapshot, and the settings of the supervisor.

What concerns several parts of the document, or other files, is checked here. Everything wrong is
collected and raised as one ``ConfigError``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from penstock.config.compile.acme import check_challenges
from penstock.config.compile.admin import compile_admin
from penstock.config.compile.basic_auth import compile_basic_auth
from penstock.config.compile.configured import AdminSettings, Configured
from penstock.config.compile.conflicts import (
    check_addresses,
    check_directory,
    check_endpoints,
    check_file,
)
from penstock.config.compile.cores import usable_cores
from penstock.config.compile.error_pages import compile_error_pages
from penstock.config.compile.jwt import compile_issuers
from penstock.config.compile.limits import compile_limits
from penstock.config.compile.listener_tls import compile_certificates, compile_listener_tls
from penstock.config.compile.metrics import compile_metrics
from penstock.config.compile.own_modules import look_up_beside
from penstock.config.compile.picking import picking_listener, picking_routes
from penstock.config.compile.pools import compile_pools
from penstock.config.compile.priorities import check_priorities
from penstock.config.compile.protocols import check_listener, place_routes, protocol_of
from penstock.config.compile.sessions import doubt_shared_cookies
from penstock.config.compile.split import routable
from penstock.config.compile.store import compile_store
from penstock.config.compile.tenants import compile_tenants, demand_keys, read_directory
from penstock.config.compile.traces import compile_traces
from penstock.config.document.addresses import Address
from penstock.config.document.admin import DEFAULT_ADMIN
from penstock.config.document.listeners import Listener
from penstock.config.document.model import (
    DEFAULT_LISTEN,
    ONLY,
    Document,
)
from penstock.config.document.pools import default_policy
from penstock.config.document.routes import Route
from penstock.config.document.section import plain
from penstock.config.load.document import Loaded, load_arguments, load_document
from penstock.config.load.errors import ConfigError, Location, did_you_mean
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.core.snapshot import MAX_LISTENERS

__all__ = [
    "AdminSettings",
    "ConfigError",
    "Configured",
    "configure_endpoints",
    "load_configuration",
]


def load_configuration(source: Path) -> Configured:
    """What a file says. Raises ConfigError, whose text is for people, when it cannot run."""
    look_up_beside(source)
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
    host_header: str | None = None,
    request_log: str = "off",
    shutdown_deadline: str = "30s",
) -> Configured:
    """What a command line says. Raises ConfigError, whose text is for people."""
    document = {
        "endpoints": list(urls),
        "listen": listen if isinstance(listen, str) else list(listen),
        "kind": kind,
        "policy": _policy(policy, policy_options or {}, kind),
        "workers": workers,
        "admin": admin if admin == "off" else {"address": admin, "token": admin_token},
        "health_check": health_check,
        "host_header": host_header,
        "request_log": request_log,
        "shutdown_deadline": shutdown_deadline,
    }
    document = {key: value for key, value in document.items() if value is not None}
    options = {key: f"--{key.replace('_', '-')}" for key in document} | {"endpoints": "URL"}
    return compile_document(load_arguments(document, options), None)


def _policy(
    name: str | None, options: Mapping[str, str], kind: str | None
) -> dict[str, str] | None:
    if name is None and not options:
        return None
    return {"name": name or default_policy(kind or "http").name, **options}


def compile_document(loaded: Loaded, source: Path | None) -> Configured:
    """What a checked document says. Raises ConfigError when its parts do not fit together."""
    document = loaded.document
    findings = Findings(loaded.origin)
    pools = compile_pools(document, findings)
    listeners = _compile_listeners(document, routable(pools), findings)
    routes = _compile_routes(document, listeners, routable(pools), findings)
    routes = demand_keys(routes, document, pools, findings)
    check_priorities(document, pools, routes, listeners.values(), findings)
    tenants = compile_tenants(document, findings)
    issuers = compile_issuers(document, findings)
    directory = findings.path(document.tenants_directory) if document.tenants_directory else None
    found: tuple[snapshot.Tenant, ...] = ()
    if directory is not None:
        try:
            found = read_directory(directory)
        except ConfigError as error:
            findings.wrong(("tenants_directory",), str(error))
    doubt_shared_cookies(pools, routes, findings)
    pages = compile_error_pages(document.error_pages, ("error_pages",), findings)
    store = compile_store(document.store, findings, has_tenants=directory is not None)
    admin = compile_admin(document.admin, findings)
    traces = compile_traces(document.traces, findings)
    metrics = compile_metrics(document.metrics, findings)
    _check_conflicts(document, listeners, pools, findings)
    findings.raise_if_any()
    log = document.request_log
    return Configured(
        snapshot=snapshot.Snapshot(
            generation=0,
            listeners=tuple(listeners.values()),
            routes=routes,
            pools=tuple(pools.values()),
            request_log=log.compiled(log.path and str(findings.path(log.path))),
            traces=traces,
            metrics=metrics,
            prompt_bytes=document.prompt_memory,
            error_pages=pages,
            via=document.via,
            prices={model: price.compiled() for model, price in document.prices.items()},
            tenants=tenants,
            token_issuers=issuers,
            tenants_directory=str(directory or ""),
            found_tenants=found,
        ),
        workers=document.workers or usable_cores(),
        admin=admin,
        shutdown_deadline_s=document.shutdown_deadline,
        source=source,
        warnings=findings.warnings(),
        upgrade_deadline_s=document.upgrade_deadline,
        state=findings.path(document.state) if document.state is not None else None,
        own_routes=len(_listeners_own_routes(document)),
        store=store,
    )


def _check_conflicts(
    document: Document,
    listeners: Mapping[str, snapshot.Listener],
    pools: Mapping[str, snapshot.Pool],
    findings: Findings,
) -> None:
    """What would end a start although each part is right by itself."""
    admin = document.admin.address if document.admin is not None else None
    check_addresses(
        {name: (listeners[name], at) for name, (_, at) in _named_listeners(document).items()},
        admin,
        findings,
    )
    short = document.pools is None
    places = [
        (pool, () if short else ("pools", pool.prefills_for or name))
        for name, pool in pools.items()
    ]
    check_endpoints(places, listeners, findings)
    if document.state is not None:
        check_directory(findings.path(document.state), ("state",), findings)
    if document.request_log.path:
        check_file(findings.path(document.request_log.path), ("request_log",), findings)
    for pool, at in places:
        if pool.decisions.file:
            check_file(Path(pool.decisions.file), (*at, "decisions", "file"), findings)


def _compile_listeners(
    document: Document, pools: Mapping[str, snapshot.Pool], findings: Findings
) -> dict[str, snapshot.Listener]:
    if document.listeners is not None and document.listen is not None:
        findings.wrong(("listen",), "give one of `listen` and `listeners`")
    named = _named_listeners(document)
    if len(named) > MAX_LISTENERS:
        findings.wrong(("listeners",), f"{len(named)} listeners; at most {MAX_LISTENERS} can be")
    if not named:
        findings.wrong(
            ("listeners" if document.listeners is not None else "listen",),
            "at least one listener is needed",
        )
    only = next(iter(pools), "") if len(pools) == 1 and document.routes is None else ""
    compiled = {}
    for name, (listener, at) in named.items():
        protocol = protocol_of(listener, pools, only)
        check_listener(listener, protocol, pools, at, findings)
        made = _compile_listener(name, listener, protocol, at, findings)
        compiled[name] = picking_listener(made, listener) if protocol == "epp" else made
    named_places = {name: (compiled[name], at) for name, (_, at) in named.items()}
    check_challenges(named_places, findings)
    return compiled


def _named_listeners(document: Document) -> dict[str, tuple[Listener, Location]]:
    """Each listener by its name, and where it stands."""
    if document.listeners is not None:
        return {
            name: (listener, ("listeners", name)) for name, listener in document.listeners.items()
        }
    addresses = document.listen if document.listen is not None else (DEFAULT_LISTEN,)
    pools = list(document.pools) if document.pools is not None else [ONLY]
    names = [ONLY, *[f"{ONLY}-{number}" for number in range(2, len(addresses) + 1)]]
    return {
        name: (
            Listener(
                address=Address(address.host, address.port),
                protocol=address.protocol or None,  # type: ignore[arg-type]  # one of these
                pool=pools[0] if address.protocol == "epp" and len(pools) == 1 else None,
            ),
            ("listen", index),
        )
        for index, (name, address) in enumerate(zip(names, addresses, strict=False))
    }


def _compile_listener(
    name: str,
    listener: Listener,
    protocol: Literal["http", "tcp", "tls-passthrough", "udp", "epp"],
    at: Location,
    findings: Findings,
) -> snapshot.Listener:
    certificates: tuple[snapshot.Certificate, ...] = ()
    tls = snapshot.ListenerTls()
    if listener.tls is not None:
        here = (*at, "tls")
        certificates = compile_certificates(listener.tls.certificates, here, findings)
        tls = compile_listener_tls(listener.tls, protocol, here, findings)
    return plain(
        snapshot.Listener,
        listener,
        name=name,
        protocol=protocol,
        host=listener.address.host,
        port=listener.address.port,
        certificates=certificates,
        tls=tls,
        tls_generation=0,
        challenges=(),
        proxy_protocol=listener.proxy_protocol.mode,
        proxy_datagrams=listener.proxy_protocol.datagrams,
        timeouts=plain(snapshot.ListenerTimeouts, listener.timeouts),
        limits=plain(snapshot.Limits, listener.limits),
        http2=(
            plain(snapshot.Http2, listener.http2, enabled=True)
            if listener.http2 is not None
            else snapshot.Http2(enabled=False)
        ),
    )


def _compile_routes(
    document: Document,
    listeners: Mapping[str, snapshot.Listener],
    pools: Mapping[str, snapshot.Pool],
    findings: Findings,
) -> tuple[snapshot.Route, ...]:
    own = _listeners_own_routes(document)
    if document.routes is None:
        given = _default_route(document, list(pools), own, findings)
    else:
        given = _given_routes(document.routes, listeners, list(pools), findings)
    for route in own:
        if any(route.name == other.name for other in given):
            findings.wrong(("listeners", route.name, "pool"), "a route has the listener's name")
    return own + place_routes(given, listeners, pools, findings)


def _listeners_own_routes(document: Document) -> tuple[snapshot.Route, ...]:
    """Of listeners that name their pool: before all others."""
    own: list[snapshot.Route] = []
    for name, (listener, _) in _named_listeners(document).items():
        if listener.pool is None:
            continue
        if listener.protocol == "epp":
            own += picking_routes(name, listener.pool)
            continue
        match = snapshot.Match(listeners=(name,))
        own.append(snapshot.Route(name, match, pools=(snapshot.WeightedPool(listener.pool),)))
    return tuple(own)


def _default_route(
    document: Document, pools: list[str], own: tuple[snapshot.Route, ...], findings: Findings
) -> tuple[snapshot.Route, ...]:
    """Where none are given: to the only pool that no listener has for itself."""
    if {name for route in own for name in route.match.listeners} == set(_named_listeners(document)):
        return ()
    taken = {route.pools[0].pool for route in own}
    left = [pool for pool in pools if pool not in taken]
    if len(left) > 1:
        findings.wrong(
            ("pools",),
            f"several pools ({', '.join(left)}): add `routes` that say what each serves",
        )
    return tuple(
        snapshot.Route(name="all", pools=(snapshot.WeightedPool(pool),)) for pool in left[:1]
    )


def _given_routes(
    routes: Sequence[Route],
    listeners: Mapping[str, snapshot.Listener],
    pools: list[str],
    findings: Findings,
) -> tuple[snapshot.Route, ...]:
    names: dict[str, int] = {}
    everything = ""
    compiled: list[snapshot.Route] = []
    for index, route in enumerate(routes):
        at: Location = ("routes", index)
        built = replace(
            route.compiled(f"route-{index + 1}"),
            basic_auth=compile_basic_auth(route.basic_auth, at, findings),
            limits=compile_limits(route, route.name or f"route-{index + 1}", at, findings),
            error_pages=compile_error_pages(route.error_pages, (*at, "error_pages"), findings),
        )
        if names.setdefault(built.name, index) != index:
            findings.wrong(at, f"another route is called {built.name!r}")
        if everything:
            findings.wrong(at, f"never reached: the route {everything!r} matches everything")
        if route.match.is_everything() and route.grpc_service is None:
            everything = built.name
        check_references(route, at, listeners, pools, findings)
        compiled.append(built)
    if not compiled:
        findings.wrong(("routes",), "at least one route is needed")
    return tuple(compiled)


def check_references(
    route: Route,
    at: Location,
    listeners: Mapping[str, snapshot.Listener],
    pools: list[str],
    findings: Findings,
) -> None:
    """The listeners and pools that a route names exist."""
    for name in route.match.listeners:
        if name not in listeners:
            where = (*at, "match", "listeners")
            findings.wrong(where, f"no listener is called {name!r}{did_you_mean(name, listeners)}")
    named: list[tuple[Location, str]] = [((*at, "pools", name), name) for name in route.pools or ()]
    if route.pool is not None:
        named.append(((*at, "pool"), route.pool))
    if route.forward_auth is not None:
        named.append(((*at, "forward_auth", "pool"), route.forward_auth.pool))
    if route.mirror is not None:
        named.append(((*at, "mirror"), route.mirror.pool))
    for where, name in named:
        if name not in pools:
            findings.wrong(where, f"no pool is called {name!r}{did_you_mean(name, pools)}")
