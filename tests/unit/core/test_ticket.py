"""A ticket is settled once, and everyone who is concerned is told once, whatever raises."""

from typing import ClassVar

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.breaker import OPEN, Breaker
from penstock.core.policy import Policy
from penstock.core.prefixes.engine_slots import EngineSlots
from penstock.core.request import Request
from penstock.core.snapshot import Breaker as BreakerSettings
from penstock.core.ticket import DONE, RESET, Ticket


class Broken(Exception):
    """What is raised in these tests."""


class Journal:
    """Who was told, in order; those named in ``raising`` raise once they noted it."""

    def __init__(self, *raising: str) -> None:
        self.told: list[str] = []
        self._raising = raising

    def note(self, who: str) -> None:
        self.told.append(who)
        if who in self._raising:
            raise Broken(who)


class ToldEndpoint(Endpoint):
    def __init__(self, journal: Journal) -> None:
        super().__init__("e")
        self.journal = journal

    def release(self) -> None:
        super().release()
        self.journal.note("load")

    def settled(
        self, outcome: int, status: int, opened_at: float, first_byte_at: float, now: float
    ) -> bool:
        self.journal.note("endpoint")
        return False

    def told_breaker(
        self, breaker: Breaker, epoch: int, blamed: bool, whole: bool, now: float
    ) -> None:
        super().told_breaker(breaker, epoch, blamed, whole, now)
        self.journal.note("breaker")


class ToldPolicy(Policy):
    observes: ClassVar[bool] = True

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[0]

    def on_end(self, ticket: Ticket) -> None:
        self.journal.note("policy")


def opened(journal: Journal) -> tuple[Ticket, ToldEndpoint]:
    """A ticket that holds an engine's slot, on an endpoint with a circuit breaker."""
    endpoint = ToldEndpoint(journal)
    endpoint.protect(BreakerSettings(failures=1))
    ticket = Ticket(endpoint, ToldPolicy(journal), Request(), 1.0)
    assert ticket.enters(1.0)
    slots = EngineSlots(2)
    slots.take(0, 7, [1])
    ticket.slots = slots
    ticket.slot = 0
    return ticket, endpoint


@pytest.mark.parametrize(
    "raising",
    [
        (),
        ("load",),
        ("policy",),
        ("endpoint",),
        ("breaker",),
        ("load", "policy", "endpoint", "breaker"),
    ],
    ids=lambda raising: "+".join(raising) or "nobody",
)
def test_everyone_is_told_once_whoever_raises(raising: tuple[str, ...]) -> None:
    journal = Journal(*raising)
    ticket, endpoint = opened(journal)
    if raising:
        with pytest.raises(Broken, match=raising[-1]):
            ticket.settle(RESET, 2.0)
    else:
        ticket.settle(RESET, 2.0)
    assert journal.told == ["load", "policy", "endpoint", "breaker"]
    assert endpoint.in_flight == 0
    assert endpoint.breaker is not None
    assert endpoint.breaker.state == OPEN
    assert endpoint.cut_out
    assert ticket.slots is not None
    for _ in range(2):  # after a reset the engine may work on until it says that it does not
        ticket.slots.told_idle()
    assert ticket.slots.choose(7, [1], 1) == 0


def test_a_ticket_that_raised_is_settled_all_the_same() -> None:
    journal = Journal("policy")
    ticket, _ = opened(journal)
    with pytest.raises(Broken):
        ticket.settle(DONE, 2.0)
    with pytest.raises(RuntimeError, match="settled twice"):
        ticket.settle(DONE, 2.0)
    assert journal.told == ["load", "policy", "endpoint", "breaker"]


def test_a_policy_that_raises_at_the_start_leaves_no_load_behind() -> None:
    class RaisesAtTheStart(ToldPolicy):
        def on_start(self, ticket: Ticket) -> None:
            raise Broken

    journal = Journal()
    endpoint = ToldEndpoint(journal)
    with pytest.raises(Broken):
        Ticket(endpoint, RaisesAtTheStart(journal), Request(), 1.0)
    assert endpoint.in_flight == 0
    assert endpoint.owed == 0
