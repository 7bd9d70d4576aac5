"""All pools that are scaled: follows the snapshot that runs, and looks at each now and then."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from random import Random
from time import localtime, monotonic, time
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_hexdigest

from penstock.admin.view import ScaleView
from penstock.control.background import BackgroundTasks
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.source import place_of
from penstock.control.elsewhere import Elsewhere
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckTarget
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.forecasts.forecasts import Forecasts
from penstock.control.scale.actuator import Actuator, Tools
from penstock.control.scale.actuators import actuators
from penstock.control.scale.engine_fit import EngineFit
from penstock.control.scale.foreseen import ForeseenDemand
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.scale.pool_scaler import PoolScaler
from penstock.control.store.files import StateFiles
from penstock.control.store.leadership import Leadership
from penstock.control.store.store import Store
from penstock.control.workers.workers import Workers
from penstock.control.world.publish import Publisher
from penstock.core.policy.support.engine_model import FleetModel
from penstock.core.scale.capacity import Capacity, Places
from penstock.core.scale.engine_capacity import EngineCapacity
from penstock.core.scale.planner import Planner
from penstock.core.snapshot import Endpoint, HealthCheck, Pool, Scale, Snapshot
from penstock.dataplane.board.memory import Board

_SLOW_S: Final = 60.0  # a look that takes longer is told of
_TICK_S: Final = 0.5  # between two looks at which pool is due
_PROBE_TIMEOUT_S: Final = 2.0
_STARTS: Final = "starts."
_VERSION: Final = 1
_KEEP_EVERY_S: Final = 300.0  # start times


class FleetScaling:
    """``run`` it while the balancer runs; ``stop`` it after the workers."""

    def __init__(
        self,
        board: Board,
        states: EndpointStates,
        membership: Membership,
        publisher: Publisher,
        workers: Workers,
        contexts: EndpointContexts,
        forecasts: Forecasts,
        files: StateFiles,
        events: Events,
        clock: Callable[[], float] = monotonic,
        store: Store | None = None,
    ) -> None:
        """``store``: by which one of several balancers acts for a pool; None: this one is alone."""
        self.elsewhere = Elsewhere()  # what other balancers do; before the first snapshot
        # Whether workers that are not counted on our board may still use an endpoint that left.
        self.others_finish: Callable[[], bool] = lambda: False
        self._board = board
        self._states = states
        self._membership = membership
        self._publisher = publisher
        self._workers = workers
        self._forecasts = forecasts
        self._files = files
        self._events = events
        self._clock = clock
        self._background = BackgroundTasks(events)
        self._checker = HealthChecker(contexts)
        self._fit = EngineFit(workers)
        self._tools = Tools(
            events, self._background, files, clock, asyncio.sleep, self._why_not_ready
        )
        self._scalers: dict[str, PoolScaler] = {}
        self._leadership: Leadership | None = None
        if store is not None:
            me = f"{os.getpid()}-{Random().getrandbits(64):x}"
            self._leadership = Leadership(store, me, events, clock)
        self._retired: list[tuple[Pool, PoolScaler]] = []
        self._rules: dict[str, Scale] = {}
        self._inherited: list[KnownScaler] = []  # of pools that did not begin yet
        self._due: dict[str, float] = {}
        # Looks under way, and since when: of each pool, and of what it is rid of, one at a time.
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._looking_since: dict[str, float] = {}
        self._kept_at = 0.0

    def configure(self, snapshot: Snapshot) -> None:
        """This runs: begin with pools that are new, and let go of those that are gone."""
        pools = {pool.name: pool for pool in snapshot.pools}
        for name in list(self._scalers):
            pool = pools.get(name)
            if pool is None or pool.scale is None:
                self._retire(name, pool)
            elif pool.scale != self._rules[name]:
                self._change(pool, pool.scale)
        for known in list(self._inherited):
            pool = pools.get(known.pool)
            if pool is None or pool.scale is None or not _goes_on(known, pool.scale):
                self._let_go(known, pool)
        for name, pool in pools.items():
            if pool.scale is not None and name not in self._scalers:
                self._begin(pool, pool.scale)
        for pool, scaler in self._retired:
            scaler.heir = self._scalers.get(pool.name)

    async def run(self) -> None:
        """Runs until cancelled."""
        if self._leadership is not None:
            self._background.keep("leases of scaled pools", self._leadership.run)
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                now = self._clock()
                for pool in self._publisher.running.pools:
                    scaler = self._scalers.get(pool.name)
                    if scaler is not None and now >= self._due.get(pool.name, 0.0):
                        self._due[pool.name] = now + self._rules[pool.name].interval_s
                        self._begin_look(pool.name, self._look(pool, scaler, now), now)
                for entry in list(self._retired):
                    self._begin_look(_key_of(entry), self._look_at_retired(entry, now), now)
                if now - self._kept_at >= _KEEP_EVERY_S:
                    self._kept_at = now
                    self._keep()
        finally:
            for task in self._looking.values():
                task.cancel()
            await asyncio.gather(*self._looking.values(), return_exceptions=True)
            self._looking.clear()

    def known(self) -> list[KnownScaler]:
        """What is under way, for a successor; start times are in the state files from here on."""
        self._keep()
        retired = [scaler for _, scaler in self._retired]
        return [scaler.known() for scaler in (*retired, *self._scalers.values())]

    @property
    def holder(self) -> str:
        """Who holds the leases of pools, for a successor, whose they are then."""
        return self._leadership.holder if self._leadership is not None else ""

    def leads(self, pool: str) -> bool:
        """Whether it is this balancer that starts and stops endpoints of the pool."""
        return self._leadership is None or self._leadership.leads(_lease_of(pool))

    def restore(self, found: Iterable[KnownScaler], holder: str = "") -> None:
        """What a predecessor knew, before the first snapshot is followed."""
        self._inherited = list(found)
        if holder and self._leadership is not None:
            self._leadership.holder = holder

    async def leave(self) -> None:
        """A successor has taken over what was started."""
        if self._leadership is not None:
            self._leadership.hand_over()
        for scaler in self._scalers.values():
            if not scaler.actuator.owns:
                await scaler.actuator.close()
        await self._background.stop()

    async def stop(self) -> None:
        """End what was started. Nobody sends anything any more."""
        self._keep()
        scalers = [*self._scalers.values(), *(each for _, each in self._retired)]
        await asyncio.gather(*(each.actuator.close() for each in scalers))
        await self._background.stop()

    def view(self, pool: str) -> ScaleView | None:
        """What operators are shown of that pool; None where it is not scaled."""
        scaler = self._scalers.get(pool)
        if scaler is None:
            return None
        view = scaler.view()
        waited_s = self._clock() - self._looking_since.get(pool, self._clock())
        if waited_s < _SLOW_S:
            return view
        slow = f"the actuator {view.actuator} has not answered for {waited_s:.0f} s"
        return msgspec.structs.replace(view, problem=slow)

    def desired(self, pool: str) -> int | None:
        """How many endpoints that pool is to have; "" is the only one that is scaled. None while it
        is not known. Raises KeyError, with a text, where there is no such pool."""
        if not pool and len(self._scalers) == 1:
            pool = next(iter(self._scalers))
        scaler = self._scalers.get(pool)
        if scaler is None:
            known = ", ".join(self._scalers) or "none"
            asked = f"no pool that is scaled is called {pool!r}" if pool else "say which `pool`"
            raise KeyError(f"{asked}; there are: {known}")
        return scaler.desired

    # --- one pool ---------------------------------------------------------------------------

    def _begin_look(self, key: str, look: Coroutine[Any, Any, None], now: float) -> None:
        """Beside the others, as an actuator can be slow; nothing where one is under way."""
        if key in self._looking:
            look.close()
            return
        task = self._background.begin(f"scaling pool {key}", look)
        self._looking[key] = task
        self._looking_since[key] = now

        def done(_: asyncio.Task[None]) -> None:
            self._looking.pop(key, None)
            self._looking_since.pop(key, None)

        task.add_done_callback(done)

    async def _look(self, pool: Pool, scaler: PoolScaler, now: float) -> None:
        capacity = scaler.planner.capacity
        if isinstance(capacity, EngineCapacity):
            await self._fit.refresh(pool, capacity, self._board)
        if scaler is self._scalers.get(pool.name):
            scaler.actuator.alone = await self._may_act(pool.name, scaler)
        wall = time()
        local_s = wall + localtime(wall).tm_gmtoff
        try:
            await scaler.look(pool, now, local_s)
        except Exception as error:  # noqa: BLE001 - the other pools go on
            self._events.bug(f"scaling pool {pool.name}", error)

    async def _may_act(self, pool: str, scaler: PoolScaler) -> bool:
        """Whether this balancer is the one of several that acts for the pool."""
        if self._leadership is None or not scaler.actuator.acts:
            return True
        await self._leadership.join(_lease_of(pool))
        return self.leads(pool)

    def _begin(self, pool: Pool, rules: Scale) -> None:
        choice = rules.actuator
        back = self._taken_back(pool.name, rules)
        if back is not None:
            scaler = self._going_on(pool, rules, back)
        else:
            actuator = actuators()[choice.name](pool.name, rules, choice.options, self._tools)
            scaler = self._scaler(pool, rules, actuator)
        known = next((each for each in self._inherited if each.pool == pool.name), None)
        if known is not None:
            self._inherited.remove(known)
            scaler.inherit(known)
            before = known.rules.get("actuator", {}).get("options")
            if before is not None and scaler.actuator.makes_otherwise(before):
                scaler.outdate_inherited()
        for order, (other, retired) in enumerate(self._retired, start=1):
            if other.name == pool.name:
                retired.step_aside(order)
        self._scalers[pool.name] = scaler
        self._rules[pool.name] = rules

    def _let_go(self, known: KnownScaler, pool: Pool | None) -> None:
        """One that the predecessor scaled, and our configuration does not: as after a reload."""
        try:
            rules = msgspec.convert(known.rules, Scale)
            self._begin(pool or Pool(known.pool, ()), rules)
        except (msgspec.ValidationError, KeyError) as error:
            self._inherited.remove(known)
            text = (
                f"pool {known.pool} is scaled no more, and what was started for it stays: {error}"
            )
            self._events.error("scale.failed", text, pool=known.pool)
            return
        self._retire(known.pool, pool)

    def _change(self, pool: Pool, rules: Scale) -> None:
        """Other rules; whoever acts goes on where it can."""
        before = self._scalers[pool.name]
        if not before.actuator.goes_on(rules.actuator):
            self._retire(pool.name, pool, replaced=True)
            self._begin(pool, rules)
            return
        self._scalers[pool.name] = self._going_on(pool, rules, before)
        self._rules[pool.name] = rules

    def _going_on(self, pool: Pool, rules: Scale, before: PoolScaler) -> PoolScaler:
        """Of the same actuator, whose earlier endpoints give way where they were made otherwise."""
        outdated = before.actuator.change(rules)
        changed = self._scaler(pool, rules, before.actuator)
        changed.planner.starts = before.planner.starts
        before.hand_over(changed)
        if outdated:
            changed.outdate()
        return changed

    def _taken_back(self, name: str, rules: Scale) -> PoolScaler | None:
        """One that was to go, and whose actuator is wanted again: two of them would end each
        other's endpoints, or take them for their own."""
        for entry in self._retired:
            if entry[0].name == name and entry[1].actuator.goes_on(rules.actuator):
                self._retired.remove(entry)
                under_way = self._looking.get(_key_of(entry))
                if under_way is not None:
                    under_way.cancel()
                return entry[1]
        return None

    def _retire(self, name: str, pool: Pool | None, *, replaced: bool = False) -> None:
        scaler = self._scalers.pop(name)
        rules = self._rules.pop(name)
        self._due.pop(name, None)
        if pool is None:
            pool = Pool(name, (), scale=rules)
        if not scaler.actuator.owns:
            going = scaler.let_go(pool, replaced=replaced)
            self._background.begin(f"letting go of {name}", going)
            return
        scaler.leaving = True
        self._retired.append((pool, scaler))

    async def _look_at_retired(self, entry: tuple[Pool, PoolScaler], now: float) -> None:
        pool, scaler = entry
        running = next((p for p in self._publisher.running.pools if p.name == pool.name), pool)
        await self._look(running, scaler, now)
        if scaler.is_empty and entry in self._retired:
            self._retired.remove(entry)
            await scaler.actuator.close()

    def _scaler(self, pool: Pool, rules: Scale, actuator: Actuator) -> PoolScaler:
        foreseen = ForeseenDemand(partial(self._forecasts.of, pool.name), rules.quantile)
        planner = Planner(rules, _capacity(rules), foreseen)
        seen: list[float] | None = self._files.read(_STARTS + pool.name, _VERSION, list[float])
        for seconds in seen or []:
            planner.starts.add(seconds)
        return PoolScaler(
            planner,
            foreseen,
            actuator,
            self._board,
            self._states,
            self._membership,
            self._events,
            self._is_gone,
            self.elsewhere,
        )

    def _keep(self) -> None:
        """What was learned, for the balancer after this one."""
        for name, scaler in self._scalers.items():
            self._files.write(_STARTS + name, _VERSION, scaler.planner.starts.seen)

    def _is_gone(self, endpoint: Endpoint) -> bool:
        running = self._publisher.running
        there = any(place_of(e) == place_of(endpoint) for p in running.pools for e in p.endpoints)
        known = there or self._workers.acknowledged < running.generation
        return not known and not self.others_finish()

    async def _why_not_ready(self, endpoint: Endpoint, path: str) -> str:
        check = HealthCheck(kind="tcp", timeout_s=_PROBE_TIMEOUT_S)
        if path != "tcp":
            statuses = ((200, 299),)
            check = msgspec.structs.replace(check, kind="http", path=path, expect_statuses=statuses)
        tls = Pool("", ()).tls
        result = await self._checker.check(CheckTarget("", endpoint, check, tls))
        return "" if result.passed else result.detail


def _lease_of(pool: str) -> str:
    """Of names of pools, which may have any characters."""
    return f"scale/{xxh3_64_hexdigest(pool.encode())}"


def _key_of(retired: tuple[Pool, PoolScaler]) -> str:
    return f"{retired[0].name} ({id(retired[1])})"


def _goes_on(known: KnownScaler, rules: Scale) -> bool:
    """Whether what a predecessor scaled is scaled on, by the same actuator."""
    try:
        before = msgspec.convert(known.rules, Scale).actuator
    except msgspec.ValidationError:
        return True  # of a version that did not say
    kind = actuators().get(before.name)
    if kind is None or before.name != rules.actuator.name:
        return False
    return kind.is_same(before.options, rules.actuator.options)


def _capacity(rules: Scale) -> Capacity:
    if rules.concurrency:
        return Places(rules.concurrency, rules.late_share)
    return EngineCapacity(
        FleetModel(), rules.late_share, ttft_s=rules.ttft_s, token_s=rules.token_s
    )
