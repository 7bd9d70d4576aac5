"""Real balancers over a real store, before emulated engines: each request goes to any of them, as
where a name has all their addresses."""

import asyncio
import json
import random
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import time
from typing import Any, Final

from benchmarks import accounts
from benchmarks.balancers.penstock import Penstock
from benchmarks.cores import available
from benchmarks.failure import StartError
from benchmarks.process import Process, free_ports
from benchmarks.replicas.server import running
from benchmarks.replicas.simulated import Figures
from benchmarks.replicas.spread import sampled, spread, stays
from benchmarks.routing.fleets import ALIKE
from benchmarks.routing.live import MODEL, TIMEOUT_S, counted_from_s, start_fleet
from benchmarks.routing.simulated import OWN
from benchmarks.routing.workloads import OBJECTIVES, Kind
from benchmarks.site import Site
from penstock.fleet.replay.client import Outcome, StreamClient
from penstock.fleet.replay.result import Measurement
from penstock.fleet.replay.run import LEAD_S, Replay

LOG: Final = "requests.log"
_SAMPLED_S: Final = 0.05
_HEARD_S: Final = 10.0
_COUNTED: Final = ("sent_messages", "sent_bytes")


class Sharing(Penstock):
    """One of several, if there is a ``store``. It logs its requests."""

    def __init__(self, store: str, number: int, *, interpreted: bool) -> None:
        super().__init__(
            sys.executable,
            interpreted=interpreted,
            policy=OWN,
            kind="llm",
            variant=f" {number}",
        )
        self._store = store

    def configuration(self, site: Site) -> str:
        document: dict[str, Any] = json.loads(super().configuration(site))
        document["request_log"] = str(site.directory / LOG)
        if self._store:
            document["store"] = self._store
        return json.dumps(document, indent=1)


class AnyOf(StreamClient):
    """Sends each request to any of several servers."""

    def __init__(self, clients: Sequence[StreamClient], seed: int) -> None:
        super().__init__(
            "http://", MODEL, "chat", headers={}, timeout_s=TIMEOUT_S, keep_answers=True
        )
        self._clients = clients
        self._dice = random.Random(seed)

    async def send(self, body: bytes, due: float) -> Outcome:
        return await self._dice.choice(self._clients).send(body, due)


@dataclass(frozen=True)
class Seen:
    """What one run, or several in the mean, came to."""

    figures: Figures
    failed: float
    cpu_us: float  # of all balancers, for each request
    messages_per_s: float  # of each balancer
    bytes_per_s: float
    lag_ms: float  # of the client, p99

    def told(self) -> list[str]:
        """What stands beside the figures."""
        return [
            f"{self.failed:g}",
            f"{self.cpu_us:,.0f}",
            f"{self.messages_per_s:.0f}",
            f"{self.bytes_per_s / 1024:.0f}",
            f"{self.lag_ms:.0f}",
        ]


def together(runs: Sequence[Seen]) -> Seen:
    """Their mean."""
    figures = [fmean(each) for each in zip(*(run.figures for run in runs), strict=True)]
    return Seen(
        (figures[0], figures[1], figures[2], figures[3]),
        fmean(run.failed for run in runs),
        fmean(run.cpu_us for run in runs),
        fmean(run.messages_per_s for run in runs),
        fmean(run.bytes_per_s for run in runs),
        fmean(run.lag_ms for run in runs),
    )


async def measure(
    kind: Kind, count: int, seconds: float, seed: int, directory: Path, *, interpreted: bool
) -> Seen:
    """``seconds`` at the engines' own speed. Raises StartError, RuntimeError."""
    workload = kind.live(seconds, seed, ALIKE)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as cleanup:
        store = cleanup.enter_context(running()) if count > 1 else ""
        endpoints = await start_fleet(cleanup, ALIKE, 1.0)
        sites: list[Site] = []
        processes: list[Process] = []
        for number in range(count):
            own = directory / str(number)
            own.mkdir()
            port, admin_port = free_ports(2)
            site = Site(own, port, admin_port, endpoints, streaming=True, model=MODEL)
            balancer = Sharing(store, number, interpreted=interpreted)
            processes.append(cleanup.enter_context(balancer.start(site, frozenset(available()))))
            sites.append(site)
        await _hear_each_other(sites)
        clients = [
            await cleanup.enter_async_context(
                StreamClient(
                    site.url, MODEL, "chat", headers={}, timeout_s=TIMEOUT_S, keep_answers=True
                )
            )
            for site in sites
        ]
        measurement = Measurement(OBJECTIVES, 1.0)
        counted_from = loop.time() + LEAD_S + counted_from_s(kind, seconds)
        last_at = began_at = time()

        def count_outcome(outcome: Outcome) -> None:
            nonlocal last_at
            if outcome.due >= counted_from:
                measurement.add(outcome)
                last_at = max(last_at, time() - (loop.time() - outcome.sent))

        spent_s = -_cpu_s(processes)
        sent = [-each for each in _sent(sites)] if store else [0.0, 0.0]
        began_s = loop.time()
        await Replay(workload, AnyOf(clients, seed), count_outcome).run()
        passed_s = loop.time() - began_s
        spent_s += _cpu_s(processes)
        if store:
            sent = [(a + b) / passed_s / count for a, b in zip(sent, _sent(sites), strict=True)]
    logs = b"".join([(site.directory / LOG).read_bytes() for site in sites])
    requests = stays([line for line in logs.splitlines() if b"/chat/completions" in line])
    names = sorted({each.endpoint for each in requests})
    from_at = began_at + LEAD_S + counted_from_s(kind, seconds)
    samples = sampled(requests, names, from_at, last_at, _SAMPLED_S)
    result = measurement.result(name=f"{count}", url="", model=MODEL, workload=workload.description)
    return Seen(
        (
            result.hit_rate,
            result.ttft.mean * 1000,
            result.ttft.percentile(99) * 1000,
            spread(samples),
        ),
        result.failed,
        spent_s / workload.requests * 1e6,
        sent[0],
        sent[1],
        lag_ms=result.lag.percentile(99) * 1000,
    )


async def _hear_each_other(sites: Sequence[Site]) -> None:
    """Until each hears all others. Raises StartError."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _HEARD_S
    others = len(sites) - 1
    while others and any(_metric(site, "balancers") < others for site in sites):
        if loop.time() > end:
            raise StartError(f"{len(sites)} balancers do not hear each other")
        await asyncio.sleep(0.1)


def _sent(sites: Sequence[Site]) -> list[float]:
    """Messages and bytes that all of them told the others."""
    return [sum(_metric(site, f"{name}_total") for site in sites) for name in _COUNTED]


def _metric(site: Site, name: str) -> float:
    """Of the store's."""
    url = f"http://127.0.0.1:{site.admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=5.0) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"penstock_store_{name} "):
                return float(line.rpartition(" ")[2])
    return 0.0


def _cpu_s(processes: Sequence[Process]) -> float:
    return sum(spent.total_s for each in processes for spent in accounts.cpu(each.tree()).values())
