"""Faults of servers: changes of speed, pauses, failures and recoveries, noisy neighbours."""

from random import Random

from penstock.core.health.health import DOWN, UP
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Event
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.server import Server


class SpeedChange(Event):
    """From its time on the server works at ``speed``."""

    def __init__(self, server: Server, speed: float) -> None:
        super().__init__()
        if not speed >= 0.0:
            raise ValueError(f"server {server.name}: speed must be 0 or more, not {speed!r}")
        self._server: Server = server
        self._speed: float = speed

    def fire(self) -> None:
        self._server.set_speed(self._speed)


class Pause(Event):
    """The server stands still for ``duration_s``, like a collector. Nothing is lost."""

    def __init__(self, server: Server, duration_s: float) -> None:
        super().__init__()
        if not duration_s > 0.0:
            raise ValueError(f"server {server.name}: a pause must last, not {duration_s!r} s")
        self._server: Server = server
        self._duration_s: float = duration_s

    def fire(self) -> None:
        server = self._server
        if server.speed > 0.0:
            clock = server.clock
            clock.heap.schedule(SpeedChange(server, server.speed), clock.now + self._duration_s)
            server.set_speed(0.0)


class Failure(Event):
    """The server dies with all that it holds; after ``noticed_s`` health checks have seen it."""

    def __init__(self, order: int, balancers: list[SimulatedBalancer], noticed_s: float) -> None:
        super().__init__()
        self._order: int = order
        self._balancers: list[SimulatedBalancer] = balancers
        self._noticed_s: float = noticed_s

    def fire(self) -> None:
        server = self._balancers[0].servers[self._order]
        clock = server.clock
        notice = HealthNotice(self._order, self._balancers, False)
        clock.heap.schedule(notice, clock.now + self._noticed_s)
        server.fail()


class Recovery(Event):
    """The server is back, empty; after ``noticed_s`` health checks have seen it."""

    def __init__(self, order: int, balancers: list[SimulatedBalancer], noticed_s: float) -> None:
        super().__init__()
        self._order: int = order
        self._balancers: list[SimulatedBalancer] = balancers
        self._noticed_s: float = noticed_s

    def fire(self) -> None:
        server = self._balancers[0].servers[self._order]
        server.recover()
        clock = server.clock
        notice = HealthNotice(self._order, self._balancers, True)
        clock.heap.schedule(notice, clock.now + self._noticed_s)


class HealthNotice(Event):
    """Every balancer takes the endpoint for up, or for down."""

    def __init__(self, order: int, balancers: list[SimulatedBalancer], up: bool) -> None:
        super().__init__()
        self._order: int = order
        self._balancers: list[SimulatedBalancer] = balancers
        self._up: bool = up

    def fire(self) -> None:
        for balancer in self._balancers:
            balancer.pool.endpoints[self._order].health = UP if self._up else DOWN
            balancer.refresh()


class Drain(Event):
    """Every balancer stops, or begins again, to send to the endpoint; what runs there goes on."""

    def __init__(self, order: int, balancers: list[SimulatedBalancer], draining: bool) -> None:
        super().__init__()
        self._order: int = order
        self._balancers: list[SimulatedBalancer] = balancers
        self._draining: bool = draining

    def fire(self) -> None:
        for balancer in self._balancers:
            balancer.pool.endpoints[self._order].draining = self._draining
            balancer.refresh()


class WeightChange(Event):
    """Every balancer gives the endpoint this weight."""

    def __init__(self, order: int, balancers: list[SimulatedBalancer], weight: float) -> None:
        super().__init__()
        self._order: int = order
        self._balancers: list[SimulatedBalancer] = balancers
        self._weight: float = weight

    def fire(self) -> None:
        for balancer in self._balancers:
            balancer.set_weight(self._order, self._weight)
            balancer.refresh()


class Antagonist(Event):
    """A neighbour on the server's machine: what it leaves is drawn anew after each stay.

    For a draw of ``stay`` the server runs at its own speed times a draw of ``factor``, or with
    ``cores`` at that many times its own slots. A factor above 1 is capacity that nobody else uses.
    """

    def __init__(
        self, server: Server, factor: Law, stay: Law, rng: Random, *, cores: bool = False
    ) -> None:
        super().__init__()
        self._cores: bool = cores
        self._server: Server = server
        self._factor: Law = factor
        self._stay: Law = stay
        self._rng: Random = rng

    def fire(self) -> None:
        server = self._server
        clock = server.clock
        factor = self._factor.draw(self._rng)
        if self._cores:
            server.set_slots(server.full_slots * factor)
        elif not server.down:
            server.set_speed(server.full_speed * factor)
        clock.heap.schedule(self, clock.now + self._stay.draw(self._rng))
