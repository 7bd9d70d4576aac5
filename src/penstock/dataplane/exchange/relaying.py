"""An attempt that goes on as a relay: of a connection as a whole, or of a request that changed its
protocol. How that begins, and what its end means for the exchange that it belongs to."""

from typing import Final

from mypy_extensions import trait

from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE, RESET
from penstock.dataplane.board.layout import P_CLIENT_GONE, P_CUT
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import PoolPlan
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
from penstock.wire.http1 import ResponseHead

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
    attempt.endpoint.long_lived.tunnels.add(relay)
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


@trait
class TunnelOwner:
    """The exchange of a request that changed its protocol."""

    def on_tunnel_ended(self, ended: str, why: str) -> None:
        """Nothing is relayed any more, and the attempt is settled. ``ended``: the log's word;
        ``why``: its sentence."""
        raise NotImplementedError


@trait
class Tunnel:
    """What an exchange goes on as once its protocol was changed."""

    def cut(self) -> None:
        """End it on both sides."""
        raise NotImplementedError

    def size(self) -> int:
        """Bytes that passed either way."""
        raise NotImplementedError

    def tell(self, outcome: Outcome) -> None:
        """For the log."""
        raise NotImplementedError


@trait
class EndpointsTunnel(Tunnel):
    """One to which an endpoint agreed."""

    def begin(self, front: Front, dispatch: Dispatch, head: ResponseHead, rest: bytes) -> None:
        """Tell the client. ``head``: the endpoint's 101; ``rest``: what came behind it."""
        raise NotImplementedError


class ChangedProtocol(RelayOwner, EndpointsTunnel):
    """From the endpoint's 101 on bytes are relayed, of which nothing is understood."""

    _relay: Relay | None = None

    def __init__(
        self, owner: TunnelOwner, context: Context, plan: PoolPlan, attempt: Attempt
    ) -> None:
        self._owner: TunnelOwner = owner
        self._context: Context = context
        self._plan: PoolPlan = plan
        self._pool: LivePool = plan.pool
        self._attempt: Attempt = attempt

    def begin(self, front: Front, dispatch: Dispatch, head: ResponseHead, rest: bytes) -> None:
        plan = self._plan
        upgrade = plan.upgrade
        assert upgrade is not None
        cookie = dispatch.cookie(plan.cookie)
        client = front.switch(head, upgrade.protocol, plan.rules, dispatch.request_id, cookie)
        received = front.take_received()
        relay = relay_of(self, self._context, self._pool, self._attempt, client)
        self._relay = relay
        if upgrade.is_websocket:
            relay.follow_frames()
        relay.begin(received, rest)

    def cut(self) -> None:
        if self._relay is not None:
            self._relay.close(CUT)

    def size(self) -> int:
        relay = self._relay
        return relay.bytes_from_client + relay.bytes_from_endpoint if relay is not None else 0

    def tell(self, outcome: Outcome) -> None:
        if self._relay is not None:
            outcome.take_relay(self._relay)

    def on_first_byte(self) -> None:
        """The 101 was the first."""

    def on_relay_ended(self, how: int) -> None:
        attempt = self._attempt
        if self._relay is not None:
            attempt.endpoint.long_lived.tunnels.discard(self._relay)
        if not attempt.is_settled():
            attempt.settle(outcome_of(how), self._context.env.now)
            if how == CLIENT_BROKE:
                self._pool.counters.bump(P_CLIENT_GONE)
            elif how in (ENDPOINT_BROKE, CUT):
                self._pool.counters.bump(P_CUT)
        self._owner.on_tunnel_ended(word_of(how), why_ended(how))
        self._relay = None  # which knows this: no cycle is left for the collector
