"""What it costs to follow many endpoints of which some come and go all the time.

    python -m benchmarks.discovery [--endpoints 10000] [--workers 2] [--changes 10] [--seconds 20]

A provider says ten times a second that one endpoint left and another came; the membership, the
supervisor's publisher and real workers follow, without health checks or traffic. Told are the
supervisor's CPU time as a share of a core, that of each worker, how long it took until workers had
a change, and the longest time for which a worker's loop did not turn.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
from time import monotonic, perf_counter, process_time

import msgspec
from msgspec.structs import replace

from benchmarks.publishing import Site, world
from penstock._form import form
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.publishing import MembersPublisher
from penstock.control.discovery.source import provider_source
from penstock.control.events import Events
from penstock.core.health.health import UP
from penstock.core.snapshot import Endpoint, Snapshot
from penstock.core.snapshot.changes import decode_changes, endpoint_changes
from penstock.dataplane.board.layout import S_HEALTH, S_WEIGHT_PPM
from penstock.dataplane.board.memory import create_board
from penstock.dataplane.context import Context
from penstock.dataplane.worker.live_snapshot import LiveSnapshot

_SOURCE = provider_source(0, "benchmark")
_RECENT = 500  # members that may have come with a publication


def endpoint(number: int) -> Endpoint:
    """One of many."""
    host = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
    return Endpoint(name=f"{host}:8000", host=host, port=8000)


class Following:
    """A site whose one pool has the members that a provider says."""

    def __init__(self, endpoints: int, workers: int) -> None:
        self.site = Site(workers)
        self.membership = Membership(monotonic)
        self.membership.configure({"main": [_SOURCE]}, {"main": ()})
        self.site.publisher.members = self.membership.members
        self.publisher = MembersPublisher(self.membership, self.site.publisher.refresh, Events())
        self.newest = endpoints - 1
        self.oldest = 0
        self.membership.set(_SOURCE, "main", [endpoint(n) for n in range(endpoints)])
        self.late_s: list[float] = []
        self.awaited: list[tuple[str, float]] = []  # that came, and when
        self.site.publisher.followers.append(self._note_arrivals)

    def spec(self) -> Snapshot:
        """Without endpoints of its own."""
        spec = world(0)
        return replace(spec, pools=(replace(spec.pools[0], endpoints=()),))

    def change(self) -> None:
        """One comes, one leaves."""
        self.newest += 1
        self.membership.update(
            _SOURCE, "main", [endpoint(self.newest)], [(endpoint(self.oldest).host, 8000)]
        )
        self.oldest += 1

    async def follow(self, changes: int, seconds: float) -> None:
        """Change for so long, and see how late workers are."""
        until = monotonic() + seconds
        while monotonic() < until:
            began = perf_counter()
            self.change()
            name = endpoint(self.newest).name
            self.awaited.append((name, began))
            await asyncio.sleep(1.0 / changes)

    def _note_arrivals(self, snapshot: Snapshot) -> None:
        """Called when all workers have said that they run it."""
        there = {each.name for each in snapshot.pools[0].endpoints[-_RECENT:]}
        now = perf_counter()
        self.late_s += [now - began for name, began in self.awaited if name in there]
        self.awaited = [each for each in self.awaited if each[0] not in there]


def longest_pause_s(endpoints: int, rounds: int = 20) -> float:
    """For how long a worker's loop stands still while it takes a change, at most."""
    board = create_board(1)
    names = [endpoint(n) for n in range(endpoints + rounds)]
    [pool] = world(0).pools

    def spec(first: int) -> Snapshot:
        members = tuple(
            replace(each, row=first + row) for row, each in enumerate(names[first:][:endpoints])
        )
        return replace(
            world(0), generation=first + 1, pools=(replace(pool, row=0, endpoints=members),)
        )

    for row in range(len(names)):
        board.cells[board.state(row) + S_HEALTH] = UP
        board.cells[board.state(row) + S_WEIGHT_PPM] = 1_000_000
    live = LiveSnapshot(spec(0), None, Context(board, 0, os.getpid()))
    live.configure()
    longest = 0.0
    for number in range(rounds):
        changes = endpoint_changes(spec(number), spec(number + 1))
        assert changes is not None
        data = msgspec.json.encode(changes)
        began = process_time()
        live.configure_endpoints(decode_changes(msgspec.json.decode(data)))
        longest = max(longest, process_time() - began)
    return longest


async def main(endpoints: int, workers: int, changes: int, seconds: float, profile: bool) -> None:
    """Measure and print."""
    following = Following(endpoints, workers)
    site = following.site
    await site.publisher.start(following.spec())
    publishing = asyncio.create_task(following.publisher.run())
    try:
        await following.follow(changes, 2.0)
        following.late_s.clear()
        profiler = cProfile.Profile()
        generation = site.publisher.running.generation
        cpu_s, worker_cpu_s, began = process_time(), site.worker_cpu_s(), monotonic()
        if profile:
            profiler.enable()
        await following.follow(changes, seconds)
        profiler.disable()
        passed_s = monotonic() - began
        share = (process_time() - cpu_s) / passed_s
        worker_share = (site.worker_cpu_s() - worker_cpu_s) / passed_s / workers
        published = site.publisher.running.generation - generation
    finally:
        publishing.cancel()
        await site.workers.stop(0.0)
        site.sockets.close_all()
    late = sorted(following.late_s)
    print(f"{endpoints} endpoints, {workers} workers, {form()}, {changes} changes a second")
    print(f"{published} publications in {passed_s:.0f} s")
    print(f"supervisor {share:.1%} of a core, each worker {worker_share:.1%}")
    print(f"with the workers after {late[len(late) // 2]:.2f} s, at most {late[-1]:.2f} s")
    print(f"a worker stands still for {longest_pause_s(endpoints) * 1e3:.1f} ms at most")
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--changes", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    asyncio.run(main(given.endpoints, given.workers, given.changes, given.seconds, given.profile))
