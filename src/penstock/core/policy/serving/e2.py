"""E2, exploit or explore: stays with the prefix where most of it is cached, else spreads the work.

    cached > uncached   →  exploit: of the endpoints that hold most, the one of least L
    otherwise           →  explore: argmin L + M

    L = prefill seconds sent there in the window + tokens to be generated yet · time per token
    M = prefill seconds of what its cache would lose, times the share of prompts that is reused

An endpoint whose L is more than ``rebalance`` times the least is not exploited, where computing the
whole prompt elsewhere counts with the least: on an idle pool a prefix never moves. Silence for too
long counts with L (``support.belief``). Source: Preble
(ICLR 2025). Its window is three minutes sharp, here older work fades as e^(−age/window).
Equal ones are drawn by weight. O(blocks + endpoints) per pick.
"""

from math import exp
from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.lineup import is_lineup
from penstock.core.policy.base import Option
from penstock.core.policy.support.decoding import Decoding
from penstock.core.policy.support.engine_model import EngineModel
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.memory import pruned
from penstock.core.policy.support.serving import PREFIX_BLOCKS
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class _Work:
    """Tokens of prefill that fade."""

    def __init__(self) -> None:
        self.tokens: float = 0.0
        self.at: float = 0.0

    def fade(self, now: float, window_s: float) -> float:
        if now > self.at:
            self.tokens *= exp((self.at - now) / window_s)
            self.at = now
        return self.tokens


class ExploitExplore(FittedPolicy):
    name: ClassVar[str] = "e2"
    options: ClassVar[tuple[Option, ...]] = (
        Option("window_s", 180.0, "seconds that past work counts for", minimum=1.0),
        Option("rebalance", 1.5, "L over the least L that ends exploiting", minimum=1.0),
        PREFIX_BLOCKS,
    )

    def __init__(
        self,
        window_s: float = 180.0,
        rebalance: float = 1.5,
        prefix_blocks: int = DEFAULT_BLOCKS,
    ) -> None:
        super().__init__(prefix_blocks)
        self._window_s: float = window_s
        self._rebalance: float = rebalance
        self._work: dict[Endpoint, _Work] = {}
        self._worked: list[Endpoint] = []  # that were compared last
        self._worked_each: list[_Work] = []  # beside them
        self._decoding: Decoding = Decoding()
        self._prompt_tokens: float = 0.0  # of all, and the part that was cached: the reuse
        self._hit_tokens: float = 0.0

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        super().rebuild(endpoints)
        self._work = pruned(self._work, endpoints)
        self._worked = []

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        models = self.models(eligible)
        works = self._works(eligible)
        costs = []
        for index, endpoint in enumerate(eligible):
            costs.append(self._load_s(endpoint, models[index], works[index], request, env.now))
        most = max(hits)
        if most > request.prompt_tokens - most:
            cheapest = costs.index(min(costs))
            elsewhere = models[cheapest].token_s * request.prompt_tokens
            bound = self._rebalance * (costs[cheapest] + elsewhere)
            kept = []
            for index, cost in enumerate(costs):
                kept.append(cost if hits[index] == most and cost <= bound else float("inf"))
            if min(kept) < float("inf"):
                return least_of(eligible, kept, env)
        reuse = self._hit_tokens / self._prompt_tokens if self._prompt_tokens > 0.0 else 0.0
        slots = self.index.slots_of(eligible)
        for index, endpoint in enumerate(eligible):
            uncached = request.prompt_tokens - hits[index]
            lost = self.index.overflow_at(slots[index], endpoint, uncached)
            costs[index] += reuse * lost * models[index].token_s
        return least_of(eligible, costs, env)

    def on_start(self, ticket: Ticket) -> None:
        super().on_start(ticket)
        if ticket.kv_tokens:
            self._decoding.start(ticket)
        work = self._of(ticket.endpoint)
        work.fade(ticket.opened_at, self._window_s)
        work.tokens += ticket.prefill_tokens
        self._prompt_tokens = 0.999 * self._prompt_tokens + ticket.kv_tokens
        self._hit_tokens = 0.999 * self._hit_tokens + ticket.hit_tokens

    def on_end(self, ticket: Ticket) -> None:
        self._decoding.end(ticket)
        super().on_end(ticket)

    def _load_s(
        self, endpoint: Endpoint, model: EngineModel, work: _Work, request: Request, now: float
    ) -> float:
        prefill_s = work.fade(now, self._window_s) * model.token_s
        # Of answers that are not known, as many as are expected of this one.
        load = endpoint.load()
        left = self._decoding.tokens_expected(endpoint, load, request.output_tokens, now)
        return prefill_s + left * model.step_s + model.overdue_s

    def _works(self, endpoints: list[Endpoint]) -> list[_Work]:
        if not endpoints or not is_lineup(self._worked, endpoints):
            self._worked = list(endpoints)
            self._worked_each = [self._of(endpoint) for endpoint in endpoints]
        return self._worked_each

    def _of(self, endpoint: Endpoint) -> _Work:
        found = self._work.get(endpoint)
        if found is None:
            found = _Work()
            self._work[endpoint] = found
        return found
