"""One run: a cold fleet of emulated engines, a router in front of it, a workload through it."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import accounts, record
from benchmarks.balancers import Balancer
from benchmarks.cores import available
from benchmarks.process import Process, free_ports
from benchmarks.routing.fleets import ANTAGONISED, PROFILE, SPEEDS
from benchmarks.routing.workloads import OBJECTIVES, Kind
from benchmarks.site import Site
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from penstock.fleet.process import HostProcess
from penstock.fleet.replay.client import Outcome, StreamClient
from penstock.fleet.replay.result import Measurement, ReplayResult
from penstock.fleet.replay.run import LEAD_S, Replay

MODEL: Final = "emulated-70b"
_PROCESSES: Final = 2  # that the engines are spread over
TIMEOUT_S: Final = 120.0
_FIRST_EVENT_PORT: Final = 24_000  # Linux gives out 32768 and above
WARM_UP: Final = 0.25  # of a run: its requests fill the caches and are not counted
SECONDS: Final = 54.0  # a run, of the engines' time
OWN_SPEED: Final = 1.0  # of engines: a run at it is held against the simulator, not other routers


class Row(msgspec.Struct, frozen=True):
    """What one run measured. Times are in the engines' seconds, CPU in real ones."""

    router: str
    kind: str
    fleet: str
    requests: int
    failed: int
    ttft_mean_s: float
    ttft_p99_s: float
    tpot_mean_s: float
    goodput_per_s: float
    hit_rate: float
    cpu_per_request_s: float
    client_lag_p99_s: float
    speedup: float = 3.0  # of the engines
    seed: int = 1
    seconds: float = SECONDS
    date: str = ""


async def measure(
    router: Balancer,
    kind: Kind,
    fleet: str,
    *,
    engine_seconds: float,
    speedup: float,
    seed: int,
    directory: Path,
) -> Row:
    """Raises StartError, RuntimeError, UnavailableError."""
    workload = kind.live(engine_seconds * kind.lasts, seed, fleet)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as cleanup:
        events = _event_ports(len(SPEEDS[fleet])) if router.name.endswith("kv_aware") else ()
        endpoints = await start_fleet(cleanup, fleet, speedup, events)
        port, admin_port = free_ports(2)
        site = Site(
            directory,
            port,
            admin_port,
            endpoints,
            streaming=True,
            kv_event_ports=events,
            model=MODEL,
        )
        process = cleanup.enter_context(router.start(site, frozenset(available())))
        measurement = Measurement(OBJECTIVES, speedup)
        client = StreamClient(
            site.url, MODEL, "chat", headers={}, timeout_s=TIMEOUT_S, keep_answers=True
        )
        counted_from = loop.time() + LEAD_S + counted_from_s(kind, engine_seconds) / speedup

        def count(outcome: Outcome) -> None:
            if outcome.due >= counted_from:
                measurement.add(outcome)

        before_s = _cpu_s(process)
        async with client:
            await Replay(workload, client, count, speedup=speedup).run()
        spent_s = (_cpu_s(process) - before_s) / workload.requests
    result = measurement.result(
        name=router.name, url=site.url, model=MODEL, workload=workload.description
    )
    return _row(result, kind, fleet, spent_s, speedup, seed, engine_seconds)


def counted_from_s(kind: Kind, engine_seconds: float) -> float:
    """Requests due from then on count, in the engines' seconds since the beginning."""
    share = WARM_UP if kind.warm_up is None else kind.warm_up
    return share * engine_seconds * kind.lasts


def _event_ports(engines: int) -> tuple[int, ...]:
    """For each engine a port, of which the next is free too: there its events are replayed.

    Below those that the system gives to anybody's connections, so that they stay free.
    """
    pairs = range(_FIRST_EVENT_PORT, _FIRST_EVENT_PORT + 2000, 2)
    free = [port for port in pairs if _is_free(port) and _is_free(port + 1)]
    return tuple(free[:engines])


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def start_fleet(
    cleanup: AsyncExitStack, fleet: str, speedup: float, event_ports: tuple[int, ...] = ()
) -> list[tuple[str, int]]:
    """Cold engines that end with ``cleanup``; their addresses. Raises RuntimeError."""
    speeds = SPEEDS[fleet]
    told = (1.0,) * len(speeds) if fleet == ANTAGONISED else speeds
    specs = [
        EngineSpec(
            f"engine-{number}",
            model=MODEL,
            profile=PROFILE,
            speedup=speedup * speed,
            kv_events="map" if event_ports else "off",
            kv_events_port=event_ports[number] if event_ports else 0,
        )
        for number, speed in enumerate(told)
    ]
    hosts = [HostProcess(specs[first::_PROCESSES]) for first in range(_PROCESSES)]
    for host in hosts:
        cleanup.push_async_callback(host.stop)
    await asyncio.gather(*(host.start() for host in hosts))
    for number, (speed, said) in enumerate(zip(speeds, told, strict=True)):
        if speed != said:
            slow = FaultCommand("slow", factor=said / speed)
            await hosts[number % _PROCESSES].fault(specs[number].name, slow)
    urls = {name: url for host in hosts for name, url in host.urls.items()}
    return [("127.0.0.1", int(urls[spec.name].rpartition(":")[2])) for spec in specs]


def _cpu_s(process: Process) -> float:
    return sum(spent.total_s for spent in accounts.cpu(process.tree()).values())


def _row(
    result: ReplayResult,
    kind: Kind,
    fleet: str,
    cpu_per_request_s: float,
    speedup: float,
    seed: int,
    seconds: float,
) -> Row:
    return Row(
        router=result.name,
        kind=kind.name,
        fleet=fleet,
        requests=result.requests,
        failed=result.failed,
        ttft_mean_s=result.ttft.mean,
        ttft_p99_s=result.ttft.percentile(99),
        tpot_mean_s=result.tpot.mean,
        goodput_per_s=result.goodput_per_s,
        hit_rate=result.hit_rate,
        cpu_per_request_s=cpu_per_request_s,
        client_lag_p99_s=result.lag.percentile(99),
        speedup=speedup,
        seed=seed,
        seconds=seconds,
        date=record.today(),
    )
