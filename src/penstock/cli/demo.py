"""Show prefix-aware balancing beside round robin, and failover, on emulated engines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from penstock.cli._console import LoopConsole
from penstock.cli._output_file import OutputFile, writing
from penstock.fleet.balancer import BalancerError
from penstock.fleet.demo.day_chart import DayLines, page, sparklines
from penstock.fleet.demo.day_chart import summary as day_summary
from penstock.fleet.demo.display import LiveTable, PlainLines, comparison, summary
from penstock.fleet.demo.scaled_day import run_day
from penstock.fleet.demo.story import run_demo

_DAYS_S: Final = 120.0  # two of them
_STORY_S: Final = 60.0  # as long as its times are on a terminal, once


@click.command(
    epilog="""\b
Examples:
  penstock demo                until Ctrl-C; without a terminal, for a minute
  penstock demo --seconds 30   one engine is killed and restarted, then it ends
  penstock demo --scale        two days in two minutes, and engines that come and go"""
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1.0),
    help="Stop after this long, once the killed engine works again. "
    "Default: run until Ctrl-C, or for a minute where there is no terminal.",
)
@click.option(
    "--scale",
    is_flag=True,
    help="Show one fleet that scales itself instead: two days of load in two minutes (or "
    "--seconds), with a flood in the second, and engines that are started and drained for it.",
)
@click.option("--html", type=OutputFile(), help="With --scale: write its chart to this file.")
def demo(seconds: float | None, scale: bool, html: Path | None) -> None:
    """Balance the same chats over two fleets of emulated engines, by marginal cost and in turn.

    Starts eight engines and the balancer as processes on loopback ports, sends every request to
    both fleets at the same moment and shows who got what, the time to first token and how much of
    the prompts was cached. One engine of each fleet is killed and revived: answers under way on
    it are cut, the rest goes on. Exits with 1 if any request failed otherwise.
    """
    console = LoopConsole()
    if scale:
        _show_scaling(console, seconds or _DAYS_S, html)
        return
    if html is not None:
        raise click.UsageError("--html is of --scale")
    if seconds is None and not console.is_terminal:
        seconds = _STORY_S  # nobody is there to end it
    try:
        with LiveTable(console) if console.is_terminal else PlainLines(console) as display:
            view = asyncio.run(run_demo(display, seconds))
    except (BalancerError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    if not console.is_terminal:  # there it stands already
        console.print(comparison(view), highlight=False)
    for said in summary(view):
        console.print(said, highlight=False)
    if view.failed:
        raise SystemExit(1)


def _show_scaling(console: LoopConsole, seconds: float, html: Path | None) -> None:
    try:
        view = asyncio.run(run_day(DayLines(console), seconds))
    except BalancerError as error:
        raise click.ClickException(str(error)) from error
    for line in [*sparklines(view), day_summary(view)]:
        console.print(line, highlight=False, soft_wrap=True)
    if html is not None:
        with writing(html):
            html.write_text(page(view), "utf-8")
    if view.failed:
        raise SystemExit(1)
