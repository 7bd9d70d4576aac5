"""Whatever the order of events, the laws of an exchange hold: hypothesis plays, and looks.

After each event the worker handles all that follows from it; then, before the next one, every byte
that came and fits must be at the other side.
"""

import os
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import note, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import (
    Admission,
    Connections,
    ListenerTimeouts,
    PolicyChoice,
    PoolTimeouts,
    Queue,
    Retry,
    Snapshot,
)
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.exchange import Exchange
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import ROOM_BYTES, End
from tests.harness.fake.system import Manner
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
from tests.unit.dataplane.stage.watching import Watching

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

INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
)
Action = tuple[str, Callable[[st.DataObject], None]]

pieces = st.sampled_from([1_000_000, 1_000_000, 4000, 1_000_000, 4000, 300, 40, 1])
sizes = st.sampled_from([10, 0, 1, 700, 5000, 20000])
framings: st.SearchStrategy[Framing] = st.sampled_from(("length", "chunked", "until close"))
CONFIGURED: tuple[set[int], ...] = ({0, 1, 2}, {0, 1}, {2}, {0}, {1, 2}, set())
row = st.integers(0, ROWS - 1)
manners: st.SearchStrategy[Manner] = st.sampled_from(
    ("accept", "accept", "refuse", "hang", "unreachable")
)


class EventOrders(RuleBasedStateMachine):
    """Three endpoints, up to three clients, and one worker."""

    @initialize(
        seed=st.integers(0, 1 << 16),
        request_s=st.sampled_from([0.0, 12.0]),
        rows=st.sets(row, min_size=1),
        clients=st.integers(1, CLIENTS),
        queued=st.booleans(),
    )
    def begin(
        self, seed: int, request_s: float, rows: set[int], clients: int, queued: bool
    ) -> None:
        Watching.forget()
        self.request_s = request_s
        self.queued = queued
        self.stage = Stage(self.snapshot(rows), Random(seed), shuffles=True)
        self.clients: list[ClientSide] = []
        self.connections: dict[int, EndpointSide] = {}  # by the id of its end
        self.asked: list[Asked] = []
        self.answers: dict[int, Answer] = {}
        self.stopping = False
        self.harmless = True  # nothing happened that a client may be refused for
        for _ in range(clients):
            self.clients.append(ClientSide(self.stage.client()))

    def snapshot(self, rows: set[int]) -> Snapshot:
        timeouts = PoolTimeouts(
            connect_s=2.0, first_byte_s=8.0, stream_idle_s=9.0, request_s=self.request_s
        )
        members = [member(each, max_in_flight=int(self.queued)) for each in sorted(rows)]
        pool = msgspec.structs.replace(
            pool_of(*rows),
            endpoints=tuple(members),
            admission=Admission(queue=Queue(length=4, timeout_s=6.0) if self.queued else None),
            timeouts=timeouts,
            policy=PolicyChoice(name=f"{Watching.__module__}:{Watching.__name__}"),
            connections=Connections(idle_timeout_s=15.0),
            retry=Retry(budget_min_per_s=1000.0),
        )
        return world(pool, listeners=[listener(timeouts=CLIENT_TIMEOUTS)])

    # --- traffic ----------------------------------------------------------------------------
    #
    # Three rules for it, and what cannot be done gives way to what can: hypothesis leaves rules
    # out by chance, and an example without traffic shows nothing.

    @rule(data=st.data())
    def client_acts(self, data: st.DataObject) -> None:
        self.act(data, self.client_actions() or self.endpoint_actions())

    @rule(data=st.data())
    def endpoint_acts(self, data: st.DataObject) -> None:
        self.act(data, self.endpoint_actions() or self.client_actions())

    @rule(data=st.data())
    def somebody_acts(self, data: st.DataObject) -> None:
        self.act(data, self.endpoint_actions() + self.client_actions())

    def act(self, data: st.DataObject, actions: list[Action]) -> None:
        if actions:
            name, act = choice(data, actions)
            note(name)
            act(data)

    def client_actions(self) -> list[Action]:
        """What clients can do next."""
        found: list[Action] = []
        if not self.stopping and not any(client.may_ask for client in self.clients):
            found.append(("a client comes", self.client_comes))
        for at, client in enumerate(self.clients):
            if client.out and client.open:
                found.append((f"client {at} sends", partial(self.client_sends, client)))
            elif client.open and client.later:
                found.append((f"client {at} waits no longer", partial(self.sends_unasked, client)))
            elif client.may_ask:
                found.append((f"client {at} asks", partial(self.client_asks, client)))
            if not client.reading:
                found.append((f"client {at} reads on", partial(self.reads_on, client)))
        return found

    def endpoint_actions(self) -> list[Action]:
        """What endpoints can do next."""
        found: list[Action] = []
        for at, peer in enumerate(self.peers()):
            if peer.out:
                found.append((f"endpoint {at} sends", partial(self.endpoint_sends, peer)))
            elif peer.unanswered:
                found.append((f"endpoint {at} answers", partial(self.endpoint_answers, peer)))
            if not peer.reading:
                found.append((f"endpoint {at} reads on", partial(self.reads_on, peer)))
        return found

    def client_asks(self, client: ClientSide, data: st.DataObject) -> None:
        method = data.draw(st.sampled_from(["GET", "POST", "PUT", "HEAD"]))
        minor = data.draw(st.sampled_from([1, 1, 1, 0]))
        close = data.draw(st.sampled_from([False, False, False, True]))
        number = len(self.asked)
        lines = [f"{method} /{number} HTTP/1.{minor}", "Host: site.example"]
        body = wire = b""
        waits = False
        if method in ("POST", "PUT"):
            size = data.draw(sizes)
            framing: Framing = "length"
            if minor:
                framing = data.draw(st.sampled_from(["length", "chunked"]))
            body = content(number, size)
            wire = encoded(body, framing)
            coded = framing == "chunked"
            lines.append("Transfer-Encoding: chunked" if coded else f"Content-Length: {size}")
            waits = size > 0 and minor == 1 and data.draw(st.sampled_from([False, False, True]))
            if waits:
                lines.append("Expect: 100-continue")
        if close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode()
        made = Asked(number, method, body, head, wire, close or minor == 0, client.sent_bytes)
        self.asked.append(made)
        client.asked.append(made)
        client.methods.append(method)
        client.out += head
        client.awaits_continue = waits
        if waits:
            client.later += wire
        else:
            client.out += wire
        self.client_sends(client, data)

    def client_sends(self, client: ClientSide, data: st.DataObject) -> None:
        client.send(data.draw(pieces))

    def sends_unasked(self, client: ClientSide, data: st.DataObject) -> None:
        client.send_later()
        self.client_sends(client, data)

    def reads_on(self, side: ClientSide | EndpointSide, data: st.DataObject) -> None:
        side.reading = True

    def endpoint_answers(self, peer: EndpointSide, data: st.DataObject) -> None:
        request = peer.unanswered
        assert request is not None
        status = data.draw(st.sampled_from([200, 200, 200, 204, 304, 404, 503]))
        framing: Framing = data.draw(framings)
        number = len(self.answers)
        asked = self.asked[int(request.target[1:])]
        if data.draw(st.sampled_from([False, False, False, True])):
            peer.out += data.draw(st.sampled_from(INTERIM))
        self.answers[number] = peer.answer(number, asked, status, framing, data.draw(sizes))
        self.harmless = self.harmless and status != 503
        self.endpoint_sends(peer, data)

    def endpoint_sends(self, peer: EndpointSide, data: st.DataObject) -> None:
        peer.send(data.draw(pieces))

    # --- what disturbs it -------------------------------------------------------------------

    @rule(data=st.data())
    def client_disturbs(self, data: st.DataObject) -> None:
        kinds: list[Action] = []
        if sum(client.open for client in self.clients) < CLIENTS and not self.stopping:
            kinds.append(("another client comes", self.client_comes))
        if self.clients:
            kinds.append(("a client stops reading", self.client_stops_reading))
            kinds.append(("a client leaves", self.client_leaves))
        self.act(data, kinds)

    @rule(data=st.data())
    def endpoint_disturbs(self, data: st.DataObject) -> None:
        kinds: list[Action] = [("an endpoint takes connections so", self.takes_connections_so)]
        if self.peers():
            kinds.append(("an endpoint stops reading", self.endpoint_stops_reading))
            kinds.append(("an endpoint leaves", self.endpoint_leaves))
        if self.silent_peers():
            kinds.append(("an endpoint babbles", self.endpoint_babbles))
        self.act(data, kinds)

    def silent_peers(self) -> list[EndpointSide]:
        """Those that are not in the middle of an answer."""
        return [each for each in self.peers() if not each.answers or each.answers[-1].finished]

    @rule(data=st.data())
    def balancer_disturbs(self, data: st.DataObject) -> None:
        kinds: list[Action] = [
            ("the configuration changes", self.configuration_changes),
            ("a health check tells", self.health_check_tells),
            ("descriptors are there or lacking", self.descriptors_run_out),
        ] * 3  # each more often than the end
        if not self.stopping:
            kinds.append(("the worker stops", self.worker_stops))
        self.act(data, kinds)

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.0, 0.2, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.pass_time(seconds)
        self.harmless = self.harmless and seconds < 1.0

    def client_comes(self, data: st.DataObject) -> None:
        room = data.draw(st.sampled_from([ROOM_BYTES, 300]))
        self.clients.append(ClientSide(self.stage.client(room)))

    def client_stops_reading(self, data: st.DataObject) -> None:
        choice(data, self.clients).reading = False

    def client_leaves(self, data: st.DataObject) -> None:
        client = choice(data, self.clients)
        client.half_closed = True
        leave(client.end, data)
        if client.end.closed:
            self.clients.remove(client)

    def endpoint_stops_reading(self, data: st.DataObject) -> None:
        choice(data, self.peers()).reading = False

    def endpoint_leaves(self, data: st.DataObject) -> None:
        peer = choice(data, self.peers())
        self.harmless = False
        leave(peer.end, data)
        peer.left()

    def endpoint_babbles(self, data: st.DataObject) -> None:
        """What is no HTTP, between answers or in place of one."""
        self.harmless = False
        choice(data, self.silent_peers()).babble()

    def takes_connections_so(self, data: st.DataObject) -> None:
        manner: Manner = data.draw(manners)
        self.stage.servers[data.draw(row)].manner = manner
        self.harmless = self.harmless and manner == "accept"

    def health_check_tells(self, data: st.DataObject) -> None:
        up = data.draw(st.sampled_from([True, True, False]))
        self.stage.set_health(data.draw(row), UP if up else DOWN)
        self.harmless = self.harmless and up

    def configuration_changes(self, data: st.DataObject) -> None:
        rows = data.draw(st.sampled_from(CONFIGURED))
        self.stage.apply(self.snapshot(rows))
        self.harmless = False

    def descriptors_run_out(self, data: st.DataObject) -> None:
        lacking = data.draw(st.sampled_from([False, False, True]))
        self.stage.system.no_descriptors = lacking
        self.harmless = self.harmless and not lacking

    def worker_stops(self, data: st.DataObject) -> None:
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
            at_1_0 = any("HTTP/1.0" in each.head.decode() for each in client.asked)
            assert not (client.reader.interim and at_1_0 and len(client.asked) == 1)
        for peer in self.connections.values():
            self.check_requests(peer)
        self.check_that_nothing_is_done_twice()
        self.check_that_nothing_is_held_back()
        self.check_timers()
        self.check_queue()
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

    def check_timers(self) -> None:
        """Whatever is under way has an end in time, or waits in the queue, which has one."""
        for connection in self.stage.clients():
            exchange = connection.exchange
            if exchange is None:
                continue
            attempt = exchange.attempt
            if exchange.place is not None and (attempt is None or attempt.is_settled()):
                continue
            theirs = attempt.connection if attempt is not None else None
            assert connection.deadline > 0.0 or (theirs is not None and theirs.deadline > 0.0), (
                "nothing ends this exchange if nobody acts"
            )

    def check_queue(self) -> None:
        """Nobody waits while there is room; who tried an endpoint already waits for others."""
        for connection in self.stage.clients():
            exchange = connection.exchange
            if exchange is None or exchange.place is None or exchange.attempt is not None:
                continue
            if exchange.attempts is None:
                for endpoint in self.stage.pool().eligible:
                    assert not endpoint.has_room(), "one waits where there is room"

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
        settled = Watching.settled
        assert all(times == 1 for times in settled.values()), "a ticket was settled twice"
        assert len(Watching.opened) == len(settled) + running

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        with self.stage:
            self.stage.pass_time(ALL_TIMEOUTS_S, step_s=1.0)
            waiting = [each for each in self.stage.clients() if each.exchange is not None]
            assert not waiting, "an exchange waits for ever"
            assert not self.stage.clients(), "a client waits for ever"
            assert not self.stage.endpoint_connections(), "an endpoint's connection is forgotten"
            self.check_timers()
        self.check_queue()
        self.check_load()


def choice(data: st.DataObject, of: list[Any]) -> Any:
    """One of them, by its number."""
    return of[data.draw(st.integers(0, len(of) - 1))]


def leave(end: End, data: st.DataObject) -> None:
    """In one of the ways there are."""
    how = data.draw(st.sampled_from(["half-close", "close", "reset"]))
    if how == "half-close":
        end.half_close()
    elif how == "close":
        end.close()
    else:
        end.reset()


def first_line(exchange: Exchange) -> str:
    return exchange.head.raw.split(b"\r\n")[0].decode()


TestEventOrders = EventOrders.TestCase
TestEventOrders.settings = settings(
    max_examples=ORDERS, stateful_step_count=STEPS, deadline=None, derandomize=False
)
