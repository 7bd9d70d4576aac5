"""Have this installation take over from the balancer that runs."""

import sys
from pathlib import Path
from typing import Final

import click

EXAMPLES: Final = """\b
Examples:
  /opt/penstock-2/bin/penstock upgrade
  penstock upgrade --pid 4711"""


@click.command(epilog=EXAMPLES)
@click.option("--pid", type=int, help="Of the supervisor, where several run in the directory.")
@click.option(
    "--runtime-directory",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="PENSTOCK_RUNTIME_DIR",
    show_envvar=True,
    help="Of the running balancer. Default: as `penstock serve` chooses its own.",
)
def upgrade(pid: int | None, directory: Path | None) -> None:
    """Have this installation of Penstock take over from the balancer that runs.

    The running supervisor starts this installation with its own arguments and hands over listening
    sockets and state; no connection is refused and no request lost. Old workers finish what they
    have. If the new version does not get ready, the old one goes on. SIGUSR2 does the same with the
    installation that runs already, if that was replaced in its place.
    """
    from penstock.control.upgrade.asking import AskingError, ask_for_upgrade

    command = [sys.executable, "-P", "-m", "penstock"]
    try:
        told = ask_for_upgrade(directory, pid, command)
    except AskingError as error:
        raise click.ClickException(str(error)) from error
    click.echo(told)
