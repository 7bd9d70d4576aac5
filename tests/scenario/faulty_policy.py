"""A user's policy with a bug in one of its methods."""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Option, Policy
from penstock.core.request import Request
from penstock.core.ticket import Ticket

METHODS = ("pick", "on_start", "on_first_byte", "on_end")
REBUILD = "rebuild"
MAKE = "make"


class Faulty(Policy):
    """Picks the first endpoint, unless that is where the bug is."""

    options: ClassVar[tuple[Option, ...]] = (
        Option("method", "pick", "where the bug is", choices=(*METHODS, REBUILD, MAKE)),
    )
    observes: ClassVar[bool] = True

    def __init__(self, method: str = "pick") -> None:
        self.method = method
        self.fail_in(MAKE)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self.fail_in(REBUILD)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        self.fail_in("pick")
        return eligible[0] if eligible else None

    def on_start(self, ticket: Ticket) -> None:
        self.fail_in("on_start")

    def on_first_byte(self, ticket: Ticket) -> None:
        self.fail_in("on_first_byte")

    def on_end(self, ticket: Ticket) -> None:
        self.fail_in("on_end")

    def fail_in(self, method: str) -> None:
        if method == self.method:
            raise KeyError("a bug in a user's policy")
