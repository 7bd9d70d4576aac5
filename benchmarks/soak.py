"""Many requests, with memory and descriptors counted on the way: are they flat?

``python -m benchmarks.soak --requests 10000000``
"""

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import accounts
from benchmarks.balancers import Balancer, all_balancers
from benchmarks.cores import Cores, available, split, together
from benchmarks.limits import raise_descriptor_limit
from benchmarks.load.wrk import send_requests
from benchmarks.process import Process, end_in_order_when_terminated
from benchmarks.scenarios.request import start_two_backends
from benchmarks.scenarios.scenario import make_site, temporary_directory
from benchmarks.site import Site

_SAMPLES: Final = 40  # aimed at
_SETTLE_S: Final = 0.5  # until the balancer has seen that wrk's connections are gone
# Growth that is still called flat: allocators round, and a thousandth of a request's 500 bytes,
# lost at every one of ten million, would be over it.
_FLAT_BYTES: Final = 1 << 20
_FLAT_SHARE: Final = 0.02


@dataclass(frozen=True)
class Point:
    """What was seen between two slices of load."""

    requests: int
    memory_bytes: int
    descriptors: int


@dataclass
class Soak:
    """A whole run."""

    points: list[Point]
    failures: dict[str, int]

    def memory_growth_bytes(self) -> float:
        """From the second quarter of the run (the first warms up) to the last, by medians."""
        return _middle(self._quarter(4)) - _middle(self._quarter(2))

    def descriptor_growth(self) -> int:
        """The most in the last quarter, beyond the most ever before."""
        before = [point.descriptors for n in (1, 2, 3) for point in self._quarter(n)]
        return max([point.descriptors for point in self._quarter(4)]) - max(before)

    def is_memory_flat(self) -> bool:
        allowed = max(_FLAT_BYTES, _FLAT_SHARE * _middle(self._quarter(2)))
        return self.memory_growth_bytes() <= allowed

    def are_descriptors_flat(self) -> bool:
        return self.descriptor_growth() <= 0

    def _quarter(self, number: int) -> list[Point]:
        count = len(self.points)
        return self.points[count * (number - 1) // 4 : count * number // 4]


def _middle(points: Sequence[Point]) -> float:
    return statistics.median([point.memory_bytes for point in points])


def soak(process: Process, site: Site, cores: Cores, requests: int, shown: Progress) -> Soak:
    """Slices of load until that many requests were answered; every fourth without keep-alive."""
    done = Soak([], {})
    task = shown.add_task("requests", total=requests)
    answered, slice_s = 0, 1.0
    while answered < requests or len(done.points) < 8:
        begun = time.monotonic()
        load = send_requests(site.url, cores.load, slice_s, close=len(done.points) % 4 == 3)
        answered += load.count
        for kind, count in load.errors.items():
            done.failures[kind] = done.failures.get(kind, 0) + count
        time.sleep(_SETTLE_S)
        pids = process.tree()
        done.points.append(Point(answered, accounts.memory_bytes(pids), accounts.descriptors(pids)))
        shown.update(task, completed=min(answered, requests))
        per_s = load.count / (time.monotonic() - begun)
        slice_s = min(60.0, max(1.0, requests / _SAMPLES / max(per_s, 1.0)))
    return done


def _table(points: Sequence[Point]) -> str:
    step = max(1, len(points) // 12)
    shown = [*points[:-1:step], points[-1]]
    rows = [f"{p.requests:>12,} {p.memory_bytes / 2**20:>12.2f} {p.descriptors:>12}" for p in shown]
    return "\n".join([f"{'requests':>12} {'memory, MiB':>12} {'descriptors':>12}", *rows])


def _find(balancers: Sequence[Balancer], name: str) -> Balancer:
    for balancer in balancers:
        if balancer.name.lower() == name.lower():
            return balancer
    names = ", ".join([balancer.name for balancer in balancers])
    raise click.BadParameter(f"{name}: there are {names}", param_hint="--balancer")


@click.command()
@click.option("--requests", default=200_000, show_default=True, help="How many, at least.")
@click.option("--balancer", "name", default="Penstock", show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--tls", is_flag=True, help="Clients speak TLS.")
@click.option(
    "--penstock-python", default=sys.executable, help="The interpreter that has Penstock."
)
def main(requests: int, name: str, workers: int, tls: bool, penstock_python: str) -> None:
    """Send many requests and tell whether memory and descriptors stay flat.

    Example: python -m benchmarks.soak --requests 10000000
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    balancer = _find(all_balancers(penstock_python), name)
    cores = split() if len(available()) > 1 else together(1)
    columns = TextColumn("{task.completed:,.0f} requests"), BarColumn(), TimeRemainingColumn()
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        endpoints = start_two_backends(stack, directory, cores.load)
        site = make_site(endpoints, directory, tls=tls, workers=workers)
        process = stack.enter_context(balancer.start(site, cores.balancer))
        shown = stack.enter_context(Progress(*columns, transient=True))
        done = soak(process, site, cores, requests, shown)
    memory = "flat" if done.is_memory_flat() else "GROWS"
    descriptors = "flat" if done.are_descriptors_flat() else "GROW"
    click.echo(_table(done.points))
    click.echo(f"{balancer.name} {balancer.version()}, {done.points[-1].requests:,} requests")
    click.echo(f"memory: {memory} ({done.memory_growth_bytes() / 1024:+,.0f} KiB after warming up)")
    click.echo(f"descriptors: {descriptors} ({done.descriptor_growth():+d})")
    click.echo(f"failures: {done.failures or 'none'}")
    if done.failures or not (done.is_memory_flat() and done.are_descriptors_flat()):
        sys.exit(1)


if __name__ == "__main__":
    main()
