"""One request and its response: the life of a request, top to bottom.

    accept → parse         listener.py, client.py, client_head.py
    → route → inspect      plan.py, once for each distinct head; prompt_reading.py
    → admit → eligible → pick → ticket → send → relay               here
    → settle               settlement.py; on failure failover.py first

The client side calls ``start``, ``on_request_body``, ``on_client_drained`` and ``on_client_gone``;
the endpoint side calls the methods of ``ResponseSink``. Whatever happens, ``_note_end`` runs once.
"""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.ticket import (
    ABANDONED,
    CONNECT_FAILED,
    DONE,
    Ticket,
)
from penstock.dataplane.board.layout import P_REQUESTS
from penstock.dataplane.endpoint.http1 import EndpointConnection, connect
from penstock.dataplane.endpoint.idle_connections import take_idle
from penstock.dataplane.exchange.failover import Failover
from penstock.dataplane.exchange.gathering import Gathering
from penstock.dataplane.exchange.mirror import start_mirror
from penstock.dataplane.io.loop import EXHAUSTED
from penstock.dataplane.llm.answer_reading import names_reading_of
from penstock.dataplane.pool.admission import Admission, ExchangePlace
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.record.recorder import Watch
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.forwarding import (
    CHUNKED,
    CONTINUE,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    for_other_body,
    forwarded_response,
    interim_response,
    lacks_date,
)
from penstock.wire.http1 import ResponseHead
from penstock.wire.openai import OTHER

# Request bytes kept for another attempt; a longer body can be sent once only.
MAX_REPLAY_BYTES: Final = 65536
# Phases of the histograms, as in board.PHASES.
_CONNECT: Final = 1
_FIRST_BYTE: Final = 2


class Exchange(Failover):
    """From a parsed head to the settled ticket."""

    # --- route, inspect, admit --------------------------------------------------------------

    def start(self, body: bytes, complete: bool) -> None:
        """Begin, with what of the body came along with the head."""
        plan = self.plan
        if body:
            self._body = [body]
            self._body_bytes = len(body)
        self._body_complete = complete
        if not plan.choices:
            self._answer_here()
            return
        env = self.context.env
        way = plan.choices[0] if len(plan.choices) == 1 else plan.choose(env.random())
        self.way = way
        pool = way.pool
        pool.counters.values[P_REQUESTS] += 1
        pool.counters.changed = True
        if pool.request_s > 0.0:
            self._expires_at = self.began + pool.request_s
        if plan.mirror is not None and env.random() < plan.mirror_share:
            self.mirror = start_mirror(self.context, plan.mirror, self.head, self.request_id)
            if self.mirror is not None:
                self.mirror.feed(body, complete)
        self.request = way.request
        if way.inspects or way.skims:
            if not self._begin_reading(way):
                return
            if not complete:
                self._inspecting = True
                if self.head.expects_continue:
                    self.front.write(CONTINUE)
                    self.front.continue_body()
                self._await_body(body, False)
                return
            if not self._read_on(way, body, True) or not self._understand(way):
                return
        elif way.unread and not self._passes_as_it_is(way):
            return
        elif way.asks_all:
            Gathering(self).begin()
            return
        if pool.admission is None:
            self._attempt()
        else:
            self._admit(way, pool.admission)

    def _await_body(self, data: bytes, complete: bool) -> None:
        """More of a body came that is to be read; one over a bound passes unread."""
        way = self.way
        assert way is not None
        roomy = self._take_room(len(data)) or complete  # what is there can as well be read
        if not self._read_on(way, data, complete):
            return
        skimming = self._skimming
        found = skimming is not None and skimming.done
        if roomy and not complete and not found and self._body_bytes <= way.pool.prompt_bytes:
            return
        self._inspecting = False
        if complete or skimming is not None:
            if not self._understand(way):
                return
        elif not self._passes_unread(way, roomy):
            return
        if way.pool.admission is None:
            self._attempt()
        else:
            self._admit(way, way.pool.admission)

    def on_models_known(self) -> None:
        way = self.way
        if way is None or not self._understand(way):
            return
        if way.pool.admission is None:
            self._attempt()
        else:
            self._admit(way, way.pool.admission)

    def _admit(self, way: PoolPlan, admission: Admission) -> None:
        """Go on at once, unless the pool's admission makes it wait or turns it away."""
        request = self.request
        assert request is not None
        place = ExchangePlace(self, way.priority, self._expires_at)
        place.needs = self._needs(way, request)
        self.place = place
        if admission.admits(place):
            self._attempt()
        elif not self.ended and not self._body_complete:
            self.front.hold_body()

    def on_admitted(self) -> None:
        self._attempt()

    # --- eligible, pick, ticket -------------------------------------------------------------

    def _attempt(self) -> None:
        """Choose an endpoint and get a connection to it."""
        way = self.way
        request = self.request
        assert way is not None
        assert request is not None
        env = self.context.env
        pool = way.pool
        attempts = self.attempts
        tried = attempts.tried if attempts is not None else None
        watch: Watch | None = None
        if pool.counters.values[P_REQUESTS] >= pool.recorder.sample_at:
            watch = pool.recorder.watch(request, env, tried or (), self.request_id)
        chosen: Endpoint | None = None
        by = "answer"
        if not tried:
            chosen = pool.home_of(request) if request.continues else None
            if chosen is None and way.home is not None:
                chosen = pool.sticky_endpoint(way.home, request)
                by = "cookie"
            if chosen is not None and not chosen.has_room():
                if pool.waits_for_bound:
                    self._no_endpoint()
                    return
                chosen = None
                self._keeps_cookie = by == "cookie"
        if chosen is None:
            chosen = pool.pick(request, env, tried)
            by = "policy"
        if chosen is None:
            self._no_endpoint()
            return
        assert isinstance(chosen, LiveEndpoint)
        self.endpoint = chosen
        self.attempt_number += 1
        if watch is None:
            self.ticket = Ticket(chosen, pool.policy, request, env.now)
        else:
            self.ticket = watch.ticket(chosen, pool.policy, request, by, self.attempt_number)
        if chosen.guarded and chosen.gives_way(self.ticket, env.now):
            self._settle(ABANDONED)  # another worker took the last place at the same moment
            self.attempt_number -= 1
            if by != "policy" and pool.waits_for_bound:
                self._no_endpoint()
            else:
                self._keeps_cookie = self._keeps_cookie or by == "cookie"
                self._pass_over(chosen)
            return
        self._connect(chosen)

    def _connect(self, endpoint: LiveEndpoint) -> None:
        """An idle connection or a fresh one."""
        if endpoint.connector.idle:
            connection = take_idle(endpoint.connector, self.context.env.now, self._is_sent_once())
            if connection is not None:
                self._send(connection)
                return
        self._connect_anew(endpoint)

    def _connect_anew(self, endpoint: LiveEndpoint) -> None:
        try:
            connection = connect(endpoint.connector)
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._settle(ABANDONED)  # says nothing about the endpoint
                self._refuse(503, f"no connection can be opened: {error.strerror}")
            else:
                self.on_endpoint_failed(CONNECT_FAILED, f"connecting failed: {error.strerror}")
            return
        connection.sink = self
        self.peer = connection.address.shown
        connection.expires_at = self._expires_at
        self.connection = connection
        self.connecting_at = self.context.env.now
        connection.arm(endpoint.connector.settings.connect_s)
        if not self._body_complete:
            self.front.hold_body()

    def on_connected(self) -> None:
        connection = self.connection
        way = self.way
        assert connection is not None
        assert way is not None
        self.connect_s = self.context.env.now - self.connecting_at
        way.pool.counters.record(_CONNECT, self.connect_s)
        self._send(connection)

    # --- send -------------------------------------------------------------------------------

    def _send(self, connection: EndpointConnection) -> None:
        """The head, with the body so far, in one write."""
        way = self.way
        endpoint = self.endpoint
        assert way is not None
        assert endpoint is not None
        self.connection = connection
        self.peer = connection.address.shown
        connection.begin(self, self.head.bodiless, self._expires_at)
        legible = self._renames
        prompt = self.prompt
        has_slots = endpoint.slots is not None
        if prompt is not None and (self._adapts or has_slots or prompt.names_slot):
            self._adapt(prompt, endpoint)
            legible = legible or prompt.asks_usage or self._learns_habit
        elif has_slots and way.api != OTHER:
            self._take_slot(None, endpoint)
        body = self._body
        complete = self._body_complete
        prefix = way.prefix(endpoint, legible)
        if self._other_length >= 0:
            prefix = for_other_body(prefix, self.head, self._other_length, self._decoded)
        if not body:
            data = b"%b%b\r\n\r\n" % (prefix, self.request_id)
        elif len(body) == 1:
            data = b"%b%b\r\n\r\n%b" % (prefix, self.request_id, body[0])
        else:
            data = b"%b%b\r\n\r\n%b" % (prefix, self.request_id, b"".join(body))
        self._sent = True
        connection.request_sent = complete
        connection.arm(endpoint.connector.settings.first_byte_s)
        taken = connection.send(data)
        endpoint.tally.bytes_sent += len(data)
        if self._room and complete and not self._may_be_sent_again(way, endpoint):
            self._forget_body()
            if taken:
                self._give_room_back()
        if not complete:
            if not taken:
                self.front.hold_body()
            elif body or not self._continue_is_due(way):
                self._take_body(connection)
            else:
                self.front.take_body()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """More of the request's body, in the framing that goes to the endpoint."""
        self._body_complete = complete
        if self.mirror is not None:
            self.mirror.feed(data, complete)
        if self.status == 0 and self._replayable:
            self._body_bytes += len(data)
            if self._body is None:
                self._body = [data]
            else:
                self._body.append(data)
            if self._body_bytes > MAX_REPLAY_BYTES and self._sent:
                self._forget_body()
                self._give_room_back()
        if self._inspecting:
            self._await_body(data, complete)
            return
        connection = self.connection
        if connection is None or not self._sent:
            if not complete:
                self.front.hold_body()
            return
        endpoint = self.endpoint
        assert endpoint is not None
        connection.request_sent = complete
        if self.status == 0:
            connection.arm(endpoint.connector.settings.first_byte_s)
        taken = True
        if data:
            taken = connection.send(data)
            endpoint.tally.bytes_sent += len(data)
        if not complete:
            if taken:
                self._take_body(connection)
            else:
                self.front.hold_body()

    def _take_body(self, connection: EndpointConnection) -> None:
        """More of the body is the client's turn: its own timeout runs, not the endpoint's."""
        if self.status == 0:
            connection.arm(0.0)
        self.front.take_body()

    def _continue_is_due(self, way: PoolPlan) -> bool:
        """Whether a client that waits for 100 is to get it from the endpoint."""
        return self.head.expects_continue and not way.inspects and not way.skims

    def on_endpoint_drained(self) -> None:
        connection = self.connection
        if not self._body_complete:
            if connection is not None:
                self._take_body(connection)
        elif self._room and self._body is None:
            self._give_room_back()

    # --- relay ------------------------------------------------------------------------------

    def on_interim(self, head: ResponseHead) -> None:
        """Passed on to clients that can take it; 100 only to one that waits for it."""
        way = self.way
        waits = way is not None and self._continue_is_due(way)
        if self.head.minor == 0 or (head.status == 100 and not waits):
            return
        self.front.write(interim_response(head))
        if head.status == 100:
            self.front.continue_body()
            connection = self.connection
            if connection is not None and connection.unsent is None and not self._body_complete:
                connection.arm(0.0)  # the client's turn

    def frame_response(self, head: ResponseHead) -> bool:
        status = head.status
        if self.head.bodiless or status == 204 or status == 304:
            self._framing = NO_BODY
        elif head.content_length >= 0 and not self._changes_answer(head):
            self._framing = LENGTH
        elif self.head.minor == 1:
            self._framing = CHUNKED
            return True
        else:
            self._framing = UNTIL_CLOSE
        return False

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        now = self.context.env.now
        way = self.way
        ticket = self.ticket
        assert way is not None
        assert ticket is not None
        status = head.status
        ticket.status = status
        if self.plan.listed and self._takes_list(head, complete):
            return
        reading = None
        prompt = self.prompt
        if prompt is not None:
            if (status == 400 or status == 422) and self._repeat_plainly(complete):
                return
            self._note_usage(prompt, status)
            if status == 404 and way.pool.spec.asks_again:
                way.pool.waits.missed()
            reading = self._reading_of(prompt, head)
        elif way.makes_things:
            reading = names_reading_of(head, self._framing, self.context.env)
        if reading is None or not reading.streamed:
            ticket.first_byte(now)  # else with the first token: engines send the head at once
        pool = way.pool
        if pool.orca and self.endpoint is not None:
            pool.take_orca(self.endpoint, head, now)
        if status in pool.rules.on_statuses and self._may_repeat(DONE, status, False):
            self._leave_connection(complete)
            self._settle(DONE)
            self._retry()
            return
        if way.conversation:
            self._note_conversation(way)
        self.first_byte_at = now
        self.status = status
        framing = self._framing
        if framing == UNTIL_CLOSE:
            self.front.close_after()
        keep_alive = self.front.keeps_alive()
        # Built once for each distinct head; what it depends on besides is kept beside it.
        rules = way.rules
        decoded = reading is not None and reading.decoder is not None
        flags = decoded * 16 + framing * 4 + keep_alive * 2 + self.head.minor
        if head.rewritten_for is not rules or head.rewritten_flags != flags:
            head.rewritten = forwarded_response(
                head,
                framing,
                keep_alive,
                self.head.minor,
                rules,
                self.request_id,
                decoded,
            )
            if way.origin:
                pool.origins.learn(way.origin, head.fields)
            head.rewritten_for = rules
            head.rewritten_flags = flags
            head.lacks_date = lacks_date(head, rules)
        if head.request_id:
            self.endpoints_id = head.request_id
        request_id = self.request_id
        if head.lacks_date:
            request_id += self.context.date_line
        if pool.sticky is not None and self.endpoint is not None and not self._keeps_cookie:
            request_id += pool.set_cookie(self.endpoint, way.cookie)
        if reading is not None:
            self._reading = ticket.progress = reading
            self.answer = reading
            body = self._read(reading, body, complete)
            complete = complete and not reading.broken
        data = b"%b%b\r\n\r\n%b" % (head.rewritten, request_id, body)
        self.bytes_out = len(data)
        taken = self.front.write(data)
        if complete:
            self.connection = None
            self._settle(DONE)
            pool.counters.answered_at_once(status, now - self.began)
            self._note_end(now, "done")
            self.front.finish()
            return
        pool.counters.record(_FIRST_BYTE, now - self.began)
        self._forget_body()
        if self._room:
            self._give_room_back()
        if reading is not None and reading.broken:
            self._break_off(reading.broken)
        elif not taken:
            self._hold_endpoint()

    def on_body(self, data: bytes, complete: bool) -> None:
        reading = self._reading
        if reading is not None:
            data = self._read(reading, data, complete)
            if reading.broken:
                self._break_off(reading.broken)
                return
        self.bytes_out += len(data)
        if data and not self.front.write(data) and not complete:
            self._hold_endpoint()
        if complete:
            self.connection = None
            self._settle(DONE)
            self._end(self.context.env.now, "done")
            self.front.finish()

    def _hold_endpoint(self) -> None:
        connection = self.connection
        if connection is not None:
            connection.pause_reading()
            connection.arm(0.0)  # the client's turn: its own timeout runs
            if self.ticket is not None:
                self.ticket.hold(self.context.env.now)

    def on_client_drained(self) -> None:
        connection = self.connection
        if connection is not None and connection.open and self.status:
            connection.resume_reading()
            connection.arm(connection.connector.settings.stream_idle_s)
            if self.ticket is not None:
                self.ticket.go_on(self.context.env.now)
