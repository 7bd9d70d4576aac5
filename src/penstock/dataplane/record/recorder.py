"""Which choices of a pool are recorded, where the records are kept, and who else is asked.

Sampling is the balancer's own: nothing in a request can ask for it. A request that is not sampled
costs one comparison of integers in ``exchange.py``; with policies in the shadow every request is
told to them, for they could not know the caches otherwise.
"""

from collections import deque
from collections.abc import Sequence
from math import log
from random import Random
from typing import Final

from penstock.core import snapshot
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import create
from penstock.core.policy.base import Policy
from penstock.core.pool.pool import Pool
from penstock.core.pool.shadow import Shadow
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, Ticket
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import (
    P_SHADOWS,
    SH_COST_US,
    SH_DECISIONS,
    SH_DIFFERENT,
    SH_JUDGED,
    SH_LIVE_COST_US,
    SHADOW_CELLS,
)
from penstock.dataplane.io.loop import report_bug
from penstock.dataplane.record.decision import Decision
from penstock.dataplane.record.request_log import RequestLog
from penstock.dataplane.record.time_of_day import wall_clock

NEVER: Final = 2**62  # a count of requests that is not reached
# Costs above this are marks for "unknown" (peak-ewma's penalty), not times.
_UNKNOWN_S: Final = 1e6


# Attempts that a burst of waiting bodies may be behind the count of requests.
_CATCH_UP: Final = 1000
_MAX_ANSWER_BYTES: Final = 1024 * 1024  # of records, in one answer to the supervisor


def check_file(path: str) -> None:
    """Raises OSError when the file of a pool's decisions cannot be written."""
    if path:
        with open(path, "ab"):
            pass


class Recorder:
    """One pool's; in one worker."""

    def __init__(self, pool: Pool, counters: PoolCounters, workers: int) -> None:
        self.sample_at: int = NEVER  # the count of requests from which attempts are watched
        self._pool: Pool = pool
        self._counters: PoolCounters = counters
        self._workers: int = workers
        self._spec: snapshot.Decisions = snapshot.Decisions()
        self._policy_name: str = ""
        self._ring: deque[Decision] = deque(maxlen=1)
        self._next: int = NEVER  # the count of requests at which one is recorded
        self._tokens: float = 0.0  # records that may be made at once
        self._filled_at: float = 0.0
        self._shadow_choices: tuple[snapshot.PolicyChoice, ...] = ()
        self._chance: Env = Env(Random())  # of the shadows: the live picks draw as without them
        self.shadows: list[Shadow] = []
        self._judge: Shadow | None = None
        self.log: RequestLog = RequestLog("decision log")

    def configure(self, spec: snapshot.Pool) -> None:
        """Take over what a snapshot says. What was recorded before stays."""
        decisions = spec.decisions
        if self._ring.maxlen != decisions.keep:
            self._ring = deque(self._ring, maxlen=decisions.keep)
        if decisions.sample != self._spec.sample:
            self._next = NEVER
            if decisions.sample > 0.0:
                begin = 0 if decisions.sample >= 1.0 else self._counters.requests
                self._next = begin + _gap(decisions.sample, self._chance)
        try:
            self.log.configure("file" if decisions.file else "off", decisions.file)
        except OSError:
            report_bug(f"in opening the decision log of pool {spec.name}")
        self._spec = decisions
        self._policy_name = spec.policy.name
        if spec.shadow != self._shadow_choices or (self._judge is None) != (not spec.shadow):
            self._replace_shadows(spec)
        self.sample_at = 0 if self.shadows else self._next

    def refresh(self) -> None:
        """The pool's members or their states changed."""
        try:
            for shadow in self._all_shadows():
                shadow.follow(self._pool)
        except Exception:  # noqa: BLE001 - a user's policy must not harm the pool
            self._give_up_shadows()

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        """An engine told its load."""
        try:
            for shadow in self._all_shadows():
                shadow.on_report(endpoint, report)
        except Exception:  # noqa: BLE001 - a user's policy must not harm the pool
            self._give_up_shadows()

    def expire_reports(self, now: float, max_age_s: float) -> None:
        """Believe no engine that has been silent for so long."""
        for shadow in self._all_shadows():
            shadow.expire_reports(now, max_age_s)

    def watch(
        self, request: Request, env: Env, tried: Sequence[Endpoint], request_id: bytes
    ) -> "Watch | None":
        """Before a pick: whether this attempt is recorded, or told to the shadows, and how."""
        count = self._counters.requests
        sampled = count >= self._next
        if sampled:
            gap = _gap(self._spec.sample, self._chance)
            self._next = max(self._next, count - _CATCH_UP) + gap if gap else 0
            sampled = self._may_record(env.now)
            if not self.shadows:
                self.sample_at = self._next
        decision = self._begin(request, env, tried, request_id) if sampled else None
        if decision is None and not self.shadows:
            return None
        self._chance.now = env.now
        return Watch(self, decision, tried, env.now)

    def _begin(
        self, request: Request, env: Env, tried: Sequence[Endpoint], request_id: bytes
    ) -> Decision | None:
        pool = self._pool
        try:
            explained = pool.policy.explain(request, pool.candidates(request, tried), env)
        except Exception:  # noqa: BLE001 - a user's policy must not harm the request
            report_bug(f"in explaining by the policy {self._policy_name} of pool {pool.name}")
            return None
        return Decision(
            request_id.decode("latin-1"),
            wall_clock(),
            pool.name,
            self._policy_name,
            request,
            explained,
            env.now,
        )

    def find(self, request_id: str, limit: int) -> list[bytes]:
        """Records as JSON, newest first: those of a request, or with "" the newest."""
        found: list[bytes] = []
        size = 0
        for decision in reversed(self._ring):
            if len(found) >= limit or size > _MAX_ANSWER_BYTES:
                break
            if not request_id or decision.request_id == request_id:
                encoded = decision.encoded()
                size += len(encoded)
                found.append(encoded)
        return found

    def picked(
        self, watch: "Watch", endpoint: Endpoint, request: Request, by: str, attempt: int
    ) -> None:
        """An endpoint was chosen: what the shadows would have done is noted."""
        decision = watch.decision
        if decision is None:
            return
        decision.picked(endpoint, by, attempt)
        if by == "policy" and self.shadows:
            try:
                self._ask_shadows(decision, watch.tried, endpoint, request)
            except Exception:  # noqa: BLE001 - a user's policy must not harm the request
                self._give_up_shadows()
        self._ring.append(decision)

    def open(self, endpoint: Endpoint, request: Request, now: float) -> list[Ticket]:
        """The shadows' own tickets for an attempt that was opened."""
        tickets: list[Ticket] = []
        try:
            for shadow in self._all_shadows():
                ticket = shadow.open(endpoint, request, now)
                if ticket is not None:
                    tickets.append(ticket)
        except Exception:  # noqa: BLE001
            self._give_up_shadows()
        return tickets

    def ended(self, decision: Decision, ticket: Ticket) -> None:
        """A recorded attempt ended."""
        endpoint = ticket.endpoint
        address = endpoint.shown_address() if isinstance(endpoint, CountedEndpoint) else ""
        record = decision.came_true(ticket, address)
        if self.log.enabled:
            self.log.write(record + b"\n")

    def _ask_shadows(
        self, decision: Decision, tried: Sequence[Endpoint], endpoint: Endpoint, request: Request
    ) -> None:
        candidates = self._pool.candidates(request, tried)
        picks = [shadow.pick(request, candidates, self._chance) for shadow in self.shadows]
        costs = self._costs(request, [endpoint, *[pick for pick in picks if pick is not None]])
        live_cost = costs.get(endpoint)
        counters = self._counters
        for index, pick in enumerate(picks):
            if pick is None:
                continue
            at = P_SHADOWS + index * SHADOW_CELLS
            cost = costs.get(pick)
            decision.add_shadow(self.shadows[index].name, pick.name, cost, live_cost)
            counters.bump(at + SH_DECISIONS)
            if pick is not endpoint:
                counters.bump(at + SH_DIFFERENT)
            if cost is not None and live_cost is not None:
                counters.bump(at + SH_JUDGED)
                counters.add(at + SH_COST_US, int(cost * 1e6))
                counters.add(at + SH_LIVE_COST_US, int(live_cost * 1e6))

    def _costs(self, request: Request, endpoints: list[Endpoint]) -> dict[Endpoint, float]:
        """By the pool's cost model, in seconds; those that are not known are left out."""
        judge = self._judge
        costs: dict[Endpoint, float] = {}
        if judge is None:
            return costs
        for endpoint, terms in judge.explain(request, endpoints, self._chance).items():
            cost = known_cost(terms)
            if cost >= 0.0:
                costs[endpoint] = cost
        return costs

    def _all_shadows(self) -> list[Shadow]:
        return self.shadows if self._judge is None else [*self.shadows, self._judge]

    def _replace_shadows(self, spec: snapshot.Pool) -> None:
        values = self._counters.values
        # By those configured: of shadows that were given up none is left.
        for cell in range(P_SHADOWS, P_SHADOWS + len(self._shadow_choices) * SHADOW_CELLS):
            values[cell] = 0
        self._shadow_choices = spec.shadow
        self.shadows = [
            Shadow(choice.name, create(choice.name, dict(choice.options))) for choice in spec.shadow
        ]
        self._judge = Shadow("", judge_of(spec.kind)) if spec.shadow else None

    def _give_up_shadows(self) -> None:
        """A bug in one: the pool goes on without all of them until the next snapshot."""
        report_bug(f"in a policy in the shadow of pool {self._pool.name}")
        self.shadows = []
        self._judge = None
        self.sample_at = self._next

    def _may_record(self, now: float) -> bool:
        rate = self._spec.max_per_s / self._workers
        most = max(rate, 1.0) if rate > 0.0 else 0.0
        self._tokens = min(most, self._tokens + rate * (now - self._filled_at))
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _gap(share: float, chance: Env) -> int:
    """Requests until the next one that is recorded: geometric, so that no rhythm is missed."""
    if share >= 1.0:
        return 0
    return 1 + int(log(1.0 - chance.random()) / log(1.0 - share))


def judge_of(kind: str) -> Policy:
    """The cost model by which picks in the shadow are compared.

    For language models the time to first token of ``marginal-cost``, else the latency of
    ``peak-ewma`` times the requests that would be there.
    """
    if kind == "llm":
        return create("marginal-cost", {"explore": 0.0})
    return create("peak-ewma", {})


def known_cost(terms: dict[str, float]) -> float:
    """Seconds by the terms of a cost model; -1 when they do not tell it yet."""
    cost = terms.get("ttft_s", -1.0)
    if cost < 0.0 and "latency_s" in terms:
        cost = terms["cost"]
    return cost if 0.0 <= cost < _UNKNOWN_S else -1.0


class Watch:
    """One attempt that is recorded, told to the shadows, or both."""

    def __init__(
        self, recorder: Recorder, decision: Decision | None, tried: Sequence[Endpoint], now: float
    ) -> None:
        self.recorder: Recorder = recorder
        self.decision: Decision | None = decision
        self.tried: Sequence[Endpoint] = tried
        self._now: float = now

    def ticket(
        self, endpoint: Endpoint, policy: Policy, request: Request, by: str, attempt: int
    ) -> Ticket:
        """The attempt's ticket; ``by`` as in ``Decision.picked``."""
        self.recorder.picked(self, endpoint, request, by, attempt)
        shadows = self.recorder.open(endpoint, request, self._now)
        try:
            ticket = WatchedTicket(endpoint, policy, request, self._now)
        except Exception:
            for shadow in shadows or ():  # the pool's own policy raised: there is no attempt
                _tell(self.recorder, shadow, ABANDONED, self._now)
            raise
        ticket.recorder = self.recorder
        ticket.decision = self.decision
        ticket.shadows = shadows
        if self.decision is not None:
            self.decision.predicted(ticket)
        return ticket


class WatchedTicket(Ticket):
    """Tells the record and the shadows what becomes of the attempt."""

    recorder: Recorder | None = None
    decision: Decision | None = None
    shadows: list[Ticket] | None = None

    def first_byte(self, now: float) -> None:
        for shadow in self.shadows or ():
            shadow.status = self.status
            _tell(self.recorder, shadow, -1, now)
        super().first_byte(now)

    def settle(self, outcome: int, now: float) -> None:
        try:
            super().settle(outcome, now)
        finally:
            self._tell_all(outcome, now)

    def _tell_all(self, outcome: int, now: float) -> None:
        for shadow in self.shadows or ():
            shadow.status = self.status
            shadow.output_tokens = self.output_tokens
            shadow.cached_tokens = self.cached_tokens
            _tell(self.recorder, shadow, outcome, now)
        if self.decision is not None and self.recorder is not None:
            self.recorder.ended(self.decision, self)


def _tell(recorder: Recorder | None, shadow: Ticket, outcome: int, now: float) -> None:
    """The first byte came (-1), or the attempt ended."""
    try:
        if outcome < 0:
            shadow.first_byte(now)
        else:
            shadow.settle(outcome, now)
    except Exception:  # noqa: BLE001 - a user's policy must not harm the request
        report_bug("in a policy in the shadow")


def decisions_answer(recorders: dict[str, Recorder], message: dict[str, object]) -> bytes:
    """The answer to a question of the supervisor, as JSON: records of all pools, or of one."""
    pool_name = str(message.get("pool", ""))
    request_id = str(message.get("id", ""))
    limit = message.get("limit")
    records: list[bytes] = []
    size = 0
    for name, recorder in recorders.items():
        if (not pool_name or pool_name == name) and size < _MAX_ANSWER_BYTES:
            found = recorder.find(request_id, limit if isinstance(limit, int) else 1)
            size += sum([len(record) for record in found])
            records += found
    token = message.get("token")
    return b'{"kind":"answer","token":%d,"records":[%b]}' % (
        token if isinstance(token, int) else 0,
        b",".join(records),
    )
