"""A policy as a user writes it: a class in a module of their own, never compiled."""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Option, Policy
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class Nth(Policy):
    """Always the n-th eligible endpoint; counts what it is told."""

    options: ClassVar[tuple[Option, ...]] = (Option("n", 0, "which one", minimum=0),)
    observes: ClassVar[bool] = True

    def __init__(self, n: int = 0) -> None:
        self.n = n
        self.told: list[str] = []

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self.told.append("rebuild")

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[self.n % len(eligible)] if eligible else None

    def on_start(self, ticket: Ticket) -> None:
        self.told.append("start")

    def on_first_byte(self, ticket: Ticket) -> None:
        self.told.append("first byte")

    def on_end(self, ticket: Ticket) -> None:
        self.told.append("end")


class NotAPolicy:
    """Something else that happens to be in the module."""
