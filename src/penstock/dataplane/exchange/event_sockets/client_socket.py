"""A client's WebSocket on which responses are asked for one by one, each of which is routed.

It ends here: endpoints have WebSockets of their own, which are kept for it as long as it is open,
since some engines know an answer on the WebSocket alone on which it came.
"""

from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE
from penstock.dataplane.board.layout import W_BYTES_FROM_CLIENTS, W_BYTES_TO_CLIENTS
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.event_sockets.asked_plan import (
    agreement,
    asked_plan,
    body_for,
    posted,
)
from penstock.dataplane.exchange.event_sockets.asked_response import AskedResponse, ResponseOwner
from penstock.dataplane.exchange.event_sockets.compression import reader_for, terms_with, writer_for
from penstock.dataplane.exchange.event_sockets.endpoint_socket import EndpointSocket, SocketKeeper
from penstock.dataplane.exchange.event_sockets.lanes import Lanes
from penstock.dataplane.exchange.event_sockets.routed_response import RoutedResponse, SocketSource
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.relaying import Tunnel, TunnelOwner, why_ended, word_of
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.dataplane.tunnel.relay import CLIENT_BROKE, CUT, DRAINED, ENDED, IDLE, side_of
from penstock.dataplane.tunnel.side import NOWHERE, SideOwner, TunnelSide
from penstock.wire.api_family import OPENAI
from penstock.wire.http1 import RequestHead
from penstock.wire.proxy_protocol import ProxyHeader
from penstock.wire.response_events import (
    CREATE,
    CREATED,
    ClientEvent,
    client_event,
    engine_event,
    error_event,
)
from penstock.wire.upgrade import Upgrade
from penstock.wire.websocket import GOING_AWAY, close_frame
from penstock.wire.websocket_deflate import DeflateTerms
from penstock.wire.websocket_messages import (
    CLOSE,
    NO_CODE,
    NORMAL,
    PING,
    PONG,
    TEXT,
    UNSUPPORTED,
    Message,
    MessageReader,
    MessageWriter,
)

_CLOSING_S: Final = 5.0  # that a client has to answer a close
_MOST_IDLE: Final = 8  # WebSockets to endpoints that are kept for one client
_TRY_LATER: Final = 1013  # IANA, WebSocket close codes


class ClientSocket(SideOwner, Tunnel, ResponseOwner, SocketSource, SocketKeeper):
    """Agreed to here, and closed once."""

    _from_client: int = 0  # bytes
    _to_client: int = 0
    _open: bool = True
    _closing: bool = False  # we said so
    _leaves: int = 0  # the code of the close that is due once no response runs
    _full: bool = False  # the client takes no more for now
    _kept: int = 0  # bytes of a message that is not whole, which count for the worker's prompts

    def __init__(
        self,
        owner: TunnelOwner,
        context: Context,
        plan: Plan,
        head: RequestHead,
        pool_plan: PoolPlan,
        entry: Entry | None,
    ) -> None:
        spec = pool_plan.pool.spec.websocket_responses
        assert spec is not None
        self._owner: TunnelOwner = owner
        self._context: Context = context
        self._head: RequestHead = head
        self._plan: Plan = asked_plan(plan, pool_plan)
        self._pool_plan: PoolPlan = pool_plan
        self._entry: Entry | None = entry
        self._most_bytes: int = spec.message_bytes
        self._idle_s: float = pool_plan.pool.spec.timeouts.tunnel_idle_s
        self._terms: DeflateTerms | None = terms_with(head, spec)
        self._reader: MessageReader = reader_for(self._terms, spec.message_bytes)
        self._writer: MessageWriter = writer_for(self._terms)
        self._lanes: Lanes = Lanes(spec.most, spec.message_bytes)
        self._sockets: list[EndpointSocket] = []
        self._upgrade: Upgrade | None = plan.upgrade
        self._counts: bool = False
        self._side: TunnelSide = NOWHERE
        self._front: Front | None = None

    def begin(self, front: Front, request_id: bytes) -> None:
        """Agree to it, and read on from there."""
        upgrade = self._upgrade
        assert upgrade is not None
        answer = agreement(upgrade, self._head, self._terms)
        rules = self._pool_plan.rules
        client = front.switch(answer, upgrade.protocol, rules, request_id, b"")
        received = front.take_received()
        self._front = front
        self._counts = isinstance(client, Connection)
        self._side = side_of(self, client)
        self._stay_awake()
        self._side.begin(received)

    # --- what the client says -----------------------------------------------------------------

    def pass_on(self, side: TunnelSide, data: bytes) -> None:
        if not self._open:
            return
        self._from_client += len(data)
        if self._counts:
            self._context.counters.values[W_BYTES_FROM_CLIENTS] += len(data)
        self._stay_awake()
        reader = self._reader
        for message in reader.feed(data):
            self._take(message)
            if not self._open:
                return
        context = self._context
        kept = reader.unfinished
        context.prompt_bytes += kept - self._kept
        self._kept = kept
        if self._full:
            self._side.hold()  # who takes no answers is asked for no more questions
        if reader.code:
            self._say_close(reader.code, reader.reason, CLIENT_BROKE)
        elif kept and context.prompt_bytes > context.prompt_room:
            self._say_close(_TRY_LATER, "no memory is left to read prompts", CUT)

    def _take(self, message: Message) -> None:
        kind = message.kind
        if kind == TEXT:
            self._heed(message.data)
        elif kind == PING:
            self._send(self._writer.frame(PONG, message.data))
        elif kind == CLOSE:
            self._take_close(message.code)
        elif kind != PONG:
            self._say_close(UNSUPPORTED, "events are text", CLIENT_BROKE)

    def _take_close(self, code: int) -> None:
        """The client closes, or agrees to our close."""
        if not self._closing:
            self._send(close_frame(code if code != NO_CODE else NORMAL))
        self._end(DRAINED if self._leaves else ENDED, True)

    def _heed(self, message: bytes) -> None:
        if self._closing:
            return  # what came across our close is nobody's
        event = client_event(message)
        if event.problem:
            self._complain(400, event.problem)
        elif event.kind == CREATE:
            self._ask(event, message)
        elif not self._say(event, message):
            self._complain(400, f"there is no response under way that `{event.kind}` is about")

    def _ask(self, event: ClientEvent, message: bytes) -> None:
        """A response is asked for."""
        lane = event.lane
        lanes = self._lanes
        why = lanes.why_not(lane, message)
        if self._leaves:
            self._complain(503, "the balancer goes out of service: connect anew", lane)
        elif why:
            self._complain(429, why, lane)
        elif lanes.is_busy(lane):
            lanes.wait(lane, message)
        else:
            self._start(lane, message)

    def _start(self, lane: str, message: bytes) -> None:
        response = self._made(lane, message)
        self._lanes.run(response)
        response.begin(self._entry)

    def _made(self, lane: str, message: bytes) -> RoutedResponse:
        head = posted(self._head, len(message))
        return RoutedResponse(self._context, self, self, head, self._plan, lane, message)

    def _say(self, event: ClientEvent, message: bytes) -> bool:
        """Whether an engine is told that about the response that it makes."""
        response = self._lanes.about(event.about)
        if response is not None:
            return response.say(message)
        for socket in self._sockets:  # it has just ended
            if event.about and socket.is_about(event.about):
                socket.say(message)
                return True
        return False

    def _complain(self, status: int, message: str, lane: str = "") -> None:
        """An error that is about no response."""
        told = answers.bad_body(status, message, family=OPENAI)
        if status >= 429:
            told = answers.refusal(status, message, kind="overloaded")
        self.pass_event(error_event(status, told.body, [], lane))

    # --- what it is told ------------------------------------------------------------------------

    def pass_event(self, event: bytes) -> None:
        if self._closing or not self._open:
            return
        self._stay_awake()
        self._send(self._writer.frame(TEXT, event))

    def _send(self, frame: bytes) -> None:
        self._to_client += len(frame)
        if self._counts:
            self._context.counters.values[W_BYTES_TO_CLIENTS] += len(frame)
        if not self._side.take(frame) and not self._full:
            self._hold()

    def _hold(self) -> None:
        """The client takes no more for now."""
        self._full = True
        for socket in self._sockets:
            socket.hold()

    def drained(self, side: TunnelSide) -> None:
        if not self._open:
            return
        self._stay_awake()
        self._take_on()

    def limit_other(self, side: TunnelSide, most: int) -> None:
        if most > 0:
            self._take_on()
        else:
            self._hold()

    def _take_on(self) -> None:
        self._full = False
        self._side.go_on()
        for socket in list(self._sockets):
            socket.take_on()

    # --- its responses, and WebSockets to endpoints ---------------------------------------------

    def socket_to(self, attempt: Attempt, answer: int) -> EndpointSocket | None:
        found: EndpointSocket | None = None
        for socket in self._sockets:
            if socket.endpoint is attempt.endpoint and socket.user is None:
                if answer and socket.answer == answer:
                    return socket
                found = socket
        return found

    def keep_socket(self, attempt: Attempt, received: bytes) -> EndpointSocket:
        socket = EndpointSocket(
            self._context, self, attempt.endpoint, attempt.hand_over(), self._most_bytes
        )
        self._sockets.append(socket)
        socket.begin(received)
        if self._full:
            socket.hold()
        return socket

    def give_back(self, socket: EndpointSocket) -> None:
        socket.release(self._idle_s)
        idle = [each for each in self._sockets if each.user is None]
        for each in idle[:-_MOST_IDLE]:
            each.close()
        if socket.endpoint.removed:
            socket.close()

    def on_unasked(self, socket: EndpointSocket, message: bytes) -> None:
        event = engine_event(message)
        lane = f"\0{event.response}"
        if event.kind != CREATED or self._lanes.is_busy(lane):
            self.pass_event(message)
            return
        # It goes on by itself, with what it was told while it answered (``response.steer``).
        response = self._made(lane, body_for(socket.model))
        response.go_on_from(socket)
        self._lanes.run(response)
        response.begin(self._entry)
        if not response.ended:
            socket.follow(response)
            response.on_event(message)

    def on_closed(self, socket: EndpointSocket) -> None:
        if socket in self._sockets:
            self._sockets.remove(socket)

    def on_response_over(self, response: AskedResponse) -> None:
        if not self._open:
            return
        message = self._lanes.leave(response.lane)
        if message:
            self._start(response.lane, message)
        if self._context.stopping and not self._leaves:
            self._leaves = GOING_AWAY
        self._leave_if_done()

    def takes_none(self) -> bool:
        return self._full

    def proxy_header(self) -> ProxyHeader:
        front = self._front
        assert front is not None
        return front.proxy_header()

    # --- ends -------------------------------------------------------------------------------

    def drain(self, code: int) -> None:
        """Close it between two responses: that which runs is finished first."""
        if self._open and not self._leaves:
            self._leaves = code
            self._leave_if_done()

    def let_go(self) -> None:
        self.drain(GOING_AWAY)

    def _leave_if_done(self) -> None:
        if self._leaves and self._lanes.is_idle() and not self._closing and self._open:
            self._say_close(self._leaves, "", DRAINED)

    def _say_close(self, code: int, reason: str, how: int) -> None:
        """Close it, and give the client a moment to agree."""
        if self._closing or not self._open:
            return
        self._send(close_frame(code, reason))
        self._closing = True
        self._give_up(CUT if how == CUT else CLIENT_BROKE)
        if how == DRAINED:
            self._side.expire_at(self._context.env.now + _CLOSING_S)
        else:
            self._end(how, True)

    def end_of(self, side: TunnelSide) -> None:
        self._end(DRAINED if self._closing else CLIENT_BROKE, False)

    def broke(self, side: TunnelSide) -> None:
        self._end(DRAINED if self._closing else CLIENT_BROKE, False)

    def run_out_of_time(self) -> None:
        if not self._closing and self._lanes.is_idle():
            self._send(close_frame(GOING_AWAY, "nothing was said for too long"))
        self._end(DRAINED if self._closing else IDLE, True)

    def cut_off(self) -> None:
        self.cut()

    def cut(self) -> None:
        self._end(CUT, False)

    def size(self) -> int:
        return self._from_client + self._to_client

    def tell(self, outcome: Outcome) -> None:
        outcome.response_bytes += self._to_client
        outcome.bytes_from_client = self._from_client

    def _end(self, how: int, in_order: bool) -> None:
        if not self._open:
            return
        self._open = False
        side = self._side
        self._side = NOWHERE
        self._give_up(how)
        self._context.prompt_bytes -= self._kept
        self._kept = 0
        if in_order:
            side.close_in_order()
        elif how == CUT:
            side.reset()
        else:
            side.close()
        self._owner.on_tunnel_ended(word_of(how), why_ended(how))

    def _give_up(self, how: int) -> None:
        """Whatever runs, and whatever waits."""
        running = self._lanes.clear()
        gone = how in (CLIENT_BROKE, ENDED, DRAINED)
        for response in running:
            if gone:
                response.give_up(CLIENT_GONE, "client_gone")
            else:
                response.give_up(ABANDONED, "cut", why_ended(how))
        for socket in list(self._sockets):
            socket.close()

    def _stay_awake(self) -> None:
        if self._idle_s > 0.0 and not self._closing:
            self._side.expire_at(self._context.env.now + self._idle_s)
