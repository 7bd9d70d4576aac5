"""Where a connection goes whose bytes are relayed unread."""

import xxhash

from penstock.core.caller import ANYONE, Caller
from penstock.core.request import Request
from penstock.core.snapshot import Route
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.target import Target, chosen_by_weight


class ConnectionPlan:
    """One connection's route, and its pools."""

    def __init__(
        self,
        route: Route | None,
        targets: list[Target],
        source: str,
        server_name: str,
        caller: Caller = ANYONE,
    ) -> None:
        self.route: Route | None = route  # None: no route is for it
        self.source: str = source  # the client's address
        self.server_name: str = server_name  # that its TLS asks for; "": none
        self.caller: Caller = caller
        self._targets: list[Target] = targets

    def choose(self, chance: float) -> LivePool:
        """One of the pools by weight; ``chance`` is uniform in [0, 1)."""
        targets = self._targets
        if len(targets) == 1:
            return targets[0].pool
        return targets[chosen_by_weight([each.weight for each in targets], chance)].pool

    def request(self, pool: LivePool, port: int = 0, first: bytes = b"") -> Request:
        """What that pool's policy may know. Of UDP besides: the client's port, and a datagram."""
        key_hash = 0
        if pool.key:
            key = self.source.encode()
            spec = pool.spec.hash_key
            if pool.key == "configured" and spec.kind == "source_port":
                key = f"{self.source} {port}".encode()
            elif pool.key == "configured" and spec.kind == "bytes":
                # A datagram that is too short for a token has none: it goes by its source.
                token = first[spec.offset : spec.offset + spec.length]
                key = token if len(token) == spec.length else key
            key_hash = xxhash.xxh3_64_intdigest(key)
        return Request(
            source=self.source, host=self.server_name, key_hash=key_hash, caller=self.caller
        )
