"""What it costs to publish one changed endpoint among many: alone, and within a whole snapshot.

    python -m benchmarks.publishing [--endpoints 4000] [--workers 2] [--rounds 20]

Real workers and the supervisor's publisher, without health checks or traffic. The time until all
workers run it is a median; CPU time is that of one process for one publication. Besides, what it
costs a worker to see that the state of one endpoint changed, or that its engine reported.
"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, process_time

import msgspec
from msgspec.structs import replace

from penstock._form import form
from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.resolver import SystemResolver
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.workers import Workers
from penstock.control.world.certificates import CertificateFiles
from penstock.control.world.publish import Publisher
from penstock.control.world.rows import Rows
from penstock.core.health.health import UP
from penstock.core.snapshot import Endpoint, Engine, Listener, Pool, Snapshot
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import R_AT_US, S_HEALTH, S_WEIGHT_PPM
from penstock.dataplane.board.memory import create_board
from penstock.dataplane.context import Context
from penstock.dataplane.worker.live_snapshot import LiveSnapshot

Publish = Callable[[Snapshot], Awaitable[object]]


class Site:
    """A publisher and its workers."""

    def __init__(self, workers: int) -> None:
        events = Events()
        board = create_board(workers)
        self.sockets = ListeningSockets(workers)
        self.workers = Workers(board, self.sockets, events)
        self.publisher = Publisher(
            board,
            Rows(board, monotonic),
            self.sockets,
            self.workers,
            EndpointStates(board, events),
            CertificateFiles(),
            Addresses(SystemResolver(), events),
            events,
        )

    def worker_cpu_s(self) -> float:
        """Of all workers together, since they started."""
        stats = [Path(f"/proc/{pid}/schedstat").read_text() for pid in self.workers.pids]
        return sum(int(stat.split()[0]) for stat in stats) / 1e9


def world(endpoints: int) -> Snapshot:
    """One pool of so many."""
    made = tuple(
        Endpoint(
            name=f"10.0.{n // 250}.{n % 250}:8000", host=f"10.0.{n // 250}.{n % 250}", port=8000
        )
        for n in range(endpoints)
    )
    return Snapshot(
        generation=0,
        listeners=(Listener(name="main", host="127.0.0.1", port=0),),
        routes=(),
        pools=(Pool(name="main", endpoints=made),),
    )


def with_weight(spec: Snapshot, index: int, weight: float) -> Snapshot:
    """The same but for one endpoint."""
    [pool] = spec.pools
    endpoints = list(pool.endpoints)
    endpoints[index] = replace(endpoints[index], weight=weight)
    return replace(spec, pools=(replace(pool, endpoints=tuple(endpoints)),))


async def measure(site: Site, specs: list[Snapshot], publish: Publish) -> str:
    """Publish one after the other; the row of a table."""
    times = []
    cpu_s = process_time()
    worker_cpu_s = site.worker_cpu_s()
    for spec in specs:
        began = perf_counter()
        await publish(spec)
        times.append(perf_counter() - began)
    cpu_ms = (process_time() - cpu_s) / len(specs) * 1e3
    worker_ms = (site.worker_cpu_s() - worker_cpu_s) / len(specs) / len(site.workers.all) * 1e3
    return f"{median(times) * 1e3:9.1f} ms {cpu_ms:9.1f} ms {worker_ms:9.1f} ms"


async def main(endpoints: int, workers: int, rounds: int) -> None:
    """Measure and print a table."""
    site = Site(workers)
    spec = world(endpoints)
    await site.publisher.start(spec)
    try:
        first = site.publisher.running
        changed: list[Snapshot] = []
        for index in range(rounds):
            last = changed[-1] if changed else first
            again = with_weight(last, index, 2.0)
            changed.append(replace(again, generation=last.generation + 1))
        changes = {
            after.generation: endpoint_changes(before, after)
            for before, after in pairwise([first, *changed])
        }
        alone = await measure(
            site, changed, lambda each: site.workers.publish(each, changes[each.generation])
        )
        later = [replace(each, generation=each.generation + rounds) for each in changed]
        whole = await measure(site, later, site.workers.publish)
    finally:
        await site.workers.stop(0.0)
        site.sockets.close_all()
    alone_bytes = len(msgspec.json.encode(changes[changed[-1].generation]))
    whole_bytes = len(changed[-1].encode())
    reload = await measure_reloads(spec, workers, rounds)
    print(f"{endpoints} endpoints, {workers} workers, {form()}: one endpoint changes")
    print(f"{'':24}{'bytes':>10}{'until run':>12}{'supervisor':>13}{'worker':>13}")
    print(f"{'whole snapshot':24}{whole_bytes:10}{whole}")
    print(f"{'change alone':24}{alone_bytes:10}{alone}")
    print(f"{'a reload in all':24}{'':10}{reload}")
    for what, worker_ms in seen_on_the_board(spec, rounds).items():
        print(f"{what:59}{worker_ms:9.2f} ms")


def seen_on_the_board(spec: Snapshot, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU that a worker needs for one change that the supervisor writes there."""
    board = create_board(1)
    [pool] = spec.pools
    endpoints = tuple(replace(each, row=row) for row, each in enumerate(pool.endpoints))
    for row in range(len(endpoints)):
        board.cells[board.state(row) + S_HEALTH] = UP
        board.cells[board.state(row) + S_WEIGHT_PPM] = 1_000_000
    placed = replace(spec, pools=(replace(pool, endpoints=endpoints, engine=Engine()),))
    live = LiveSnapshot(placed, None, Context(board, 0, os.getpid()))
    live.configure()

    def state_changes(row: int) -> None:
        board.cells[board.state(row) + S_WEIGHT_PPM] += 1
        board.state_changed(row)

    def engine_reports(row: int) -> None:
        board.cells[board.report(row) + R_AT_US] += 1
        board.report_changed(row)

    found = {}
    for what, change in (("a state", state_changes), ("a report", engine_reports)):
        times = []
        for row in range(rounds):
            change(row)
            began = process_time()
            live.refresh()
            times.append(process_time() - began)
        found[what] = median(times) * 1e3
    return found


async def measure_reloads(spec: Snapshot, workers: int, rounds: int) -> str:
    """From a configuration that was read until it runs: rows, addresses, states, followers, too."""
    site = Site(workers)
    await site.publisher.start(spec)
    try:
        specs = [with_weight(spec, index, 2.0) for index in range(rounds)]
        return await measure(site, specs, site.publisher.publish)
    finally:
        await site.workers.stop(0.0)
        site.sockets.close_all()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    asyncio.run(main(given.endpoints, given.workers, given.rounds))
