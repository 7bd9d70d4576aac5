"""The gate in front of a pool: whoever comes is let in, refused or gone, exactly once."""

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.core.admission.gate import Gate
from penstock.core.admission.needs import needs_of
from penstock.core.admission.refusals import DROPPED, FULL, LATE, SHED, Ending
from penstock.core.admission.scheduler import QueueEntry, Scheduler
from penstock.core.admission.waiter import Waiter
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.pool.pool import NO_ROOM, NOBODY, ROOM
from penstock.core.snapshot import Admission, CoDel, LimitChoice, Queue, Shedding

SERVED = Ending(told=True, came=True, whole=True, timed_out=False, status=200, latency_s=0.1)
NOBODY_THERE = -1
GONE = Ending(told=False, came=False, whole=False, timed_out=False, status=0, latency_s=0.0)


class Caller(Waiter):
    """A request for a model."""

    def __init__(self, model: str, importance: int = 64) -> None:
        super().__init__(importance, 0.0)
        self.model = self.needs = model
        self.answers = False  # it has a token


class Site(Gate):
    """A gate before engines of one model each, with so many places.

    With ``rivals``, other workers take the next places that this one believes to be free.
    """

    def __init__(self, spec: Admission, scheduler: Scheduler | None = None, **places: int) -> None:
        super().__init__(spec, Env(Random(1), 100.0), scheduler)
        self.places = places
        self.engines = {model: Endpoint(model) for model in places}
        self.preempted: list[Caller] = []
        self.running: list[Caller] = []
        self.down: set[str] = set()
        self.rivals = 0
        self.refused: list[tuple[Caller, int]] = []
        self.waits: list[float] = []
        self.queued = 0

    def room(self, waiter: Waiter) -> int:
        assert isinstance(waiter, Caller)
        if waiter.model in self.down:
            return NOBODY
        busy = [each for each in self.running if each.model == waiter.model]
        return ROOM if len(busy) < self.places[waiter.model] else NO_ROOM

    def come(self, caller: Caller) -> Caller:
        if self.admits(caller):
            self.begin(caller)
        return caller

    def begin(self, caller: Caller) -> None:
        taken = self.rivals > 0
        self.rivals -= taken
        if taken or self.room(caller) != ROOM:
            if not self.takes_back(caller):
                self.refused.append((caller, NOBODY_THERE))
                if caller.gate is not None:
                    self.left(caller, GONE)
            return
        self.running.append(caller)

    def on_admitted(self, waiter: Waiter) -> None:
        assert isinstance(waiter, Caller)
        self.begin(waiter)

    def held(self, waiter: Waiter) -> Endpoint | None:
        assert isinstance(waiter, Caller)
        return None if waiter.answers else self.engines[waiter.model]

    def usable(self, waiter: Waiter) -> list[Endpoint]:
        assert isinstance(waiter, Caller)
        return [self.engines[waiter.model]]

    def on_preempted(self, waiter: Waiter) -> None:
        assert isinstance(waiter, Caller)
        self.running.remove(waiter)
        self.preempted.append(waiter)

    def answer(self, caller: Caller) -> None:
        caller.answers = True
        self.begun(caller)

    def on_turned_away(self, waiter: Waiter, reason: int, why: str) -> None:
        assert isinstance(waiter, Caller)
        self.refused.append((waiter, reason))

    def on_waited(self, waiter: Waiter) -> None:
        self.waits.append(waiter.queued_s)

    def on_queued(self) -> None:
        self.queued += 1

    def end(self, caller: Caller) -> None:
        self.running.remove(caller)
        self.left(caller, SERVED)

    def pass_time(self, seconds: float) -> None:
        self.env.now += seconds
        self.observe()


def with_queue(length: int = 100, timeout_s: float = 1.0, **settings: object) -> Admission:
    return Admission(queue=Queue(length, timeout_s, **settings))  # type: ignore[arg-type]


def test_one_that_finds_no_room_is_told_so_when_its_time_is_over() -> None:
    """Though another engine idles all the while, which is of no use to it."""
    site = Site(with_queue(), a=1, b=1)
    site.come(Caller("a"))
    second = site.come(Caller("a"))
    for _ in range(20):
        site.pass_time(0.1)
        site.go_on()
    assert site.refused == [(second, LATE)]
    assert site.waits == []
    assert site.queued == 1


def test_nobody_is_held_up_by_who_waits_for_something_else() -> None:
    site = Site(with_queue(), a=1, b=1)
    busy = [site.come(Caller("a")), site.come(Caller("b"))]
    for_a, for_b = site.come(Caller("a")), site.come(Caller("b"))
    site.end(busy[1])
    assert for_b in site.running
    assert for_a not in site.running
    site.end(busy[0])
    assert for_a in site.running


def test_one_that_comes_when_there_is_room_for_it_does_not_wait_for_the_others() -> None:
    site = Site(with_queue(), a=1, b=1)
    site.come(Caller("a"))
    site.come(Caller("a"))
    assert site.come(Caller("b")) in site.running


def test_one_that_comes_back_keeps_its_place_its_time_and_its_one_wait() -> None:
    """Other workers are faster again and again."""
    site = Site(with_queue(), a=1)
    site.places["a"] = 0
    first, second = site.come(Caller("a")), site.come(Caller("a"))
    site.places["a"] = 1
    for _ in range(8):
        site.rivals = 1
        site.pass_time(0.1)
    assert site.running == []
    assert site.waits == []
    site.pass_time(0.1)
    assert site.running == [first]
    assert site.waits == [pytest.approx(0.9)]
    assert site.queued == 2
    site.pass_time(0.2)
    assert site.refused == [(second, LATE)]
    assert second.queued_s == pytest.approx(1.1)


def test_a_round_does_not_ask_again_for_what_came_back() -> None:
    site = Site(with_queue(), a=0)
    for _ in range(50):
        site.come(Caller("a"))
    site.places["a"] = 1
    site.rivals = 1000
    site.go_on()
    assert site.rivals == 999


def test_those_that_wait_go_on_waiting_while_the_last_endpoint_blinks() -> None:
    site = Site(with_queue(timeout_s=20.0), a=2)
    callers = [site.come(Caller("a")) for _ in range(10)]
    site.down.add("a")
    for caller in callers[:2]:
        site.end(caller)
    site.pass_time(1.4)
    assert site.refused == []
    site.down.clear()
    site.go_on()
    while site.running:
        site.end(site.running[0])
    assert len(site.waits) == 8


@pytest.mark.parametrize("while_down", ["refuse", "wait"])
def test_whether_new_ones_wait_while_nothing_is_up_is_a_setting(while_down: str) -> None:
    site = Site(with_queue(while_down=while_down), a=1)
    site.down.add("a")
    caller = Caller("a")
    goes_on = site.admits(caller)
    assert goes_on == (while_down == "refuse"), "it goes on to be told that nobody is there"
    assert site.waiting() == (0 if goes_on else 1)
    if goes_on:
        assert not site.takes_back(caller)


def test_nobody_is_waited_for_under_a_limit_either() -> None:
    one = LimitChoice("aimd", {"initial": 1.0, "minimum": 1.0, "maximum": 1.0})
    site = Site(Admission(queue=Queue(), limit=one), a=1, b=1)
    running = site.come(Caller("b"))
    site.down.add("a")
    refused = site.come(Caller("a"))
    assert site.refused == [(refused, NOBODY_THERE)]
    waits = site.come(Caller("b"))
    site.end(running)
    assert site.running == [waits], "the place under the limit was not given away"


def test_a_request_that_failed_waits_for_another_endpoint_for_what_is_left_of_its_time() -> None:
    site = Site(with_queue(timeout_s=1.0), a=1)
    first = site.come(Caller("a"))
    second = site.come(Caller("a"))
    site.pass_time(0.7)
    site.end(first)
    assert site.running == [second]
    site.pass_time(60.0)  # it is served, and fails
    site.running.remove(second)
    site.places["a"] = 0
    assert site.takes_back(second)
    site.pass_time(0.25)
    assert site.refused == []
    site.pass_time(0.1)
    assert site.refused == [(second, LATE)]
    assert site.waits == [pytest.approx(0.7)], "one wait for each"


def test_a_reload_keeps_those_that_wait_in_order_with_their_time() -> None:
    """Also where fewer may wait from now on."""
    site = Site(with_queue(10, 1.0), a=1)
    site.come(Caller("a"))
    waiting = [site.come(Caller("a")) for _ in range(5)]
    site.pass_time(0.4)
    heir = Site(with_queue(2, 1.0), a=1)
    heir.env.now = site.env.now
    site.dissolve(heir)
    assert heir.waiting() == 5
    heir.go_on()
    heir.pass_time(0.25)
    heir.end(heir.running[0])
    assert heir.running == [waiting[1]]
    assert heir.waits == [pytest.approx(0.4), pytest.approx(0.65)]
    heir.pass_time(0.4)
    assert heir.refused == [(each, LATE) for each in waiting[2:]]


def test_the_expected_wait_is_that_of_equals() -> None:
    """Not of those more important, of whom none may wait."""
    site = Site(with_queue(timeout_s=60.0), a=1)
    running = site.come(Caller("a"))
    for _ in range(10):
        site.come(Caller("a"))
    for _ in range(5):
        site.pass_time(1.0)
        site.end(running)
        running = site.running[0]
    assert site.expected_wait_s(Caller("a")) == pytest.approx(5.0)
    assert site.expected_wait_s(Caller("a", importance=0)) == 0.0


def test_one_that_queued_among_many_that_did_not_is_no_overload() -> None:
    spec = Admission(queue=Queue(), shedding=Shedding(), priority_header="x-priority")
    site = Site(spec, a=1)
    first = site.come(Caller("a"))
    site.come(Caller("a"))
    site.pass_time(0.03)
    site.end(first)
    site.end(site.running[0])
    for _ in range(1500):
        site.end(site.come(Caller("a")))
    site.pass_time(1.0)
    assert site.admits(Caller("a"))
    assert site.refused == []


def test_time_spent_in_vain_is_overload_too() -> None:
    """Where nobody is served, those whose time ran out are all that tells of it."""
    spec = Admission(queue=Queue(timeout_s=0.5), shedding=Shedding(), priority_header="x-priority")
    site = Site(spec, a=0)
    for importance in range(100):
        site.come(Caller("a", importance))
    site.pass_time(0.6)
    site.pass_time(1.0)
    site.come(Caller("a", 99))
    assert site.refused[-1][1] == SHED


def test_what_left_the_queue_is_not_kept_by_it() -> None:
    """Deadlines are forgotten later; the request, with its body, at once."""
    site = Site(with_queue(timeout_s=1e6), a=0)
    caller = site.come(Caller("a"))
    waiting = caller.entry
    assert isinstance(waiting, QueueEntry)
    site.left(caller, GONE)
    assert caller.entry is None
    assert waiting.item is None


def test_what_a_request_can_use_is_told_apart() -> None:
    a, b = Endpoint("a"), Endpoint("b")
    told = {
        needs_of("m"),
        needs_of("other"),
        needs_of("m", [a]),
        needs_of("m", [a, b]),
        needs_of("m", None, "a"),
    }
    assert len(told) == 5
    assert needs_of("m", [b, a]) == needs_of("m", [a, b])
    assert needs_of("m", []) == needs_of("m")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "end", "leave", "pass", "blink", "rival", "reload", "answer"]),
        st.sampled_from("ab"),
        st.integers(0, 2),
        st.floats(0.0, 1.5),
    ),
    max_size=60,
)
SPECS = st.sampled_from(
    [
        with_queue(4, 1.0),
        with_queue(4, 1.0, while_down="wait", newest_first_above=0.5),
        with_queue(4, 1.0, codel=CoDel()),
        with_queue(4, 1.0, preemptions=1),
        Admission(
            queue=Queue(4, 1.0, preemptions=2),
            limit=LimitChoice("aimd", {"initial": 2.0, "minimum": 1.0, "maximum": 2.0}),
        ),
        Admission(
            queue=Queue(4, 1.0),
            limit=LimitChoice("aimd", {"initial": 2.0, "minimum": 1.0, "maximum": 3.0}),
        ),
    ]
)


@given(SPECS, STEPS)
@example(  # the first came back, and there seems to be room
    with_queue(4, 1.0), [("rival", "a", 2, 0.0), ("come", "a", 0, 0.0), ("come", "a", 0, 0.0)]
)
def test_everybody_is_let_in_refused_or_gone_exactly_once(
    spec: Admission, steps: list[tuple[str, str, int, float]]
) -> None:
    site = Site(spec, a=1, b=2)
    most = spec.queue.preemptions if spec.queue is not None else 0
    came: list[Caller] = []
    gone: list[Caller] = []
    ended: list[Caller] = []
    for verb, model, number, seconds in steps:
        waiting = [caller for caller in came if caller.entry is not None]
        if verb == "come":
            came.append(site.come(Caller(model, number)))
        elif verb == "end" and site.running:
            ended.append(site.running[number % len(site.running)])
            site.end(ended[-1])
        elif verb == "leave" and waiting:
            gone.append(waiting[number % len(waiting)])
            site.left(gone[-1], GONE)
        elif verb == "answer" and site.running:
            site.answer(site.running[number % len(site.running)])
        elif verb == "pass":
            site.pass_time(seconds)
        elif verb == "blink":
            site.down ^= {model}
            site.go_on()
        elif verb == "rival":
            site.rivals = number
        elif verb == "reload":
            before = site
            site = Site(spec, None, **before.places)
            site.env.now = before.env.now
            site.down, site.refused, site.waits = before.down, before.refused, before.waits
            site.running, site.queued = before.running, before.queued
            before.dissolve(site)
        waiting = [caller for caller in came if caller.entry is not None]
        refused = [caller for caller, _ in site.refused]
        everybody = [*waiting, *refused, *gone, *site.running, *ended]
        assert sorted(map(id, everybody)) == sorted(map(id, came)), verb
        assert site.waiting() == len(waiting)
        assert all(why in (FULL, LATE, DROPPED, NOBODY_THERE) for _, why in site.refused)
        assert len(site.waits) <= site.queued, "one wait for each at most"
        assert all(caller.queued_s <= 1.0 + 1.5 + 1e-9 for caller in came)
        assert all(caller.preempted <= most for caller in came)
        if spec.queue is not None and spec.queue.newest_first_above == 1.0 and not most:
            for one in waiting:
                behind = came[came.index(one) :]
                assert not [
                    each
                    for each in site.running
                    if each in behind and each.needs == one.needs
                    if each.importance >= one.importance
                ], "overtaken by who needs the same and is no more important"


class LastComeFirst(Scheduler):
    """Another order than the queue's, over whatever it likes to keep."""

    def __init__(self) -> None:
        self.line: list[QueueEntry] = []
        self.places_freed = 0

    def waiting(self) -> int:
        return len(self.line)

    def push(self, entry: QueueEntry, now: float, *, kept: bool = False) -> QueueEntry | None:
        self.line.append(entry)
        return None

    def next_in_line(self, now: float) -> list[QueueEntry]:
        return self.line[-1:]

    def take(self, entry: QueueEntry, now: float) -> bool:
        self.line.remove(entry)
        return True

    def served(self, needs: str, now: float) -> None:
        pass

    def freed(self, now: float) -> None:
        self.places_freed += 1

    def turned_away(self, now: float) -> list[QueueEntry]:
        return []

    def waits_before(self, importance: int, needs: str) -> bool:
        return bool(self.line)


def test_another_scheduler_may_decide_who_goes_on_next() -> None:
    scheduler = LastComeFirst()
    site = Site(with_queue(), scheduler, a=1)
    running = site.come(Caller("a"))
    first, second = site.come(Caller("a")), site.come(Caller("a"))
    site.end(running)
    assert site.running == [second]
    assert scheduler.places_freed == 1
    site.end(second)
    assert site.running == [first]
