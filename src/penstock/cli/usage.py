"""Show what tenants used: requests, tokens and cost, by tenant, key, model and day."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from penstock.cli._admin_client import Admin

_APART: Final = ("day", "tenant", "key", "model")
_COUNTS: Final = ("requests", "prompt_tokens", "cached_tokens", "output_tokens", "cost")
EXAMPLES: Final = """\b
Examples:
  penstock usage
  penstock usage --days 30 --by tenant --by model
  penstock usage --days 31 --format csv > november.csv"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=1,
    show_default=True,
    help="Of the last so many days of UTC, today included.",
)
@click.option("--tenant", default="", help="Only this tenant.")
@click.option(
    "--by",
    "apart",
    multiple=True,
    type=click.Choice(_APART),
    help="What is told apart; repeatable. Default: all of these.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    show_default=True,
    help="How it is printed.",
)
@click.option(
    "--admin",
    envvar="PENSTOCK_ADMIN",
    default="http://127.0.0.1:9900",
    show_default=True,
    help="Admin address of the balancer.",
)
@click.option("--token", envvar="PENSTOCK_TOKEN", help="Admin token.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds the admin token.",
)
def usage(
    days: int,
    tenant: str,
    apart: tuple[str, ...],
    form: str,
    admin: str,
    token: str | None,
    token_file: Path | None,
) -> None:
    """Show what tenants used, as the balancer that runs has counted it."""
    from penstock.control.commands.usage import ShowUsage

    if token_file is not None:
        token = token_file.read_text().strip()
    url = admin if "://" in admin else f"http://{admin}"
    asked: dict[str, object] = {"days": days, "tenant": tenant}
    answer = Admin(url.rstrip("/"), token).give(ShowUsage, asked)
    columns = [name for name in _APART if not apart or name in apart]
    _print(summed(answer["rows"], columns), columns, form)


def summed(rows: list[dict[str, Any]], columns: list[str]) -> list[dict[str, Any]]:
    """One row for each combination of the columns, in order."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in columns)
        known = found.setdefault(key, {name: row[name] for name in columns})
        for name in _COUNTS:
            known[name] = known.get(name, 0) + row[name]
    return [found[key] for key in sorted(found)]


def _print(rows: list[dict[str, Any]], columns: list[str], form: str) -> None:
    names = [*columns, *_COUNTS]
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    if form == "csv":
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    if not rows:
        click.echo("Nobody with a key has asked for anything.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in names:
        right = name in _COUNTS
        table.add_column(name.replace("_", " ").upper(), justify="right" if right else "left")
    for row in rows:
        table.add_row(*[_shown(row[name]) for name in names])
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
