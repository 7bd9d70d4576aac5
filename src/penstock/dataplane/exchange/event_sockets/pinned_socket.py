"""A WebSocket that stays with its endpoint, whose responses count one by one (OpenAI's Realtime).

The conversation is the engine's, so the WebSocket is relayed, message by message. A
``response.create`` goes on once it is admitted and what it may take is reserved, and what follows
it waits behind it. Between two responses the WebSocket is no load.
"""

from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE, RESET
from penstock.core.ticket import DONE as TICKET_DONE
from penstock.dataplane.board.layout import W_BYTES_FROM_CLIENTS, W_BYTES_TO_CLIENTS
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.clearance import Clearance
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.event_sockets.asked_plan import asked_plan
from penstock.dataplane.exchange.event_sockets.compression import (
    agreement_of,
    reader_for,
    terms_with,
    writer_for,
)
from penstock.dataplane.exchange.event_sockets.pinned_responses import (
    PinnedRelay,
    PinnedResponses,
)
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.relaying import EndpointsTunnel, TunnelOwner, why_ended, word_of
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.dataplane.tunnel.relay import (
    CLIENT_BROKE,
    CUT,
    DRAINED,
    ENDED,
    ENDPOINT_BROKE,
    IDLE,
    side_of,
)
from penstock.dataplane.tunnel.side import NOWHERE, SideOwner, TunnelSide
from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.response_events import (
    CREATE,
    client_event,
    engine_event,
)
from penstock.wire.websocket import GOING_AWAY, MASK_BYTES, close_frame
from penstock.wire.websocket_deflate import DeflateTerms
from penstock.wire.websocket_messages import (
    CLOSE,
    NO_CODE,
    NORMAL,
    TEXT,
    Message,
    MessageReader,
    MessageWriter,
    message_frame,
)

_CLOSING_S: Final = 5.0  # that both sides have to agree to a close
_TRY_LATER: Final = 1013  # IANA, WebSocket close codes
_BAD_GATEWAY: Final = 1014


class PinnedSocket(SideOwner, EndpointsTunnel, PinnedRelay):
    """Takes both sides over, and closes them when it ends."""

    _from_client: int = 0  # bytes
    _from_endpoint: int = 0
    _open: bool = True
    _full: bool = False  # the client takes no more for now
    _leaves: int = 0  # the code of the close that is due once no response runs
    _closing: bool = False  # we said so to both
    _client_closed: bool = False  # it said so
    _endpoint_closed: bool = False
    _kept: int = 0  # bytes of messages that are not whole, which count for the worker's prompts

    def __init__(
        self,
        owner: TunnelOwner,
        context: Context,
        attempt: Attempt,
        plan: Plan,
        head: RequestHead,
        pool_plan: PoolPlan,
        clearance: Clearance | None,
    ) -> None:
        """``attempt``: whose endpoint agreed to the handshake, of which the others are."""
        spec = pool_plan.pool.spec.websocket_responses
        most = spec.message_bytes if spec is not None else pool_plan.pool.prompt_bytes
        self._owner: TunnelOwner = owner
        self._context: Context = context
        self._pool_plan: PoolPlan = pool_plan
        self._clearance: Clearance | None = clearance
        self._attempt: Attempt = attempt
        self._endpoint: LiveEndpoint = attempt.endpoint
        self._idle_s: float = pool_plan.pool.spec.timeouts.tunnel_idle_s
        self._terms: DeflateTerms | None = terms_with(head, spec)
        self._of_client: MessageReader = reader_for(self._terms, most)
        self._writer: MessageWriter = writer_for(self._terms)
        self._of_endpoint: MessageReader = MessageReader(False, most)
        self._responses: PinnedResponses = PinnedResponses(
            context,
            self,
            head,
            asked_plan(plan, pool_plan),
            attempt.endpoint,
            clearance.entry if clearance is not None else None,
            spec.most if spec is not None else 1,
        )
        self._counts_client: bool = False
        self._counts_endpoint: bool = False
        self.client: TunnelSide = NOWHERE
        self.endpoint: TunnelSide = NOWHERE

    def begin(self, front: Front, dispatch: Dispatch, head: ResponseHead, rest: bytes) -> None:
        """See ``EndpointsTunnel``. By itself it takes no place, and no more of any limit."""
        plan = self._pool_plan
        upgrade = plan.upgrade
        assert upgrade is not None
        now = self._context.env.now
        self._attempt.settle(TICKET_DONE, now)
        if self._clearance is not None:
            self._clearance.settle(True, head.status, None, 0)
            self._clearance = None
        if dispatch.waiter is not None:
            dispatch.leave(told=True, whole=True, timed_out=False, status=head.status, at=now)
            dispatch.waiter = None
        cookie = dispatch.cookie(plan.cookie)
        head = agreement_of(head, self._terms)
        client = front.switch(head, upgrade.protocol, plan.rules, dispatch.request_id, cookie)
        received = front.take_received()
        endpoint = self._attempt.hand_over()
        self._counts_client = isinstance(client, Connection)
        self._counts_endpoint = isinstance(endpoint, Connection)
        self.client = side_of(self, client)
        self.endpoint = side_of(self, endpoint)
        self._endpoint.long_lived.tunnels.add(self)
        self._stay_awake()
        self.endpoint.begin(rest)
        if self._open:
            self.client.begin(received)

    # --- what comes of either side --------------------------------------------------------------

    def pass_on(self, side: TunnelSide, data: bytes) -> None:
        if not self._open:
            return
        of_client = side is self.client
        self._count(of_client, len(data))
        self._stay_awake()
        reader = self._of_client if of_client else self._of_endpoint
        for message in reader.feed(data):
            if not of_client:
                self._take_from_endpoint(message)
            elif self._responses.waits():
                self._responses.wait_behind(message)
            else:
                self._take_from_client(message)
            if not self._open:
                return
        if self._responses.waits() or self._full:
            self.client.hold()  # who takes no answers is asked for no more questions
        self._count_kept()
        if reader.code:
            self._break_off(of_client, reader.code, reader.reason)

    def _count(self, of_client: bool, size: int) -> None:
        tally = self._endpoint.tally
        if of_client:
            self._from_client += size
            tally.bytes_sent += size
            if self._counts_client:
                self._context.counters.values[W_BYTES_FROM_CLIENTS] += size
        else:
            self._from_endpoint += size
            if self._counts_endpoint:
                tally.bytes_received += size
            if self._counts_client:
                self._context.counters.values[W_BYTES_TO_CLIENTS] += size

    def _count_kept(self) -> None:
        kept = self._of_client.unfinished + self._of_endpoint.unfinished
        context = self._context
        more = kept - self._kept
        context.prompt_bytes += more
        self._kept = kept
        if more > 0 and context.prompt_bytes > context.prompt_room:
            self._say_close(_TRY_LATER, "no memory is left to read messages")
            self._end(CUT, True)

    def _take_from_client(self, message: Message) -> None:
        if message.kind == CLOSE:
            self._client_closed = True
            self._pass_close(message, False)
            return
        if message.kind == TEXT:
            event = client_event(message.data)
            if event.kind == CREATE:
                self._responses.ask_for(message.data, event.name)
                return
        if not self._closing:
            self._to_endpoint(message_frame(message.kind, message.data, self._mask()))

    def _take_from_endpoint(self, message: Message) -> None:
        if message.kind == CLOSE:
            self._endpoint_closed = True
            self._pass_close(message, True)
            return
        if not self._closing:
            self._to_client(self._writer.frame(message.kind, message.data))
        if message.kind == TEXT:
            self._responses.note(engine_event(message.data), message.data)

    def _pass_close(self, message: Message, to_client: bool) -> None:
        code = message.code if message.code != NO_CODE else NORMAL
        reason = message.data.decode()
        if not self._closing and to_client:
            self._to_client(close_frame(code, reason))
        elif not self._closing:
            self._to_endpoint(close_frame(code, reason, self._mask()))
        if self._client_closed and self._endpoint_closed:
            self._end(DRAINED if self._closing else ENDED, True)
        else:
            self._end_soon()

    def _to_client(self, frame: bytes) -> None:
        if not self.client.take(frame):
            self._full = True
            self.endpoint.hold()

    def _to_endpoint(self, frame: bytes) -> None:
        if not self.endpoint.take(frame):
            self.client.hold()

    def _mask(self) -> bytes:
        return self._context.loop.system.rng.randbytes(MASK_BYTES)

    def drained(self, side: TunnelSide) -> None:
        if not self._open:
            return
        self._stay_awake()
        if side is self.client:
            self._full = False
            self.endpoint.go_on()
        if not self._full:
            self.on_free()

    def limit_other(self, side: TunnelSide, most: int) -> None:
        other = self.endpoint if side is self.client else self.client
        if most <= 0:
            other.hold()
        elif other is self.endpoint or not self._responses.waits():
            other.limit_reading(most)
            other.go_on()

    # --- for its responses ----------------------------------------------------------------------

    def tell_client(self, event: bytes) -> None:
        if self._open and not self._closing and not self._client_closed:
            self._to_client(self._writer.frame(TEXT, event))

    def tell_endpoint(self, event: bytes) -> None:
        if self._open and not self._closing and not self._endpoint_closed:
            self._to_endpoint(message_frame(TEXT, event, self._mask()))

    def go_on_with(self, message: Message) -> None:
        if self._open:
            self._take_from_client(message)

    def on_free(self) -> None:
        if self._open and not self._full and not self._responses.waits():
            self.client.go_on()

    def on_response_ended(self) -> None:
        self._leave_if_done()

    # --- ends -------------------------------------------------------------------------------

    def drain(self, code: int) -> None:
        """Close it between two responses."""
        if self._open and not self._leaves:
            self._leaves = code
            self._leave_if_done()

    def _leave_if_done(self) -> None:
        idle = self._responses.is_idle()
        if self._leaves and idle and self._open and not self._closing:
            self._say_close(self._leaves, "")
            self._end_soon()

    def _say_close(self, code: int, reason: str) -> None:
        """To both, where they did not say so."""
        self._closing = True
        if not self._client_closed:
            self._to_client(close_frame(code, reason))
        if not self._endpoint_closed:
            self._to_endpoint(close_frame(GOING_AWAY, mask=self._mask()))

    def _end_soon(self) -> None:
        self.client.expire_at(self._context.env.now + _CLOSING_S)

    def _break_off(self, of_client: bool, code: int, reason: str) -> None:
        """Whoever writes no WebSocket is told so."""
        if of_client:
            self._say_close(code, reason)
            self._end(CLIENT_BROKE, True)
        else:
            self._say_close(_BAD_GATEWAY, "the endpoint wrote no WebSocket")
            self._end(ENDPOINT_BROKE, True)

    def end_of(self, side: TunnelSide) -> None:
        self.broke(side)

    def broke(self, side: TunnelSide) -> None:
        if self._client_closed or self._endpoint_closed or self._closing:
            self._end(DRAINED if self._closing else ENDED, True)
        else:
            self._end(CLIENT_BROKE if side is self.client else ENDPOINT_BROKE, False)

    def run_out_of_time(self) -> None:
        if self._closing:
            self._end(DRAINED, True)
        elif self._client_closed or self._endpoint_closed:
            self._end(ENDED, True)
        else:
            self._end(IDLE, True)

    def cut_off(self) -> None:
        self.cut()

    def cut(self) -> None:
        self._end(CUT, False)

    def size(self) -> int:
        return self._from_client + self._from_endpoint

    def tell(self, outcome: Outcome) -> None:
        outcome.response_bytes += self._from_endpoint
        outcome.bytes_from_client = self._from_client

    def _end(self, how: int, in_order: bool) -> None:
        if not self._open:
            return
        self._open = False
        self._endpoint.long_lived.tunnels.discard(self)
        self._context.prompt_bytes -= self._kept
        self._kept = 0
        self._give_up(how)
        for side in (self.client, self.endpoint):
            if in_order:
                side.close_in_order()
            else:
                side.reset()
        self.client = NOWHERE
        self.endpoint = NOWHERE
        self._owner.on_tunnel_ended(word_of(how), why_ended(how))

    def _give_up(self, how: int) -> None:
        """Whatever runs, and whatever waits."""
        if how == ENDPOINT_BROKE:
            self._responses.give_up(RESET, "cut", why_ended(how))
        elif how == CUT:
            self._responses.give_up(ABANDONED, "cut", why_ended(how))
        else:
            self._responses.give_up(CLIENT_GONE, "client_gone")

    def _stay_awake(self) -> None:
        ending = self._closing or self._client_closed or self._endpoint_closed
        if self._idle_s > 0.0 and not ending:
            self.client.expire_at(self._context.env.now + self._idle_s)
