"""Pools and routes that operators add while the balancer runs: the same model and the same steps as
for a configuration, over one that runs already.

The configuration's word goes first: what it names is as it says, its routes are asked before those
added, and only routes at its end that take everything that is left come after them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from msgspec.structs import replace as changed
from pydantic import ValidationError

from penstock.config.compile.configured import Addition, Configured
from penstock.config.compile.conflicts import check_endpoints
from penstock.config.compile.pools import compile_pool
from penstock.config.compile.protocols import place_route
from penstock.config.compile.snapshot import ConfigError, check_references
from penstock.config.compile.split import routable
from penstock.config.document.pools import Pool
from penstock.config.document.routes import Route
from penstock.config.document.section import Section
from penstock.config.document.values import parse_name
from penstock.config.load.document import Origin
from penstock.config.load.explain import explain
from penstock.config.load.findings import Findings
from penstock.config.load.run_time import POOL_KEYS, ROUTE_KEYS, Allowed, refused_keys
from penstock.core import snapshot
from penstock.core.snapshot.address import socket_path

_Part = TypeVar("_Part", bound=Section)


def extend(
    configured: Configured,
    pools: Sequence[Addition],
    routes: Sequence[Addition],
    on_problem: Callable[[str, str, str], None],
) -> Configured:
    """With those pools and routes. One that does not go with the configuration is left out, and
    ``on_problem`` is told its kind, its name and why."""
    for pool in pools:
        try:
            configured = with_pool(configured, pool)
        except ConfigError as error:
            on_problem("pool", pool.name, str(error))
    added: list[snapshot.Route] = []
    for route in routes:
        try:
            added.append(_compile_route(configured, route))
            _place(configured, added)
        except ConfigError as error:
            del added[len(added) - 1 :]
            on_problem("route", route.name, str(error))
    return _place(configured, added)


def with_pool(configured: Configured, addition: Addition) -> Configured:
    """With one pool more. Raises ConfigError."""
    origin = Origin(f"pool {addition.name}", Path("/"))
    findings = Findings(origin)
    running = configured.snapshot
    _check_name(addition.name, (pool.name for pool in running.pools), "pool", findings)
    section = _checked(Pool, addition.settings, POOL_KEYS, origin)
    for index, endpoint in enumerate(section.endpoints):
        if socket_path(endpoint.url.host):
            findings.wrong(
                ("endpoints", index),
                "a socket of the file system can only be given in the configuration",
            )
    pool = compile_pool(addition.name, section, (), findings)
    listeners = {each.name: each for each in running.listeners}
    check_endpoints([(pool, ())], listeners, findings)
    findings.raise_if_any()
    return replace(
        configured,
        snapshot=changed(running, pools=(*running.pools, pool)),
        warnings=(*configured.warnings, *findings.warnings()),
    )


def _compile_route(configured: Configured, addition: Addition) -> snapshot.Route:
    origin = Origin(f"route {addition.name}", Path("/"))
    findings = Findings(origin)
    running = configured.snapshot
    _check_name(addition.name, (route.name for route in running.routes), "route", findings)
    route = _checked(Route, addition.settings, ROUTE_KEYS, origin)
    listeners = {each.name: each for each in running.listeners}
    pools = routable({each.name: each for each in running.pools})
    check_references(route, (), listeners, list(pools), findings)
    compiled = route.compiled(addition.name)
    findings.raise_if_any()
    placed = place_route(compiled, (), listeners, pools, findings)
    findings.raise_if_any()
    return changed(placed, tenants=_demanded(placed, running))


def _demanded(route: snapshot.Route, running: snapshot.Snapshot) -> Literal["off", "required"]:
    """A key of whoever asks, wherever there are tenants: a route added is no way around it."""
    there_are = bool(running.tenants or running.tenants_directory) or any(
        each.tenants == "required" for each in running.routes
    )
    pools = {each.name: each.protocol for each in running.pools}
    asks = route.pools and all(pools[each.pool] == "http" for each in route.pools)
    return "required" if there_are and asks else "off"


def _checked(model: type[_Part], settings: Any, allowed: Allowed, origin: Origin) -> _Part:
    """What it may say comes first: to check a value can run code (a policy's module)."""
    refused = refused_keys(settings, allowed)
    if refused:
        raise origin.error(refused)
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise origin.error(explain(error, settings, model)) from error


def _check_name(name: str, taken: Iterable[str], kind: str, findings: Findings) -> None:
    with findings.noting(()):
        parse_name(name)
    if name in taken:
        findings.wrong((), f"the configuration lists this {kind}: it is changed there")
    findings.raise_if_any()


# --- where routes stand ---------------------------------------------------------------------


def _place(configured: Configured, added: Sequence[snapshot.Route]) -> Configured:
    """After the configuration's, and before those at its end that take all that is left.

    Raises ConfigError where one would never be asked.
    """
    running = configured.snapshot
    head, tail = split_routes(running.routes, configured.own_routes)
    listeners = {each.name: each for each in running.listeners}
    taken: dict[str, str] = {}  # by listener, the route that takes everything there
    for route in head:
        _take(route, listeners, taken)
    added = [_guarded(route, tail, listeners) for route in added]
    for route in added:
        _check_reached(route, f"route {route.name}", listeners, taken)
        _take(route, listeners, taken)
    for route in tail if added else ():
        by = next((one.name for one in added if takes_everything(one)), "")
        _check_reached(route, f"route {by}: the configuration's {route.name}", listeners, taken)
    return replace(configured, snapshot=changed(running, routes=(*head, *added, *tail)))


def _guarded(
    route: snapshot.Route,
    tail: Sequence[snapshot.Route],
    listeners: Mapping[str, snapshot.Listener],
) -> snapshot.Route:
    """As whoever would have taken its requests asks who comes, so does it. Raises ConfigError where
    several would, which ask otherwise."""
    if not route.pools:
        return route
    guards: dict[str, snapshot.Route] = {}  # by listener: the first takes all
    for each in tail:
        for name in _reaches(each, listeners):
            guards.setdefault(name, each)
    taken_from = [guards[name] for name in _reaches(route, listeners) if name in guards]
    asked = [(each.forward_auth, each.basic_auth) for each in taken_from]
    if any(each != asked[0] for each in asked):
        names = " and ".join(dict.fromkeys(repr(each.name) for each in taken_from))
        raise ConfigError(
            f"route {route.name}: the configuration's routes {names}, which take what is left, ask "
            "different things of clients: say which `listeners` it is for"
        )
    if not asked:
        return route
    return changed(route, forward_auth=asked[0][0], basic_auth=asked[0][1])


def split_routes(
    routes: tuple[snapshot.Route, ...], own: int
) -> tuple[tuple[snapshot.Route, ...], tuple[snapshot.Route, ...]]:
    """Those of a configuration that go first, and those at its end that take what is left; the
    first ``own`` are of listeners that name their pool."""
    end = len(routes)
    while end > own and takes_everything(routes[end - 1]):
        end -= 1
    return routes[:end], routes[end:]


def takes_everything(route: snapshot.Route) -> bool:
    """Whether it takes all that comes to its listeners."""
    match = route.match
    by_path = match.path_kind == "any" or (match.path_kind, match.path) == ("prefix", "/")
    return by_path and not (
        match.hosts or match.methods or match.sources or match.server_names or match.headers
    )


def _reaches(route: snapshot.Route, listeners: Mapping[str, snapshot.Listener]) -> list[str]:
    """The listeners whose clients it is for."""
    if route.match.listeners:
        return [name for name in route.match.listeners if name in listeners]
    return list(listeners)


def _take(
    route: snapshot.Route, listeners: Mapping[str, snapshot.Listener], taken: dict[str, str]
) -> None:
    if takes_everything(route):
        for name in _reaches(route, listeners):
            taken.setdefault(name, route.name)


def _check_reached(
    route: snapshot.Route,
    shown: str,
    listeners: Mapping[str, snapshot.Listener],
    taken: Mapping[str, str],
) -> None:
    asked = _reaches(route, listeners)
    if asked and all(name in taken for name in asked):
        raise ConfigError(
            f"{shown}: never reached: the route {taken[asked[0]]!r} takes everything before it on "
            f"the listener {asked[0]!r}"
        )
