"""A policy of one's own, named in documents as ``tests.unit.config.policy:Keyed``."""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Option, Policy
from penstock.core.request import Request


class Keyed(Policy):
    """Hashes, and has an option of every type."""

    name: ClassVar[str] = "keyed"
    key: ClassVar[str] = "configured"
    options: ClassVar[tuple[Option, ...]] = (
        Option("depth", 1, "How deep.", minimum=1, maximum=9),
        Option("share", 0.5, "How much."),
        Option("mode", "fast", "How.", choices=("fast", "fair")),
        Option("bounded", True, "Whether."),
    )

    def __init__(
        self, depth: int = 1, share: float = 0.5, mode: str = "fast", bounded: bool = True
    ) -> None:
        self.settings = (depth, share, mode, bounded)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[0] if eligible else None
