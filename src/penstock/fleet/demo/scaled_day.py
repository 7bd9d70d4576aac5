"""Two days in two minutes, with a flood in the second: engines come, are drained, and go."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from typing import Any

import aiohttp

from penstock.fleet.balancer import BalancerProcess, start_balancer, temporary_directory
from penstock.fleet.demo.traffic import pause
from penstock.fleet.replay.client import StreamClient

DAYS = 2
TTFT_S = 2.0  # the objective
_MODEL = "emulated-model"
_PLACES = 4  # requests that an engine runs at a time
_MOST = 6
_LOW, _HIGH = 3.0, 20.0  # requests per second, at night and at noon
_FLOOD = 1.6  # times as many
_FLOOD_AT, _FLOOD_LASTS = 1.62, 0.15  # in days
_STEPS_A_DAY = 24  # of the forecast
_ANSWER_TOKENS = 16
_LOOK_S = 1.0
_GIVE_UP_S = 60.0
_LAST_ANSWERS_S = 15.0


@dataclass(slots=True)
class Moment:
    """A second of it. Rates are requests per second; shares are of the requests that ended."""

    at_s: float
    sent: float
    foreseen: float  # the middle of the forecast
    foreseen_high: float  # its upper quantile
    serving: int
    starting: int
    wanted: int
    kept: float  # within the objective; 1 where none ended
    reason: str


@dataclass(slots=True)
class DayView:
    """All that a display shows."""

    admin_url: str = ""
    moments: list[Moment] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    late: int = 0
    cut: int = 0


Show = Callable[[DayView], None]


def rate_at(day: float) -> float:
    """Requests per second at a time in days."""
    rate = _LOW + (_HIGH - _LOW) * (1.0 - cos(2.0 * pi * day)) / 2.0
    return rate * _FLOOD if _FLOOD_AT <= day < _FLOOD_AT + _FLOOD_LASTS else rate


async def run_day(show: Show, seconds: float) -> DayView:
    """Both days within ``seconds``, or until SIGINT, SIGTERM or SIGHUP.

    Every process has ended when this returns. Raises BalancerError when the balancer does not
    start.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    view = DayView()
    async with AsyncExitStack() as cleanup:
        directory = Path(cleanup.enter_context(temporary_directory()))
        balancer = await start_balancer(directory, configuration(seconds / DAYS))
        cleanup.push_async_callback(balancer.stop)
        view.admin_url = balancer.admin_url
        client = StreamClient(
            balancer.url, _MODEL, "chat", headers={}, timeout_s=_GIVE_UP_S, keep_answers=False
        )
        await cleanup.enter_async_context(client)
        traffic = _Traffic(client, view, seconds)
        watching = asyncio.create_task(_watch(balancer, traffic, view, show, stop))
        await traffic.run(stop)
        stop.set()
        await watching
    return view


def configuration(day_s: float) -> dict[str, object]:
    """Of a balancer whose days last so long."""
    engine = [
        *(sys.executable, "-m", "penstock", "emulate", "--port", "{port}"),
        *("--profile", "llama-70b-h100", "--speedup", "2", "--max-sequences", str(_PLACES)),
    ]
    scale = {
        "min": 1,
        "max": _MOST,
        "concurrency": _PLACES,
        "max_in_flight": _PLACES,
        "spare": 0.1,
        "start_time": "4s",
        "cool_down": f"{day_s / 12:.3f}s",
        "interval": "1s",
        "process": {"command": engine, "ports": "19200-19299"},
    }
    step = max(round(day_s / _STEPS_A_DAY), 1)
    day = f"{round(day_s / step) * step}s"
    forecast = {
        "method": "seasonal-naive",
        "step": f"{step}s",
        "seasons": day,
        "horizon": day,
        "lead": f"{step}s",
    }
    queue = {"length": 2000, "timeout": "30s", "while_down": "wait"}
    return {
        "workers": 1,
        "pools": {
            "main": {
                "kind": "llm",
                "admission": {"queue": queue},
                "forecast": forecast,
                "scale": scale,
            }
        },
    }


class _Traffic:
    """A Poisson process whose rate has days; a slow answer does not delay the next request."""

    def __init__(self, client: StreamClient, view: DayView, seconds: float) -> None:
        self.sent = 0  # since the last look, and of those that ended then how many were in time
        self.ended = 0
        self.kept = 0
        self._client = client
        self._view = view
        self._seconds = seconds
        self._under_way: set[asyncio.Task[None]] = set()
        self._rng = random.Random(1)

    async def run(self, stop: asyncio.Event) -> None:
        """Until the days are over or ``stop`` is set; then until what runs has ended."""
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        messages = [{"role": "user", "content": "Tell me about rivers, please. " * 8}]
        body = self._client.body(messages, _ANSWER_TOKENS)
        while not stop.is_set() and due - began < self._seconds:
            due += self._rng.expovariate(rate_at((due - began) * DAYS / self._seconds))
            await pause(stop, due - loop.time())
            self.sent += 1
            self._view.sent += 1
            task = asyncio.create_task(self._request(body, due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_LAST_ANSWERS_S)

    async def _request(self, body: bytes, due: float) -> None:
        outcome = await self._client.send(body, due)
        self.ended += 1
        if outcome.failure:
            self._view.failed += 1
            self._view.cut += outcome.failure.startswith("cut off")
        elif outcome.ttft_s <= TTFT_S:
            self.kept += 1
        else:
            self._view.late += 1


async def _watch(
    balancer: BalancerProcess, traffic: _Traffic, view: DayView, show: Show, stop: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    began = before = loop.time()
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            await pause(stop, _LOOK_S)
            now = loop.time()
            try:
                status = await balancer.status(session)
            except (aiohttp.ClientError, TimeoutError):
                continue
            view.moments.append(_moment(status["pools"][0]["scale"], traffic, now, began, before))
            traffic.sent = traffic.ended = traffic.kept = 0
            before = now
            show(view)


def _moment(
    scale: dict[str, Any], traffic: _Traffic, now: float, began: float, before: float
) -> Moment:
    return Moment(
        at_s=now - began,
        sent=traffic.sent / max(now - before, 0.1),
        foreseen=scale["foreseen"],
        foreseen_high=scale["foreseen_high"],
        serving=scale["actual"] - scale["starting"],
        starting=scale["starting"],
        wanted=scale["desired"],
        kept=traffic.kept / traffic.ended if traffic.ended else 1.0,
        reason=scale["reason"],
    )
