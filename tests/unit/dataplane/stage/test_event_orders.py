"""Whatever the order of events, the laws of an exchange hold: hypothesis plays, and looks.

After each event the worker handles all that follows from it; then, before the next one, every byte
that came and fits must be at the other side.
"""

import os
from random import Random

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.core.endpoint import DOWN, UP
from penstock.core.snapshot import Connections, ListenerTimeouts, PoolTimeouts, Retry, Snapshot
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.exchange import Exchange
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.parties import (
    Answer,
    Asked,
    ClientSide,
    EndpointSide,
    Framing,
    content,
    encoded,
)

# How many orders are played; see CONTRIBUTING.md.
ORDERS = int(os.environ.get("PENSTOCK_ORDERS", "40"))
STEPS = 50
CLIENTS = 3
ROWS = 3
# After so long without an event, by the timeouts below, nothing can be under way.
ALL_TIMEOUTS_S = 400.0

CLIENT_TIMEOUTS = ListenerTimeouts(
    client_headers_s=5.0,
    client_body_idle_s=6.0,
    keep_alive_idle_s=20.0,
    client_write_idle_s=7.0,
)

at = st.integers(0, 11)  # which client or connection, of those that there are
sizes = st.sampled_from([0, 1, 10, 700, 5000, 20000])
pieces = st.sampled_from([1, 7, 100, 4000, 1_000_000])


class EventOrders(RuleBasedStateMachine):
    """Three endpoints, up to three clients, and one worker."""

    @initialize(
        seed=st.integers(0, 1 << 16),
        request_s=st.sampled_from([0.0, 12.0]),
        rows=st.sets(st.integers(0, ROWS - 1), min_size=1),
    )
    def begin(self, seed: int, request_s: float, rows: set[int]) -> None:
        self.request_s = request_s
        self.stage = Stage(self.snapshot(rows), Random(seed), shuffles=True)
        self.clients: list[ClientSide] = []
        self.connections: dict[int, EndpointSide] = {}  # by the id of its end
        self.asked: list[Asked] = []
        self.answers: dict[int, Answer] = {}
        self.stopping = False
        self.harmless = True  # nothing happened that a client may be refused for

    def snapshot(self, rows: set[int]) -> Snapshot:
        timeouts = PoolTimeouts(
            connect_s=2.0, first_byte_s=8.0, stream_idle_s=9.0, request_s=self.request_s
        )
        pool = pool_of(
            *sorted(rows),
            timeouts=timeouts,
            connections=Connections(idle_timeout_s=15.0),
            retry=Retry(budget_min_per_s=1000.0),
        )
        return world(pool, listeners=[listener(timeouts=CLIENT_TIMEOUTS)])

    # --- clients ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.clients) < CLIENTS and not self.stopping)
    @rule(room=st.sampled_from([300, 4096]))
    def client_comes(self, room: int) -> None:
        self.clients.append(ClientSide(self.stage.client(room)))

    @precondition(lambda self: any(client.may_ask for client in self.clients))
    @rule(
        which=at,
        method=st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT"]),
        framing=st.sampled_from(["length", "length", "chunked"]),
        size=sizes,
        minor=st.sampled_from([1, 1, 1, 0]),
        close=st.sampled_from([False, False, False, True]),
        at_once=pieces,
    )
    def client_asks(
        self,
        which: int,
        method: str,
        framing: Framing,
        size: int,
        minor: int,
        close: bool,
        at_once: int,
    ) -> None:
        able = [client for client in self.clients if client.may_ask]
        client = able[which % len(able)]
        number = len(self.asked)
        lines = [f"{method} /{number} HTTP/1.{minor}", "Host: site.example"]
        body = b""
        wire = b""
        if method in ("POST", "PUT"):
            if minor == 0:
                framing = "length"
            body = content(number, size)
            wire = encoded(body, framing)
            coded = framing == "chunked"
            lines.append("Transfer-Encoding: chunked" if coded else f"Content-Length: {size}")
        if close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode()
        begins_at = client.sent_bytes + len(client.out)
        made = Asked(number, method, body, head, wire, close or minor == 0, begins_at)
        self.asked.append(made)
        client.asked.append(made)
        client.methods.append(method)
        client.out += head + wire
        client.send(at_once)

    @precondition(lambda self: any(client.out and client.open for client in self.clients))
    @rule(which=at, most=pieces)
    def client_sends(self, which: int, most: int) -> None:
        able = [client for client in self.clients if client.out and client.open]
        able[which % len(able)].send(most)

    @precondition(lambda self: self.clients)
    @rule(which=at, reading=st.booleans())
    def client_reads_or_pauses(self, which: int, reading: bool) -> None:
        self.clients[which % len(self.clients)].reading = reading

    @precondition(lambda self: self.clients)
    @rule(which=at, how=st.sampled_from(["half-close", "close", "reset"]))
    def client_leaves(self, which: int, how: str) -> None:
        client = self.clients[which % len(self.clients)]
        client.half_closed = True
        if how == "half-close":
            client.end.half_close()
            return
        self.clients.remove(client)
        if how == "close":
            client.end.close()
        else:
            client.end.reset()

    # --- endpoints --------------------------------------------------------------------------

    @precondition(lambda self: any(each.unanswered and each.open for each in self.peers()))
    @rule(
        which=at,
        status=st.sampled_from([200, 200, 200, 204, 304, 404, 503]),
        framing=st.sampled_from(["length", "chunked", "until close"]),
        size=sizes,
        at_once=pieces,
    )
    def endpoint_answers(
        self, which: int, status: int, framing: Framing, size: int, at_once: int
    ) -> None:
        able = [each for each in self.peers() if each.unanswered and each.open and not each.out]
        if not able:
            return
        peer = able[which % len(able)]
        request = peer.unanswered
        assert request is not None
        number = len(self.answers)
        asked = self.asked[int(request.target[1:])]
        self.answers[number] = peer.answer(number, asked, status, framing, size)
        self.harmless = self.harmless and status != 503
        peer.send(at_once)

    @precondition(lambda self: any(each.out and each.open for each in self.peers()))
    @rule(which=at, most=pieces)
    def endpoint_sends(self, which: int, most: int) -> None:
        able = [each for each in self.peers() if each.out and each.open]
        able[which % len(able)].send(most)

    @precondition(lambda self: self.connections)
    @rule(which=at, reading=st.booleans())
    def endpoint_reads_or_pauses(self, which: int, reading: bool) -> None:
        peers = self.peers()
        if peers:
            peers[which % len(peers)].reading = reading

    @precondition(lambda self: self.connections)
    @rule(which=at, how=st.sampled_from(["half-close", "close", "reset"]))
    def endpoint_leaves(self, which: int, how: str) -> None:
        peers = self.peers()
        if not peers:
            return
        self.harmless = False
        peer = peers[which % len(peers)]
        peer.out.clear()
        if how == "half-close":
            peer.end.half_close()
        elif how == "close":
            peer.end.close()
        else:
            peer.end.reset()

    @rule(
        row=st.integers(0, ROWS - 1),
        manner=st.sampled_from(["accept", "accept", "refuse", "hang", "unreachable"]),
    )
    def endpoint_takes_connections_so(self, row: int, manner: str) -> None:
        self.stage.servers[row].manner = manner  # type: ignore[assignment]
        self.harmless = self.harmless and manner == "accept"

    @rule(row=st.integers(0, ROWS - 1), up=st.booleans())
    def endpoint_is_found(self, row: int, up: bool) -> None:
        self.stage.set_health(row, UP if up else DOWN)
        self.harmless = False

    # --- the balancer -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.0, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.pass_time(seconds)
        self.harmless = self.harmless and seconds < 1.0

    @rule(rows=st.sets(st.integers(0, ROWS - 1)))
    def configuration_changes(self, rows: set[int]) -> None:
        self.stage.apply(self.snapshot(rows))
        self.harmless = False

    @rule(lacking=st.booleans())
    def descriptors_run_out(self, lacking: bool) -> None:
        self.stage.system.no_descriptors = lacking
        self.harmless = self.harmless and not lacking

    @precondition(lambda self: not self.stopping and self.clients)
    @rule()
    def worker_stops(self) -> None:
        self.stopping = True
        self.harmless = False
        self.stage.worker.stop(1000.0)

    # --- the laws ---------------------------------------------------------------------------

    @invariant()
    def laws_hold(self) -> None:
        if not hasattr(self, "stage"):
            return
        self.carry_over()
        for client in self.clients:
            self.check_responses(client)
        for peer in self.connections.values():
            self.check_requests(peer)
        self.check_that_nothing_is_done_twice()
        self.check_that_nothing_is_held_back()
        self.check_load()

    def peers(self) -> list[EndpointSide]:
        """Connections that the worker has not given up."""
        return [each for each in self.connections.values() if each.open and not each.end.ended]

    def carry_over(self) -> None:
        """All that follows from the last event."""
        moved = True
        while moved:
            self.stage.settle()
            moved = False
            for row, server in enumerate(self.stage.servers):
                for end in server.accepted:
                    self.connections.setdefault(id(end), EndpointSide(row, end))
            sides: list[ClientSide | EndpointSide] = [*self.clients, *self.connections.values()]
            for side in sides:
                if side.reading and not side.end.closed and side.read():
                    moved = True

    def check_responses(self, client: ClientSide) -> None:
        """Each is the answer to its request, unchanged; whole only if it was given whole."""
        for at, message in enumerate(client.reader.messages):
            asked = client.asked[at]
            if "x-answer" not in message.fields:
                assert not self.harmless, f"refused for no reason: {message}"
                assert message.status in (400, 408, 502, 503, 504), message
                continue
            answer = self.answers[int(message.fields["x-answer"])]
            assert answer.asked is asked, "the answer to somebody else's request"
            assert message.status == answer.status
            assert answer.body.startswith(message.body), "bytes lost, doubled or changed"
            if message.complete:
                assert answer.finished, "an answer that was cut looks whole"
                assert message.body == answer.body

    def check_requests(self, peer: EndpointSide) -> None:
        for message in peer.reader.messages:
            asked = self.asked[int(message.target[1:])]
            assert message.start.split(" ")[0] == asked.method
            assert asked.body.startswith(message.body), "bytes lost, doubled or changed"
            if message.complete:
                assert message.body == asked.body

    def check_that_nothing_is_done_twice(self) -> None:
        """A request that cannot be repeated is given to one endpoint only."""
        given: dict[int, int] = {}
        for peer in self.connections.values():
            for message in peer.reader.messages:
                number = int(message.target[1:])
                given[number] = given.get(number, 0) + 1
        for number, times in given.items():
            assert times == 1 or self.asked[number].repeatable, f"{number} was sent {times} times"
            assert times <= 4

    def check_that_nothing_is_held_back(self) -> None:
        for each in [*self.stage.clients(), *self.stage.endpoint_connections()]:
            if each.unsent is not None:
                near = each.sock
                assert near.connecting or near.space() == 0, "what fits was not sent"
        for client, exchange, attempt in self.running():
            asked = next(
                each for each in client.asked if f"/{each.number} " in first_line(exchange)
            )
            response = client.response_to(asked)
            peer = self.peer_of(attempt)
            if peer is None:
                continue
            answer = peer.answers[-1] if peer.answers else None
            if answer is not None and answer.asked is asked and client.reading:
                self.check_answer_arrived(answer, bytes(response.body) if response else b"")
            if peer.reading and not exchange.body.complete:
                request = peer.reader.messages[-1] if peer.reader.messages else None
                arrived = bytes(request.body) if request is not None else b""
                assert arrived == client.sent_body(asked), "a request's body is held back"

    def check_answer_arrived(self, answer: Answer, arrived: bytes) -> None:
        given = answer.sent.messages[-1] if answer.sent.messages else None
        if given is not None and given.status != 503:
            assert arrived == given.body, "an answer is held back"

    def running(self) -> list[tuple[ClientSide, Exchange, Attempt]]:
        """Exchanges with the client that waits for them and the attempt under way."""
        found = []
        for connection in self.stage.clients():
            exchange = connection.exchange
            sides = [each for each in self.clients if each.end is connection.sock.peer]
            if exchange is not None and exchange.attempt is not None and sides:
                found.append((sides[0], exchange, exchange.attempt))
        return found

    def peer_of(self, attempt: Attempt) -> EndpointSide | None:
        connection = attempt.connection
        if connection is None:
            return None
        near: End = connection.sock
        return self.connections.get(id(near.peer))

    def check_load(self) -> None:
        """What is counted as under way is under way."""
        running = 0
        for connection in self.stage.clients():
            exchange = connection.exchange
            if exchange is not None and exchange.attempt is not None:
                running += not exchange.attempt.is_settled()
        assert self.stage.in_flight() == running
        for endpoint in self.stage.endpoints():
            assert endpoint.requests == sum(endpoint.counts.by_outcome) + endpoint.in_flight

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        with self.stage:
            self.stage.pass_time(ALL_TIMEOUTS_S, step_s=1.0)
            waiting = [each for each in self.stage.clients() if each.exchange is not None]
            assert not waiting, "an exchange waits for ever"
            assert not self.stage.clients(), "a client waits for ever"
            assert not self.stage.endpoint_connections(), "an endpoint's connection is forgotten"
            assert self.stage.in_flight() == 0


def first_line(exchange: Exchange) -> str:
    return exchange.head.raw.split(b"\r\n")[0].decode()


TestEventOrders = EventOrders.TestCase
TestEventOrders.settings = settings(
    max_examples=ORDERS, stateful_step_count=STEPS, deadline=None, derandomize=False
)
