"""The plot: start everything, send traffic, kill one engine of each fleet, revive it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp

from penstock.fleet.balancer import BalancerProcess, start_balancer, temporary_directory
from penstock.fleet.demo.fleets import (
    ENGINES,
    MODEL,
    POLICIES,
    SPEEDUP,
    VICTIM,
    Fleet,
    configuration,
)
from penstock.fleet.demo.tally import Tally
from penstock.fleet.demo.traffic import Traffic, pause

_REFRESH_S = 0.25
# An endless run: up for 15 s, down for 8 s.
_UP_S, _DOWN_S = 15.0, 8.0


@dataclass(slots=True)
class EngineView:
    """What the balancer says of an engine; its ``state`` is empty until it has said so."""

    state: str = ""
    in_flight: int = 0
    requests: int = 0


def _engines() -> dict[str, EngineView]:
    return {name: EngineView() for name in ENGINES}


@dataclass(slots=True)
class SideView:
    """One policy, its engines and what became of its requests."""

    tally: Tally = field(default_factory=lambda: Tally(SPEEDUP))
    engines: dict[str, EngineView] = field(default_factory=_engines)


@dataclass(slots=True)
class DemoView:
    """Everything that a display shows."""

    url: str = ""
    admin_url: str = ""
    headline: str = "starting two fleets of four engines, and the balancer"
    elapsed_s: float = 0.0
    sides: dict[str, SideView] = field(
        default_factory=lambda: {policy: SideView() for policy in POLICIES}
    )

    @property
    def failed(self) -> int:
        """Requests that got no answer at all."""
        return sum(side.tally.failed for side in self.sides.values())


_T = TypeVar("_T")

Show = Callable[[DemoView], None]


async def run_demo(show: Show, seconds: float | None) -> DemoView:
    """Run until SIGINT, SIGTERM or SIGHUP, or for ``seconds``; ``show`` is called as it goes.

    A bounded run goes on until the engine that was killed works again. Every child process has
    ended when this returns. Raises BalancerError or RuntimeError when something does not start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    view = DemoView()
    async with AsyncExitStack() as cleanup:
        started = await _unless(stop, _start(cleanup, view, show))
        if started is not None:
            fleets, balancer = started
            await _perform(fleets, balancer, view, show, stop, seconds)
        view.headline = "stopping"
        show(view)
    return view


async def _start(
    cleanup: AsyncExitStack, view: DemoView, show: Show
) -> tuple[dict[str, Fleet], BalancerProcess]:
    show(view)
    fleets = {policy: Fleet() for policy in POLICIES}
    await asyncio.gather(*(fleet.start(cleanup) for fleet in fleets.values()))
    directory = Path(cleanup.enter_context(temporary_directory()))
    balancer = await start_balancer(directory, configuration(fleets))
    cleanup.push_async_callback(balancer.stop)
    view.url, view.admin_url = balancer.url, balancer.admin_url
    return fleets, balancer


async def _perform(
    fleets: dict[str, Fleet],
    balancer: BalancerProcess,
    view: DemoView,
    show: Show,
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    tallies = {policy: side.tally for policy, side in view.sides.items()}
    told = asyncio.Event()
    acts = [
        asyncio.create_task(Traffic(balancer.url, MODEL, tallies).run(stop)),
        asyncio.create_task(_tell_story(fleets, view, stop, told, seconds)),
        asyncio.create_task(_watch(balancer, view, show, stop, told, seconds)),
    ]
    try:
        await asyncio.gather(*acts)
    finally:
        stop.set()
        await asyncio.gather(*acts, return_exceptions=True)


async def _tell_story(
    fleets: dict[str, Fleet],
    view: DemoView,
    stop: asyncio.Event,
    told: asyncio.Event,
    seconds: float | None,
) -> None:
    """Kill and revive; once in a bounded run, over and over in an endless one.

    It does not go on before the balancer has seen what was done: that may take longer than the
    times here on a busy machine.
    """
    up_s = _UP_S if seconds is None else 0.50 * seconds
    down_s = _DOWN_S if seconds is None else 0.20 * seconds
    victims = [fleet.victim for fleet in fleets.values()]
    while not stop.is_set():
        view.headline = f"all is well; {VICTIM} of both fleets will be killed in a moment"
        await pause(stop, up_s)
        await _until(partial(_victim_is, view, "up"), stop)
        if stop.is_set():
            return
        await asyncio.gather(*(victim.kill() for victim in victims))
        view.headline = f"{VICTIM} was killed with SIGKILL in both fleets; the others take over"
        await pause(stop, down_s)
        await _until(partial(_victim_is, view, "down"), stop)
        if stop.is_set():
            return
        before = _requests_in_turn(view)
        await asyncio.gather(*(victim.start() for victim in victims))
        view.headline = f"{VICTIM} is back, with an empty cache"
        await _until(partial(_victim_works_again, view, before), stop)
        told.set()
        await pause(stop, up_s if seconds is None else seconds)


async def _until(condition: Callable[[], bool], stop: asyncio.Event) -> None:
    """Wait for something that ``_watch`` sees, or for the stop."""
    while not stop.is_set() and not condition():
        await pause(stop, _REFRESH_S)


def _victim_is(view: DemoView, state: str) -> bool:
    """Whether the balancer says so in both pools."""
    return all(side.engines[VICTIM].state == state for side in view.sides.values())


def _victim_works_again(view: DemoView, before: int) -> bool:
    """Whether it is up, and was given more requests than before its death."""
    return _victim_is(view, "up") and _requests_in_turn(view) > before


def _requests_in_turn(view: DemoView) -> int:
    """Those that the victim got where everybody gets some."""
    return view.sides[POLICIES[-1]].engines[VICTIM].requests


async def _watch(
    balancer: BalancerProcess,
    view: DemoView,
    show: Show,
    stop: asyncio.Event,
    told: asyncio.Event,
    seconds: float | None,
) -> None:
    """Show what happens until it is time to stop."""
    began = asyncio.get_running_loop().time()
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            view.elapsed_s = asyncio.get_running_loop().time() - began
            if seconds is not None and view.elapsed_s >= seconds and told.is_set():
                stop.set()
            await _look(balancer, session, view)
            show(view)
            await pause(stop, _REFRESH_S)


async def _look(balancer: BalancerProcess, session: aiohttp.ClientSession, view: DemoView) -> None:
    """Update what the balancer says of the engines."""
    if balancer.pid == 0:
        raise RuntimeError("the balancer ended in the middle of the demonstration")
    try:
        status = await balancer.status(session)
    except aiohttp.ClientError:
        return  # the next look is a moment away, and the requests themselves tell
    for pool in status["pools"]:
        for told in pool["endpoints"]:
            seen = view.sides[pool["name"]].engines[told["name"]]
            seen.state, seen.in_flight = told["state"], told["in_flight"]
            seen.requests = told["requests"]


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
