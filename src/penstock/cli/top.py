"""Watch a running balancer: endpoints, pools, decisions and events, with keys that act."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from penstock._visible import all_visible
from penstock.cli._admin_client import Admin
from penstock.cli._admin_options import admin_of, admin_options
from penstock.cli._console import LoopConsole
from penstock.cli._top_commands import TopCommands
from penstock.cli._top_keys import keyboard
from penstock.cli._top_screen import once as one_frame
from penstock.cli._top_screen import screen
from penstock.cli._top_state import SORTS, TopState

_STREAM: Final = "/api/v1/stream"
_SILENT_S: Final = 30.0  # frames come at least every ten seconds
_AGAIN_S: Final = 1.0
_LOOK_S: Final = 0.05  # for keys
_DECISIONS: Final = 200
_MOST_BYTES: Final = 64 * 1024 * 1024  # of a frame: tens of thousands of endpoints
_PIPED_WIDTH: Final = 200


@click.command(
    epilog="""\b
Examples:
  penstock top
  penstock top --admin https://lb1:9900 --token-file token --ca-file ca.pem
  penstock top --once --sort p99 --filter gpu"""
)
@admin_options
@click.option("--once", is_flag=True, help="Print the table of endpoints once, without keys.")
@click.option(
    "--sort",
    type=click.Choice([name for name, _ in SORTS]),
    default="state",
    show_default=True,
    help="What endpoints are sorted by.",
)
@click.option("--filter", "wanted", default="", help="Only endpoints in which this text is found.")
def top(
    admin: str,
    token: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    once: bool,
    sort: str,
    wanted: str,
) -> None:
    """Watch endpoints, pools, decisions, events, workers, tenants and limits, as on the dashboard.

    Keys move, sort, filter, drain and weigh; `?` lists them. What they do is asked before and can
    be undone.
    """
    address = admin_of(admin, token, token_file, ca_file)
    state = TopState(sort=sort, filter=wanted)
    if once:
        asyncio.run(_print_once(address, state))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this needs a terminal; `--once` prints one frame without")
    asyncio.run(_watch(address, state))


async def _print_once(admin: Admin, state: TopState) -> None:
    async for kind, message in messages(admin):
        state.take(kind, message)
        if kind == "whole":
            break
    console = LoopConsole(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _PIPED_WIDTH)  # for grep, which wants whole lines
    console.print(one_frame(state))


async def messages(admin: Admin) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The messages of the stream, until it ends. Raises click.ClickException."""
    import aiohttp

    limits = aiohttp.ClientTimeout(total=None, sock_read=_SILENT_S)
    try:
        async with (
            admin.session(limits) as session,
            session.get(admin.base + _STREAM) as answer,
        ):
            if answer.status != 200:
                admin.answer(answer.status, await answer.read())
                raise click.ClickException(f"{admin.url} has no stream: an older version is there")
            held = b""
            async for chunk in answer.content.iter_any():
                *whole, held = (held + chunk).split(b"\n\n")
                for each in whole:
                    kind, _, data = each.partition(b"\n")
                    yield kind[len(b"event: ") :].decode(), json.loads(data[len(b"data: ") :])
                if len(held) > _MOST_BYTES:
                    raise click.ClickException(f"{admin.url} does not send a stream of Penstock's")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise admin.failure(error) from error


async def _watch(admin: Admin, state: TopState) -> None:
    console = Console(highlight=False)
    loop = asyncio.get_running_loop()

    async def give(command: str, values: dict[str, Any]) -> object:
        return await admin.ask("POST", f"/api/v1/{command}", values)

    async def look() -> None:
        with suppress(click.ClickException):
            answer = await admin.ask("GET", f"/api/v1/decisions?limit={_DECISIONS}", None)
            state.decisions = all_visible(answer["decisions"])

    commands = TopCommands(state, give, look)
    follower = asyncio.create_task(_follow(admin, state))
    try:
        with (
            keyboard(loop.add_reader) as pressed,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            drawn: object = None
            while not commands.over:
                if follower.done() and not state.balancer:
                    follower.result()  # what went wrong at the first try is told, and ends it
                for key in pressed:
                    await commands.press(key)
                looks = (state.at, console.size, bool(pressed), commands.foot().plain)
                pressed.clear()
                if looks != drawn:
                    drawn = looks
                    state.settle()
                    lost = follower.done()
                    foot = Text("no connection", "bold red") if lost else commands.foot()
                    live.update(screen(state, console.size.height, foot), refresh=True)
                await asyncio.sleep(_LOOK_S)
    finally:
        loop.remove_reader(sys.stdin.fileno())
        follower.cancel()
        with suppress(asyncio.CancelledError, click.ClickException):
            await follower


async def _follow(admin: Admin, state: TopState) -> None:
    """Take what the stream says; connect anew where it ended. Raises what the first try does."""
    while True:
        try:
            async for kind, message in messages(admin):
                state.take(kind, message)
        except click.ClickException:
            if not state.balancer:
                raise
        await asyncio.sleep(_AGAIN_S)
