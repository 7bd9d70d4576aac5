"""A more important request takes the place of one that another worker let in, and of one only."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock._form import form
from penstock.dataplane.board.layout import P_PREEMPTED
from tests.unit.dataplane.test_shared_queue import SERVED, Asked, Site

pytestmark = pytest.mark.skipif(
    form() == "compiled",
    reason="owners are traits, which no test can inherit compiled",
)


@pytest.fixture
def site() -> Iterator[Site]:
    """Three workers before an endpoint that takes two requests."""
    made = Site(3, 2, preemptions=1)
    yield made
    made.close()


def ask(site: Site, worker: int, name: str, importance: int) -> Asked:
    site.now += 0.001
    return site.workers[worker].ask(name, importance=importance)


def running(site: Site) -> list[str]:
    return sorted(asked.name for worker in site.workers for asked in worker.running)


def counted(site: Site) -> list[int]:
    return [worker.counters.values[P_PREEMPTED] for worker in site.workers]


def test_a_place_of_another_worker_is_given_up_once_and_counted_there(site: Site) -> None:
    for name in ("low", "other"):
        ask(site, 0, name, 9)
    ask(site, 1, "high", 0)
    site.settle()
    assert running(site) == ["high", "low"]
    assert [asked.name for asked in site.preempted] == ["other"]
    assert counted(site) == [1, 0, 0]
    site.workers[1].end(site.workers[1].running[0])
    site.settle()
    assert running(site) == ["low", "other"]


def test_of_all_workers_the_least_important_and_newest_loses_its_place(site: Site) -> None:
    for worker, (name, importance) in enumerate([("middle", 5), ("least", 9)]):
        ask(site, worker, name, importance)
    ask(site, 0, "first", 0)
    site.settle()
    assert running(site) == ["first", "middle"]
    ask(site, 1, "second", 0)
    site.settle()
    assert running(site) == ["first", "second"]
    assert counted(site) == [1, 1, 0]


def test_each_of_many_that_come_at_once_takes_one_place(site: Site) -> None:
    for worker in (0, 1):
        ask(site, worker, f"low {worker}", 9)
    for worker in (2, 2, 0, 1):
        ask(site, worker, f"high {worker}", 1)
    site.settle()
    assert sum(counted(site)) == 2
    assert all(name.startswith("high") for name in running(site))


def test_one_that_got_its_token_while_it_was_asked_for_keeps_its_place(site: Site) -> None:
    low, other = ask(site, 0, "low", 9), ask(site, 0, "other", 9)
    ask(site, 1, "high", 0)
    site.workers[1].batch()  # calls
    site.workers[0].batch()  # offers
    site.workers[2].batch()
    site.workers[1].batch()  # takes
    for asked in (low, other):
        asked.has_token = True
    site.settle()
    assert running(site) == ["low", "other"]
    assert counted(site) == [0, 0, 0]
    site.workers[0].end(low)
    site.settle()
    assert running(site) == ["high", "other"]


def test_equals_and_those_with_a_token_keep_their_places(site: Site) -> None:
    ask(site, 0, "equal", 5)
    ask(site, 0, "answers", 9).has_token = True
    ask(site, 1, "waits", 5)
    site.settle()
    assert running(site) == ["answers", "equal"]


def test_a_worker_that_hangs_holds_up_a_call_for_a_moment(site: Site) -> None:
    for name in ("low", "other"):
        ask(site, 0, name, 9)
    site.settle()
    ask(site, 1, "high", 0)
    for _ in range(4):
        for worker in (site.workers[0], site.workers[1]):  # the third does nothing more
            worker.batch()
    assert running(site) == ["low", "other"]
    site.now += 0.25
    for _ in range(4):
        for worker in (site.workers[0], site.workers[1]):
            worker.sweep()
            worker.batch()
    assert "high" in running(site)


def test_workers_that_nobody_wakes_see_a_call_by_themselves(site: Site) -> None:
    """Those of another version, during an upgrade."""
    for name in ("low", "other"):
        ask(site, 0, name, 9)
    site.settle()
    site.board.wakers.descriptors = []
    ask(site, 1, "high", 0)
    for _ in range(6):
        site.now += 0.25
        for worker in site.workers:
            worker.sweep()
            worker.admission.flush()
    assert "high" in running(site)


def test_the_call_of_a_client_that_left_takes_nobodys_place(site: Site) -> None:
    for name in ("low", "other"):
        ask(site, 0, name, 9)
    high = ask(site, 1, "high", 0)
    site.workers[1].batch()
    site.workers[0].batch()
    site.workers[1].admission.left(high.waiter, SERVED)
    site.settle()
    assert running(site) == ["low", "other"]
    assert counted(site) == [0, 0, 0]


def test_the_call_of_a_worker_that_died_is_forgotten(site: Site) -> None:
    for name in ("low", "other"):
        ask(site, 0, name, 9)
    ask(site, 1, "high", 0)
    site.workers[1].batch()
    site.kill(1)
    site.settle()
    assert running(site) == ["low", "other"]


def test_under_an_adaptive_limit_a_place_of_another_worker_changes_hands() -> None:
    site = Site(2, 1, limited=True, preemptions=1)
    ask(site, 0, "low", 9)
    ask(site, 1, "high", 0)
    site.settle()
    assert running(site) == ["high"]
    site.workers[1].end(site.workers[1].running[0])
    site.settle()
    assert running(site) == ["low"]
    site.close()


class Callers(RuleBasedStateMachine):
    """In whatever order workers do their steps: no bound is passed, nobody loses more places than
    it may, and at rest nobody waits whom one without a token could make room."""

    @initialize(bound=st.integers(1, 3), workers=st.integers(2, 3))
    def begin(self, bound: int, workers: int) -> None:
        self.site = Site(workers, bound, preemptions=1)

    @rule(worker=st.integers(0, 2), importance=st.integers(0, 3))
    def ask(self, worker: int, importance: int) -> None:
        ask(self.site, worker % len(self.site.workers), "", importance)

    @rule(worker=st.integers(0, 2))
    def batch(self, worker: int) -> None:
        self.site.workers[worker % len(self.site.workers)].batch()

    @rule(worker=st.integers(0, 2), which=st.integers(0, 9))
    def answer(self, worker: int, which: int) -> None:
        one = self.site.workers[worker % len(self.site.workers)]
        if one.running:
            chosen = one.running[which % len(one.running)]
            chosen.has_token = True
            one.admission.begun(chosen.waiter)

    @rule(worker=st.integers(0, 2), which=st.integers(0, 9))
    def end(self, worker: int, which: int) -> None:
        one = self.site.workers[worker % len(self.site.workers)]
        if one.running:
            one.end(one.running[which % len(one.running)])

    @rule()
    def rest(self) -> None:
        site = self.site
        for _ in range(3):
            site.settle()
            site.now += 0.25
            for worker in site.workers:
                worker.sweep()
        site.settle()
        if site.waiting():
            assert site.running() == site.bound

    @invariant()
    def bounds_hold(self) -> None:
        if hasattr(self, "site"):
            assert self.site.running() <= self.site.bound
            assert all(asked.waiter.preempted <= 1 for asked in self.site.preempted)
            assert sum(counted(self.site)) == len(self.site.preempted)

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.site.close()


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
