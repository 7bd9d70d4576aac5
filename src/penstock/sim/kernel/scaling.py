"""Servers that are started and drained while a run goes on, as a planner says.

All that there may ever be exist from the beginning; those that do not run are down and drained, so
that no balancer sends there. ``decide`` is a planner's, the one that scales live.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from penstock.core.health.health import DOWN, UP
from penstock.core.scale.demand import Demand, Sight
from penstock.core.scale.members import DRAINING, SERVING, STARTING, Member
from penstock.core.scale.planner import Decision
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.server import Server
from penstock.sim.kernel.source import Source

_OFF: Final = -1
_RATE_LOOKS: Final = 3  # over which the rate is taken


class ServiceSeen:
    """What the planner is told of a look: how long requests took, and who serves."""

    def __init__(self, sight: Sight, service_s: float, serving: int) -> None:
        self.sight: Sight = sight
        self.service_s: float = service_s  # of those answered since the last look; 0: none was
        self.serving: int = serving


Decide = Callable[[ServiceSeen, list[Member]], Decision]
Started = Callable[[float], None]


class _Ready(Event):
    """A server that was started serves."""

    def __init__(self, fleet: "ScaledServers", order: int) -> None:
        super().__init__()
        self._fleet: ScaledServers = fleet
        self._order: int = order

    def fire(self) -> None:
        self._fleet.serve(self._order)


class ScaledServers(Event):
    """Looks every ``every_s``, and does what is decided."""

    def __init__(
        self,
        clock: Clock,
        servers: list[Server],
        balancers: list[SimulatedBalancer],
        source: Source,
        recorder: Recorder,
        decide: Decide,
        *,
        begin: int,
        every_s: float,
        start: Law,
        rng: Random,
        started: Started | None = None,
    ) -> None:
        super().__init__()
        self.clock: Clock = clock
        self.cut: int = 0  # requests that a removal ended
        self.changes: int = 0  # of the number
        self.starts: int = 0
        self._servers: list[Server] = servers
        self._balancers: list[SimulatedBalancer] = balancers
        self._source: Source = source
        self._recorder: Recorder = recorder
        self._decide: Decide = decide
        self._started: Started | None = started
        self._every_s: float = every_s
        self._start: Law = start
        self._rng: Random = rng
        self._states: list[int] = [_OFF] * len(servers)
        self._since: list[float] = [0.0] * len(servers)
        self._ready: list[_Ready] = [_Ready(self, order) for order in range(len(servers))]
        self._paid_s: float = 0.0
        self._paid_at: float = 0.0
        self._sent: int = 0
        self._prompts: int = 0
        self._outputs: int = 0
        self._served: int = 0
        self._busy_s: float = 0.0
        self._rates: list[float] = []
        for order in range(len(servers)):
            if order < begin:
                self._states[order] = SERVING
            else:
                self._switch(order, False)

    def fire(self) -> None:
        clock = self.clock
        self._stop_drained()
        members = self._members()
        decision = self._decide(self._look(), members)
        self._act(decision)
        clock.heap.schedule(self, clock.now + self._every_s)

    def serve(self, order: int) -> None:
        """A server is up: whoever waits at a balancer is let through."""
        self._states[order] = SERVING
        self._switch(order, True)
        if self._started is not None:
            self._started(self.clock.now - self._since[order])

    def present(self) -> int:
        """Those that serve or start."""
        return self._states.count(SERVING) + self._states.count(STARTING)

    def serving(self) -> int:
        """Those that serve."""
        return self._states.count(SERVING)

    def server_hours(self) -> float:
        """Paid for until now, starts and drains included."""
        self._pay()
        return self._paid_s / 3600.0

    def _members(self) -> list[Member]:
        members = []
        for order, state in enumerate(self._states):
            if state == _OFF:
                continue
            server = self._servers[order]
            members.append(
                Member(
                    server.name,
                    state,
                    since=self._since[order],
                    streams=int(server.present),
                )
            )
        return members

    def _look(self) -> ServiceSeen:
        sent = self._source.sent
        self._rates.append((sent - self._sent) / self._every_s)
        if len(self._rates) > _RATE_LOOKS:
            del self._rates[0]
        rate = sum(self._rates) / len(self._rates)
        share = 0.0 if sent == self._sent else rate / (sent - self._sent)
        recorder = self._recorder
        prompts = recorder.computed_tokens - self._prompts
        outputs = recorder.generated_tokens - self._outputs
        self._sent = sent
        self._prompts = recorder.computed_tokens
        self._outputs = recorder.generated_tokens
        demand = Demand(rate, prompts * share, outputs * share)
        served = 0
        busy_s = 0.0
        present = 0
        for server in self._servers:
            served += server.served
            busy_s += server.busy_s()
            present += int(server.present)
        answered = served - self._served
        service_s = (busy_s - self._busy_s) / answered if answered > 0 else 0.0
        self._served = served
        self._busy_s = busy_s
        queued = 0
        for balancer in self._balancers:
            if balancer.gate is not None:
                queued += balancer.gate.waiting()
        now = self.clock.now
        sight = Sight(now, demand, local_s=now, in_flight=float(present), queued=float(queued))
        return ServiceSeen(sight, service_s, self.serving())

    def _act(self, decision: Decision) -> None:
        self._pay()
        if decision.start or decision.stop or decision.keep:
            self.changes += 1
        started = 0
        for order, state in enumerate(self._states):
            name = self._servers[order].name
            if state == DRAINING and name in decision.keep:
                self._states[order] = SERVING
                self._switch(order, True)
            elif state == STARTING and name in decision.stop:
                self.clock.heap.cancel(self._ready[order])
                self._states[order] = _OFF
            elif state == SERVING and name in decision.stop:
                self._states[order] = DRAINING
                self._drain(order)
            elif state == _OFF and started < decision.start:
                started += 1
                self._states[order] = STARTING
                self._since[order] = self.clock.now
                wait_s = self._start.draw(self._rng)
                self.clock.heap.schedule(self._ready[order], self.clock.now + wait_s)
        self.starts += started

    def _stop_drained(self) -> None:
        self._pay()
        for order, state in enumerate(self._states):
            if state == DRAINING and self._is_empty(order):
                self._states[order] = _OFF
                self._switch(order, False)

    def _is_empty(self, order: int) -> bool:
        if self._servers[order].present > 0:
            return False
        return all(balancer.pool.endpoints[order].in_flight <= 0 for balancer in self._balancers)

    def _pay(self) -> None:
        now = self.clock.now
        there = 0
        for state in self._states:
            if state != _OFF:
                there += 1
        self._paid_s += there * (now - self._paid_at)
        self._paid_at = now

    def _drain(self, order: int) -> None:
        for balancer in self._balancers:
            balancer.pool.endpoints[order].draining = True
            balancer.refresh()

    def _switch(self, order: int, on: bool) -> None:
        server = self._servers[order]
        if on and server.down:
            server.recover()
        elif not on:
            self.cut += int(server.present)
            server.fail()
        for balancer in self._balancers:
            endpoint = balancer.pool.endpoints[order]
            endpoint.health = UP if on else DOWN
            endpoint.draining = not on
            balancer.refresh()
            if on and balancer.gate is not None:
                balancer.env.now = self.clock.now
                balancer.gate.go_on()
