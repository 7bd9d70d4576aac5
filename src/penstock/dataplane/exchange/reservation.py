"""What one exchange reserved of its limits: once, for all its attempts, and settled once."""

from typing import Final

from penstock.core.limits.rules import BYTES, Amounts, Rule
from penstock.core.limits.slices import Charge
from penstock.core.measure.tokens import Progress
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.pool.limits import Limits, Running

_NOTHING_YET: Final = Progress()
_AHEAD: Final = 64  # tokens that an answer which outgrew its reservation reserves at least


class Reservation(Running):
    """``prompt`` and the tokens of the answer, as they are expected."""

    def __init__(self, limits: Limits, model: str, prompt: int, output: int, limit: int) -> None:
        """``limit``: of the answer's tokens, by the request; 0: none."""
        super().__init__(_NOTHING_YET)
        self.charges: list[Charge] = []
        self.before: int = 0  # tokens of an answer that went on from another endpoint
        self.model: str = model
        self._limits: Limits = limits
        self._prompt: int = prompt
        self._reserved: int = output  # of rules that go by what is expected
        self._most: int = limit if limit > 0 else output
        self._follows: bool = False
        self._size: int = 0  # of the request, as it told
        self._front: Front | None = None  # that is sent an answer whose bytes count

    def add(self, rule: Rule, subject: str, size: int) -> None:
        """Of one rule; nothing is taken yet."""
        amount = 1.0
        if not rule.counts_requests:
            output = self._most if rule.by_limit else self._reserved
            amount = rule.amount_of(self._amounts(output, size))
            if rule.counts == BYTES:
                self._size = size
                amount = max(amount, 1.0)  # of an answer nothing is known, but that it has some
        self.charges.append(Charge(self._limits.slices.holding(rule, subject), amount))

    def follow(self, progress: Progress) -> None:
        """The answer comes."""
        self.progress = progress
        self._follows = True
        self._limits.running[id(self)] = self

    def measure(self, front: Front) -> None:
        """The answer comes, and is sent there: its bytes count as they go."""
        for charge in self.charges:
            if charge.holding.rule.counts == BYTES:
                self._front = front
        if self._front is not None:
            self._limits.running[id(self)] = self

    def grow(self, now: float) -> None:
        front = self._front
        if front is not None:
            size = float(self._size + front.response_bytes())
            for charge in self.charges:
                if charge.holding.rule.counts == BYTES:
                    self._limits.slices.grow(charge, size, now)
        if self._follows:
            self._grow_tokens(now)

    def _grow_tokens(self, now: float) -> None:
        came = self.before + self.progress.tokens()
        if came <= self._reserved:
            return
        self._reserved = came + max(_AHEAD, came // 4)
        self._most = max(self._most, came)
        for charge in self.charges:
            rule = charge.holding.rule
            if rule.reads:
                output = self._most if rule.by_limit else self._reserved
                amount = rule.amount_of(self._amounts(output, 0))
                self._limits.slices.grow(charge, amount, now)

    def used(self, status: int, reading: AnswerReading | None, size: int) -> Amounts:
        """What it took, as far as the engine told, or else as it was counted."""
        prompt = self._prompt
        output = 0
        cached = 0
        if status >= 400:
            prompt = 0  # the engine refused it
        if reading is not None:
            meter = reading.meter
            output = meter.output_tokens if meter.output_tokens >= 0 else meter.events
            output += self.before
            if meter.prompt_tokens >= 0:  # with what it went on from
                prompt = max(meter.prompt_tokens - self.before, 0)
            cached = max(meter.cached_tokens, 0)
        elif 200 <= status < 300:
            output = self._reserved  # it passed unread
        cost = self._limits.prices.cost(self.model, prompt, output, min(cached, prompt))
        return Amounts(prompt, output, cached, size, cost)

    def settle(self, used: Amounts | None, now: float) -> None:
        """It is over; None: nothing was sent to any endpoint."""
        if self._follows or self._front is not None:
            self._limits.running.pop(id(self), None)
            self._front = None
        slices = self._limits.slices
        for charge in self.charges:
            if used is not None and charge.holding.rule.counts_requests:
                slices.settle(charge, 1.0, now)
            else:
                amount = charge.holding.rule.amount_of(used) if used is not None else 0.0
                slices.settle(charge, amount, now)

    def _amounts(self, output: int, size: int) -> Amounts:
        cost = self._limits.prices.cost(self.model, self._prompt, output)
        return Amounts(self._prompt, output, 0, size, cost)
