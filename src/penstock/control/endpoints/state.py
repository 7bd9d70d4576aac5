"""The state of one endpoint: health, drain, ejection, weight, and the reasons."""

from dataclasses import dataclass, field
from math import inf

from penstock.control.endpoints.agent_state import AgentState
from penstock.control.endpoints.cause import Cause
from penstock.core.health.health import DOWN, STATE_NAMES
from penstock.core.health.slow_start import SlowStart
from penstock.core.snapshot import Drain
from penstock.core.snapshot import SlowStart as SlowStartSettings


@dataclass
class EndpointState:
    """Only ``EndpointStates`` changes it."""

    pool: str
    name: str
    row: int
    configured_weight: float
    weight: float  # configured, or set at run time
    slow_start: SlowStartSettings
    ramp: SlowStart
    health: int
    health_cause: Cause
    weight_cause: Cause
    drain: Drain = field(default_factory=Drain)
    agent: AgentState = field(default_factory=AgentState)
    no_address: Cause | None = None  # its name cannot be looked up
    draining: Cause | None = None  # by an operator
    ejected: Cause | None = None
    ejections: int = 0
    hit_distrust: float = 0.0  # share of predicted prefix hits that is not believed
    exact_slot: int = -1  # in the exact prefix index; -1 while its cache is not known exactly
    written: tuple[int, ...] = ()  # to the board, last

    @property
    def is_draining(self) -> bool:
        """Whether an operator or its agent drains it."""
        return self.draining is not None or self.agent.set_aside is not None

    @property
    def is_down(self) -> bool:
        """Whether active checks or its agent say so, or nothing can be connected to."""
        return self.health == DOWN or self.agent.down is not None or self.no_address is not None

    @property
    def in_service(self) -> bool:
        """Whether it would be picked, were its configured weight above 0. Slow start begins when
        this becomes true."""
        if self.is_draining or self.is_down or self.ejected is not None:
            return False
        return self.agent.weightless is None

    @property
    def shown(self) -> str:
        """One word: what keeps it from being picked, or else its health."""
        return self._standing()[0]

    @property
    def cause(self) -> Cause:
        """Why ``shown`` is what it is."""
        return self._standing()[1]

    def _standing(self) -> tuple[str, Cause]:
        agent = self.agent
        if self.draining is not None:
            return "draining", self.draining
        if agent.set_aside is not None:
            return "maintenance" if agent.maintenance else "draining", agent.set_aside
        if self.no_address is not None:
            return "down", self.no_address
        if self.health == DOWN:
            return "down", self.health_cause
        if agent.down is not None:
            return "down", agent.down
        if self.ejected is not None:
            return "ejected", self.ejected
        if self.weight == 0.0:
            return "weightless", self.weight_cause
        if agent.weightless is not None:
            return "weightless", agent.weightless
        return STATE_NAMES[self.health], self.health_cause

    @property
    def clients_stay_until(self) -> float:
        """Until when clients bound to it stay although it gets no others, in Unix time:
        ``inf`` without a deadline, 0 where it does get others, or they move at once."""
        agent = self.agent
        if self.drain.sticky != "stay" or agent.maintenance:
            return 0.0
        causes = [self.draining, agent.set_aside, agent.weightless]
        if self.weight == 0.0:
            causes.append(self.weight_cause)
        since = [cause.since for cause in causes if cause is not None]
        if not since:
            return 0.0
        deadline_s = self.drain.deadline_s
        return min(since) + deadline_s if deadline_s > 0.0 else inf

    @property
    def exact(self) -> bool:
        """Whether its KV events are trusted for prefixes."""
        return self.exact_slot >= 0 and self.hit_distrust == 0.0

    @property
    def available(self) -> bool:
        """Whether it may be picked (``core.eligible.is_available``)."""
        return self.shown in ("starting", "up")
