"""Adaptive: tries policies in turns, measures what requests cost under each, and keeps to the best.

Time is cut into slots (a switchback experiment: a policy acts on the state of the whole pool, so
policies cannot be compared request by request). A slot's cost is the mean latency of the requests
picked in it, divided by the mean of the ten slots before, so that a change of traffic is not
mistaken for a difference between policies; it is bounded (``support.belief``). The next slot goes
to the policy that wins a Thompson draw from the beliefs (see ``thompson``), and with probability
``explore`` to any. Samples fade with ``decay_s``, so a policy that was worse gets another chance
when things have changed.

    regret of a slot = its relative cost − the least mean relative cost

A request that failed costs ``failure_cost_s``, or its duration if longer. All candidates are told
of all requests, so none is switched to blindly. A candidate that believes in prefix caches shares
what it believes with other workers; where there are several, each keeps to its own. ``beliefs``
shows each one's relative cost, the number of fresh samples behind it, its share of slots and the
regret so far.

Source of the design: I. Bojinov, D. Simchi-Levi, J. Zhao, "Design and analysis of switchback
experiments", Management Science 2023. A pick costs what the chosen policy's costs, and O(1) beside.
"""

from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Option, Policy
from penstock.core.policy.latency.thompson import Belief
from penstock.core.policy.support.belief import MOST
from penstock.core.policy.support.latency import MEASURE, LatencyPolicy
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import Ticket

_FIRST_SLOTS: Final = 2  # each candidate gets before draws decide
_BASELINE_SLOTS: Final = 10.0
_MAX_OPEN_SLOTS: Final = 8
_ENOUGH: Final = 0.95  # of a slot's requests must have been heard of before it counts


class Candidate:
    """One of the policies, and what is believed of it."""

    def __init__(self, name: str, policy: Policy, decay_s: float) -> None:
        self.name: str = name
        self.policy: Policy = policy
        self.belief: Belief = Belief(decay_s)
        self.slots: int = 0
        self.measured: int = 0
        self.regret: float = 0.0


class _Slot:
    """A stretch of time in which one candidate picked."""

    def __init__(self, candidate: Candidate, began_at: float) -> None:
        self.candidate: Candidate = candidate
        self.began_at: float = began_at
        self.picked: int = 0
        self.heard: int = 0
        self.cost_s: float = 0.0


class Adaptive(LatencyPolicy):
    name: ClassVar[str] = "adaptive"
    key: ClassVar[str] = "configured"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "policies", "least-request, peak-ewma, power-of-two", "the candidates, at least two"
        ),
        Option("slot_s", 2.0, "least length of a slot in seconds", minimum=0.001),
        Option("slot_requests", 50, "least number of requests in a slot", minimum=1),
        Option("decay_s", 600.0, "τ: seconds in which a slot fades to 1/e", minimum=0.001),
        Option("explore", 0.03, "share of slots given to any candidate", minimum=0.0, maximum=1.0),
        Option("failure_cost_s", 5.0, "what a failed request costs", minimum=0.0),
        MEASURE,
    )

    def __init__(
        self,
        policies: str = "least-request, peak-ewma, power-of-two",
        slot_s: float = 2.0,
        slot_requests: int = 50,
        decay_s: float = 600.0,
        explore: float = 0.03,
        failure_cost_s: float = 5.0,
        measure: str = "first-byte",
    ) -> None:
        super().__init__(measure)
        from penstock.core.policy import create

        names = [name.strip() for name in policies.split(",") if name.strip()]
        if len(names) < 2 or self.name in names:
            raise ValueError(
                f"option 'policies' names at least two policies other than {self.name!r}, "
                f"not {policies!r}"
            )
        self._slot_s: float = slot_s
        self._slot_requests: int = slot_requests
        self._explore: float = explore
        self._failure_cost_s: float = failure_cost_s
        self._candidates: list[Candidate] = []
        for name in names:
            self._candidates.append(Candidate(name, create(name), decay_s))
        self._baseline_s: float = 0.0  # mean cost of recent slots
        self._baseline_slots: float = 0.0
        self._slot: _Slot = _Slot(self._candidates[0], -1.0)
        self._open: list[_Slot] = []  # whose requests are not all heard of
        self._slot_of: dict[Ticket, _Slot] = {}

    @property
    def prefix_index(self) -> PrefixIndex | None:
        """Of the only candidate that has one: in one index each request would count twice."""
        believer = self._believer()
        return believer.prefix_index if believer is not None else None

    def use_prefix_index(self, index: PrefixIndex) -> None:
        believer = self._believer()
        if believer is not None:
            believer.use_prefix_index(index)

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        for candidate in self._candidates:
            candidate.policy.replace_members(endpoints)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        for candidate in self._candidates:
            candidate.policy.rebuild(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        slot = self._slot
        if slot.began_at < 0.0 or (
            slot.picked >= self._slot_requests and env.now - slot.began_at >= self._slot_s
        ):
            slot = self._next_slot(env)
        return slot.candidate.policy.pick(request, eligible, env)

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        for candidate in self._candidates:
            candidate.policy.on_report(endpoint, report)

    def on_start(self, ticket: Ticket) -> None:
        self._slot.picked += 1
        self._slot_of[ticket] = self._slot
        for candidate in self._candidates:
            if candidate.policy.observes:
                candidate.policy.on_start(ticket)

    def on_first_byte(self, ticket: Ticket) -> None:
        super().on_first_byte(ticket)
        for candidate in self._candidates:
            if candidate.policy.observes:
                candidate.policy.on_first_byte(ticket)

    def on_end(self, ticket: Ticket) -> None:
        super().on_end(ticket)
        slot = self._slot_of.pop(ticket, None)
        if slot is not None:  # it told nothing
            slot.picked -= 1
        for candidate in self._candidates:
            if candidate.policy.observes:
                candidate.policy.on_end(ticket)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        self._hear(ticket, latency_s)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        self._hear(ticket, max(waited_s, self._failure_cost_s if ticket.failed else 0.0))

    def beliefs(self) -> dict[str, dict[str, float]]:
        told = {}
        slots = 0
        for candidate in self._candidates:
            slots += candidate.slots
        for candidate in self._candidates:
            told[candidate.name] = {
                "relative_cost": candidate.belief.mean,
                "samples": candidate.belief.samples,
                "share_of_slots": candidate.slots / max(slots, 1),
                "regret": candidate.regret,
            }
        return told

    def chosen(self) -> str:
        """The name of the policy that picks right now."""
        return self._slot.candidate.name

    def _believer(self) -> Policy | None:
        believers = [c.policy for c in self._candidates if c.policy.prefix_index is not None]
        return believers[0] if len(believers) == 1 else None

    def _hear(self, ticket: Ticket, cost_s: float) -> None:
        slot = self._slot_of.pop(ticket, None)
        if slot is not None:
            slot.heard += 1
            slot.cost_s += cost_s

    def _next_slot(self, env: Env) -> _Slot:
        if self._slot.picked > 0:
            self._open.append(self._slot)
        self._take_in(env.now)
        candidate = self._choose(env)
        candidate.slots += 1
        self._slot = _Slot(candidate, env.now)
        return self._slot

    def _take_in(self, now: float) -> None:
        """Turn the slots that were heard of into samples; give up on the oldest of too many."""
        waiting: list[_Slot] = []
        surplus = len(self._open) - _MAX_OPEN_SLOTS
        for number, slot in enumerate(self._open):
            if slot.heard >= _ENOUGH * slot.picked or number < surplus:
                if slot.heard > 0:
                    self._learn(slot, now)
            else:
                waiting.append(slot)
        self._open = waiting

    def _learn(self, slot: _Slot, now: float) -> None:
        cost_s = slot.cost_s / slot.heard
        before_s = self._baseline_s
        if before_s > 0.0:
            cost_s = min(cost_s, MOST * before_s)  # one bad slot says little of its policy
        self._baseline_slots = min(self._baseline_slots + 1.0, _BASELINE_SLOTS)
        self._baseline_s += (cost_s - before_s) / self._baseline_slots
        relative = cost_s / before_s if before_s > 0.0 else 1.0
        candidate = slot.candidate
        candidate.measured += 1
        candidate.belief.add(relative, now)
        best = min([each.belief.mean for each in self._candidates if each.measured > 0])
        candidate.regret += max(0.0, relative - best)

    def _choose(self, env: Env) -> Candidate:
        fewest = self._candidates[0]
        for candidate in self._candidates:
            if candidate.slots < fewest.slots:
                fewest = candidate
        if fewest.slots < _FIRST_SLOTS:
            return fewest
        if env.random() < self._explore:
            return self._candidates[env.below(len(self._candidates))]
        best = fewest
        least = float("inf")
        for candidate in self._candidates:
            drawn = candidate.belief.draw(env) if candidate.measured > 0 else 0.0
            if drawn < least:
                least = drawn
                best = candidate
        return best
