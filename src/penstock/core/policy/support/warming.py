"""Endpoints whose caches are cold: new ones, those that came back, and engines that restarted."""

from typing import Final

from penstock.core.endpoint import Endpoint

# Hot prefixes come by many times in a minute, or else they are not hot.
WARMING_S: Final = 60.0
# After a failure it is left alone for so long, or one that refuses all would draw them all.
_PAUSE_S: Final = 5.0
_NOT_YET: Final = -1.0  # begins with the next pick, which knows the time


class Warming:
    """Who is warming. Those that are there from the beginning are not: nobody is warmer."""

    def __init__(self) -> None:
        self._since: dict[Endpoint, float] = {}
        self._present: dict[Endpoint, None] = {}
        self._now: float = 0.0

    def replace(self, endpoints: list[Endpoint]) -> None:
        """These are in service from now on."""
        before = self._present
        self._present = dict.fromkeys(endpoints)
        for endpoint in list(self._since):
            if endpoint not in self._present:
                del self._since[endpoint]
        if before:
            for endpoint in endpoints:
                if endpoint not in before:
                    self._since[endpoint] = _NOT_YET

    def begin(self, endpoint: Endpoint) -> None:
        """Its cache is empty."""
        if endpoint in self._present:
            self._since[endpoint] = _NOT_YET

    def begin_after_failure(self, endpoint: Endpoint, now: float) -> None:
        """It failed, and its cache is empty when it is back."""
        if endpoint in self._present:
            self._since[endpoint] = now + _PAUSE_S

    def any(self, now: float) -> bool:
        """Whether there may be some; to be asked before ``holds``."""
        if not self._since:
            return False
        self._now = now
        for endpoint, since in list(self._since.items()):
            if since == _NOT_YET:
                self._since[endpoint] = now
            elif now - since >= WARMING_S:
                del self._since[endpoint]
        return len(self._since) > 0

    def holds(self, endpoint: Endpoint) -> bool:
        """Whether it is one of them."""
        return self._since.get(endpoint, float("inf")) <= self._now
