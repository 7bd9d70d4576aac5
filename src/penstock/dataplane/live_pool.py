"""A pool at work: the core's pool with its settings, retry budget and counters."""

import ssl

from penstock.core import snapshot
from penstock.core.policy import create
from penstock.core.policy.base import Policy
from penstock.core.pool import Pool
from penstock.core.retry import RetryBudget
from penstock.dataplane.board import Board
from penstock.dataplane.counters import PoolCounters
from penstock.dataplane.live_endpoint import LiveEndpoint
from penstock.dataplane.tls import client_context
from penstock.wire.forwarding import Edit


class LivePool(Pool):
    """One object for as long as a pool of that name is configured."""

    def __init__(self, spec: snapshot.Pool, board: Board, worker: int) -> None:
        self._chosen: tuple[str, dict[str, object]] = (spec.policy.name, dict(spec.policy.options))
        super().__init__(spec.name, create(*self._chosen))
        self.row: int = spec.row
        self.counters: PoolCounters = PoolCounters(board, spec.row, worker)
        self.members: list[LiveEndpoint] = []
        self.budget: RetryBudget = RetryBudget(spec.retry.budget_share, spec.retry.budget_min_per_s)
        self.configure(spec)

    def configure(self, spec: snapshot.Pool) -> None:
        """Take over what a snapshot says; the policy object stays if its choice did.

        Raises OSError, ssl.SSLError or ValueError when the settings cannot be used.
        """
        policy: Policy = self.policy
        chosen: tuple[str, dict[str, object]] = (spec.policy.name, dict(spec.policy.options))
        if chosen != self._chosen:
            policy = create(*chosen)
        tls = client_context(spec.tls) if any([e.tls for e in spec.endpoints]) else None
        self.spec: snapshot.Pool = spec
        self.policy = policy
        self._chosen = chosen
        self.tls: ssl.SSLContext | None = tls
        self.panic_threshold = spec.panic_threshold
        self.host_header: str = spec.host_header
        self.request_edits: list[Edit] = edits_of(spec.request_headers)
        self.response_edits: list[Edit] = edits_of(spec.response_headers)
        # Read on every request, so kept as plain attributes of the compiled class.
        self.connect_s: float = spec.timeouts.connect_s
        self.first_byte_s: float = spec.timeouts.first_byte_s
        self.stream_idle_s: float = spec.timeouts.stream_idle_s
        self.request_s: float = spec.timeouts.request_s
        self.max_idle: int = spec.connections.max_idle
        self.idle_timeout_s: float = spec.connections.idle_timeout_s
        self.max_requests: int = spec.connections.max_requests
        self.attempts: int = spec.retry.attempts
        self.retry_statuses: frozenset[int] = frozenset(spec.retry.on_statuses)


def edits_of(edits: tuple[snapshot.HeaderEdit, ...]) -> list[Edit]:
    """Header edits as the codec applies them."""
    return [
        (e.operation, e.name.encode("latin-1"), e.name.lower().encode("latin-1"), e.value.encode())
        for e in edits
    ]
