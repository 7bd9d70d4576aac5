"""What an inference engine can do within objectives, by the model that was fitted to it.

With n endpoints each gets 1/n of the prompt tokens u and output tokens o that come per second.

    an answer's tokens come   s = s₀ / (1 − s₃·u/n − (s₁ + s₂·k)·o/n)   seconds apart
    a batch holds             B = s·o/n     answers (Little), of k tokens each
    a prompt waits            P(W > t) = ρ·e^(−(1−ρ)·t/S),   ρ = p₁·u/n,   S = p₁·tokens of a prompt

The first is step = s₀ + (s₁ + s₂k)·B + s₃·(prompt tokens beside it), with B and what is beside it
written by s. The wait is that of M/M/1; where requests go to the least loaded it is less, so that
this errs towards one endpoint too many. The coefficients are ``policy.support.engine_model``'s.
"""

from math import exp
from typing import Final

from penstock.core.policy.support.engine_model import FleetModel
from penstock.core.scale.capacity import Capacity
from penstock.core.scale.demand import Demand

_MOST: Final = 1 << 20  # endpoints: no objective is kept by more
# Of the KV cache: beyond it engines preempt.
_KV_FULL: Final = 0.9
_STABLE: Final = 0.8  # of what it can do, where no objective can be kept


class EngineCapacity(Capacity):
    """Objectives are in seconds; 0: none, and then only what is stable counts."""

    def __init__(
        self,
        fleet: FleetModel,
        late_share: float,
        *,
        ttft_s: float = 0.0,
        token_s: float = 0.0,
        kv_capacity: int = 0,
        most_running: int = 0,
    ) -> None:
        self.fleet: FleetModel = fleet
        self.kv_capacity: int = kv_capacity  # tokens of one endpoint; 0: not known
        self.most_running: int = most_running  # answers at a time; 0: not known
        self._late_share: float = late_share
        self._ttft_s: float = ttft_s
        self._token_s: float = token_s

    def needed(self, demand: Demand) -> int:
        if demand.rate <= 0.0:
            return 0
        high = 1
        while high < _MOST and not self._keeps(demand, high):
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._keeps(demand, middle):
                high = middle
            else:
                low = middle
        return high if self._keeps(demand, high) else self._stable(demand)

    def step_s(self, demand: Demand, endpoints: int) -> float:
        """The time between an answer's tokens; infinite when they cannot keep up."""
        fleet = self.fleet
        tokens = demand.output_tokens / endpoints
        held = self._held(demand)
        slope = (fleet.batch_s + fleet.kv_s * held) * tokens
        left = 1.0 - slope - fleet.disturbance_s * demand.prompt_tokens / endpoints
        return fleet.step_s / left if left > 0.0 else float("inf")

    def late_share(self, demand: Demand, endpoints: int) -> float:
        """The share of requests whose first token comes after the objective."""
        fleet = self.fleet
        prompt = demand.prompt_tokens / demand.rate
        load = fleet.token_s * demand.prompt_tokens / endpoints
        if load >= 1.0:
            return 1.0
        alone = fleet.first_token_s(0, int(prompt), int(prompt)) + self.step_s(demand, endpoints)
        left_s = self._ttft_s - alone
        if left_s <= 0.0:
            return 1.0
        work_s = fleet.token_s * prompt
        return load * exp(-(1.0 - load) * left_s / work_s) if work_s > 0.0 else 0.0

    def _keeps(self, demand: Demand, endpoints: int) -> bool:
        step_s = self.step_s(demand, endpoints)
        if step_s == float("inf"):
            return False
        batch = step_s * demand.output_tokens / endpoints
        if self.most_running and batch > self.most_running:
            return False
        if self.kv_capacity and batch * self._held(demand) > _KV_FULL * self.kv_capacity:
            return False
        if self._token_s and step_s > self._token_s:
            return False
        if self.fleet.token_s * demand.prompt_tokens >= endpoints:
            return False
        return not self._ttft_s or self.late_share(demand, endpoints) <= self._late_share

    def _held(self, demand: Demand) -> float:
        """Tokens that an answer under way holds: its prompt, and half of itself."""
        return (demand.prompt_tokens + demand.output_tokens / 2.0) / demand.rate

    def _stable(self, demand: Demand) -> int:
        """An objective that one request alone on an engine misses asks for no endpoints."""
        fleet = self.fleet
        decode = (fleet.batch_s + fleet.kv_s * self._held(demand)) * demand.output_tokens
        load = max(
            decode + fleet.disturbance_s * demand.prompt_tokens,
            fleet.token_s * demand.prompt_tokens,
        )
        return int(load / _STABLE) + 1
