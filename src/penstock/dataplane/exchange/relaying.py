"""An attempt that goes on as a relay: of a connection as a whole, or of a request that changed its
protocol. How that begins, and what its end means for the exchange that it belongs to."""

from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE, RESET
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.tunnel.relay import (
    CLIENT_BROKE,
    CUT,
    DRAINED,
    ENDED,
    ENDPOINT_BROKE,
    IDLE,
    Relay,
    RelayOwner,
)

# The ticket's outcome, the log's word, and its sentence.
_ENDINGS: Final[dict[int, tuple[int, str, str]]] = {
    ENDED: (DONE, "done", ""),
    CLIENT_BROKE: (CLIENT_GONE, "client_gone", ""),
    ENDPOINT_BROKE: (RESET, "cut", "the endpoint's connection broke"),
    IDLE: (DONE, "idle", "no byte came in either direction for timeouts.tunnel_idle"),
    CUT: (ABANDONED, "cut", "the balancer ended it"),
    DRAINED: (DONE, "drained", "its endpoint, or the balancer, goes out of service"),
}


def relay_of(
    owner: RelayOwner, context: Context, pool: LivePool, attempt: Attempt, client: Handed
) -> Relay:
    """Takes over the client and the attempt's connection, and is known to its endpoint."""
    relay = Relay(
        owner,
        context.loop,
        client,
        attempt.hand_over(),
        pool.spec.timeouts.tunnel_idle_s,
        context.counters.values,
        attempt.endpoint.tally,
    )
    attempt.endpoint.tunnels.add(relay)
    return relay


def outcome_of(how: int) -> int:
    """How its ticket is settled, as in ``core.ticket``."""
    return _ENDINGS[how][0]


def word_of(how: int) -> str:
    """The ``end`` of its line in the log."""
    return _ENDINGS[how][1]


def why_ended(how: int) -> str:
    """A sentence for the log; "" where there is nothing to explain."""
    return _ENDINGS[how][2]
