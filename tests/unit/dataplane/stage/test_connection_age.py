"""HTTP/2 connections are not used for ever: servers that are new behind a name get their share."""

from random import Random

from penstock.core.snapshot import Connections, PoolTimeouts, Snapshot
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import get
from tests.harness.world import world

AGE_S = 100.0
EARLIEST_S = 80.0  # of an age of 100 s
LATEST_S = 120.0


def aging(age_s: float = AGE_S, **settings: object) -> Snapshot:
    timeouts = PoolTimeouts(http2_connection_age_s=age_s, stream_idle_s=0.0, first_byte_s=0.0)
    kept = Connections(idle_timeout_s=0.0)
    return world(pool_of(member(0, http2=True), timeouts=timeouts, connections=kept, **settings))


class Site:
    """A stage whose one endpoint speaks HTTP/2; ``ends`` are its connections, in order."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ends: list[Http2Peer] = []
        self._asked: dict[int, int] = {}

    def ask(self) -> tuple[End, int, int]:
        """A client's request; with it the number of the connection, and the stream there."""
        client = self.stage.client()
        self.stage.send(client, get())
        for end in self.stage.servers[0].accepted[len(self.ends) :]:
            self.ends.append(Http2Peer(self.stage, end, server=True))
        for number, peer in enumerate(self.ends):
            peer.pump()
            newest = max(peer.heard, default=0)
            if newest > self._asked.get(number, 0):
                self._asked[number] = newest
                return client, number, newest
        raise AssertionError("no endpoint was asked")

    def answer(self, number: int, stream: int) -> None:
        self.ends[number].answer(stream, end=True)

    def exchange(self) -> int:
        """A whole one; the number of the connection that it was on."""
        client, number, stream = self.ask()
        self.answer(number, stream)
        assert self.stage.received(client).startswith(b"HTTP/1.1 200 ")
        return number


def test_requests_move_to_a_fresh_connection_when_theirs_is_old() -> None:
    with Stage(aging()) as stage:
        site = Site(stage)
        assert site.exchange() == 0
        stage.pass_time(EARLIEST_S - 1.0)
        assert site.exchange() == 0
        stage.pass_time(LATEST_S - EARLIEST_S + 1.0)
        assert site.exchange() == 1
        site.ends[0].pump()
        assert site.ends[0].goaway
        assert not site.ends[1].goaway


def test_an_old_connection_ends_with_its_last_stream_and_cuts_none() -> None:
    with Stage(aging()) as stage:
        site = Site(stage)
        first, number, first_stream = site.ask()
        second, _, second_stream = site.ask()
        stage.pass_time(LATEST_S)
        assert site.exchange() == 1
        for client, stream in ((first, first_stream), (second, second_stream)):
            site.ends[number].pump()
            assert not site.ends[number].goaway
            site.answer(number, stream)
            assert stage.received(client).startswith(b"HTTP/1.1 200 ")
        site.ends[number].pump()
        assert site.ends[number].goaway


def test_an_old_connection_that_nobody_uses_is_closed_without_a_request() -> None:
    with Stage(aging()) as stage:
        site = Site(stage)
        site.exchange()
        stage.pass_time(LATEST_S)
        site.ends[0].pump()
        assert site.ends[0].goaway


def test_ages_differ_so_that_connections_do_not_end_together() -> None:
    """gRPC, which spreads them by a tenth, calls the other thing a connection storm (A9)."""

    def retired(seed: int) -> float:
        with Stage(aging(), rng=Random(seed)) as stage:
            site = Site(stage)
            site.exchange()
            began = stage.system.now
            while not site.ends[0].goaway:
                stage.pass_time(1.0)
                site.ends[0].pump()
            return stage.system.now - began

    found = [retired(seed) for seed in range(6)]
    assert all(EARLIEST_S <= age <= LATEST_S + 1.0 for age in found)
    assert max(found) - min(found) > 5.0


def test_age_can_be_turned_off() -> None:
    with Stage(aging(0.0)) as stage:
        site = Site(stage)
        site.exchange()
        stage.pass_time(100 * LATEST_S, 100.0)
        assert site.exchange() == 0
