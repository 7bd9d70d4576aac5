"""Forecasts of all pools that have one: read at the end of each step, kept over restarts."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Final

from penstock.admin.view import ForecastView
from penstock.control.elsewhere import Elsewhere
from penstock.control.events import Events
from penstock.control.forecasts.pool_forecast import PoolForecast, SavedSeries
from penstock.control.forecasts.totals import add_elsewhere, totals_of
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Pool, Snapshot
from penstock.dataplane.board.memory import Board

_LOOK_S: Final = 1.0  # at most until it is seen that a pool came or the clock was set
_SAVE_S: Final = 600.0
_VERSION: Final = 1  # of what is saved


class Forecasts:
    """Costs workers nothing: it reads what they count."""

    def __init__(
        self,
        board: Board,
        files: StateFiles,
        events: Events,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        self.elsewhere = Elsewhere()  # what other balancers are asked
        self._board = board
        self._files = files
        self._events = events
        self._wall_clock = wall_clock
        self._pools: dict[str, Pool] = {}
        self._forecasts: dict[str, PoolForecast] = {}
        self._steps: dict[str, int] = {}  # that run, by pool
        self._saved_at = wall_clock()

    def configure(self, snapshot: Snapshot) -> None:
        """This runs; what is forecast as before goes on."""
        self._pools = {pool.name: pool for pool in snapshot.pools if pool.forecast is not None}
        for name in [name for name in self._forecasts if name not in self._pools]:
            del self._forecasts[name], self._steps[name]
        for name, pool in self._pools.items():
            assert pool.forecast is not None
            known = self._forecasts.get(name)
            if known is None or known.spec != pool.forecast:
                made = self._forecasts[name] = PoolForecast(pool.forecast)
                self._restore(name, made)
                self._steps[name] = made.step_at(self._wall_clock())

    def of(self, pool: str) -> PoolForecast | None:
        """That pool's, if it has one."""
        return self._forecasts.get(pool)

    def views(self, pool: str) -> tuple[ForecastView, ...]:
        """What is shown of a pool."""
        forecast = self._forecasts.get(pool)
        return forecast.views() if forecast is not None else ()

    async def run(self) -> None:
        """Read at the end of every step, and save now and then."""
        while True:
            await asyncio.sleep(self._pause_s())
            await self.look()

    async def look(self) -> None:
        """Read the pools of which a step has ended."""
        now = self._wall_clock()
        due = [
            name
            for name, forecast in self._forecasts.items()
            if forecast.step_at(now) != self._steps[name]
        ]
        if due:
            totals = totals_of([self._pools[name] for name in due], self._board)
            for name in due:
                add_elsewhere(totals[name], self.elsewhere.demand(name))
                forecast = self._forecasts.get(name)
                if forecast is None:
                    continue  # a reload took it away meanwhile
                step = self._steps[name] = forecast.step_at(now)
                for load in forecast.loads(totals[name]):
                    forecast.read(load, totals[name][load], step)
                    await asyncio.sleep(0)  # each takes a millisecond or two
        if not 0.0 <= now - self._saved_at < _SAVE_S:
            self._saved_at = now
            for name, forecast in list(self._forecasts.items()):
                await self._save_between(name, forecast)

    def save(self) -> None:
        """All of them, as at the end."""
        for name in self._forecasts:
            self._save(name)

    def _pause_s(self) -> float:
        now = self._wall_clock()
        due = [
            (forecast.step_at(now) + 1) * forecast.spec.step_s - now
            for forecast in self._forecasts.values()
        ]
        return min([_LOOK_S, *due])

    async def _save_between(self, name: str, forecast: PoolForecast) -> None:
        """Save it, and let others run in between: a series takes some milliseconds."""
        saved: list[SavedSeries] = []
        for each in forecast.saved():
            saved.append(each)
            await asyncio.sleep(0)
        if saved and self._forecasts.get(name) is forecast:
            self._files.write(_file(name), _VERSION, saved)

    def _save(self, name: str) -> None:
        saved = list(self._forecasts[name].saved())
        if saved:
            self._files.write(_file(name), _VERSION, saved)

    def _restore(self, name: str, forecast: PoolForecast) -> None:
        saved = self._files.read(_file(name), _VERSION, list[SavedSeries])
        if saved is None:
            return
        try:
            forecast.restore(saved)
        except ValueError as error:
            self._events.warning(
                "forecast.anew",
                f"pool {name}: what was known of its load is not of use for the forecast that is "
                f"configured now, which begins anew: {error}",
                pool=name,
            )


def _file(pool: str) -> str:
    """Names of pools may have brackets, those of files may not."""
    return f"forecast.{pool.replace('[', '=5B').replace(']', '=5D')}"
