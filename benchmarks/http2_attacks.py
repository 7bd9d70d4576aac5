"""What a hostile HTTP/2 client costs its neighbours: their latency, and the worker's memory.

``python -m benchmarks.http2_attacks`` sends 200 requests a second through one worker, at first
alone and then beside each kind of flood, and exits with 1 where their p99 grew by more than 5 ms,
one of them failed, or memory grew by more than 16 MiB.
"""

import asyncio
import sys
import time
from contextlib import ExitStack
from typing import Final

import click

from benchmarks import accounts
from benchmarks.balancers.penstock import Penstock
from benchmarks.cores import Cores, split
from benchmarks.load.counted import CountedLoad
from benchmarks.load.http2_attacker import KINDS
from benchmarks.load.timed_client import TimedClient
from benchmarks.process import Process, end_in_order_when_terminated
from benchmarks.scenarios.request import start_two_backends
from benchmarks.scenarios.scenario import make_site, temporary_directory
from benchmarks.site import Site

_PER_S: Final = 200.0
_ADDED_P99_MS: Final = 5.0
_MOST_GROWN_MB: Final = 16.0
_ATTACKER: Final = "benchmarks.load.http2_attacker"
_BEGUN_S: Final = 1.0


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="Of each kind.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)))
def main(seconds: float, kinds: tuple[str, ...]) -> None:
    """Measure neighbours beside floods.

    Example: python -m benchmarks.http2_attacks --kind rapid-reset --seconds 10
    """
    end_in_order_when_terminated()
    cores = split()
    faults: list[str] = []
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        endpoints = start_two_backends(stack, directory, cores.load)
        site = make_site(endpoints, directory, protocol="h2c")
        process = stack.enter_context(Penstock(sys.executable).start(site, cores.balancer))
        _neighbours(site, _BEGUN_S)
        alone = _neighbours(site, seconds)
        click.echo(f"{'alone':16} {alone}")
        for kind in kinds or sorted(KINDS):
            _beside(kind, site, process, cores, seconds, alone, faults)
    for fault in faults:
        click.echo(f"FAULT: {fault}")
    sys.exit(1 if faults else 0)


def _beside(
    kind: str,
    site: Site,
    process: Process,
    cores: Cores,
    seconds: float,
    alone: TimedClient,
    faults: list[str],
) -> None:
    before = accounts.memory_bytes(process.tree())
    with CountedLoad(_ATTACKER, cores.load, port=site.port, kind=kind) as attacker:
        time.sleep(_BEGUN_S)
        told = _neighbours(site, seconds)
        sent = attacker.ask()
    grown_mb = (accounts.memory_bytes(process.tree()) - before) / 2**20
    click.echo(
        f"{kind:16} {told}; {sent['frames']:,} frames on {sent['connections']:,} connections, "
        f"memory {grown_mb:+.1f} MiB"
    )
    if told.quantile_ms(0.99) - alone.quantile_ms(0.99) > _ADDED_P99_MS:
        faults.append(
            f"{kind}: p99 grew from {alone.quantile_ms(0.99):.1f} to "
            f"{told.quantile_ms(0.99):.1f} ms"
        )
    if told.failures:
        faults.append(f"{kind}: {told.failures} requests failed")
    if grown_mb > _MOST_GROWN_MB:
        faults.append(f"{kind}: memory grew by {grown_mb:.1f} MiB")


def _neighbours(site: Site, seconds: float) -> TimedClient:
    client = TimedClient(site.port, _PER_S)
    asyncio.run(client.run(seconds))
    return client


if __name__ == "__main__":
    main()
