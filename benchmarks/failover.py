"""Failures while things die: endpoints killed, a worker killed, the configuration reloaded.

``python -m benchmarks.failover --seconds 10`` at 500 idempotent requests a second; counts every
request by how it ended.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from benchmarks import accounts
from benchmarks.backends import start_plain
from benchmarks.balancers import Penstock
from benchmarks.cores import available
from benchmarks.load.paced_client import PacedClient
from benchmarks.process import Process, end_in_order_when_terminated, free_ports
from benchmarks.scenarios.scenario import make_site, temporary_directory
from benchmarks.site import Site

PER_S: Final = 500
CONNECTIONS: Final = 32
_ENDPOINTS: Final = 3
_DOWN_S: Final = 0.4
_UP_S: Final = 0.6
_RELOAD_EVERY_S: Final = 0.1
_WORKER: Final = "penstock.dataplane.worker"


@dataclass
class Fleet:
    """Penstock and the endpoints behind it. ``events`` counts what was done to them."""

    penstock: Penstock
    process: Process
    site: Site
    directory: Path
    endpoints: dict[int, Process]  # by port
    everywhere: frozenset[int]
    events: int = 0

    def stop(self) -> None:
        with ExitStack() as stack:  # all, also if one is interrupted
            for each in (*self.endpoints.values(), self.process):
                stack.callback(each.stop)


Scene = Callable[[Fleet], Awaitable[None]]


async def kill_endpoint(fleet: Fleet) -> None:
    """SIGKILL for one of three endpoints, again and again; it comes back on the same port."""
    port = next(iter(fleet.endpoints))
    while True:
        await asyncio.sleep(_UP_S)
        fleet.endpoints[port].kill()
        fleet.events += 1
        await asyncio.sleep(_DOWN_S)
        fleet.endpoints[port] = await asyncio.to_thread(
            start_plain, fleet.directory, fleet.everywhere, port
        )


async def kill_worker(fleet: Fleet) -> None:
    """SIGKILL for one of two workers, each second."""
    while True:
        await asyncio.sleep(_UP_S + _DOWN_S)
        workers = [pid for pid in fleet.process.tree() if _WORKER in accounts.command_line(pid)]
        os.kill(workers[fleet.events % len(workers)], signal.SIGKILL)
        fleet.events += 1


async def reload_in_loop(fleet: Fleet) -> None:
    """SIGHUP every 100 ms; the file says two endpoints and three in turn."""
    document = json.loads(fleet.penstock.configuration(fleet.site))
    pool = document["pools"]["endpoints"]
    everyone = pool["endpoints"]
    while True:
        await asyncio.sleep(_RELOAD_EVERY_S)
        fleet.events += 1
        pool["endpoints"] = everyone[: _ENDPOINTS - fleet.events % 2]
        beside = fleet.directory / "next.yaml"
        beside.write_text(json.dumps(document))
        beside.replace(fleet.penstock.file(fleet.site))
        os.kill(fleet.process.pid, signal.SIGHUP)


# What is done, and how many failures each time it is done may cost: a killed worker takes the
# requests inside it along, at most one on each connection.
SCENES: Final[dict[str, tuple[Scene, int]]] = {
    "endpoint killed": (kill_endpoint, 0),
    "worker killed": (kill_worker, CONNECTIONS),
    "reload": (reload_in_loop, 0),
}


def start(penstock: Penstock, directory: Path) -> Fleet:
    """Three endpoints, and two workers in front."""
    everywhere = frozenset(available())
    with ExitStack() as stack:
        endpoints: dict[int, Process] = {}
        for port in free_ports(_ENDPOINTS):
            endpoints[port] = stack.enter_context(start_plain(directory, everywhere, port))
        site = make_site([("127.0.0.1", port) for port in endpoints], directory, workers=2)
        process = penstock.start(site, everywhere)
        stack.pop_all()
    return Fleet(penstock, process, site, directory, endpoints, everywhere)


async def play(scene: Scene, fleet: Fleet, seconds: float) -> PacedClient:
    """The scene under load. Raises what the scene raises, should it fail."""
    client = PacedClient(fleet.site.port, PER_S, CONNECTIONS)
    trouble = asyncio.ensure_future(scene(fleet))
    await client.run(seconds)
    if not trouble.cancel():
        trouble.result()
    return client


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="For each scene.")
@click.option("--only", type=click.Choice(list(SCENES)), help="One scene. Default: all.")
@click.option(
    "--penstock-python", default=sys.executable, help="The interpreter that has Penstock."
)
def main(seconds: float, only: str | None, penstock_python: str) -> None:
    """Kill endpoints and workers and reload under load; count requests by how they ended.

    Example: python -m benchmarks.failover --seconds 30
    """
    end_in_order_when_terminated()
    failed = False
    for name, (scene, allowed_each) in SCENES.items():
        if only not in (None, name):
            continue
        with temporary_directory() as directory:
            fleet = start(Penstock(penstock_python), directory)
            try:
                client = asyncio.run(play(scene, fleet, seconds))
            finally:
                fleet.stop()
        allowed = allowed_each * fleet.events
        ends = ", ".join([f"{kind}: {count:,}" for kind, count in client.ends.most_common()])
        click.echo(f"{name}: {fleet.events} times, {client.ends.total():,} requests; {ends}")
        click.echo(f"  failures: {client.failures} (allowed: {allowed})")
        failed = failed or client.failures > allowed
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
