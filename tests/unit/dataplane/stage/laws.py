"""What the state machine looks at after each event."""

from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.io.loop import READABLE
from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.unit.dataplane.stage.parties import Answer, Asked, ClientSide, EndpointSide
from tests.unit.dataplane.stage.watching import Watching


class Laws:
    """Over clients, endpoints and a worker; the state machine makes things happen to them."""

    stage: Stage

    def set_out(self) -> None:
        """Nothing has happened yet."""
        self.clients: list[ClientSide] = []
        self.connections: dict[int, EndpointSide] = {}  # by the id of its end
        self.asked: list[Asked] = []
        self.answers: dict[int, Answer] = {}
        self.stopping = False
        self.harmless = True  # nothing happened that a client may be refused for

    def check_laws(self) -> None:
        for client in self.clients:
            self.check_responses(client)
            self.check_that_answers_arrived(client)
        for peer in self.connections.values():
            self.check_requests(peer)
        self.check_that_nothing_is_done_twice()
        self.check_that_nothing_is_held_back()
        self.check_that_requests_begin()
        self.check_backpressure()
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

    def check_that_requests_begin(self) -> None:
        """A request whose head is there is begun once those before it are answered."""
        begun = {id(each.sock.peer): each.exchange is not None for each in self.stage.clients()}
        for client in self.clients:
            end = client.end
            if client.half_closed or end.dead or end.ended or not client.reading:
                continue
            answered = sum(message.complete for message in client.reader.messages)
            if answered < len(client.asked):
                asked = client.asked[answered]
                there = client.sent_bytes >= asked.begins_at + len(asked.head)
                assert not there or begun[id(end)], "a request is there and is not begun"

    def check_backpressure(self) -> None:
        """The side that takes no more keeps the worker from reading the other."""
        for connection in self.stage.clients():
            exchange = connection.exchange
            attempt = attempt_of(exchange)
            theirs = connection_of(attempt)
            if exchange is None or theirs is None:
                continue
            if connection.unsent is not None and exchange.status:
                assert not theirs.events & READABLE, "read on for a client that takes no more"
            if theirs.unsent is not None and not exchange.body.complete:
                assert not connection.events & READABLE, "read on for an endpoint that is full"

    def check_timers(self) -> None:
        """Whatever is under way has an end in time, or waits in the queue, which has one."""
        for connection in self.stage.clients():
            exchange = connection.exchange
            if exchange is None:
                continue
            attempt = attempt_of(exchange)
            dispatch = exchange.dispatch
            waits = dispatch is not None and dispatch.waiter is not None
            if waits and (attempt is None or attempt.is_settled()):
                continue
            theirs = connection_of(attempt)
            assert connection.deadline > 0.0 or (theirs is not None and theirs.deadline > 0.0), (
                "nothing ends this exchange if nobody acts"
            )

    def check_queue(self) -> None:
        """Nobody waits while there is room; who tried an endpoint already waits for others."""
        for connection in self.stage.clients():
            dispatch = connection.exchange.dispatch if connection.exchange is not None else None
            if dispatch is None or dispatch.waiter is None or dispatch.attempt is not None:
                continue
            if dispatch.attempts is None:
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
            attempt = attempt_of(exchange)
            if exchange is not None and attempt is not None and sides:
                found.append((sides[0], exchange, attempt))
        return found

    def peer_of(self, attempt: Attempt) -> EndpointSide | None:
        connection = connection_of(attempt)
        if connection is None:
            return None
        near: End = connection.sock
        return self.connections.get(id(near.peer))

    def check_load(self) -> None:
        """What is counted as under way is under way."""
        running = 0
        for connection in self.stage.clients():
            attempt = attempt_of(connection.exchange)
            if attempt is not None:
                running += not attempt.is_settled()
        assert self.stage.in_flight() == running
        streams = [each for each in self.stage.system.open.values() if isinstance(each, End)]
        counted = sum(each.connector.open_connections for each in self.stage.endpoints())
        counted += self.stage.context.clients
        assert counted == sum(not each.closed for each in streams), "a connection is not counted"
        settled = Watching.settled
        assert all(times == 1 for times in settled.values()), "a ticket was settled twice"
        assert len(Watching.opened) == len(settled) + running

    def check_that_answers_arrived(self, client: ClientSide) -> None:
        """One that was given whole is there whole, if its client takes it."""
        if client.half_closed or client.end.dead or not client.reading:
            return
        for answer in self.answers.values():
            if answer.must_arrive and answer.asked in client.asked:
                response = client.response_to(answer.asked)
                assert response is not None, "an answer is lost"
                assert response.complete, "the end of an answer is lost"


def first_line(exchange: Exchange) -> str:
    return exchange.head.raw.split(b"\r\n")[0].decode()


def attempt_of(exchange: Exchange | None) -> Attempt | None:
    """The one under way or made last."""
    dispatch = exchange.dispatch if exchange is not None else None
    return dispatch.attempt if dispatch is not None else None


def connection_of(attempt: Attempt | None) -> Http1Connection | None:
    """On which it is at work."""
    stream = attempt.stream if attempt is not None else None
    assert stream is None or isinstance(stream, Http1Connection)
    return stream
