"""A second endpoint that is asked beside the first, by ``core.hedge``: of two the client gets the
answer that begins first, and the other is given up."""

from penstock.core.hedge import HedgeRules
from penstock.core.ticket import ABANDONED
from penstock.dataplane.board.layout import (
    P_HEDGES,
    P_HEDGES_DENIED,
    P_HEDGES_WON,
    P_VAIN_TOKENS,
)
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.pool.live_endpoint import LiveEndpoint


class TwoAtOnce:
    """Of one exchange whose pool hedges."""

    other: Attempt | None = None  # that runs beside the dispatch's own
    ask_at: float = 0.0  # when a second endpoint may be asked; 0: never
    _second: Attempt | None = None  # the later one of two that ran, or run
    _denied: bool = False  # a second endpoint, by the budget

    def __init__(
        self,
        rules: HedgeRules,
        dispatch: Dispatch,
        body: RequestBody,
        inspection: Inspection | None,
    ) -> None:
        self._rules: HedgeRules = rules
        self._dispatch: Dispatch = dispatch
        self._body: RequestBody = body
        self._inspection: Inspection | None = inspection

    def begin(self, attempt: Attempt, now: float) -> None:
        """An attempt begins, alone."""
        if self._second is not None:
            return
        rules = self._rules
        rules.asked(attempt.ticket, now)
        after_s = rules.after_s(now)
        self.ask_at = now + after_s if after_s > 0.0 else 0.0

    def ask_beside(self, first: Attempt, now: float) -> None:
        """A second endpoint, if that is expected to answer before the first."""
        dispatch = self._dispatch
        pool = dispatch.pool
        rules = self._rules
        self.ask_at = 0.0
        if self.other is not None or not self._may_be_sent_beside():
            return
        waited_s = now - first.ticket.opened_at
        self.ask_at = now + rules.again_s(waited_s)
        request = dispatch.request
        tried = [first.endpoint, *dispatch.tries().tried]
        chosen = rules.choose(pool, request, tried, waited_s, dispatch.context.env)
        if chosen is None:
            return
        if not rules.takes(request, now):
            if not self._denied:
                self._denied = True
                pool.counters.bump(P_HEDGES_DENIED)
            return
        assert isinstance(chosen, LiveEndpoint)
        second = dispatch.attempt_beside(chosen)
        if second is None:
            return
        pool.counters.bump(P_HEDGES)
        self.other = first
        self._second = second
        self.ask_at = 0.0
        dispatch.start_beside(second)

    def _may_be_sent_beside(self) -> bool:
        """Whether the request is there to be sent once more, as it was sent."""
        if not self._body.complete or not self._body.replayable:
            return False
        if self._inspection is not None:
            self._inspection.keeps_wish = True
        return True

    def lose(self, attempt: Attempt) -> None:
        """This one ended without an answer; the other, if there is one, goes on alone."""
        dispatch = self._dispatch
        if dispatch.attempt is attempt:
            dispatch.attempt = self.other
        self.other = None

    def win(self, attempt: Attempt, answers: bool, now: float) -> None:
        """The client gets the answer of this one; the other is given up at once. ``answers``: it is
        an answer, and tells no error."""
        dispatch = self._dispatch
        rules = self._rules
        loser = self.other if dispatch.attempt is attempt else dispatch.attempt
        self.ask_at = 0.0
        self.other = None
        dispatch.attempt = attempt
        if answers:
            rules.spoke(attempt.endpoint, now - attempt.ticket.opened_at, now)
        if attempt is self._second:
            dispatch.pool.counters.bump(P_HEDGES_WON)
        if loser is None or loser is attempt:
            return
        rules.spoke(loser.endpoint, now - loser.ticket.opened_at, now)
        count_vain(dispatch, loser)
        loser.give_up()
        loser.settle(ABANDONED, now)

    def give_up(self, outcome: int, now: float) -> None:
        """The exchange ends: what runs beside the dispatch's own attempt is stopped as well."""
        other = self.other
        self.other = None
        if other is not None:
            other.give_up()
            other.settle(outcome, now)

    def ran(self) -> bool:
        """Whether a second endpoint was asked beside the first."""
        return self._second is not None


def count_vain(dispatch: Dispatch, attempt: Attempt) -> None:
    """Its prompt was computed for nobody."""
    ticket = attempt.ticket
    tokens = ticket.prefill_tokens or ticket.request.prompt_tokens
    dispatch.pool.counters.add(P_VAIN_TOKENS, tokens)
