"""Endpoints that are to go: one is drained first, then waited for until it has nothing left, then
taken out of the pool, and only then stopped by its actuator."""

from collections.abc import Callable
from typing import Final

from penstock.control.discovery.source import Place, place_of
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.scale.actuator import Actuator, ActuatorError, AdoptedError, Unit
from penstock.control.scale.pool_members import endpoints_of
from penstock.control.scale.trouble import Trouble
from penstock.core.snapshot import Endpoint, Pool
from penstock.dataplane.board.memory import Board

REASON: Final = "the pool is scaled down"


class Departures:
    """Of one pool, by the names of its actuator's units."""

    def __init__(
        self,
        actuator: Actuator,
        board: Board,
        states: EndpointStates,
        events: Events,
        trouble: Trouble,
        acknowledged: Callable[[Endpoint], bool],
    ) -> None:
        """``acknowledged``: no worker knows an endpoint at that address any more."""
        self.draining: dict[str, float] = {}  # since when
        self.left: dict[str, Endpoint] = {}  # out of the pool, and not stopped yet
        self._actuator = actuator
        self._board = board
        self._states = states
        self._events = events
        self._trouble = trouble
        self._acknowledged = acknowledged

    def take_over(self, before: "Departures") -> None:
        """Go on with those that another began to have leave."""
        self.draining, self.left = before.draining, before.left

    def names(self) -> set[str]:
        """All that are on their way out."""
        return set(self.draining) | set(self.left)

    def places(self, pool: Pool) -> list[Place]:
        """Where those that drain are."""
        return [place_of(each) for name in self.draining for each in self._running(pool, name)]

    def drain(self, pool: Pool, name: str, now: float) -> None:
        """It is to go."""
        self.draining[name] = now
        for endpoint in self._running(pool, name):
            self._states.drain(pool.name, endpoint.name, REASON)

    def keep(self, pool: Pool, name: str) -> None:
        """It is needed after all."""
        self.draining.pop(name, None)
        for endpoint in self._running(pool, name):
            self._states.undrain(pool.name, endpoint.name, "it is needed after all")

    def put_back(self, pool: Pool, unit: Unit, found: list[Endpoint]) -> None:
        """Who drains for the sake of a removal that is no longer under way serves again: another
        was removed in its place, or stands at its address."""
        if unit.name in self.draining or self._actuator.owns:
            return
        for each in found:
            cause = self._states.of(pool.name, each.name).draining
            if cause is not None and cause.reason == REASON:
                self._states.undrain(pool.name, each.name, "it was not removed")

    def let_go(self, pool: Pool) -> None:
        """The pool is scaled by others from now on: nobody leaves for our sake."""
        for each in pool.endpoints:
            cause = self._states.of(pool.name, each.name).draining
            if cause is not None and cause.reason == REASON:
                self._states.undrain(pool.name, each.name, "it is scaled by others from now on")

    def rename(self, before: str, name: str) -> None:
        """It has another name now."""
        if before in self.draining:
            self.draining[name] = self.draining.pop(before)

    def forget(self, name: str) -> None:
        """It failed by itself."""
        self.draining.pop(name, None)

    def keep_to(self, there: set[str]) -> None:
        """Only these are there."""
        for gone in [name for name in self.draining if name not in there]:
            del self.draining[gone]
        for gone in [name for name in self.left if name not in there]:
            del self.left[gone]

    async def go_on(
        self, pool: Pool, now: float, drain_s: float, take_out: Callable[[], None]
    ) -> None:
        """Each one step further; ``take_out``: those that have left the pool are to be told."""
        for name, since in list(self.draining.items()):
            if self._waits(pool, name, now - since, drain_s) or self._waits_its_turn(name):
                continue
            unit = self._unit(name)
            if unit is not None and unit.endpoint is not None:
                del self.draining[name]
                self.left[name] = unit.endpoint
                take_out()
            elif await self._stop(name):
                del self.draining[name]
        for name, endpoint in list(self.left.items()):
            if self._acknowledged(endpoint) and await self._stop(name):
                del self.left[name]

    def _waits(self, pool: Pool, name: str, waited_s: float, drain_s: float) -> bool:
        """Whether it has something left, or may get it still."""
        endpoints = self._running(pool, name)
        if any(self._board.in_flight(each.row) > 0 for each in endpoints):
            if not drain_s or waited_s < drain_s:
                return True
            text = f"endpoint {pool.name}/{name} has streams left after its `drain`: it goes"
            self._events.warning("scale.drain", text, pool=pool.name, endpoint=name)
            return False
        return bool(endpoints) and waited_s <= 0.0  # workers hear of it a moment later

    def _waits_its_turn(self, name: str) -> bool:
        """Whether another that drains has to be stopped before."""
        mine = self._unit(name)
        others = [self._unit(each) for each in self.draining]
        return mine is not None and any(each and each.turn < mine.turn for each in others)

    async def _stop(self, name: str) -> bool:
        """Whether it could be; else it is tried again."""
        try:
            await self._actuator.stop(name)
        except AdoptedError:
            return False
        except ActuatorError as error:
            self._trouble.stop_failed(str(error))
            return False
        self._trouble.stopped()
        return True

    def _unit(self, name: str) -> Unit | None:
        return next((unit for unit in self._actuator.units() if unit.name == name), None)

    def _running(self, pool: Pool, name: str) -> list[Endpoint]:
        """The endpoints of that unit in the snapshot that runs."""
        unit = self._unit(name)
        return endpoints_of(unit, pool.endpoints) if unit is not None else []
