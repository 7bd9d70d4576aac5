"""Options of the verbs that talk to a running balancer's admin address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from penstock.cli._admin_client import Admin

NAMES: Final = ("--admin", "--token", "--token-file", "--ca-file")
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS: Final = (
    click.option(
        "--admin",
        envvar="PENSTOCK_ADMIN",
        show_envvar=True,
        default="http://127.0.0.1:9900",
        show_default=True,
        metavar="URL",
        help="Admin address of the balancer: a URL, or unix:/path.",
    ),
    click.option(
        "--token",
        envvar="PENSTOCK_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Admin token; prefer the environment variable or a file.",
    ),
    click.option("--token-file", type=_FILE, help="File that holds the admin token."),
    click.option(
        "--ca-file",
        envvar="PENSTOCK_ADMIN_CA",
        show_envvar=True,
        type=_FILE,
        help="PEM file with who issued the admin address's certificate. Default: the system's.",
    ),
)


def admin_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to a command, which makes an ``Admin`` of their values by ``admin_of``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def admin_of(admin: str, token: str | None, token_file: Path | None, ca_file: Path | None) -> Admin:
    """The address that the options name."""
    if token_file is not None:
        token = token_file.read_text().strip()
    url = admin if "://" in admin or admin.startswith("unix:") else f"http://{admin}"
    return Admin(url.rstrip("/"), token, ca_file)
