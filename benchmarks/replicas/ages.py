"""How old what a balancer sees of the others is, and what sharing costs it.

So many processes share over a real server of the store, each with a board on which the load of
endpoints changes all the time as workers would have it, and with prompts of 16 new blocks, 200 a
second: told are the age of what a worker would see, looked at by chance, and what sharing costs a
supervisor.
"""

import asyncio
import multiprocessing
import random
from multiprocessing.connection import Connection
from time import monotonic, process_time
from typing import Any, Final

from benchmarks.replicas.server import running
from penstock.config.compile.store import parse_url
from penstock.control.events import Events
from penstock.control.replicas.load_sharing import CHANNEL, LoadSharing, to
from penstock.control.store.shared import SharedStore
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.layout import L_IN_FLIGHT, O_IN_FLIGHT
from penstock.dataplane.board.memory import create_board
from penstock.dataplane.llm.routed_prefixes import RoutedPrefixes

ENDPOINTS: Final = 16
_WORKERS: Final = 2
_MASK: Final = (1 << 40) - 1
_SETTLE_S: Final = 1.5
BUSY_PER_S: Final = 20_000  # requests of a balancer that is fully used


HEADS: Final = [
    "balancers",
    "age, median ms",
    "age, p99 ms",
    "messages/s",
    "KiB/s",
    "of a core",
    "µs a request",
]


def measured(count: int, seconds: float) -> list[str]:
    """A row about so many balancers over a real store."""
    context = multiprocessing.get_context("forkserver")
    with running() as url:
        pipes = [context.Pipe() for _ in range(count)]
        processes = [
            context.Process(target=_balancer, args=(url, number, pipe[1], seconds))
            for number, pipe in enumerate(pipes)
        ]
        for process in processes:
            process.start()
        found: list[dict[str, Any]] = [pipe[0].recv() for pipe in pipes]
        for process in processes:
            process.join()
    ages = sorted(age for each in found for age in each["ages"])
    cpu_s = sum(each["cpu_s"] for each in found[1:]) / (count - 1)  # the first has another clock
    sent = sum(each["sent"] for each in found) / count
    size = sum(each["bytes"] for each in found) / count
    return [
        f"{count}",
        f"{ages[len(ages) // 2]:.1f}",
        f"{ages[int(len(ages) * 0.99)]:.1f}",
        f"{sent:.0f}",
        f"{size / 1024:.0f}",
        f"{cpu_s * 100:.1f}%",
        f"{cpu_s / BUSY_PER_S * 1e6:.2f}",
    ]


def _balancer(url: str, number: int, pipe: Connection, seconds: float) -> None:
    asyncio.run(_share(url, number, pipe, seconds))


async def _share(url: str, number: int, pipe: Connection, seconds: float) -> None:
    """One balancer: its sharing is measured, and what stands in for its workers is not."""
    me = f"balancer-{number}"
    board = create_board(_WORKERS, endpoint_rows=64, pool_rows=4)
    board.share()
    store = SharedStore(parse_url(url), Events(), (CHANNEL, to(me)))
    sharing = LoadSharing(store, board, me, monotonic)
    endpoints = [Endpoint(f"e{row}", "127.0.0.1", 9000 + row, row=row) for row in range(ENDPOINTS)]
    sharing.configure(Snapshot(0, (), (), (Pool("main", endpoints=tuple(endpoints)),)))
    routed = RoutedPrefixes(board, 0)
    counted = [CountedEndpoint(each, "main", board, 0) for each in endpoints]
    rng = random.Random(number)
    ages: list[float] = []

    async def play(seconds: float) -> float:
        """What stands in for workers, for so long; CPU seconds a second besides, its pauses too."""
        worked_s = next_prompt = 0.0
        began_cpu, began = process_time(), monotonic()
        while (now := monotonic()) < began + seconds:
            own = process_time()
            # Endpoint 0 is balancer 0's, and tells when it was written; the others change for all.
            if number == 0:
                board.cells[board.load(0, 0) + L_IN_FLIGHT] = int(now * 1e6) & _MASK
            elif written := board.cells[board.others(0) + O_IN_FLIGHT]:
                ages.append(((int(now * 1e6) & _MASK) - written) / 1000)
            if now >= next_prompt:
                next_prompt = now + 0.005
                for row in rng.sample(range(1, ENDPOINTS), 6):
                    at = board.load(row, rng.randrange(_WORKERS))
                    board.cells[at + L_IN_FLIGHT] = rng.randrange(50)
                blocks = [rng.getrandbits(63) for _ in range(16)]
                routed.added(counted[rng.randrange(ENDPOINTS)], blocks, [16] * 16)
            worked_s += process_time() - own
            await asyncio.sleep(0.001 if number == 0 else rng.uniform(0.003, 0.007))
        return (process_time() - began_cpu - worked_s) / (monotonic() - began)

    pauses = await play(1.0)
    tasks = [asyncio.create_task(store.run()), asyncio.create_task(sharing.run())]
    await play(_SETTLE_S)
    ages.clear()
    sent, size, began = sharing.sent, sharing.sent_bytes, monotonic()
    cpu_s = await play(seconds)
    passed_s = monotonic() - began
    found = {
        "ages": ages,
        "cpu_s": cpu_s - pauses,
        "sent": (sharing.sent - sent) / passed_s,
        "bytes": (sharing.sent_bytes - size) / passed_s,
    }
    pipe.send(found)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
