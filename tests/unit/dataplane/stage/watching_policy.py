"""A user's policy that keeps a book of tickets: what was opened, and how often it was settled."""

from collections import Counter
from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class Watching(Policy):
    observes = True
    opened: ClassVar[list[Ticket]] = []
    settled: ClassVar[Counter[int]] = Counter()  # by the id of a ticket in ``opened``

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[env.below(len(eligible))] if eligible else None

    def on_start(self, ticket: Ticket) -> None:
        self.opened.append(ticket)

    def on_end(self, ticket: Ticket) -> None:
        self.settled[id(ticket)] += 1

    @classmethod
    def forget(cls) -> None:
        """Begin a new book."""
        cls.opened.clear()
        cls.settled.clear()
