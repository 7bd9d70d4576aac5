"""The planner's rules, on a clock that tests move."""

from dataclasses import dataclass, field
from itertools import pairwise

from penstock.core.scale.capacity import Places
from penstock.core.scale.demand import Demand, Foresight, Sight
from penstock.core.scale.members import DOWN, DRAINING, SERVING, STARTING, Member
from penstock.core.scale.planner import Decision, Planner
from penstock.core.snapshot.scale import Scale, ScaleWindow

COOL_DOWN_S = 300.0
START_S = 60.0
EVERY_S = 5.0


class Foreseen(Foresight):
    """A rise to ``rate`` that comes in ``in_s``."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.in_s = 0.0

    def most(self, until_s: float) -> Demand | None:
        return Demand(self.rate) if self.in_s <= until_s else Demand(0.001)


@dataclass
class Fleet:
    """Does at once what the planner says; who is started serves after ``START_S``."""

    planner: Planner
    foreseen: Foreseen
    members: list[Member] = field(default_factory=list)
    now: float = 0.0
    made: int = 0

    def add(self, count: int, state: int = SERVING, **kinds: object) -> None:
        for _ in range(count):
            name = f"e{self.made}"
            self.made += 1
            self.members.append(Member(name, state, since=self.now, **kinds))  # type: ignore[arg-type]

    def look(self, rate: float, *, queued: float = 0.0, local_s: float = 0.0) -> Decision:
        for member in self.members:
            if member.state == STARTING and self.now - member.since >= START_S:
                member.state = SERVING
        sight = Sight(self.now, Demand(rate), local_s=local_s, queued=queued)
        decision = self.planner.decide(sight, self.members)
        for member in self.members:
            if member.name in decision.keep:
                member.state = SERVING
        self.members = [each for each in self.members if each.name not in decision.stop]
        self.add(decision.start, STARTING)
        self.now += EVERY_S
        return decision

    def pass_by(self, seconds: float, rate: float) -> list[int]:
        """The numbers that were desired."""
        return [self.look(rate).desired for _ in range(int(seconds / EVERY_S))]


def fleet(endpoints: int, **rules: object) -> Fleet:
    """Endpoints of ten places, a request holding one for a second."""
    given = {
        "max": 50,
        "concurrency": 10,
        "start_time_s": START_S,
        "cool_down_s": COOL_DOWN_S,
        "interval_s": EVERY_S,
    }
    foreseen = Foreseen()
    spec = Scale(**(given | rules))  # type: ignore[arg-type]
    made = Fleet(Planner(spec, Places(10, 0.05, 1.0), foreseen), foreseen)
    made.add(endpoints)
    return made


class TestAdding:
    def test_what_the_present_load_needs_is_added_at_once(self) -> None:
        crowded = fleet(2)
        decision = crowded.look(60.0)
        assert decision.desired == 8  # 73 places leave 5% of requests waiting
        assert decision.start == 6
        assert "present load" in decision.reason

    def test_what_is_foreseen_within_a_start_time_is_added_before_it_comes(self) -> None:
        early = fleet(3)
        early.foreseen.rate, early.foreseen.in_s = 60.0, START_S + EVERY_S + 1.0
        assert early.look(10.0).start == 0
        early.foreseen.in_s = START_S
        decision = early.look(10.0)
        assert decision.desired == 8
        assert "foreseen" in decision.reason

    def test_start_times_that_were_seen_say_how_far_ahead_it_looks(self) -> None:
        slow = fleet(3)
        slow.foreseen.rate, slow.foreseen.in_s = 60.0, 200.0
        assert slow.look(10.0).start == 0
        slow.planner.starts.add(240.0)
        assert slow.look(10.0).start == 5

    def test_what_waits_is_worked_off_within_a_start_time(self) -> None:
        waiting = fleet(3)
        assert waiting.look(10.0, queued=1200.0).present == 5  # as if 30 a second came

    def test_those_that_start_already_count(self) -> None:
        starting = fleet(2)
        assert starting.look(60.0).start == 6
        assert starting.look(60.0).start == 0

    def test_an_endpoint_that_drains_is_kept_before_another_is_started(self) -> None:
        regretting = fleet(2)
        regretting.add(1, DRAINING)
        decision = regretting.look(25.0)
        assert decision.keep == ["e2"]
        assert decision.start == decision.desired - 3

    def test_of_those_that_drain_the_last_in_turn_is_kept(self) -> None:
        stateful = fleet(2)
        stateful.add(1, DRAINING, turn=-3, streams=9)
        stateful.add(1, DRAINING, turn=-2)
        assert stateful.look(17.0).keep == ["e3"]

    def test_no_more_than_the_bounds_and_the_step_allow(self) -> None:
        assert fleet(2, max=5).look(60.0).desired == 5
        assert fleet(2, step_up=1).look(60.0).desired == 3


class TestRemoving:
    def test_nobody_leaves_before_a_start_time_and_the_cool_down_have_passed(self) -> None:
        grown = fleet(2)
        grown.look(60.0)
        numbers = grown.pass_by(START_S + COOL_DOWN_S - EVERY_S, 10.0)
        assert set(numbers) == {8}
        assert set(grown.pass_by(COOL_DOWN_S, 10.0)) == {2}

    def test_two_do_not_become_one_while_the_survivor_could_not_carry_both_loads(self) -> None:
        pair = fleet(2)
        assert set(pair.pass_by(2000.0, 6.0)) == {2}  # 12 places are needed, one has 10
        assert pair.pass_by(2000.0, 3.0)[-1] == 1

    def test_a_load_at_the_edge_does_not_make_the_number_swing(self) -> None:
        steady = fleet(4)
        numbers = [steady.look(24.0 + turn % 5).desired for turn in range(800)]
        changes = sum(a != b for a, b in pairwise(numbers))
        assert changes <= 1

    def test_what_is_foreseen_is_not_removed_before_it_came(self) -> None:
        waiting = fleet(8)
        waiting.foreseen.rate, waiting.foreseen.in_s = 60.0, START_S + COOL_DOWN_S
        assert set(waiting.pass_by(1000.0, 10.0)) == {8}

    def test_steps_bound_how_many_leave_at_once(self) -> None:
        many = fleet(8, step_down=2)
        numbers = many.pass_by(START_S + COOL_DOWN_S + 60.0, 1.0)
        falls = [a - b for a, b in pairwise(numbers)]
        assert max(falls) == 2

    def test_who_is_down_and_has_to_go_before_goes_too(self) -> None:
        stateful = fleet(1, min=1)
        stateful.add(1, turn=-1)
        stateful.add(1, DOWN, turn=-2)
        decision = Decision(0, 0, "")
        for _ in range(100):
            decision = stateful.look(1.0)
            if decision.stop:
                break
        assert decision.stop == ["e2", "e1"]

    def test_only_whom_the_actuator_can_remove_leaves(self) -> None:
        fixed = fleet(2)
        fixed.add(3, removable=False)
        decision = Decision(0, 0, "")
        for _ in range(100):
            decision = fixed.look(1.0)
            if decision.stop:
                break
        assert decision.stop == ["e0", "e1"]
        assert decision.desired == 3
        assert "not for the actuator" in decision.reason


class TestMistakes:
    def removal_after(self, swinging: Fleet) -> float:
        """How long after a swing up endpoints are removed again."""
        swinging.pass_by(60.0, 60.0)
        began = swinging.now
        while not swinging.look(10.0).stop:
            pass
        return swinging.now - began

    def test_a_removal_that_is_regretted_makes_the_next_one_wait_twice_as_long(self) -> None:
        swinging = fleet(8)
        waits = [self.removal_after(swinging) for _ in range(6)]
        assert waits[1] > 1.5 * waits[0]
        assert waits[2] > 1.5 * waits[1]
        assert waits[5] <= 8.5 * (COOL_DOWN_S + START_S)

    def test_and_one_that_is_not_regretted_half_as_long(self) -> None:
        swinging = fleet(8)
        long = [self.removal_after(swinging) for _ in range(3)][-1]
        for _ in range(3):
            swinging.pass_by(10 * COOL_DOWN_S, 10.0)
            short = self.removal_after(swinging)
        assert short < 0.7 * long


class TestNothing:
    def test_without_a_request_for_long_the_last_one_goes(self) -> None:
        idle = fleet(1, min=0, idle_s=600.0)
        numbers = idle.pass_by(700.0, 0.0)
        assert numbers.index(0) == 600.0 / EVERY_S

    def test_one_that_has_just_begun_removes_nobody(self) -> None:
        assert set(fleet(8).pass_by(START_S + COOL_DOWN_S, 1.0)) == {8}

    def test_one_request_that_waits_is_enough_to_start_one(self) -> None:
        asleep = fleet(0, min=0)
        assert asleep.look(0.0).start == 0
        assert asleep.look(0.0, queued=1.0).start == 1

    def test_no_traffic_is_a_number(self) -> None:
        assert fleet(3, min=0).look(0.0).present == 0

    def test_the_least_number_is_kept(self) -> None:
        assert set(fleet(2, min=2).pass_by(2000.0, 0.0)) == {2}


class TestOthers:
    def test_endpoints_added_by_hand_are_adopted(self) -> None:
        helped = fleet(2)
        helped.pass_by(2 * COOL_DOWN_S, 10.0)
        helped.add(3)
        decision = helped.look(10.0)
        assert decision.desired == 5
        assert "adopted" in decision.reason
        assert set(helped.pass_by(COOL_DOWN_S, 10.0)) == {5}
        assert helped.pass_by(START_S + 60.0, 10.0)[-1] == 2

    def test_endpoints_removed_by_hand_do_not_come_back_for_a_forecast(self) -> None:
        shrunk = fleet(8)
        shrunk.foreseen.rate = 60.0
        shrunk.look(10.0)
        del shrunk.members[3:]
        decision = shrunk.look(10.0)
        assert decision.desired == 3
        assert "adopted" in decision.reason

    def test_but_present_load_is_answered_whoever_removed_them(self) -> None:
        shrunk = fleet(8)
        shrunk.look(60.0)
        del shrunk.members[3:]
        assert shrunk.look(60.0).desired == 8

    def test_what_it_started_itself_is_nobody_elses_change(self) -> None:
        own = fleet(2)
        own.look(60.0)
        assert "adopted" not in own.look(60.0).reason


class TestHours:
    MONDAY_S = 4 * 86400.0

    def test_a_window_raises_the_least_number(self) -> None:
        window = ScaleWindow(min=6, days=(0,), from_s=8 * 3600.0, to_s=20 * 3600.0)
        office = fleet(2, windows=(window,))
        assert office.look(1.0, local_s=self.MONDAY_S + 7 * 3600.0).desired == 2
        assert office.look(1.0, local_s=self.MONDAY_S + 9 * 3600.0).desired == 6
        other = fleet(2, windows=(window,))
        assert other.look(1.0, local_s=self.MONDAY_S + 86400.0 + 9 * 3600.0).desired == 2

    def test_a_window_over_midnight_belongs_to_the_day_it_began(self) -> None:
        window = ScaleWindow(min=6, days=(0,), from_s=22 * 3600.0, to_s=4 * 3600.0)
        night = fleet(2, windows=(window,))
        assert night.look(1.0, local_s=self.MONDAY_S + 86400.0 + 3600.0).desired == 6
        assert fleet(2, windows=(window,)).look(1.0, local_s=self.MONDAY_S + 3600.0).desired == 2


class TestSurges:
    def rise(self, by: float) -> Decision:
        """Each look brings so much more than the one before, for a minute."""
        risen = fleet(8)
        decision = risen.look(40.0)
        for turn in range(12):
            decision = risen.look(40.0 + by * turn)
        return decision

    def test_a_rise_that_is_under_way_goes_on_until_who_is_started_serves(self) -> None:
        assert self.rise(2.0).present == 11  # 62 a second now, above 86 in a minute
        assert self.rise(0.0).present == 6

    def test_to_at_most_twice_what_is_there(self) -> None:
        assert self.rise(60.0).present <= 150

    def test_chance_is_no_rise(self) -> None:
        steady = fleet(8)
        numbers = [steady.look(40.0 + 5.0 * (turn % 3)).present for turn in range(100)]
        assert max(numbers) == 7  # which 50 a second need


def test_what_is_to_be_spare_is_added_to_every_need() -> None:
    assert fleet(8, spare=0.5).look(40.0).present == fleet(8).look(60.0).present
