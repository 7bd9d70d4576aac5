"""A user's policy that keeps a worker at its first snapshot until a file is there."""

from pathlib import Path
from time import sleep
from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Option, Policy
from penstock.core.request import Request

_POLL_S = 0.001


class Held(Policy):
    options: ClassVar[tuple[Option, ...]] = (Option("until", "", "the file"),)

    def __init__(self, until: str) -> None:
        self._until = Path(until)

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        while not self._until.exists():
            sleep(_POLL_S)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[0] if eligible else None
