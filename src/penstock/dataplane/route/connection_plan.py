"""Where a connection goes whose bytes are relayed unread."""

import xxhash

from penstock.core.request import Request
from penstock.core.snapshot import Route
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.target import Target, chosen_by_weight


class ConnectionPlan:
    """One connection's route, and its pools."""

    def __init__(
        self, route: Route | None, targets: list[Target], source: str, server_name: str
    ) -> None:
        self.route: Route | None = route  # None: no route is for it
        self.source: str = source  # the client's address
        self.server_name: str = server_name  # that its TLS asks for; "": none
        self._targets: list[Target] = targets

    def choose(self, chance: float) -> LivePool:
        """One of the pools by weight; ``chance`` is uniform in [0, 1)."""
        targets = self._targets
        if len(targets) == 1:
            return targets[0].pool
        return targets[chosen_by_weight([each.weight for each in targets], chance)].pool

    def request(self, pool: LivePool) -> Request:
        """What that pool's policy may know."""
        key_hash = xxhash.xxh3_64_intdigest(self.source.encode()) if pool.key else 0
        return Request(source=self.source, host=self.server_name, key_hash=key_hash)
