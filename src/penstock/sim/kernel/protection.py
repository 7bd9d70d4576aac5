"""Protection from failing endpoints in a simulated balancer: the circuit breakers, the outlier
detection and the slow start of core/health, at the pace of a running balancer.

Each balancer judges by its own requests, as a balancer with one worker does.
"""

from typing import Final

from penstock.core import snapshot
from penstock.core.attempt_counts import A_FAILURES, EXCUSED, AttemptCounts
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.breaker import BreakerChange
from penstock.core.health.health import DOWN
from penstock.core.health.outlier import OutlierDetector
from penstock.core.health.outlier_watch import LOOK_S, RECONNECT_S, OutlierWatch
from penstock.core.health.slow_start import RAMP_S, SlowStart
from penstock.core.pool.pool import Pool
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.server import Server

SWEEP_S: Final = 0.25  # as often as a worker looks for circuits that may be tried again


class GuardedEndpoint(Endpoint):
    """An endpoint of which is kept what the rules of core/health judge by."""

    def __init__(
        self,
        name: str,
        pool: Pool,
        env: Env,
        *,
        weight: float = 1.0,
        max_in_flight: int = 0,
        priority: int = 0,
        zone: str = "",
    ) -> None:
        super().__init__(
            name,
            pool=pool.name,
            weight=weight,
            max_in_flight=max_in_flight,
            priority=priority,
            zone=zone,
        )
        self.counts: AttemptCounts = AttemptCounts()
        self.whole_weight: float = weight  # without slow start
        self.ramp: SlowStart = SlowStart(snapshot.SlowStart())
        self._pool: Pool = pool
        self._env: Env = env

    def has_room(self) -> bool:
        if self.breaker is not None and self.breaker.is_full(self._env.now):
            return False
        return super().has_room()

    def settled(
        self, outcome: int, status: int, opened_at: float, first_byte_at: float, now: float
    ) -> bool:
        return self.counts.settled(outcome, status, now) == EXCUSED

    def circuit_changed(self, change: BreakerChange | None) -> None:
        self._pool.refresh()

    def follow(self, now: float) -> None:
        """Its state changed, or time passed: give it the weight that slow start allows."""
        in_service = self.health != DOWN and not self.draining and not self.ejected
        self.ramp.follow(in_service, now)
        self.weight = self.whole_weight * self.ramp.share(now)


class Protection:
    """One balancer's."""

    def __init__(
        self, clock: Clock, pool: Pool, endpoints: list[GuardedEndpoint], servers: list[Server]
    ) -> None:
        self.clock: Clock = clock
        self.endpoints: list[GuardedEndpoint] = endpoints
        self.detector: OutlierDetector | None = None
        self._pool: Pool = pool
        self._servers: list[Server] = servers
        self._watch: OutlierWatch = OutlierWatch()
        self._reconnect_at: float = RECONNECT_S

    def break_circuits(self, settings: snapshot.Breaker) -> None:
        """Every endpoint has a circuit breaker from here on."""
        for endpoint in self.endpoints:
            endpoint.protect(settings)
        self._pool.replace_endpoints(list(self._pool.endpoints))  # they are guarded now
        self.clock.at(CircuitSweep(self), self.clock.now + SWEEP_S)

    def detect_outliers(self, settings: snapshot.Outlier) -> None:
        """Endpoints that fail are ejected from here on."""
        self.detector = OutlierDetector(settings, self.clock.now)
        self.clock.at(OutlierLook(self), self.clock.now + LOOK_S)

    def start_slowly(self, settings: snapshot.SlowStart) -> None:
        """Endpoints that come into service get their weight by and by."""
        for endpoint in self.endpoints:
            endpoint.ramp = SlowStart(settings)
        self.clock.at(RampStep(self), self.clock.now + RAMP_S)

    def refresh(self) -> None:
        """States or weights changed, or time passed."""
        for endpoint in self.endpoints:
            endpoint.follow(self.clock.now)
        self._pool.refresh()

    def try_circuits(self) -> None:
        """Let trials through circuits that have been open for long enough."""
        for endpoint in self.endpoints:
            endpoint.try_again(self.clock.now)

    def look(self) -> None:
        """Eject and let in, if it is time to judge."""
        detector = self.detector
        assert detector is not None
        now = self.clock.now
        if now >= self._reconnect_at:
            self._reconnect_at = now + RECONNECT_S
            self._reconnect(detector, now)
        if not self._watch.is_due(sum([e.counts.values[A_FAILURES] for e in self.endpoints]), now):
            return
        split = detector.settings.split_local_failures
        judged = [
            endpoint.counts.for_outliers(
                endpoint.name,
                split=split,
                up=endpoint.health != DOWN and not endpoint.draining,
                silent_s=endpoint.silence_s(now),
                heard_at=endpoint.heard_at,
            )
            for endpoint in self.endpoints
        ]
        changes = detector.observe(now, judged)
        if changes:
            for endpoint in self.endpoints:
                endpoint.ejected = detector.is_ejected(endpoint.name)
            self.refresh()

    def _reconnect(self, detector: OutlierDetector, now: float) -> None:
        """Let in what was ejected because no connection could be made, once one can."""
        names = detector.unreachable()
        if not names:
            return
        for endpoint, server in zip(self.endpoints, self._servers, strict=True):
            if endpoint.name in names and not server.down:
                detector.reached(endpoint.name, now)
                endpoint.ejected = False
        self.refresh()


class CircuitSweep(Event):
    """Every quarter of a second."""

    def __init__(self, protection: Protection) -> None:
        super().__init__()
        self._protection: Protection = protection

    def fire(self) -> None:
        self._protection.try_circuits()
        clock = self._protection.clock
        clock.heap.schedule(self, clock.now + SWEEP_S)


class OutlierLook(Event):
    """Every tenth of a second."""

    def __init__(self, protection: Protection) -> None:
        super().__init__()
        self._protection: Protection = protection

    def fire(self) -> None:
        self._protection.look()
        clock = self._protection.clock
        clock.heap.schedule(self, clock.now + LOOK_S)


class RampStep(Event):
    """Every half second."""

    def __init__(self, protection: Protection) -> None:
        super().__init__()
        self._protection: Protection = protection

    def fire(self) -> None:
        self._protection.refresh()
        clock = self._protection.clock
        clock.heap.schedule(self, clock.now + RAMP_S)
