"""Throttles, queues and shedding: who is let in, who waits, who is turned away."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.admission.codel import CoDel
from penstock.core.admission.queue import AdmissionQueue
from penstock.core.admission.scheduler import QueueEntry
from penstock.core.admission.shedding import PriorityShedding
from penstock.core.admission.success_rate import SuccessRateAdmission
from penstock.core.admission.throttle import ClientThrottle
from penstock.core.env import Env


def env(now: float = 100.0) -> Env:
    return Env(Random(1), now)


class TestClientThrottle:
    def test_the_probability_is_as_published(self) -> None:
        throttle = ClientThrottle(k=2.0)
        chance = env()
        for i in range(100):
            throttle.allows(chance)
            if i % 5 == 0:
                throttle.accepted(chance.now)
        assert throttle.refusal_probability(chance.now) == pytest.approx((100 - 2 * 20) / 101)

    def test_nothing_is_refused_while_half_of_it_is_accepted(self) -> None:
        throttle = ClientThrottle(k=2.0)
        chance = env()
        allowed = 0
        for i in range(1000):
            allowed += throttle.allows(chance)
            if i % 2 == 0:
                throttle.accepted(chance.now)
        assert allowed == 1000

    def test_a_backend_that_takes_few_is_sent_about_k_times_as_many(self) -> None:
        """It takes ten a second of the hundred that are wanted."""
        throttle = ClientThrottle(k=2.0)
        chance = env(0.0)
        sent = 0
        for second in range(1200):
            taken = 0
            for i in range(100):
                chance.now = second + i / 100.0
                if throttle.allows(chance):
                    sent += second >= 600
                    if taken < 10:
                        taken += 1
                        throttle.accepted(chance.now)
        assert sent / 600 == pytest.approx(20.0, rel=0.15)

    def test_it_forgets_after_two_minutes(self) -> None:
        throttle = ClientThrottle()
        chance = env()
        for _ in range(100):
            throttle.allows(chance)
        assert throttle.refusal_probability(chance.now) > 0.9
        assert throttle.refusal_probability(chance.now + 121.0) == 0.0


class TestSuccessRateAdmission:
    def ended(self, successes: int, failures: int, **settings: float) -> SuccessRateAdmission:
        gate = SuccessRateAdmission(**settings)
        for i in range(successes + failures):
            gate.ended(i < successes, 100.0)
        return gate

    def test_the_probability_is_as_published(self) -> None:
        gate = self.ended(38, 62, threshold=0.95)
        assert gate.refusal_probability(100.0) == pytest.approx((100 - 40) / 101)
        gate = self.ended(38, 62, threshold=0.95, aggression=2.0)
        assert gate.refusal_probability(100.0) == pytest.approx((60 / 101) ** 0.5)

    def test_success_at_the_threshold_is_let_in(self) -> None:
        assert self.ended(95, 5).refusal_probability(100.0) == 0.0
        assert SuccessRateAdmission().refusal_probability(100.0) == 0.0

    def test_some_are_always_let_in(self) -> None:
        assert self.ended(0, 1000).refusal_probability(100.0) == 0.8
        gate = self.ended(0, 1000)
        chance = env()
        assert 100 < sum(gate.allows(chance) for _ in range(1000)) < 320  # 200 expected, 9 σ

    def test_a_trickle_is_not_judged(self) -> None:
        assert self.ended(0, 100, min_rate=5.0).refusal_probability(100.0) == 0.0

    def test_it_forgets_after_its_window(self) -> None:
        assert self.ended(0, 100).refusal_probability(131.0) == 0.0


class TestCoDel:
    def test_a_queue_that_swells_and_empties_again_is_left_alone(self) -> None:
        codel = CoDel()
        for start in range(20):
            assert not any(codel.drops(0.050, start + i * 0.01) for i in range(9))
            assert not codel.drops(0.001, start + 0.5)

    def test_a_standing_queue_is_dropped_from_faster_and_faster(self) -> None:
        """First after an interval above the target, then after interval/√n."""
        codel = CoDel(target_s=0.005, interval_s=0.1)
        dropped = [i / 10_000 for i in range(5000) if codel.drops(0.020, i / 10_000)]
        gaps = [later - sooner for sooner, later in pairwise(dropped)]
        assert dropped[0] == pytest.approx(0.1, abs=2e-4)
        expected = [0.1 / (n + 1) ** 0.5 for n in range(len(gaps))]
        assert gaps == pytest.approx(expected, abs=2e-4)
        assert len(dropped) == 7

    def test_one_short_wait_ends_the_dropping(self) -> None:
        codel = CoDel()
        for i in range(3000):
            codel.drops(0.020, i / 10_000)
        assert codel.dropping
        assert not codel.drops(0.001, 0.3)
        assert not codel.dropping
        assert not codel.drops(0.020, 0.35)

    def test_the_last_in_the_queue_is_never_dropped(self) -> None:
        codel = CoDel()
        assert not any(codel.drops(9.0, float(i), last=True) for i in range(100))


def queued(queue: AdmissionQueue, *importances: int, now: float = 0.0) -> list[QueueEntry]:
    made = [QueueEntry(f"{i}", now + 10.0, importance) for i, importance in enumerate(importances)]
    for waiting in made:
        assert queue.push(waiting, now) is None
    return made


def taken(queue: AdmissionQueue, now: float = 0.0) -> QueueEntry | None:
    """Who is served next, where there is room for everybody."""
    while first := queue.next_in_line(0.0):
        if queue.take(first[0], now):
            queue.served(first[0].needs, now)
            return first[0]
    return None


def left(queue: AdmissionQueue, now: float = 0.0) -> list[object]:
    items = []
    while (waiting := taken(queue, now)) is not None:
        items.append(waiting.item)
    return items


class TestAdmissionQueue:
    def test_the_important_leave_first_and_equals_in_order(self) -> None:
        queue = AdmissionQueue(10)
        queued(queue, 1, 0, 1, 0, 2)
        assert left(queue) == ["1", "3", "0", "2", "4"]
        assert queue.length == 0

    def test_a_full_queue_turns_the_newcomer_away(self) -> None:
        queue = AdmissionQueue(2)
        queued(queue, 0, 0)
        newcomer = QueueEntry("new", 10.0)
        assert queue.push(newcomer, 0.0) is newcomer

    def test_the_newest_of_the_least_important_gives_way(self) -> None:
        queue = AdmissionQueue(3)
        made = queued(queue, 0, 2, 2)
        assert queue.push(QueueEntry("new", 10.0, 1), 0.0) is made[2]
        assert left(queue) == ["0", "new", "1"]

    def test_a_deadline_that_passes_takes_a_request_out(self) -> None:
        queue = AdmissionQueue(10)
        soon, late = QueueEntry("soon", 1.0), QueueEntry("late", 5.0)
        queue.push(soon, 0.0)
        queue.push(late, 0.0)
        assert queue.turned_away(1.0) == []
        assert queue.turned_away(1.1) == [soon]
        assert queue.length == 1
        assert taken(queue, 2.0) is late

    def test_nobody_is_served_after_their_deadline(self) -> None:
        queue = AdmissionQueue(10)
        soon, late = QueueEntry("soon", 1.0), QueueEntry("late", 5.0)
        queue.push(soon, 0.0)
        queue.push(late, 0.0)
        assert taken(queue, 2.0) is late
        assert queue.turned_away(2.0) == [soon]
        assert queue.turned_away(2.0) == []

    def test_a_client_that_leaves_is_taken_out_once(self) -> None:
        queue = AdmissionQueue(10)
        made = queued(queue, 0, 0, 0)
        assert queue.remove(made[1])
        assert not queue.remove(made[1])
        assert left(queue) == ["0", "2"]
        assert not queue.remove(made[0])

    def test_under_overload_the_newest_leave_first(self) -> None:
        queue = AdmissionQueue(4, lifo_above=0.5)
        queued(queue, 0, 0, 0, 0)
        assert left(queue) == ["3", "2", "0", "1"]

    def test_of_each_line_one_may_go_on_the_oldest_first(self) -> None:
        """Whoever waits for what is full holds up nobody who waits for something else."""
        queue = AdmissionQueue(10)
        for item, needs in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")]:
            queue.push(QueueEntry(item, 10.0, needs=needs), 0.0)
        first = queue.next_in_line(0.0)
        assert [each.item for each in first] == ["a1", "b1"]
        assert queue.take(first[1], 0.0)
        assert [each.item for each in queue.next_in_line(0.0)] == ["a1", "b2"]

    def test_one_that_comes_back_has_its_place_in_line_again(self) -> None:
        queue = AdmissionQueue(3)
        made = queued(queue, 0, 0, 0)
        assert queue.take(made[0], 0.5)
        assert queue.push(QueueEntry("late", 10.0), 0.5) is None
        again = QueueEntry("0", 10.0, number=made[0].number)
        assert queue.push(again, 0.5) is None, "also where the queue is full"
        assert left(queue) == ["0", "1", "2", "late"]

    def test_of_equals_the_longest_line_gives_way_to_a_shorter_one(self) -> None:
        """So that those who wait for one engine that hangs do not fill the queue for all."""
        queue = AdmissionQueue(4)
        made = [QueueEntry(f"a{number}", 10.0, needs="a") for number in range(4)]
        for waiting in made:
            queue.push(waiting, 0.0)
        assert queue.push(QueueEntry("b0", 10.0, needs="b"), 0.0) is made[3]
        assert queue.push(QueueEntry("b1", 10.0, needs="b"), 0.0) is made[2]
        refused = QueueEntry("b2", 10.0, needs="b")
        assert queue.push(refused, 0.0) is refused
        assert sorted(str(item) for item in left(queue)) == ["a0", "a1", "b0", "b1"]

    def test_the_pace_is_that_of_those_who_need_the_same(self) -> None:
        queue = AdmissionQueue(100)
        for number in range(60):
            queue.push(QueueEntry(number, 100.0, needs="fast" if number % 2 else "stuck"), 0.0)
        for number in range(10):
            head = next(each for each in queue.next_in_line(0.0) if each.needs == "fast")
            queue.take(head, number * 0.1)
            queue.served("fast", number * 0.1)
        assert queue.expected_wait_s(needs="fast") == pytest.approx(2.0)
        assert queue.expected_wait_s(needs="stuck") == 0.0, "nothing is known of it"

    def test_codel_judges_each_line_by_itself(self) -> None:
        """Waits of those who find room at once say nothing of a line that stands."""
        queue = AdmissionQueue(10_000, codel=CoDel())
        for step in range(3000):
            now = step * 0.001
            queue.push(QueueEntry(step, now + 60.0, needs="stands"), now)
            queue.push(QueueEntry(step, now + 60.0, needs="moves"), now)
            for head in queue.next_in_line(0.0):
                if head.needs == "moves" or step % 2:
                    queue.take(head, now)
        dropped = queue.turned_away(3.0)
        assert len(dropped) > 10
        assert {each.needs for each in dropped} == {"stands"}

    def test_those_that_left_are_not_kept(self) -> None:
        queue = AdmissionQueue(10)
        for number in range(10_000):
            waiting = QueueEntry(number, 1e9, number % 3, needs=f"model-{number}")
            queue.push(waiting, 0.0)
            queue.remove(waiting)
        kept = queue._deadlines, queue._lines, queue._flows
        assert all(len(each) < 400 for each in kept)

    def test_who_cannot_be_served_in_time_is_turned_away_at_once(self) -> None:
        queue = AdmissionQueue(100)
        queued(queue, *[0] * 30)
        for i in range(10):
            taken(queue, i * 0.1)
        assert queue.expected_wait_s() == pytest.approx(2.0)
        hasty = QueueEntry("hasty", 2.5)
        assert queue.push(hasty, 1.0) is hasty
        assert queue.push(QueueEntry("patient", 3.5), 1.0) is None
        assert queue.expected_wait_s(importance=-1) == 0.0

    def test_codel_drops_what_stood_too_long(self) -> None:
        queue = AdmissionQueue(10_000, codel=CoDel())
        served = 0
        for i in range(5000):
            now = i * 0.001
            queue.push(QueueEntry(i, now + 60.0), now)
            queue.push(QueueEntry(-i, now + 60.0), now)
            served += taken(queue, now) is not None
        assert len(queue.turned_away(5.0)) > 100

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["push", "pop", "remove", "expire"]),
                st.floats(0.0, 1.0),
                st.integers(0, 3),
            ),
            max_size=150,
        )
    )
    def test_everybody_leaves_exactly_once(self, steps: list[tuple[str, float, int]]) -> None:
        queue = AdmissionQueue(8, lifo_above=0.7)
        now = 0.0
        inside: list[QueueEntry] = []
        for verb, passed, number in steps:
            now += passed
            gone: list[QueueEntry] = []
            if verb == "push":
                waiting = QueueEntry(object(), now + 1.0 + number, number)
                inside.append(waiting)
                refused = queue.push(waiting, now)
                gone = [refused] if refused is not None else []
            elif verb == "pop":
                popped = taken(queue, now)
                assert popped is None or popped.deadline >= now
                gone = [popped] if popped is not None else []
            elif verb == "remove" and inside:
                waiting = inside[number % len(inside)]
                gone = [waiting] if queue.remove(waiting) else []
            gone += queue.turned_away(now)
            for waiting in gone:
                inside.remove(waiting)
            assert queue.length == len(inside) <= 8
            assert all(waiting.queued and waiting.deadline >= now for waiting in inside)


class TestPriorityShedding:
    def window(
        self, shedding: PriorityShedding, now: float, wait_s: float, requests: int = 1000
    ) -> None:
        """Requests spread evenly over 100 priorities, in one window."""
        shedding.observe(now)
        for i in range(requests):
            if shedding.allows(i % 100):
                shedding.waited(wait_s)
        shedding.observe(now + 1.0)

    def test_without_overload_all_are_let_in(self) -> None:
        shedding = PriorityShedding(levels=100)
        self.window(shedding, 0.0, 0.001)
        assert shedding.level == 99

    def test_an_overload_refuses_the_least_important_twentieth(self) -> None:
        shedding = PriorityShedding(levels=100)
        self.window(shedding, 0.0, 0.050)
        assert shedding.level == 94
        assert shedding.allows(94)
        assert not shedding.allows(95)

    def test_recovery_is_by_a_hundredth_of_all_that_come(self) -> None:
        shedding = PriorityShedding(levels=100)
        for start in range(10):
            self.window(shedding, start * 2.0, 0.050)
        level = shedding.level
        assert level < 65
        self.window(shedding, 30.0, 0.001)
        assert shedding.level == level + 1

    def test_the_level_finds_the_capacity(self) -> None:
        """Waits are long exactly while more than 40% is let in."""
        shedding = PriorityShedding(levels=100)
        levels = []
        for start in range(200):
            self.window(shedding, start * 2.0, 0.1 if shedding.level >= 40 else 0.0)
            levels.append(shedding.level)
        assert sum(levels[100:]) / 100 == pytest.approx(39, abs=2)

    def test_equals_are_not_refused_all_together(self) -> None:
        shedding = PriorityShedding()
        shedding.observe(0.0)
        for _ in range(1000):
            shedding.allows(64)
            shedding.waited(1.0)
        shedding.observe(1.0)
        assert shedding.level == 64
        assert shedding.allows(64)

    def test_a_window_ends_after_two_thousand_requests_too(self) -> None:
        shedding = PriorityShedding(levels=100)
        shedding.observe(0.0)
        for i in range(2000):
            shedding.allows(i % 100)
            shedding.waited(0.1)
        change = shedding.observe(0.1)
        assert change is not None
        assert change.level == 94
        assert change.reason == "requests queued 100.0 ms on average"
