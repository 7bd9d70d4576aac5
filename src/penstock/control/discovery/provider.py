"""What a provider is: it looks for the endpoints of one pool, again and again."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from penstock.core.snapshot.discovery import Found


class ProviderError(Exception):
    """It cannot say which endpoints there are. The text is for people."""


@dataclass(frozen=True)
class Answer:
    """All endpoints that there are now; what is left out of it is told in ``problems``."""

    found: tuple[Found, ...]
    again_s: float = 0.0  # to wait before the next look
    problems: tuple[str, ...] = field(default=())


class Provider(ABC):
    """Looks in one way, which is its file in ``providers/``; made anew when its settings change.

    Each has a task of its own: it may take as long as it likes and harms nobody by it. Answers are
    bounded by it in bytes, and by who asks it in endpoints.
    """

    name: ClassVar[str] = ""  # the key in `discover`, and the tag of its settings in the snapshot

    first_pause_s: float = 1.0  # after a failure; then doubled
    longest_pause_s: float = 30.0

    def __init__(self, settings: Any) -> None:
        self.settings: Any = settings

    @abstractmethod
    async def look(self) -> Answer:
        """All endpoints there are. May return only when something changed since the last time.

        Raises ProviderError; then it is asked again after a while.
        """

    async def close(self) -> None:  # noqa: B027 - few hold anything open
        """It is asked no more."""
