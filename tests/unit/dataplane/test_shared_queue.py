"""Queues of several workers as one: no bound is passed, and each place goes to the first of all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock._form import form
from penstock.control.workers.ended import forget_running
from penstock.core.admission import create_limit
from penstock.core.admission.limit import ConcurrencyLimit
from penstock.core.admission.refusals import Ending
from penstock.core.caller import Caller
from penstock.core.endpoint import Endpoint as CoreEndpoint
from penstock.core.env import Env
from penstock.core.pool.pool import NO_ROOM, ROOM
from penstock.core.snapshot import Admission as AdmissionSpec
from penstock.core.snapshot import Connections, Endpoint, LimitChoice, PoolTimeouts, Queue
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import H_ENDPOINT_ROWS_USED, H_POOL_ROWS_USED
from penstock.dataplane.board.ledger import BoardLedger
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.board.pool_peers import PoolPeers
from penstock.dataplane.board.wakers import Wakers
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.pool.admission import (
    Admission,
    AdmissionOwner,
    AdmittedExchange,
    ExchangeWaiter,
)
from penstock.dataplane.pool.live_endpoint import LiveEndpoint

pytestmark = pytest.mark.skipif(
    form() == "compiled",
    reason="owners are traits, which no test can inherit compiled",
)

SERVED = Ending(told=True, came=True, whole=True, timed_out=False, status=200, latency_s=0.1)


class Site:
    """Several workers of one board, in one process: each does a step when it is told to.

    ``limited``: it is an adaptive limit that bounds what runs, and the endpoint bounds nothing.
    """

    def __init__(
        self,
        workers: int,
        bound: int,
        *,
        limited: bool = False,
        length: int = 1000,
        preemptions: int = 0,
    ) -> None:
        limit = None
        if limited:
            most = float(bound)
            limit = LimitChoice("aimd", {"initial": most, "minimum": most, "maximum": most})
        self.admission = AdmissionSpec(
            queue=Queue(length=length, timeout_s=1e6, patience_s=0.0, preemptions=preemptions),
            limit=limit,
        )
        self.limited = limited
        self.refused: list[Asked] = []
        self.preempted: list[Asked] = []
        self.board = create_board(workers, endpoint_rows=1, pool_rows=1)
        self.board.cells[H_ENDPOINT_ROWS_USED] = 1
        self.board.cells[H_POOL_ROWS_USED] = 1
        self.bound = bound
        self.eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(workers)]
        self.board.wakers = Wakers(0, self.eventfds)
        self.now = 100.0
        self.admitted: list[Asked] = []
        self.workers = [PoolInWorker(self, index) for index in range(workers)]

    def close(self) -> None:
        os.close(self.board.fd)
        for descriptor in self.eventfds:
            os.close(descriptor)

    def running(self) -> int:
        return sum(len(worker.running) for worker in self.workers)

    def waiting(self) -> int:
        return sum(worker.admission.waiting() for worker in self.workers)

    def kill(self, index: int) -> None:
        """As the supervisor has it: forget what ran, wake the others, start a successor."""
        forget_running(self.board, index)
        for worker in range(len(self.workers)):
            self.board.wakers.wake(worker)
        self.workers[index] = PoolInWorker(self, index)

    def settle(self) -> None:
        """Let every worker do what it has to do, until there is nothing left."""
        for _ in range(50):
            busy = [worker.batch() for worker in self.workers]
            if not any(busy):
                return
        raise AssertionError("workers wake one another for ever")


class PoolInWorker(AdmissionOwner):
    """What a worker has of the pool: its gate, its endpoint, and requests that run."""

    def __init__(self, site: Site, index: int) -> None:
        self.site = site
        self.index = index
        self.env = Env(Random(1), site.now)
        self.loop = Loop(self.env)
        member = Endpoint(name="e", host="127.0.0.1", port=9, row=0, max_in_flight=site.bound)
        connections = ConnectionSettings(PoolTimeouts(), Connections())
        self.endpoint = LiveEndpoint(member, "p", connections, site.board, index, self.loop)
        self.endpoint.max_in_flight = 0 if site.limited else site.bound
        counters = PoolCounters(site.board, 0, index)
        self.counters = counters
        spec = site.admission
        self.admission = Admission(spec, "p", counters, self, self.loop, site.board, 0, index)
        shared = self.admission.shared
        assert shared is not None
        self.queue = shared.queue
        self.heads = shared.heads
        self.running: list[Asked] = []

    def note(self, kind: str, message: str, endpoint: str = "") -> None:
        """Nothing is logged here."""

    def ask(self, name: str = "", *, tenant: str = "", importance: int = 0) -> "Asked":
        self.env.now = self.site.now
        asked = Asked(self, name)
        asked.waiter = ExchangeWaiter(asked, importance, 0.0)
        asked.waiter.caller = Caller(tenant=tenant)
        if self.admission.admits(asked.waiter):
            asked.begin()
        return asked

    def end(self, asked: "Asked") -> None:
        self.env.now = self.site.now
        self.running.remove(asked)
        self.endpoint.release()
        self.admission.left(asked.waiter, SERVED)

    def batch(self) -> bool:
        """Events, and what follows them; False when there is nothing to do."""
        self.env.now = self.site.now
        woken = False
        with suppress(BlockingIOError):
            os.eventfd_read(self.site.eventfds[self.index])
            woken = True
        to_do = woken or self.admission.has_to_flush()
        self.admission.go_on()  # as a worker does with every batch
        if woken:
            self.admission.on_woken()
        if self.admission.has_to_flush():
            self.admission.flush()
        return to_do

    def sweep(self) -> None:
        self.env.now = self.site.now
        self.admission.on_sweep()


class Asked(AdmittedExchange):
    """A request."""

    waiter: ExchangeWaiter
    has_token = False

    def __init__(self, worker: PoolInWorker, name: str) -> None:
        self.worker = worker
        self.name = name

    def room(self) -> int:
        return ROOM if self.worker.endpoint.has_room() else NO_ROOM

    def cost(self) -> float:
        return 1.0

    def cached(self) -> int:
        return 0

    def on_admitted(self) -> None:
        self.begin()

    def begin(self) -> None:
        endpoint = self.worker.endpoint
        endpoint.acquire()
        if endpoint.is_overfull():
            endpoint.release()
            assert self.worker.admission.takes_back(self.waiter)
            return
        self.worker.running.append(self)
        self.worker.site.admitted.append(self)

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        assert "full" in why
        self.worker.site.refused.append(self)

    def usable(self) -> list[CoreEndpoint]:
        return [self.worker.endpoint]

    def held(self) -> CoreEndpoint | None:
        return None if self.has_token else self.worker.endpoint

    def on_preempted(self) -> None:
        self.worker.running.remove(self)
        self.worker.endpoint.release()
        self.worker.site.preempted.append(self)

    def on_crash(self) -> None:
        raise AssertionError("a request crashed")


@pytest.fixture
def site() -> Iterator[Site]:
    """Three workers before an endpoint that takes one request."""
    made = Site(3, 1)
    yield made
    made.close()


def in_order(site: Site, count: int) -> list[str]:
    """Who is served, one after the other, when all that wait are let through."""
    names = []
    for _ in range(count):
        asked = site.admitted[-1]
        site.now += 0.001
        asked.worker.end(asked)
        site.settle()
        names.append(site.admitted[-1].name)
    return names


def test_places_go_to_the_first_of_all_workers(site: Site) -> None:
    """By priority, then by deadline, which is by arrival here; wherever each waits."""
    site.workers[0].ask("runs")
    site.settle()
    for number, (worker, importance) in enumerate([(2, 5), (1, 5), (0, 5), (1, 1), (0, 9), (2, 1)]):
        site.now += 0.001
        site.workers[worker].ask(f"{number}", importance=importance)
        site.settle()
    assert in_order(site, 6) == ["3", "5", "0", "1", "2", "4"]


def test_tenants_share_over_all_workers(site: Site) -> None:
    """One with a queue in each worker gets no more than one that waits in a single one."""
    site.workers[0].ask("runs")
    site.settle()
    for number in range(30):
        site.now += 0.0001
        site.workers[number % 3].ask("wide", tenant="wide")
    for _ in range(10):
        site.now += 0.0001
        site.workers[1].ask("narrow", tenant="narrow")
    site.settle()
    served = in_order(site, 20)
    assert served.count("narrow") == pytest.approx(10, abs=1)


def test_one_that_comes_while_another_waits_elsewhere_waits_behind_it(site: Site) -> None:
    first = site.workers[0].ask("runs")
    site.settle()
    site.workers[1].ask("waits")
    site.settle()
    first.worker.end(first)
    site.now += 0.001
    site.workers[0].ask("came later")  # before the worker of the other has noticed
    site.settle()
    assert [each.name for each in site.admitted] == ["runs", "waits"]


def test_the_places_of_a_dead_worker_go_to_those_who_wait(site: Site) -> None:
    site.workers[0].ask("dies")
    site.settle()
    site.workers[2].ask("waits")
    site.settle()
    site.kill(0)
    site.settle()
    assert site.admitted[-1].name == "waits"


def test_one_who_died_with_the_first_turn_holds_nobody_up(site: Site) -> None:
    """Not even before its supervisor noticed: its head is passed over after a moment."""
    runs = site.workers[0].ask("runs")
    site.settle()
    site.workers[1].ask("dies")
    site.settle()
    site.now += 0.001
    site.workers[2].ask("waits")
    site.settle()
    dead, site.workers[1] = site.workers[1], site.workers[2]  # it does nothing more
    runs.worker.end(runs)
    for _ in range(3):
        site.settle()
        site.now += 0.25
        site.workers[2].sweep()
    assert site.admitted[-1].name == "waits"
    assert dead.admission.waiting() == 1


def test_while_nobody_waits_no_worker_wakes_another(site: Site) -> None:
    for number in range(30):
        asked = site.workers[number % 3].ask()
        asked.worker.end(asked)
        site.settle()
    assert len(site.admitted) == 30
    assert site.board.wakers.woken == 0


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(("ask", "decide", "end")))),
)
@settings(deadline=None, max_examples=60)
def test_workers_that_race_for_places_never_pass_the_bound(
    bound: int, steps: list[tuple[int, str]]
) -> None:
    """In whatever order they count themselves in, look at the others, and leave."""
    site = Site(3, bound)
    asking, running = [0, 0, 0], [0, 0, 0]
    for worker, step in steps:
        endpoint = site.workers[worker].endpoint
        if step == "ask" and asking[worker] == 0:
            endpoint.acquire()
            asking[worker] = 1
        elif step == "decide" and asking[worker]:
            asking[worker] = 0
            if endpoint.is_overfull():
                endpoint.release()
            else:
                running[worker] += 1
        elif step == "end" and running[worker]:
            running[worker] -= 1
            endpoint.release()
        assert sum(running) <= bound
    site.close()


@pytest.mark.parametrize("limited", [False, True])
def test_the_length_of_the_queue_is_that_of_all_workers_together(limited: bool) -> None:
    site = Site(3, 1, limited=limited, length=4)
    site.workers[0].ask("runs")
    for number in range(9):
        site.now += 0.001
        site.workers[number % 3].ask(f"{number}")
        site.settle()
        assert site.waiting() == min(number + 1, 4)
    assert [asked.name for asked in site.refused] == ["4", "5", "6", "7", "8"]
    site.admitted[0].worker.end(site.admitted[0])
    site.settle()
    assert site.waiting() == 3
    site.workers[2].ask("has room again")
    assert site.waiting() == 4
    site.close()


def test_the_room_of_a_dead_workers_queue_is_free() -> None:
    site = Site(3, 1, length=2)
    site.workers[0].ask("runs")
    for _ in range(2):
        site.workers[1].ask("dies")
    site.workers[2].ask("is refused")
    assert len(site.refused) == 1
    site.kill(1)
    site.workers[2].ask("waits")
    assert (len(site.refused), site.waiting()) == (1, 1)
    site.close()


class TestOneLimit:
    """What any worker learns counts for all."""

    def workers(self, name: str, **options: float) -> tuple[Board, list[ConcurrencyLimit]]:
        board = create_board(2, endpoint_rows=1, pool_rows=1)
        limits = [create_limit(name, dict(options)) for _ in range(2)]
        for index, limit in enumerate(limits):
            limit.peers = PoolPeers(board, 0, index, name)
        return board, limits

    def test_those_under_way_anywhere_count(self) -> None:
        board, (one, other) = self.workers("aimd", initial=3.0, minimum=3.0, maximum=3.0)
        assert [one.acquire(), other.acquire(), one.acquire()] == [True, True, True]
        assert not one.acquire()
        assert not other.acquire()
        one.forget()
        assert other.acquire()
        assert (one.in_flight, other.in_flight) == (1, 2)
        os.close(board.fd)

    def test_a_limit_that_fell_at_one_fell_at_all(self) -> None:
        board, (one, other) = self.workers("aimd", initial=20.0, minimum=1.0, maximum=40.0)
        assert one.acquire()
        one.release(0.1, 1.0, dropped=True)
        assert other.acquire()
        assert other.limit == pytest.approx(18.0)
        other.release(0.1, 1.0, dropped=True)
        assert one.acquire()
        assert one.limit == pytest.approx(16.2)
        os.close(board.fd)

    @pytest.mark.parametrize("name", ["aimd", "gradient", "gradient2", "vegas"])
    def test_samples_here_and_there_teach_as_much_as_all_in_one(self, name: str) -> None:
        """A limit over two workers ends where one worker's does that sees the same requests."""
        board, pair = self.workers(name)
        alone = create_limit(name)
        now = 0.0
        for number in range(600):
            latency_s = 0.01 * (1.0 + number % 7 / 10.0)
            now += 0.001
            for _ in range(30):
                alone.acquire()
            for each in pair:
                for _ in range(15):
                    each.acquire()
            for _ in range(alone.in_flight):
                alone.release(latency_s, now)
            for each in pair:
                for _ in range(each.in_flight):
                    each.release(latency_s, now)
        pair[0].catch_up()
        pair[1].catch_up()
        assert pair[0].limit == pair[1].limit
        assert pair[0].limit == pytest.approx(alone.limit, rel=0.35)
        os.close(board.fd)

    def test_what_was_learned_of_another_limit_says_nothing(self) -> None:
        board, (one, _) = self.workers("aimd", initial=20.0, minimum=1.0, maximum=40.0)
        one.acquire()
        one.release(0.1, 1.0, dropped=True)
        other = create_limit("vegas")
        other.peers = PoolPeers(board, 0, 1, "vegas")
        other.catch_up()
        assert other.limit == 20.0
        os.close(board.fd)

    def test_the_successor_of_a_dead_worker_goes_on_from_what_was_learned(self) -> None:
        board, (one, _) = self.workers("aimd", initial=20.0, minimum=1.0, maximum=40.0)
        one.acquire()
        one.release(0.1, 1.0, dropped=True)
        heir = create_limit("aimd", {"initial": 20.0, "minimum": 1.0, "maximum": 40.0})
        heir.peers = PoolPeers(board, 0, 0, "aimd")
        heir.catch_up()
        assert heir.limit == pytest.approx(18.0)
        os.close(board.fd)


class Workers(RuleBasedStateMachine):
    """Whatever the order of their steps: the bound holds, and no place is free while one waits."""

    @initialize(workers=st.integers(2, 4), bound=st.integers(1, 3), limited=st.booleans())
    def begin(self, workers: int, bound: int, limited: bool) -> None:
        self.site = Site(workers, bound, limited=limited)

    def worker(self, number: int) -> PoolInWorker:
        return self.site.workers[number % len(self.site.workers)]

    @rule(
        number=st.integers(0, 3),
        tenant=st.sampled_from(("", "a", "b")),
        importance=st.integers(0, 2),
    )
    def ask(self, number: int, tenant: str, importance: int) -> None:
        self.site.now += 0.0001
        self.worker(number).ask(tenant=tenant, importance=importance)

    @rule(number=st.integers(0, 3), which=st.integers(0, 9))
    def end(self, number: int, which: int) -> None:
        running = self.worker(number).running
        if running:
            self.worker(number).end(running[which % len(running)])

    @rule(number=st.integers(0, 3))
    def batch(self, number: int) -> None:
        self.worker(number).batch()

    @rule(number=st.integers(0, 3))
    def kill(self, number: int) -> None:
        self.site.kill(number % len(self.site.workers))

    @rule()
    def settle(self) -> None:
        """Without a sweep: nobody waits for one."""
        self.site.settle()
        if self.site.waiting():
            assert self.site.running() == self.site.bound

    @rule()
    def serve_one(self) -> None:
        """A place that comes free while all know of all goes to the first of all."""
        site = self.site
        site.settle()
        if not site.waiting():
            return
        site.now += 0.02  # what each has read of the others' counters is old by now
        for worker in site.workers:
            worker.env.now = site.now
        first = min(
            (
                (head.importance, head.turn, head.late, worker.index, rank.entry.item)
                for worker in site.workers
                for rank in worker.queue.ranked(site.now)
                for head in [worker.heads.head_of(rank)]
            ),
            key=lambda each: each[:4],
        )
        running = next(worker.running[0] for worker in site.workers if worker.running)
        running.worker.end(running)
        site.settle()
        assert site.admitted[-1].waiter is first[4]

    @rule(number=st.integers(0, 3))
    def pass_time(self, number: int) -> None:
        self.site.now += 0.25
        self.worker(number).sweep()

    @invariant()
    def the_bound_holds(self) -> None:
        if hasattr(self, "site"):
            assert self.site.running() <= self.site.bound

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.site.close()


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


class TestBoardLedger:
    def ledgers(self, board: Board) -> tuple[BoardLedger, BoardLedger]:
        return BoardLedger(board, 0, "p"), BoardLedger(board, 1, "p")

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        made = create_board(2, endpoint_rows=1, pool_rows=1)
        yield made
        os.close(made.fd)

    def test_sums_and_highest_values_are_of_all_workers(self, board: Board) -> None:
        one, other = self.ledgers(board)
        one.add("a", 2.5)
        other.add("a", 1.0)
        one.tell("a", 3.0)
        other.tell("a", 7.0)
        one.tell("a", 5.0)
        for ledger in (one, other):
            assert ledger.total("a") == pytest.approx(3.5)
            assert ledger.highest("a") == pytest.approx(7.0)
        assert one.total("b") == 0.0

    def test_pools_have_their_own(self, board: Board) -> None:
        one = BoardLedger(board, 0, "p")
        one.add("a", 2.0)
        assert BoardLedger(board, 1, "q").total("a") == 0.0

    def test_it_is_bounded_and_outlives_its_worker(self, board: Board) -> None:
        one, _ = self.ledgers(board)
        for number in range(10_000):
            one.add(f"{number}", 1.0)
        assert BoardLedger(board, 0, "p").total("9999") == pytest.approx(1.0)
