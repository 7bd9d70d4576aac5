"""Each row of the table of turns as it is reached, with either HTTP in front and behind: the timers
of whose turn it is each end the exchange, and all others together do not.

Where none ran, an exchange would be waited for without end; where another did, one would be blamed
for what the other does not do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pytest

from penstock.core.snapshot import (
    Http2,
    Limits,
    ListenerTimeouts,
    Match,
    PoolTimeouts,
    Retry,
    Snapshot,
)
from penstock.dataplane.exchange.turn import (
    CONNECT,
    CONNECTING,
    FIRST_BYTE,
    NO_TIMER,
    RELAYING,
    SENT,
    STREAM_IDLE,
    turn_of,
)
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer, get, head
from tests.harness.world import listener, route, world
from tests.unit.dataplane.stage.asking import status_of

TIMEOUT_S = 5.0
OVER_S = 6.5  # deadlines are swept
LONG_S = 30.0

TIMER_NAMES = {CONNECT: "connect_s", FIRST_BYTE: "first_byte_s", STREAM_IDLE: "stream_idle_s"}
OF_POOL = tuple(TIMER_NAMES.values())
OF_CLIENT = ("client_body_idle_s", "client_write_idle_s")
ALL = frozenset((*OF_POOL, *OF_CLIENT))

LENGTH = 300_000  # of bodies that are not whole
LITTLE = b"x" * 10
SMALL_WINDOW = 100
CONNECTION_BYTES = 12_000  # a quarter of it of answers that wait: less than one read
FILLS = 200_000  # more than any room between here and there


@dataclass(frozen=True)
class State:
    """A row of the table, and who speaks what: ``front`` and ``back`` are versions of HTTP."""

    front: int
    back: int
    phase: int
    whole: bool = False
    endpoint_full: bool = False
    client_full: bool = False
    awaits_continue: bool = False

    def __str__(self) -> str:
        phase = {CONNECTING: "connecting", SENT: "sent", RELAYING: "relaying"}[self.phase]
        told = [name for name in FLAGS if getattr(self, name)]
        return "-".join((f"{self.front}to{self.back}", phase, *told))

    def due(self) -> frozenset[str]:
        """The timers that run in it, by the table and by what the front times."""
        turn = turn_of(
            self.phase, self.whole, self.endpoint_full, self.client_full, self.awaits_continue
        )
        names = set()
        if turn.timer != NO_TIMER:
            names.add(TIMER_NAMES[turn.timer])
        if self.client_full:
            names.add("client_write_idle_s")
        # Over HTTP/1.1 both of a client's turns have one clock.
        if (
            turn.takes_body
            and not self.awaits_continue
            and not (self.client_full and self.front == 1)
        ):
            names.add("client_body_idle_s")
        return frozenset(names)


ROWS: list[tuple[int, bool, bool, bool, bool]] = list(
    product((SENT, RELAYING), *[(False, True)] * 4)  # type: ignore[arg-type]
)
FLAGS = ("whole", "endpoint_full", "client_full", "awaits_continue")


def states() -> Iterator[State]:
    """All that can be."""
    for front, back in product((1, 2), (1, 2)):
        for whole in (False, True):
            yield State(front, back, CONNECTING, whole)
        for phase, whole, endpoint_full, client_full, awaits_continue in ROWS:
            if awaits_continue and (whole or endpoint_full):
                continue  # no byte of the body came
            if phase == SENT and client_full and front == 1:
                continue  # only what other streams wait for can take the room of an answer
            yield State(front, back, phase, whole, endpoint_full, client_full, awaits_continue)


STATES = list(states())
ROUTES = [route("other", match=Match(path_kind="prefix", path="/other")), route("main")]


def a_world(state: State, timers: frozenset[str]) -> Snapshot:
    """In which only these times are bounded."""
    given = {name: TIMEOUT_S if name in timers else 0.0 for name in ALL}
    of_pool = {name: given[name] for name in OF_POOL}
    of_client = {name: given[name] for name in OF_CLIENT}
    timeouts = PoolTimeouts(**of_pool)
    asked = pool_of(member(0, http2=state.back == 2), timeouts=timeouts, retry=Retry(attempts=1))
    other = pool_of(1, name="other", timeouts=timeouts)
    web = listener(
        timeouts=ListenerTimeouts(keep_alive_idle_s=0.0, **of_client),
        limits=Limits(body_rate=0),
        http2=Http2(connection_bytes=CONNECTION_BYTES),
    )
    return world(asked, other, listeners=[web], routes=ROUTES)


class Scene:
    """An exchange in that state."""

    near: End  # the endpoint's end of its connection
    behind: Http2Peer | None = None  # what speaks on it

    def __init__(self, stage: Stage, state: State, answers: bool = False) -> None:
        self.stage = stage
        self.state = state
        self.client = stage.client()
        self.far: Http2Peer | None = None
        self.stream = 0
        if state.front == 2:
            full = state.phase == RELAYING and state.client_full
            window = SMALL_WINDOW if full else 1 << 20
            self.far = Http2Peer(stage, self.client, window=window)
            self.far.reading = False
        if state.phase == SENT and state.client_full:
            self.take_the_room()
        if state.phase == CONNECTING and not answers:
            stage.servers[0].manner = "hang"
        self.ask()
        if state.phase != CONNECTING:
            self.meet_endpoint()
        self.send_body()
        if state.phase == RELAYING:
            self.answer()

    def take_the_room(self) -> None:
        """Another stream has an answer that its client does not take, and so all of the room."""
        assert self.far is not None
        self.far.begin(http2_head("GET", "/other"), end=True)
        endpoint, _ = self.stage.asked(1)
        rest = answer(f"Content-Length: {FILLS}", body=b"o" * FILLS)
        before = b""
        while rest != before:
            before = rest
            rest = fill(self.stage, endpoint, rest)
            self.far.pump()

    def ask(self) -> None:
        expects = self.state.awaits_continue
        size = len(self.body()) if self.state.whole else LENGTH
        if self.far is None:
            lines = [f"Content-Length: {size}", *["Expect: 100-continue"] * expects]
            self.stage.send(self.client, head("POST / HTTP/1.1", *lines))
        else:
            fields = [("content-length", str(size)), *[("expect", "100-continue")] * expects]
            self.stream = self.far.begin([*http2_head("POST", "/"), *fields])

    def meet_endpoint(self) -> None:
        self.near = self.stage.servers[0].accepted[-1]
        if self.state.back == 2:
            window = SMALL_WINDOW if self.state.endpoint_full else 65535
            self.behind = Http2Peer(self.stage, self.near, server=True, window=window)
            self.behind.reading = False

    def send_body(self) -> None:
        body = self.body()
        if self.far is not None:
            assert not body or self.far.send(self.stream, body, end=self.state.whole) == len(body)
        else:
            rest = fill(self.stage, self.client, body)
            assert not rest or (self.state.endpoint_full and not self.state.whole)
        if self.behind is not None:
            self.behind.pump()

    def body(self) -> bytes:
        """As much as is sent."""
        state = self.state
        if state.awaits_continue:
            return b""
        if not state.endpoint_full:
            return LITTLE
        if state.back == 2:
            return b"x" * 10 * SMALL_WINDOW
        # With its head, more than the endpoint's room; where it is whole, no more than a client's.
        return b"x" * (3950 if state.whole else 20_000)

    def answer(self) -> None:
        client_full = self.state.client_full
        size = FILLS if client_full else 10
        if self.behind is not None:
            self.behind.answer(1, 200, ("content-length", str(LENGTH)))
            self.behind.send(1, b"a" * size)
        else:
            data = answer(f"Content-Length: {LENGTH}", body=b"a" * size)
            assert bool(fill(self.stage, self.near, data)) == client_full
        if self.far is not None:
            self.far.pump()
        elif not client_full:
            self.client.read()
            self.stage.settle()

    def status(self) -> int:
        """That the client was answered; 0: none yet."""
        if self.far is None:
            return status_of(self.stage.received(self.client))
        self.far.pump()
        return self.far.heard[self.stream].status

    def is_over(self) -> bool:
        return sum(endpoint.in_flight for endpoint in self.stage.pool().members) == 0


def http2_head(method: str, path: str) -> list[tuple[str, str]]:
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", "site.example"),
        (":path", path),
    ]


def fill(stage: Stage, end: End, data: bytes) -> bytes:
    """Send as much of it as is taken; returns the rest."""
    data = end.offer(data)
    while stage.settle() and data:
        data = end.offer(data)
    return data


@pytest.mark.parametrize("state", STATES, ids=str)
def test_each_timer_of_a_row_ends_an_exchange_that_stands_still_in_it(state: State) -> None:
    assert state.due()
    for name in sorted(state.due()):
        with Stage(a_world(state, frozenset((name,)))) as stage:
            scene = Scene(stage, state)
            assert not scene.is_over()
            stage.pass_time(OVER_S, step_s=0.5)
            assert scene.is_over(), name


@pytest.mark.parametrize("state", STATES, ids=str)
def test_no_other_timer_runs_in_a_row(state: State) -> None:
    with Stage(a_world(state, ALL - state.due())) as stage:
        scene = Scene(stage, state)
        stage.pass_time(LONG_S, step_s=1.0)
        assert not scene.is_over()


@pytest.mark.parametrize("front", [1, 2])
def test_who_waits_for_room_on_a_connection_waits_as_for_the_connection(front: int) -> None:
    """An endpoint that never says how many streams it takes has one at a time: the second waited
    until the first was over."""
    state = State(front, 2, CONNECTING, whole=True)
    with Stage(a_world(state, frozenset(("connect_s",)))) as stage:
        first = stage.client()
        stage.send(first, get())
        scene = Scene(stage, state, answers=True)
        endpoint = stage.servers[0].accepted[-1]
        stage.pass_time(OVER_S, step_s=0.5)
        assert scene.status() == 504
        assert not first.inbox
        assert not endpoint.ended
        assert len(stage.servers[0].accepted) == 1


def test_a_connection_that_takes_too_long_is_told_so_by_each_of_its_streams() -> None:
    state = State(2, 2, CONNECTING, whole=True)
    with Stage(a_world(state, frozenset(("connect_s",)))) as stage:
        scene = Scene(stage, state)
        stage.pass_time(OVER_S, step_s=0.5)
        assert scene.status() == 504
