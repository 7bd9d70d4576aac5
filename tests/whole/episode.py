"""One run of the whole: a worker, its clients and its endpoints, and what must hold of them."""

import io
import os
import sys
from random import Random

import msgspec

from penstock.core.health.health import UP
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import S_DRAINING, S_HEALTH, S_WEIGHT_PPM
from penstock.dataplane.board.memory import create_board
from penstock.dataplane.client.listener import Listener
from penstock.dataplane.context import Context
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.worker.serving import Worker
from tests.harness.fake.stage import address_of
from tests.whole.book import Book
from tests.whole.disturbances import Disturbances
from tests.whole.http1 import Http1Client
from tests.whole.http1_endpoint import Http1Endpoint
from tests.whole.http2 import Http2Client, Http2Endpoint
from tests.whole.kernel import Far, Kernel, Place
from tests.whole.laws import (
    check_alarms,
    check_budgets,
    check_counters,
    check_held,
    check_limits,
    check_places,
)
from tests.whole.ledger import Ledger
from tests.whole.party import Party
from tests.whole.tunnels import TcpClient, TcpEndpoint
from tests.whole.wishes import a_generation, anything
from tests.whole.worlds import ALL_ROWS, ROWS, STREAM_ROWS, Bookkeeper, Setting

EPISODE_STEPS = 2000
_ASKING = (Http1Client, Http2Client, TcpClient)
_MOST_CLIENTS = 6
_LOOK_EVERY = 64  # steps
_MOST_ROUNDS = 20_000  # until all that is left to do is done
_STEPS_BEHIND_STOP = 200
_IDLE_S = 700.0  # longer than anything idle is kept


class Failed(AssertionError):
    """A law was broken; the message tells how to see it again."""


class _Bugs(io.StringIO):
    """In place of standard error, where the loop says what it caught."""


class Episode(Disturbances):
    """``with Episode(seed) as episode: episode.run(steps)``."""

    def __init__(self, seed: int, loses: float = 0.0) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.calm = self.rng.random() < 0.4
        self.steps = 0
        self._most = 0  # before the worker may stop
        self.acts = 0  # of clients and endpoints
        self.shown = 60  # events, of a run that failed
        self.kernel = Kernel(self.rng, self.calm)
        self.kernel.loses = loses
        self.book = Book(self.kernel)
        self.setting = Setting(self.rng, self.calm)
        if self.setting.limits and not self.calm:
            self.book.disturb("limits")
        if not self.calm and "admission" in self.setting.settings:
            self.book.disturb("a short queue")
        Bookkeeper.forget()
        self.board = create_board(workers=1, endpoint_rows=ALL_ROWS, pool_rows=4)
        for row in range(ALL_ROWS):
            place = Place(self.kernel, row)
            self.kernel.places.append(place)
            self.kernel.servers[address_of(row)] = place  # type: ignore[assignment]
            self.board.cells[self.board.state(row) + S_HEALTH] = UP
            self.board.cells[self.board.state(row) + S_WEIGHT_PPM] = 1_000_000
        self.context = Context(self.board, 0, os.getpid(), self.kernel)
        self.loop = self.context.loop
        self.kernel.made_poller.stop = self.loop.stop
        self.ledger = Ledger(self.kernel, self.context)
        self.worker = Worker(self.context)
        self.loop.chores += [self.worker, self.context.log]
        self.loop.batch_chores.append(self.worker)
        self.listening = self.kernel.listen()
        self.streams = self.kernel.listen()
        self._generation = 0
        self.rows = list(range(ROWS))
        self.apply(self.setting.snapshot(self.rows), self.listening.fd, self.streams.fd)
        self.parties: list[Party] = []
        self.clients = 0  # among them
        self.asks = True
        self.quiet = False  # endpoints do what they are asked
        self._stderr = sys.stderr
        self._bugs = _Bugs()

    def __enter__(self) -> "Episode":
        sys.stderr = self._bugs
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._stderr
        os.close(self.board.fd)

    def run(self, steps: int) -> None:
        """So many steps, and to the end. Raises Failed."""
        self._most = steps
        try:
            for _ in range(steps):
                self.step()
            if self.random() < 0.3:
                self._retire()
            self.end()
        except AssertionError as error:
            raise Failed(self._told(error)) from error

    def _told(self, error: AssertionError) -> str:
        lines = [
            f"{at:.4f}  {' '.join(str(each) for each in said)}"
            for at, said in list(self.kernel.events)[-self.shown :]
        ]
        kind = "calm" if self.calm else f"disturbed by {self.book.disturbed or 'nothing'}"
        steps = max(min(self.steps, self._most), 1)
        again = f"python -m tests.whole --seed {self.seed} --steps {steps}"
        return "\n".join([*lines, f"after {self.steps} steps ({kind}): {error}", again])

    # --- steps ------------------------------------------------------------------------------

    def step(self) -> None:
        self.steps += 1
        roll = self.random()
        kernel = self.kernel
        kernel.now += roll * 0.002
        if roll < 0.94:
            self._someone_acts()
        elif roll < 0.97:
            if self.ledger.is_asked:
                self.ledger.answer()
            elif kernel.connecting:
                kernel.someone_gets_through(self.calm or roll < 0.965)
        elif roll < 0.995 or self.calm:
            kernel.now += 0.02 * self.random()
        else:
            self.disturb()
        if roll > 0.2:
            self.turn()
        if self.steps % _LOOK_EVERY == 0:
            self.look()

    def _someone_acts(self) -> None:
        parties = self.parties
        if self.kernel.arrived:
            self._take_arrived()
        if self.clients < _MOST_CLIENTS and self.random() < 0.05:
            self._client_comes()
        for _ in range(8):
            if not parties:
                self._client_comes()
            if not parties:
                return
            at = int(self.random() * len(parties))
            party = parties[at]
            if party.act():
                self.acts += 1
                return
            if party.over:
                self._drop(at)

    def _drop(self, at: int) -> None:
        party = self.parties[at]
        self.parties[at] = self.parties[-1]
        self.parties.pop()
        if party.kind == "client":
            self.clients -= 1

    def _client_comes(self) -> None:
        if not self.asks:
            return
        streams = self.random() < self.setting.streams_share
        far = self.kernel.come(self.streams if streams else self.listening)
        self.parties.append(TcpClient(self.book, far) if streams else self._client(far))
        self.clients += 1

    def _client(self, far: Far) -> Party:
        wish = a_generation if self.random() < self.setting.models_share else anything
        if self.random() < self.setting.http2_share:
            return Http2Client(self.book, far, wish)
        return Http1Client(self.book, far, self.setting.upgrades, wish)

    def _take_arrived(self) -> None:
        for far in self.kernel.arrived:
            self.parties.append(self._endpoint(far))
        self.kernel.arrived.clear()

    def _endpoint(self, far: Far) -> Party:
        fails = 0.0 if self.calm or self.quiet else 0.03
        if far.row in STREAM_ROWS:
            return TcpEndpoint(self.book, far)
        if far.row in self.setting.http2_rows:
            return Http2Endpoint(self.book, far, fails)
        return Http1Endpoint(self.book, far, fails)

    def turn(self) -> None:
        """One batch of events, and the sweep if it is due."""
        self.loop.run()
        if self.kernel.closed:
            self.kernel.forget_closed()

    # --- the world --------------------------------------------------------------------------

    def apply(self, snapshot: Snapshot, *listening: int) -> None:
        self._generation += 1
        snapshot = msgspec.structs.replace(snapshot, generation=self._generation)
        names = ["main", "streams"] if listening else []
        self.ledger.configure(snapshot)
        self.worker.configure(msgspec.to_builtins(snapshot), names, list(listening))

    def _retire(self) -> None:
        """The worker stops, and what runs goes on for a while."""
        self.kernel.note("--- the worker stops")
        self.book.disturb("a stop")
        self.asks = False
        self.worker.stop(20.0, self.rng.choice((0.0, 3.0)))
        for _ in range(_STEPS_BEHIND_STOP):
            self.step()

    # --- laws -------------------------------------------------------------------------------

    def endpoints(self) -> list[LiveEndpoint]:
        running = self.worker.running
        assert running is not None
        members = [each for pool in running.pools.values() for each in pool.members]
        return [*running.finishing, *members]

    def look(self) -> None:
        """What holds at any time between two batches."""
        bugs = self._bugs.getvalue()
        assert not bugs, f"a bug was caught:\n{bugs}"
        endpoints = self.endpoints()
        counted = sum(each.connector.open_connections for each in endpoints) + self.context.clients
        queued = [*self.listening.queue, *self.streams.queue]
        there = self.kernel.descriptors() - sum(not each.closed for each in queued)
        assert counted == there, f"{there} connections are open, and {counted} are counted"
        for each in self.loop.by_fd.values():
            check_held(each)
        if self.setting.keeps_book:
            load = sum(each.in_flight for each in endpoints)
            running = len(Bookkeeper.running)
            assert load == running, f"{running} tickets are open, and the load is {load}"

    # --- the end ----------------------------------------------------------------------------

    def end(self) -> None:
        """Everybody does what is left to do: all that was asked ends, and nothing stays behind."""
        kernel = self.kernel
        kernel.note("--- from here on all goes well")
        self.asks = False
        self.quiet = True
        kernel.calm_down()
        self.ledger.manner = "at once"
        self._all_is_well()
        self._finish()
        for party in list(self.parties):
            if party.kind == "client":
                party.leave("close")
        self._until_quiet()
        waiting = [each.number for each in self.book.asked if not each.ended]
        assert not waiting, f"requests {waiting} neither ended nor are asked any more"
        self.look()
        load = sum(each.in_flight for each in self.endpoints())
        assert load == 0, f"all is over, and the load is {load}"
        check_alarms(self.loop)
        check_counters(self.worker)
        check_limits(self.context.limits)
        self.pass_time(_IDLE_S)
        self.look()
        self._check_idle()
        check_places(self.ledger, self.setting.limits)
        if self.book.harmless and not self.setting.hedges:
            check_budgets(self.ledger, self.setting.limits, self.book)
        self._stop()

    def _all_is_well(self) -> None:
        for row in range(ALL_ROWS):
            self.board.cells[self.board.state(row) + S_HEALTH] = UP
            self.board.cells[self.board.state(row) + S_DRAINING] = 0
            self.board.state_changed(row)

    def _until_quiet(self) -> bool:
        """All events, and what follows; whether anything happened."""
        kernel = self.kernel
        happened = False
        for _ in range(_MOST_ROUNDS):
            moved = False
            while kernel.connecting:
                kernel.someone_gets_through(True)
                moved = True
            if self.ledger.is_asked:
                self.ledger.answer()
                moved = True
            if kernel.arrived:
                self._take_arrived()
            at = 0
            while at < len(self.parties):
                party = self.parties[at]
                moved = party.finish() or moved
                if party.over:
                    self._drop(at)
                else:
                    at += 1
            while kernel.made_poller.ready():
                self.turn()
                moved = True
            if not moved:
                return happened
            happened = True
        raise AssertionError("it goes round for ever")

    def _finish(self) -> None:
        """Until every request has ended: at once, or when a circuit is tried again."""
        for _ in range(40):
            self._until_quiet()
            clients = [each for each in self.parties if isinstance(each, _ASKING)]
            open_ones = [each for each in clients if each.waiting]
            if not open_ones:
                return
            assert self.book.disturbed or self.kernel.faults, f"{open_ones} wait for ever"
            self.pass_time(2.0)
        told = [(party, [each.number for each in party.waiting]) for party in open_ones]
        raise AssertionError(f"wait for ever: {told}")

    def _check_idle(self) -> None:
        left = [each for each in self.loop.by_fd.values() if not isinstance(each, Listener)]
        assert not left, f"kept for ever: {left}"
        assert self.context.clients == 0

    def _stop(self) -> None:
        self.worker.stop(0.0)
        self.worker.finish()
        self.kernel.forget_closed()
        assert self.loop.by_fd == {}, f"still watched: {self.loop.by_fd}"
        left = [each for each in self.kernel.open.values() if not each.closed]
        assert not left, f"descriptors are left: {left}"
        bugs = self._bugs.getvalue()
        assert not bugs, f"a bug was caught:\n{bugs}"
