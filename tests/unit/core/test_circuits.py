"""The circuit breaker of an endpoint at work: attempts enter, end, and the endpoint is cut out."""

from penstock.core.endpoint import Endpoint
from penstock.core.health.breaker import CLOSED, OPEN, BreakerChange
from penstock.core.policy import create
from penstock.core.pool.eligible import is_available
from penstock.core.request import Request
from penstock.core.snapshot import Breaker as Settings
from penstock.core.ticket import ABANDONED, DONE, RESET, Ticket


class Told(Endpoint):
    """Remembers what it is told of its circuit."""

    def __init__(self, settings: Settings | None) -> None:
        super().__init__("e")
        self.changes: list[int | None] = []
        self.protect(settings)

    def circuit_changed(self, change: BreakerChange | None) -> None:
        self.changes.append(None if change is None else change.state)


def attempt(endpoint: Endpoint, outcome: int, now: float, status: int = 0) -> bool:
    """Whether an attempt entered; if so it ended like that at once."""
    ticket = Ticket(endpoint, create("random"), Request(), now)
    entered = ticket.enters(now)
    ticket.status = status
    ticket.settle(outcome if entered else ABANDONED, now)
    return entered


def test_failures_cut_it_out_trials_are_let_through_later_and_a_success_closes() -> None:
    endpoint = Told(Settings(failures=2, open_s=5.0))
    assert endpoint.guarded
    assert [attempt(endpoint, RESET, now) for now in (1.0, 2.0, 3.0)] == [True, True, False]
    assert not is_available(endpoint)
    endpoint.try_again(6.0)
    assert not is_available(endpoint)
    endpoint.try_again(7.0)
    assert is_available(endpoint)
    assert attempt(endpoint, DONE, 7.0, 200)
    assert endpoint.changes == [OPEN, None, CLOSED]
    assert endpoint.breaker_opened == 1


def test_one_without_breaker_lets_everything_in() -> None:
    endpoint = Told(None)
    assert not endpoint.guarded
    assert all(attempt(endpoint, RESET, float(now)) for now in range(20))
    assert endpoint.changes == []


def test_settings_that_stay_keep_its_state_and_others_begin_anew() -> None:
    endpoint = Told(Settings(failures=1))
    attempt(endpoint, RESET, 1.0)
    endpoint.protect(Settings(failures=1))
    assert endpoint.cut_out
    endpoint.protect(Settings(failures=2))
    assert not endpoint.cut_out
    endpoint.protect(None)
    assert endpoint.breaker is None


def test_an_attempt_of_a_breaker_that_was_replaced_says_nothing_to_the_new_one() -> None:
    endpoint = Told(Settings(failures=1))
    ticket = Ticket(endpoint, create("random"), Request(), 1.0)
    assert ticket.enters(1.0)
    endpoint.protect(Settings(failures=1, open_s=9.0))
    ticket.settle(RESET, 2.0)
    assert not endpoint.cut_out


def test_one_attempt_too_many_does_not_enter() -> None:
    endpoint = Endpoint("e", max_in_flight=1)
    first = Ticket(endpoint, create("random"), Request(), 1.0)
    second = Ticket(endpoint, create("random"), Request(), 1.0)
    assert not second.enters(1.0)
    second.settle(ABANDONED, 1.0)
    assert first.enters(1.0)
