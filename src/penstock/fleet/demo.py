"""The demonstration: three endpoints, the balancer, a trickle of requests, a death, a revival."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp

from penstock.fleet.balancer import BalancerProcess, start_balancer, temporary_directory
from penstock.fleet.plain import PlainSpec
from penstock.fleet.process import HostProcess
from penstock.fleet.scoreboard import Scoreboard
from penstock.fleet.trickle import Trickle

SPECS = (
    PlainSpec("swift", mean_service_s=0.020),
    PlainSpec("steady", mean_service_s=0.050),
    PlainSpec("slow", mean_service_s=0.125),
)
VICTIM = SPECS[0].name

# With least-request the three hold about the same number of requests, 1.5 each at this rate, so
# that their shares of the traffic follow their speeds.
RATE_PER_S = 100.0

_REFRESH_S = 0.25
# An endless run: up for 8 s, down for 6 s.
_UP_S, _DOWN_S = 8.0, 6.0


@dataclass(slots=True)
class EndpointView:
    """What the balancer says of an endpoint; its ``state`` is empty until it has said so."""

    state: str = ""
    in_flight: int = 0


@dataclass(slots=True)
class DemoView:
    """Everything that a display shows."""

    scoreboard: Scoreboard
    url: str = ""
    admin_url: str = ""
    headline: str = "starting three endpoints and the balancer"
    elapsed_s: float = 0.0
    endpoints: dict[str, EndpointView] = field(
        default_factory=lambda: {spec.name: EndpointView() for spec in SPECS}
    )


_T = TypeVar("_T")

Show = Callable[[DemoView], None]


async def run_demo(show: Show, seconds: float | None) -> DemoView:
    """Run for ``seconds``, or until SIGINT, SIGTERM or SIGHUP; ``show`` is called as it goes.

    Every child process has ended when this returns. Raises BalancerError or RuntimeError when
    something does not start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    view = DemoView(Scoreboard([spec.name for spec in SPECS]))
    async with AsyncExitStack() as cleanup:
        started = await _unless(stop, _start(cleanup, view, show))
        if started is not None:
            hosts, balancer = started
            await _perform(hosts, balancer, view, show, stop, seconds)
        view.headline = "stopping"
        show(view)
    return view


async def _start(
    cleanup: AsyncExitStack, view: DemoView, show: Show
) -> tuple[dict[str, HostProcess], BalancerProcess]:
    show(view)
    hosts = {spec.name: HostProcess([spec]) for spec in SPECS}
    for host in hosts.values():
        cleanup.push_async_callback(host.stop)
    await asyncio.gather(*(host.start() for host in hosts.values()))
    directory = Path(cleanup.enter_context(temporary_directory()))
    urls = {name: host.urls[name] for name, host in hosts.items()}
    balancer = await start_balancer(directory, configuration(urls))
    cleanup.push_async_callback(balancer.stop)
    view.url, view.admin_url = balancer.url, balancer.admin_url
    return hosts, balancer


def configuration(urls: dict[str, str]) -> dict[str, object]:
    """The balancer's configuration for endpoints given by name and URL."""
    return {
        "workers": 2,
        "pools": {
            "demo": {
                "policy": "least-request",
                "endpoints": [{"name": name, "url": url} for name, url in urls.items()],
                "health_check": {
                    "path": "/healthz",
                    "interval": "500ms",
                    "fast_interval": "250ms",
                    "timeout": "1s",
                },
                # Shorter than the defaults by the same measure as the story is.
                "outlier": {"base_ejection": "500ms", "max_ejection": "2s"},
            }
        },
    }


async def _perform(
    hosts: dict[str, HostProcess],
    balancer: BalancerProcess,
    view: DemoView,
    show: Show,
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    trickle = Trickle(balancer.url, RATE_PER_S, view.scoreboard)
    acts = [
        asyncio.create_task(trickle.run(stop)),
        asyncio.create_task(_tell_story(hosts[VICTIM], view, stop, seconds)),
        asyncio.create_task(_watch(balancer, view, show, stop, seconds)),
    ]
    try:
        await asyncio.gather(*acts)
    finally:
        stop.set()
        await asyncio.gather(*acts, return_exceptions=True)


async def _tell_story(
    victim: HostProcess, view: DemoView, stop: asyncio.Event, seconds: float | None
) -> None:
    """Kill and revive; once in a bounded run, over and over in an endless one."""
    up_s = _UP_S if seconds is None else 0.35 * seconds
    down_s = _DOWN_S if seconds is None else 0.30 * seconds
    while not stop.is_set():
        view.headline = f"all is well; {VICTIM} will be killed in a moment"
        await _pause(stop, up_s)
        if stop.is_set():
            return
        await victim.kill()
        view.headline = f"{VICTIM} was killed with SIGKILL; the others take over"
        await _pause(stop, down_s)
        if stop.is_set():
            return
        await victim.start()
        view.headline = f"{VICTIM} is back"
        await _pause(stop, up_s if seconds is None else seconds)


async def _watch(
    balancer: BalancerProcess,
    view: DemoView,
    show: Show,
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    """Show what happens until it is time to stop."""
    began = asyncio.get_running_loop().time()
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            view.elapsed_s = asyncio.get_running_loop().time() - began
            if seconds is not None and view.elapsed_s >= seconds:
                stop.set()
            await _look(balancer, session, view)
            show(view)
            await _pause(stop, _REFRESH_S)


async def _look(balancer: BalancerProcess, session: aiohttp.ClientSession, view: DemoView) -> None:
    """Update what the balancer says of its endpoints."""
    if balancer.pid == 0:
        raise RuntimeError("the balancer ended in the middle of the demonstration")
    try:
        status = await balancer.status(session)
    except aiohttp.ClientError:
        return  # the next look is a moment away, and the requests themselves tell
    for pool in status["pools"]:
        for endpoint in pool["endpoints"]:
            seen = view.endpoints.setdefault(endpoint["name"], EndpointView())
            seen.state, seen.in_flight = endpoint["state"], endpoint["in_flight"]


async def _pause(stop: asyncio.Event, wait_s: float) -> None:
    try:
        async with asyncio.timeout(wait_s):
            await stop.wait()
    except TimeoutError:
        return


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, _T]) -> _T | None:
    """What ``work`` returns; when ``stop`` is set first, it is cancelled and this is None."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
