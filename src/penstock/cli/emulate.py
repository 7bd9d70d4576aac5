"""Run emulated inference engines that speak the real protocols."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from penstock.cli._output_file import is_about_room
from penstock.fleet.engine.dialect import emulated_dialects
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.host import Host
from penstock.sim.engine_timing import PROFILES

_LAST_PORT = 65535
_PIPED_WIDTH = 200
_Positive = click.FloatRange(min=0, min_open=True)


@click.command(
    epilog="""\b
Examples:
  penstock emulate --count 4 --port 9001
  penstock emulate --engine sglang --profile llama-70b-h100 --speedup 10
  curl -d '{"kind": "slow", "factor": 5, "for_s": 30}' CONTROL/servers/engine-1/fault

Faults: none, die, restart, refuse, stall, stall-streams, slow (factor), error (status, share),
lie (reported: {"running": 0, "kv_usage": 0.1, …}); each with for_s, or until none."""
)
@click.option("--count", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=9001, show_default=True,
              help="Port of the first engine; the others follow. 0: free ports.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--control-port", type=click.IntRange(0, 65535), default=0,
              help="Port for fault commands. Default: a free port on loopback.")  # fmt: skip
@click.option("--engine", "dialect", type=click.Choice(list(emulated_dialects())), default="vllm",
              show_default=True, help="Engine whose API and metrics are emulated.")  # fmt: skip
@click.option("--model", default="emulated-model", show_default=True)
@click.option(
    "--adapter", "adapters", multiple=True, help="Serve a LoRA adapter of this name; repeatable."
)
@click.option("--profile", type=click.Choice(list(PROFILES)), default="llama-3-8b-h100",
              show_default=True, help="Timing profile: model and accelerator.")  # fmt: skip
@click.option("--speedup", type=_Positive, default=1.0, show_default=True)
@click.option(
    "--kv-tokens",
    type=click.IntRange(min=0),
    default=0,
    help="Capacity of the KV cache; 0: as in the profile.",
)
@click.option(
    "--max-sequences",
    type=click.IntRange(min=0),
    default=0,
    help="Sequences that run at once; 0: the engine's default.",
)
@click.option("--max-batched-tokens", type=click.IntRange(min=1), default=8192, show_default=True)
@click.option("--mean-answer-tokens", type=click.IntRange(min=1), default=250, show_default=True)
@click.option("--role", type=click.Choice(["prefill", "decode"]), default=None,
              help="Do one half of each request, as SGLang's --disaggregation-mode.")  # fmt: skip
@click.option("--kv-events", type=click.Choice(["off", "array", "map"]), default="off",
              show_default=True, help="Publish KV events over ZMQ (needs pyzmq).")  # fmt: skip
@click.option("--kv-events-port", type=click.IntRange(0, 65535), default=0,
              help="Of the first engine; each engine takes two. 0: free ports.")  # fmt: skip
def emulate(count: int, port: int, control_port: int, **options: Any) -> None:
    """Run emulated inference engines until Ctrl-C.

    They batch, cache prefixes, preempt and slow down under load as real engines do, and fail
    on command.
    """
    kv_port: int = options.pop("kv_events_port")
    role: Any = options.pop("role") or ""
    _check_ports("--port", port, count)
    _check_ports("--kv-events-port", kv_port, 2 * count)
    specs = [
        EngineSpec(
            name=f"engine-{number + 1}",
            port=port + number if port else 0,
            kv_events_port=kv_port + 2 * number if kv_port else 0,
            role=role,
            **options,
        )
        for number in range(count)
    ]
    try:
        asyncio.run(_host(specs, control_port))
    except OSError as error:
        if is_about_room(error):
            raise
        raise click.ClickException(error.strerror or str(error)) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _check_ports(option: str, first: int, count: int) -> None:
    if first + count - 1 > _LAST_PORT:
        raise click.UsageError(f"{option} {first} leaves no room for {count} ports")


async def _host(specs: list[EngineSpec], control_port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Host(specs, control_port) as host:
        console = Console()
        if not console.is_terminal:
            console.width = max(console.width, _PIPED_WIDTH)  # programs want a URL in one piece
        console.print(_listing(host))
        console.print(f"faults: {host.control_url}/servers/NAME/fault; Ctrl-C ends it")
        await stop.wait()


def _listing(host: Host) -> Table:
    engines = [server for server in host.servers.values() if isinstance(server, EngineServer)]
    publishing = any(engine.spec.kv_events != "off" for engine in engines)
    drawn = Table()
    for title in ("name", "engine", "model", "URL", *(["KV events, replay"] if publishing else [])):
        drawn.add_column(title, overflow="fold")  # an address cut short is of no use
    for engine in engines:
        events = [", ".join(engine.kv_event_addresses)] if publishing else []
        spec = engine.spec
        drawn.add_row(engine.name, spec.dialect, spec.model, engine.url, *events)
    return drawn
