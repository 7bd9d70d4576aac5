"""The state that an endpoint's agent put it in."""

from dataclasses import dataclass

from penstock.control.endpoints.cause import Cause
from penstock.wire.agent_check import AgentAnswer


@dataclass
class AgentState:
    """What an endpoint's agent reported; what it never mentioned is as without an agent."""

    share: float = 1.0  # of the weight
    max_in_flight: int = -1  # 0: no bound; -1: as configured
    set_aside: Cause | None = None  # it says ``drain`` or ``maint``
    maintenance: bool = False
    down: Cause | None = None
    weightless: Cause | None = None  # it says 0%

    def apply(self, answer: AgentAnswer, now: float) -> None:
        """Apply an answer. What a line mentions holds until another line mentions it."""
        cause = Cause(f"its agent says: {answer.shown}", now)
        if answer.admin:
            maintenance = answer.admin == "maint"
            kept = self.set_aside if maintenance == self.maintenance else None
            self.set_aside = None if answer.admin == "ready" else cause.begun(kept)
            self.maintenance = maintenance
        if answer.health:
            self.down = cause.begun(self.down) if answer.down else None
        if answer.percent >= 0:
            self.share = answer.percent / 100.0
            self.weightless = None if answer.percent else cause.begun(self.weightless)
        if answer.max_in_flight >= 0:
            self.max_in_flight = answer.max_in_flight

    @property
    def word(self) -> str:
        """What keeps the endpoint out of service; empty for nothing."""
        if self.set_aside is not None:
            return "in maintenance" if self.maintenance else "draining"
        if self.down is not None:
            return "down"
        return "weightless" if self.weightless is not None else ""
