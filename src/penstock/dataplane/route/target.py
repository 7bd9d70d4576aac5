"""A route's way to one of its pools, and the choice among several by weight."""

from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.compression import Compression
from penstock.dataplane.route.error_pages import ErrorPages
from penstock.wire.forwarding import Edit, ResponseRules


class Target:
    """What one route does on its way to one pool; shared by all its requests."""

    def __init__(
        self,
        pool: LivePool,
        weight: float,
        edits: list[Edit],
        rules: ResponseRules,
        pages: ErrorPages | None = None,
        compression: Compression | None = None,
        priority: int = -1,
    ) -> None:
        self.pool: LivePool = pool
        self.weight: float = weight
        self.edits: list[Edit] = edits  # of request headers
        self.rules: ResponseRules = rules
        self.pages: ErrorPages | None = pages
        self.compression: Compression | None = compression
        self.priority: int = priority  # that the route gives its requests; -1: none


def chosen_by_weight(weights: list[float], chance: float) -> int:
    """An index into ``weights``, at least one; ``chance`` is uniform in [0, 1)."""
    left = chance * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0.0:
            return index
    return len(weights) - 1
