"""Make, list and revoke the keys of tenants."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from penstock.core.snapshot import Tenant

PREFIX: Final = "pstk-"  # by which people, and scanners for leaked secrets, know them
_RANDOM_BYTES: Final = 32
EXAMPLES: Final = """\b
Examples:
  penstock keys create acme --name ci --expires 90d --config penstock.yaml
  penstock keys create acme                     prints what to write down
  penstock keys list --config penstock.yaml
  penstock keys revoke acme ci --config penstock.yaml"""

_where: Final = [
    click.option(
        "-c",
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Configuration file, whose tenants_directory is meant.",
    ),
    click.option(
        "--directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Directory of tenants.",
    ),
]


def _somewhere(command: Any) -> Any:
    for option in _where:
        command = option(command)
    return command


@click.group(epilog=EXAMPLES)
def keys() -> None:
    """Make, list and revoke keys of tenants.

    They are kept as SHA-256 in NAME.keys.yaml of the directory of tenants, which a running
    balancer reads again within a second.
    """


@keys.command()
@click.argument("tenant")
@click.option("--name", help="What it is called in logs. Default: key-1, key-2 and so on.")
@click.option("--expires", metavar="DURATION|DATE", help="How long, or until when, it is good.")
@click.option("--model", "models", multiple=True, help="Model that it may ask for; repeatable.")
@_somewhere
def create(
    tenant: str,
    name: str | None,
    expires: str | None,
    models: tuple[str, ...],
    config: Path | None,
    directory: Path | None,
) -> None:
    """Make a key. It is shown once, and nobody can show it again."""
    _check_name(tenant)
    place = _directory(config, directory)
    known = _keys_in(place, tenant) if place is not None else {}
    if name is None:
        name = next(each for n in range(1, len(known) + 2) if (each := f"key-{n}") not in known)
    _check_name(name)
    if name in known or _is_configured(config, tenant, name):
        raise click.ClickException(f"{tenant} has a key that is called {name!r} already")
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    entry: dict[str, object] = {"sha256": sha256(secret.encode()).hexdigest()}
    if expires is not None:
        entry["expires"] = _end(expires)
    if models:
        entry["models"] = list(models)
    if place is None:
        click.echo(secret)
        click.echo(
            "\nIt is shown this once. To let it in, write into the configuration:\n", err=True
        )
        click.echo(_yaml({"tenants": {tenant: {"keys": {name: entry}}}}), err=True, nl=False)
        return
    _write(place, tenant, {**known, name: entry})
    click.echo(secret)
    click.echo(f"\nIt is shown this once; {_file(place, tenant)} has its SHA-256.", err=True)


@keys.command(name="list")
@_somewhere
def list_keys(config: Path | None, directory: Path | None) -> None:
    """List the keys of all tenants, without the keys."""
    rows = [
        (tenant.name, key.name, key.sha256[:8], _state(key.revoked, key.expires_at))
        for tenant in _all(config, directory)
        for key in tenant.keys
    ]
    if not rows:
        click.echo("There are no keys.", err=True)
        return
    head = ("TENANT", "KEY", "SHA-256", "STATE")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(3)]
    for row in [head, *rows]:
        click.echo("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]))


@keys.command()
@click.argument("tenant")
@click.argument("name")
@_somewhere
def revoke(tenant: str, name: str, config: Path | None, directory: Path | None) -> None:
    """Have a key let nobody in any more."""
    place = _directory(config, directory)
    known = _keys_in(place, tenant) if place is not None else {}
    if place is None or name not in known:
        if _is_configured(config, tenant, name):
            raise click.ClickException(
                f"the key stands in {config} itself: write `revoked: true` there, and reload"
            )
        where = f"{_file(place, tenant)} has" if place is not None else "there is no directory with"
        raise click.ClickException(f"{where} no key of {tenant} that is called {name!r}")
    known[name] = {**known[name], "revoked": True}
    _write(place, tenant, known)
    click.echo(f"{tenant}/{name} is revoked.")


def _state(revoked: bool, expires_at: float) -> str:
    if revoked:
        return "revoked"
    if not expires_at:
        return "good"
    end = datetime.fromtimestamp(expires_at, UTC)
    word = "expired" if end <= datetime.now(UTC) else "good until"
    return f"{word} {end:%Y-%m-%d %H:%M} UTC"


def _check_name(name: str) -> None:
    from penstock.config.document.values import parse_name

    try:
        parse_name(name)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _end(text: str) -> str:
    """When a key ends, as its file says it."""
    from penstock.config.document.quantities import parse_duration
    from penstock.config.document.tenants import parse_time, spell_time

    try:
        if "-" in text:
            at = parse_time(text)
        else:
            at = (datetime.now(UTC) + timedelta(seconds=parse_duration(text))).timestamp()
    except ValueError as error:
        raise click.ClickException(f"--expires: {error}") from error
    return spell_time(float(int(at))) or ""


def _directory(config: Path | None, directory: Path | None) -> Path | None:
    """Where keys are written; None: nowhere."""
    if directory is not None or config is None:
        return directory
    from penstock.config.load.document import load_document
    from penstock.config.load.errors import ConfigError

    try:
        loaded = load_document(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    named = loaded.document.tenants_directory
    return loaded.origin.directory / Path(named).expanduser() if named is not None else None


def _all(config: Path | None, directory: Path | None) -> list[Tenant]:
    from penstock.config.compile.snapshot import load_configuration
    from penstock.config.compile.tenants import read_directory
    from penstock.config.load.errors import ConfigError

    try:
        if config is not None:
            snapshot = load_configuration(config).snapshot
            return [*snapshot.tenants, *snapshot.found_tenants]
        if directory is not None:
            return list(read_directory(directory))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    raise click.UsageError("say where tenants stand: --config FILE or --directory DIRECTORY")


def _is_configured(config: Path | None, tenant: str, name: str) -> bool:
    if config is None:
        return False
    return any(
        each.name == tenant and name in {key.name for key in each.keys}
        for each in _all(config, None)
    )


def _file(place: Path, tenant: str) -> Path:
    from penstock.config.compile.tenants import KEYS_SUFFIX

    return place / f"{tenant}{KEYS_SUFFIX}"


def _keys_in(place: Path, tenant: str) -> dict[str, dict[str, object]]:
    """What a file of keys says, as it stands there, once it was found right."""
    from penstock.config.compile.tenants import read_file
    from penstock.config.load.errors import ConfigError
    from penstock.config.load.source import read_source

    file = _file(place, tenant)
    if not file.exists():
        return {}
    try:
        read_file(file)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    found: dict[str, dict[str, object]] = read_source(file, os.environ).value
    return found


def _write(place: Path, tenant: str, known: dict[str, dict[str, object]]) -> None:
    from penstock.control.store.files import write_whole

    note = "# Written by `penstock keys`; comments of one's own are not kept.\n"
    try:
        write_whole(_file(place, tenant), (note + _yaml(known)).encode(), 0o644)
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"{_file(place, tenant)} cannot be written: {reason}") from error


def _yaml(value: object) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
