"""Other balancers of the same pools, as far as scaling and forecasts go. By itself: there are none.

One of several acts, and says to the others what it started and whom it drains; all count what all
of them are asked.
"""

from collections.abc import Sequence
from typing import NamedTuple

from penstock.control.discovery.source import Place
from penstock.core.snapshot import Endpoint


class DemandElsewhere(NamedTuple):
    """Of a pool at other balancers: totals since they are heard, which never go down, and requests
    that wait there now."""

    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    waiting: int = 0


class Elsewhere:
    """What a balancer that is alone knows."""

    def demand(self, pool: str) -> DemandElsewhere:
        """What the others are asked."""
        return DemandElsewhere()

    def tell(
        self, pool: str, started: Sequence[Endpoint] | None, draining: Sequence[Place]
    ) -> None:
        """This balancer leads: whom it started (None: the others find them by themselves), and who
        is to get nothing more because it will be stopped."""
