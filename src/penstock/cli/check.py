"""Check a configuration file."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.config.compile.snapshot import Configured
    from penstock.core.snapshot import Certificate, Endpoint, Listener, Match, Pool, Route

EXAMPLES: Final = """\b
Examples:
  penstock check penstock.yaml
  penstock check --print-schema > penstock.schema.json"""
_ENDPOINTS_SHOWN: Final = 4


@click.command(epilog=EXAMPLES)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--print-schema", is_flag=True, help="Print the JSON Schema, for editors.")
def check(file: Path | None, print_schema: bool) -> None:
    """Validate FILE and summarise it, or print the JSON Schema of configuration files.

    Exits with 0 if `penstock serve` can run it, else with 1.
    """
    if print_schema:
        from penstock.config.describe.schema import schema_text

        click.echo(schema_text())
        return
    if file is None:
        raise click.UsageError("give the FILE to check, or --print-schema")
    from penstock.config.compile.snapshot import load_configuration
    from penstock.config.load.errors import ConfigError

    try:
        configured = load_configuration(file)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    for warning in configured.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo("\n".join([f"{file} is valid.", *summary_lines(configured)]))


def summary_lines(configured: "Configured") -> "Iterator[str]":
    """What a configuration says, on one screen and without its secrets."""
    snapshot = configured.snapshot
    yield from _block("listeners", [_listener(listener) for listener in snapshot.listeners])
    yield from _block("routes", [_route(route) for route in snapshot.routes])
    yield from _block("pools", [line for pool in snapshot.pools for line in _pool(pool)])
    admin = configured.admin
    address = f"{admin.host}:{admin.port}" if admin.host else "off"
    guarded = " (token)" if admin.token else ""
    yield f"admin: {address}{guarded}   workers: {configured.workers}"
    if configured.store is not None:
        yield f"store: {configured.store.shown} (cluster {configured.store.cluster})"


def _block(title: str, lines: list[str]) -> "Iterator[str]":
    yield f"{title}:"
    for line in lines:
        yield f"  {line}"


def _listener(listener: "Listener") -> str:
    from penstock.core.snapshot.address import shown_url

    names = [name for pair in listener.certificates for name in _names(pair)]
    url = shown_url(listener.scheme, listener.host, listener.port)
    if listener.asks_certificates:
        names.append(f"(client certificates: {listener.tls.client_certificate})")
    return f"{listener.name}: {url} {' '.join(names)}".rstrip()


def _names(pair: "Certificate") -> tuple[str, ...]:
    """The names a certificate is used for; those it was issued for where it serves all clients."""
    from penstock.config.compile.certificates import check_certificate, issued_names

    if pair.server_names:
        return pair.server_names
    file = Path(pair.certificate)
    try:
        return issued_names(file, check_certificate(file, Path(pair.key)))
    except ValueError:
        return ()  # it says no name, and needs none


def _route(route: "Route") -> str:
    return f"{route.name}: {_match(route.match)} → {_end(route)}"


def _match(match: "Match") -> str:
    path = {"any": "", "exact": "path {}", "prefix": "path {}*", "regex": "path ~ {}"}
    parts = [
        " ".join(match.methods),
        " ".join(match.hosts),
        path[match.path_kind].format(match.path),
        " ".join(f"{header.name} {header.kind}" for header in match.headers),
        f"on {' '.join(match.listeners)}" if match.listeners else "",
    ]
    return ", ".join(part for part in parts if part) or "everything"


def _end(route: "Route") -> str:
    if route.redirect is not None:
        return f"redirect {route.redirect.status}"
    if route.respond is not None:
        return f"respond {route.respond.status}"
    if route.grpc_service:
        about = ", ".join(each.pool for each in route.pools)
        return f"answer {route.grpc_service}" + (f" of {about}" if about else "")
    mirrored = f", mirrored to {route.mirror}" if route.mirror else ""
    return _shares({pool.pool: pool.weight for pool in route.pools}) + mirrored


def _pool(pool: "Pool") -> "Iterator[str]":
    """A line of the pool's settings and endpoints, and lines of model names."""
    shown = [_endpoint(endpoint) for endpoint in pool.endpoints[:_ENDPOINTS_SHOWN]]
    more = len(pool.endpoints) - len(shown)
    if more:
        shown.append(f"and {more} more")
    yield f"{pool.name}: {', '.join(_traits(pool))}: {', '.join(shown)}"
    for alias, models in pool.models.aliases.items():
        yield f"  alias {alias} → {_shares(models)}"
    for model, others in pool.models.fallbacks.items():
        yield f"  fallback of {model}: {', '.join(others)}"


def _traits(pool: "Pool") -> "Iterator[str]":
    if pool.kind != "http":
        yield f"kind {pool.kind}"
    yield pool.policy.name
    checked = pool.health_check.kind if pool.health_check else "no"
    yield f"{checked} health check"
    if pool.agent_check is not None:
        yield f"agents on port {pool.agent_check.port}"
    if pool.sticky is not None:
        yield f"sticky cookie {pool.sticky.cookie}"
    if pool.breaker is not None:
        yield "circuit breaker"
    admission = pool.admission
    if admission.limit is not None:
        yield f"limit {admission.limit.name}"
    if admission.queue is not None:
        yield f"queue of {admission.queue.length} for up to {_seconds(admission.queue.timeout_s)}"
    for name in ("throttle", "success_rate", "shedding"):
        if getattr(admission, name) is not None:
            yield name.replace("_", " ")


def _endpoint(endpoint: "Endpoint") -> str:
    traits: list[str] = []
    if endpoint.weight != 1.0:
        traits.append(f"weight {endpoint.weight:g}")
    if endpoint.max_in_flight:
        traits.append(f"at most {endpoint.max_in_flight} in flight")
    if endpoint.backup:
        traits.append("backup")
    elif endpoint.priority:
        traits.append(f"priority {endpoint.priority}")
    if endpoint.zone:
        traits.append(f"zone {endpoint.zone}")
    if endpoint.models:
        traits.append(f"models {' '.join(endpoint.models)}")
    return f"{endpoint.name} ({', '.join(traits)})" if traits else endpoint.name


def _shares(weights: dict[str, float]) -> str:
    total = sum(weights.values())
    if len(weights) == 1:
        return next(iter(weights))
    return ", ".join(f"{name} {weight / total:.1%}" for name, weight in weights.items())


def _seconds(seconds: float) -> str:
    from penstock.config.document.quantities import format_duration

    return format_duration(seconds)
