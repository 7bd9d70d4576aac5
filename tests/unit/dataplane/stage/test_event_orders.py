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
import pytest
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
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import ROOM_BYTES, End
from tests.harness.fake.system import Manner
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.laws import Laws
from tests.unit.dataplane.stage.parties import (
    Asked,
    ClientSide,
    EndpointSide,
    Framing,
    content,
    encoded,
)
from tests.unit.dataplane.stage.watching import Watching

# How many orders are played; see CONTRIBUTING.md.
ORDERS = int(os.environ.get("PENSTOCK_ORDERS", "100"))
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


class EventOrders(Laws, RuleBasedStateMachine):
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
        self.set_out()
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
            admission=Admission(queue=Queue(timeout_s=6.0) if self.queued else None),
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
        heard = not (peer.end.ended or peer.end.dead)
        peer.send(data.draw(pieces))
        answer = peer.answers[-1]
        answer.must_arrive = heard and answer.finished and answer.status != 503

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

    # --- after each event, and at the end ---------------------------------------------------

    @invariant()
    def laws_hold(self) -> None:
        if hasattr(self, "stage"):
            self.carry_over()
            self.check_laws()

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


# Hypothesis looks for the smallest order that fails for five minutes; the time given to a test ends
# later, or its report would be of that.
TestEventOrders = pytest.mark.timeout(900)(EventOrders.TestCase)
TestEventOrders.settings = settings(
    max_examples=ORDERS, stateful_step_count=STEPS, deadline=None, derandomize=False
)
