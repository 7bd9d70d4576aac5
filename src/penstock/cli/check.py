"""Check a configuration file."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.config.compile import Configured
    from penstock.core.snapshot import Listener, Match, Pool, Route

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
        from penstock.config.schema import schema_text

        click.echo(schema_text())
        return
    if file is None:
        raise click.UsageError("give the FILE to check, or --print-schema")
    from penstock.config.compile import load_configuration
    from penstock.config.errors import ConfigError

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
    yield from _block("pools", [_pool(pool) for pool in snapshot.pools])
    admin = configured.admin
    address = f"{admin.host}:{admin.port}" if admin.host else "off"
    guarded = " (token)" if admin.token else ""
    yield f"admin: {address}{guarded}   workers: {configured.workers}"


def _block(title: str, lines: list[str]) -> "Iterator[str]":
    yield f"{title}:"
    for line in lines:
        yield f"  {line}"


def _listener(listener: "Listener") -> str:
    scheme = "https" if listener.certificates else "http"
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    names = [name for pair in listener.certificates for name in pair.server_names]
    return f"{listener.name}: {scheme}://{host}:{listener.port} {' '.join(names)}".rstrip()


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
    total = sum(pool.weight for pool in route.pools)
    shares = [
        pool.pool if len(route.pools) == 1 else f"{pool.pool} {pool.weight / total:.1%}"
        for pool in route.pools
    ]
    mirrored = f", mirrored to {route.mirror}" if route.mirror else ""
    return ", ".join(shares) + mirrored


def _pool(pool: "Pool") -> str:
    names = [endpoint.name for endpoint in pool.endpoints[:_ENDPOINTS_SHOWN]]
    more = len(pool.endpoints) - len(names)
    if more:
        names.append(f"and {more} more")
    checked = pool.health_check.kind if pool.health_check else "no"
    return f"{pool.name}: {pool.policy.name}, {checked} health check: {', '.join(names)}"
