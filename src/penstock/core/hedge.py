"""Hedging: when a second endpoint is asked for what a first one owes, and when that may pay.

A request that has no first token after as long as most took for theirs (a quantile of the last
minute, or a time that is set) may be asked of another endpoint as well, where

- the other's first token is expected in less than half of what is left of this wait, as what it
  takes there is taken from others (Vulimiri and others, Low Latency via Redundancy, 2013: copies
  pay below a load that their own cost sets). What is left is taken from waits that were longer, and
  as long again as it lasted where none was (a heavy tail's mean);
- a share of all prompt tokens, ``budget_share``, is not used up by it: without a bound hedges make
  an overload worse (Dean and Barroso, The Tail at Scale, 2013).

Who was late so several times in a row gets no first attempts for a while (``core.probation``),
whether or not a second endpoint could be paid for.

First tokens count, not whole answers, whose length says nothing of a server. Requests of other
kinds weigh one token each, and their first byte is what counts. The data plane and the simulator
drive the same object.
"""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.histogram import BUCKETS, bucket_of, quantile_us, upper_bound_us
from penstock.core.measure.window import SlidingCount
from penstock.core.pool.pool import ROOM, Pool
from penstock.core.probation import Probation
from penstock.core.request import Request
from penstock.core.snapshot import Hedge
from penstock.core.ticket import Ticket

HALF_S: Final = 30.0  # waits are kept for one such time and the one before
ENOUGH: Final = 20  # waits, before a quantile of them means anything
BUDGET_S: Final = 60  # that the share is taken over
_RENEWED_S: Final = 0.25  # how old a quantile may be
_PRICE: Final = 2.0  # of a second attempt, in times as long as it takes: once more for others
_LONGER: Final = 0.5  # of a wait, until it is looked at again
_KEPT: Final = 0.9  # of an endpoint's past, per wait
_MOST_ENDPOINTS: Final = 4096


class Waits:
    """For first tokens, of the last half minute to a minute."""

    def __init__(self) -> None:
        self.count: int = 0
        self._now: list[int] = [0] * BUCKETS
        self._before: list[int] = [0] * BUCKETS
        self._began: float = 0.0

    def add(self, seconds: float, now: float) -> None:
        """One ended."""
        self.look(now)
        self._now[bucket_of(int(seconds * 1e6))] += 1
        self.count += 1

    def look(self, now: float) -> None:
        """Forget what is too old."""
        if now < self._began + HALF_S:
            return
        fresh = now < self._began + 2 * HALF_S
        self._before = self._now if fresh else [0] * BUCKETS
        self._now = [0] * BUCKETS
        self._began = now
        self.count = sum(self._before)

    def counts(self) -> list[int]:
        """By bucket of ``core.measure.histogram``."""
        return [one + other for one, other in zip(self._now, self._before, strict=True)]

    def left_s(self, waited_s: float) -> float:
        """What is to be expected of a wait that lasted so long already."""
        counts = self.counts()
        total = 0.0
        longer = 0
        for bucket in range(bucket_of(int(waited_s * 1e6)) + 1, BUCKETS):
            if counts[bucket]:
                longer += counts[bucket]
                middle = (upper_bound_us(bucket - 1) + upper_bound_us(bucket)) / 2e6
                total += counts[bucket] * middle
        return max(total / longer - waited_s, 0.0) if longer else waited_s


class HedgeRules:
    """A pool's ``Hedge`` settings as decisions, with what they are taken from."""

    def __init__(self, settings: Hedge) -> None:
        self.settings: Hedge = settings
        self.waits: Waits = Waits()
        self.probation: Probation = Probation()
        self._each: dict[Endpoint, float] = {}  # what a wait is there, fading
        self._asked: SlidingCount = SlidingCount(BUDGET_S)
        self._spent: SlidingCount = SlidingCount(BUDGET_S)
        self._after_s: float = -1.0
        self._looked_at: float = -1.0

    def asked(self, ticket: Ticket, now: float) -> None:
        """A first attempt was opened: of what it computes, a share may be computed once more."""
        self._asked.add(now, ticket.prefill_tokens or weight_of(ticket.request))
        self.probation.asked(ticket.endpoint, now)

    def spoke(self, endpoint: Endpoint, waited_s: float, now: float) -> None:
        """A first token came from there after so long; or it was given up for another that came."""
        self.waits.add(waited_s, now)
        if waited_s <= self.after_s(now):
            self.probation.in_time(endpoint)
        before = self._each.get(endpoint)
        if before is None:
            if len(self._each) >= _MOST_ENDPOINTS:
                self._each = {}
            self._each[endpoint] = waited_s
        else:
            self._each[endpoint] = _KEPT * before + (1.0 - _KEPT) * waited_s

    def after_s(self, now: float) -> float:
        """How long a first token is waited for before a second endpoint may be asked; -1.0: it is
        not known yet."""
        settings = self.settings
        if settings.after_s > 0.0:
            return settings.after_s
        if now >= self._looked_at + _RENEWED_S:
            self._looked_at = now
            self.waits.look(now)
            enough = self.waits.count >= ENOUGH
            self._after_s = (
                quantile_us(self.waits.counts(), settings.quantile) / 1e6 if enough else -1.0
            )
        return self._after_s

    def again_s(self, waited_s: float) -> float:
        """After how long to look again at a wait at which no second endpoint was worth it: the
        longer it lasts, the more there is to gain."""
        return max(waited_s * _LONGER, _RENEWED_S)

    def passes(
        self, pool: Pool, request: Request, tried: list[Endpoint] | None, now: float
    ) -> list[Endpoint] | None:
        """Whom a first attempt is not to go to: ``tried``, and who was late of late."""
        return self.probation.passes(pool, request, tried, now)

    def choose(
        self, pool: Pool, request: Request, tried: list[Endpoint], waited_s: float, env: Env
    ) -> Endpoint | None:
        """Who is to be asked as well, not one of ``tried``; None where nobody would be sooner."""
        if not pool.is_left(request.model, tried) or pool.room(request, tried) != ROOM:
            return None
        other = pool.pick(request, env, self.passes(pool, request, tried, env.now))
        if other is None or other in tried:
            return None
        expected_s = self.expected_s(pool, request, other, env)
        if _PRICE * expected_s >= self.waits.left_s(waited_s):
            return None
        self.probation.late(tried[0], env.now)
        return other

    def expected_s(self, pool: Pool, request: Request, endpoint: Endpoint, env: Env) -> float:
        """Its time to a first token: as the policy predicts it, or else as it was of late."""
        for _, terms in pool.policy.explain(request, [endpoint], env):
            predicted = terms.get("ttft_s", -1.0)
            if predicted >= 0.0:
                return predicted
        known = self._each.get(endpoint, -1.0)
        if known < 0.0 and self.waits.count:
            known = quantile_us(self.waits.counts(), 0.5) / 1e6
        return max(known, 0.0)

    def takes(self, request: Request, now: float) -> bool:
        """Take what a second attempt costs from the budget; False when too little is left."""
        weight = weight_of(request)
        spent = self._spent.at(now) + weight
        if spent > self.settings.budget_share * self._asked.at(now):
            return False
        self._spent.add(now, weight)
        return True


def weight_of(request: Request) -> int:
    """What it may cost to ask for it once more: the tokens of its prompt, as the other endpoint has
    mostly none of them in its cache."""
    return max(request.prompt_tokens, 1)
