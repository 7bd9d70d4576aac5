"""However tunnels end, by chance and many of them at a time: nothing of them is left, on no count.

``python -m benchmarks.endings`` does the same with real sockets, and many more.
"""

from collections.abc import Callable
from random import Random

import h2.exceptions
import pytest

from penstock.core.snapshot import Drain, Listener, PoolTimeouts, Snapshot
from penstock.dataplane.board.layout import L_FAILURES
from penstock.wire.websocket import SERVICE_RESTART, close_frame
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.test_tunnels_http2 import FRAME, HANDSHAKE, agreement

AT_ONCE = 8
ENDINGS = 120  # of each combination
IDLE_S = 30.0
COMBINATIONS = [
    ("tcp", "tcp"),
    ("http1", "http1"),
    ("http1", "http2"),
    ("http2", "http1"),
    ("http2", "http2"),
]


class Side:
    """A client, or an endpoint, of one tunnel."""

    def __init__(self, stage: Stage, end: End, stream: int = 0, peer: Http2Peer | None = None):
        self.stage = stage
        self.end = end
        self.stream = stream
        self.peer = peer

    def send(self, data: bytes) -> None:
        if self.is_over():
            return
        if self.peer is not None:
            self.peer.send(self.stream, data)
        else:
            self.end.offer(data)  # as much as there is room for
            self.stage.settle()

    def half_close(self) -> None:
        if self.is_over():
            return
        if self.peer is not None:
            self.peer.end_stream(self.stream)
        else:
            self.end.half_close()
            self.stage.settle()

    def reset(self) -> None:
        if self.is_over():
            return
        if self.peer is not None:
            self.peer.reset(self.stream)
        else:
            self.end.reset()
            self.stage.settle()

    def break_connection(self) -> None:
        if not self.end.closed:
            self.end.reset()
            self.stage.settle()

    def read(self) -> None:
        if self.end.closed or self.end.dead:
            return
        if self.peer is not None:
            self.peer.pump()
        else:
            self.stage.received(self.end)

    def is_over(self) -> bool:
        """Nothing more can be sent on it."""
        self.read()
        over = self.end.closed or self.end.dead or self.end.shut
        return over or (self.peer is not None and self.peer.heard[self.stream].reset >= 0)


class Tunnels:
    """Opens tunnels of one combination, over connections that are shared where they can be."""

    def __init__(self, stage: Stage, front: str, back: str) -> None:
        self.stage = stage
        self._front = front
        self._back = back
        self._near: Http2Peer | None = None
        self._far: dict[int, Http2Peer] = {}

    def ask(self) -> Side:
        """A client that asks for one."""
        stage = self.stage
        if self._front == "http2":
            near = self._near
            if near is not None and not near.end.dead and not near.end.closed:
                near.pump()  # it may have been idle for too long
            if near is None or near.end.dead or near.end.closed or near.goaway:
                self._near = near = Http2Peer(stage, stage.client())
            return Side(stage, near.end, near.ask(), near)
        end = stage.client()
        if self._front == "http1":
            stage.send(end, HANDSHAKE)
        return Side(stage, end)

    def asked(self) -> tuple[Side, bytes]:
        """The endpoint that was asked last, and how, where it speaks HTTP/1.1."""
        stage = self.stage
        if self._back != "http2":
            end, head = stage.asked(0)
            return Side(stage, end), head
        for end in stage.servers[0].accepted:
            if id(end) not in self._far and not end.dead:
                self._far[id(end)] = Http2Peer(stage, end, server=True)
        for peer in self._far.values():
            if not peer.end.dead and not peer.end.closed:
                peer.pump()
        found = [
            (peer, stream)
            for peer in self._far.values()
            for stream, heard in peer.heard.items()
            if heard.head and not heard.answered and heard.reset < 0 and not peer.end.dead
        ]
        peer, stream = found[-1]
        return Side(stage, peer.end, stream, peer), b""

    def open(self) -> tuple[Side, Side]:
        client = self.ask()
        endpoint, head = self.asked()
        if endpoint.peer is not None:
            endpoint.peer.answer(endpoint.stream)
        elif head:
            self.stage.send(endpoint.end, agreement(head))
        client.read()
        return client, endpoint


Ending = Callable[[Tunnels, Side, Side], None]


def closed_by_frames(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    client.send(close_frame(1000, mask=b"mask"))
    endpoint.send(close_frame(1000))
    endpoint.half_close()
    client.half_close()


def closed_by_frames_and_reset(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    endpoint.send(close_frame(1000))
    client.send(close_frame(1000, mask=b"mask"))
    client.reset()


def client_resets(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    client.reset()


def endpoint_resets(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    endpoint.reset()


def client_breaks(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    client.break_connection()


def endpoint_breaks(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    endpoint.break_connection()


def both_reset(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    client.end.reset()
    endpoint.end.reset()
    tunnels.stage.settle()


def client_half_closes(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    client.half_close()
    endpoint.send(FRAME)
    endpoint.half_close()


def endpoint_half_closes(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    endpoint.send(FRAME * 2000)
    endpoint.half_close()
    client.read()
    client.half_close()


def reset_while_much_waits(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    endpoint.send(bytes(30_000))
    client.reset()


def drained(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    for each in tunnels.stage.endpoints():
        for relay in list(each.long_lived.tunnels):
            relay.drain(SERVICE_RESTART)
    tunnels.stage.pass_time(6.0, 1.0)


def idle(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    tunnels.stage.pass_time(IDLE_S + 2.0, 2.0)


def left_before_it_was_open(tunnels: Tunnels, client: Side, endpoint: Side) -> None:
    client.reset()
    asking = tunnels.ask()
    asking.reset()


EVERY: list[Ending] = [
    closed_by_frames,
    closed_by_frames_and_reset,
    client_resets,
    endpoint_resets,
    client_breaks,
    endpoint_breaks,
    both_reset,
    client_half_closes,
    endpoint_half_closes,
    reset_while_much_waits,
    drained,
    idle,
    left_before_it_was_open,
]


def snapshot(front: str, back: str) -> Snapshot:
    protocol = "tcp" if back == "tcp" else "http"
    spec: Listener = listener(protocol="tcp" if front == "tcp" else "http")
    pool = pool_of(
        member(0, http2=back == "http2"),
        protocol=protocol,
        timeouts=PoolTimeouts(tunnel_idle_s=IDLE_S),
        drain=Drain(deadline_s=1.0),
    )
    return world(pool, listeners=[spec])


@pytest.mark.parametrize(("front", "back"), COMBINATIONS)
def test_nothing_is_left_of_tunnels_however_they_end(front: str, back: str) -> None:
    chance = Random(7)
    with Stage(snapshot(front, back)) as stage:
        tunnels = Tunnels(stage, front, back)
        ended = 0
        while ended < ENDINGS:
            pairs = [tunnels.open() for _ in range(AT_ONCE)]
            assert stage.in_flight() == AT_ONCE
            for client, endpoint in pairs:
                client.send(FRAME)
                endpoint.send(FRAME)
            for client, endpoint in pairs:
                how = chance.choice(EVERY)
                try:
                    how(tunnels, client, endpoint)
                except h2.exceptions.ProtocolError:
                    pass  # another ending was quicker
                ended += 1
            # What half-closes and the like have left open.
            stage.pass_time(IDLE_S + 2.0, 2.0)
            assert stage.in_flight() == 0
            assert not stage.endpoints()[0].long_lived.tunnels
            assert stage.context.clients <= (1 if front == "http2" else 0)
        assert stage.pool().counters.requests >= ENDINGS
        stage.running().publish()
        assert stage.board.load_sum(0, L_FAILURES) < ENDINGS
