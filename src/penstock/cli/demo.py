"""Show requests balanced and failed over, on emulated endpoints."""

from __future__ import annotations

import asyncio

import click
from rich.console import Console

from penstock.fleet.balancer import BalancerError
from penstock.fleet.demo import run_demo
from penstock.fleet.display import LiveTable, PlainLines, summary


@click.command(
    epilog="""\b
Examples:
  penstock demo                until Ctrl-C
  penstock demo --seconds 20   one death and one revival, then an end"""
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1.0),
    help="End by itself after this long. Without it: until Ctrl-C.",
)
def demo(seconds: float | None) -> None:
    """Balance requests over three emulated endpoints, and kill and revive one of them.

    Starts the endpoints and the balancer as processes on loopback ports, sends a trickle of
    requests through it and shows who got what. Exits with 1 if any request failed.
    """
    console = Console()
    try:
        with LiveTable(console) if console.is_terminal else PlainLines(console) as display:
            view = asyncio.run(run_demo(display, seconds))
    except (BalancerError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    console.print(summary(view), highlight=False)
    if view.scoreboard.failed:
        raise SystemExit(1)
