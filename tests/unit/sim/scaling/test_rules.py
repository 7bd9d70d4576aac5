"""The rules of others, by their own documentation."""

import pytest

from penstock.sim.scaling.course import run_course
from penstock.sim.scaling.dynamo import DynamoArima, DynamoLastValue
from penstock.sim.scaling.hpa import HorizontalPodAutoscaler
from penstock.sim.scaling.kpa import KnativePodAutoscaler
from penstock.sim.scaling.oracle import Oracle
from penstock.sim.scaling.planned import WITHOUT, Planned
from penstock.sim.scaling.predictive import Predictive
from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen
from penstock.sim.scaling.target_tracking import TargetTracking

FLEET = Fleet(concurrency=10, service_s=1.0, start_s=60.0)


def seen(now: float, busy: float, serving: int, starting: int = 0) -> Seen:
    """So many of each endpoint's ten places are taken."""
    there = busy * serving * FLEET.concurrency
    return Seen(now, there / FLEET.service_s, there, 0.0, serving, starting)


class TestHpa:
    def test_in_proportion_to_the_target(self) -> None:
        assert HorizontalPodAutoscaler(FLEET, 0.5).desired(seen(0.0, 0.9, 4)) == 8

    def test_not_within_a_tenth_of_it(self) -> None:
        assert HorizontalPodAutoscaler(FLEET, 0.5).desired(seen(0.0, 0.54, 10)) == 10

    def test_down_only_by_the_most_of_five_minutes(self) -> None:
        rule = HorizontalPodAutoscaler(FLEET, 0.5)
        assert rule.desired(seen(0.0, 0.5, 8)) == 8
        assert rule.desired(seen(150.0, 0.1, 8)) == 8
        assert rule.desired(seen(301.0, 0.1, 8)) == 2

    def test_at_most_four_or_twice_as_many_at_once(self) -> None:
        assert HorizontalPodAutoscaler(FLEET, 0.1).desired(seen(0.0, 1.0, 2)) == 6

    def test_pods_that_are_not_ready_count_as_idle(self) -> None:
        assert HorizontalPodAutoscaler(FLEET, 0.5).desired(seen(0.0, 1.0, 4, 4)) == 8


class TestKpa:
    def test_by_the_mean_of_a_minute(self) -> None:
        rule = KnativePodAutoscaler(FLEET, 0.5)
        rule.desired(seen(0.0, 0.4, 10))
        assert rule.desired(seen(10.0, 0.6, 10)) == 10

    def test_a_panic_removes_nobody(self) -> None:
        rule = KnativePodAutoscaler(FLEET, 0.2)
        assert rule.desired(seen(0.0, 1.0, 2)) == 10
        assert rule.desired(seen(30.0, 0.0, 10)) == 10


class TestTargetTracking:
    def test_out_after_three_minutes_in_after_fifteen(self) -> None:
        rule = TargetTracking(FLEET, 0.5)
        up = [rule.desired(seen(60.0 * minute, 0.9, 4)) for minute in range(3)]
        assert up == [4, 4, 8]
        down = [rule.desired(seen(180.0 + 60.0 * minute, 0.2, 8)) for minute in range(15)]
        assert down == [8] * 14 + [4]


def test_predictive_has_capacity_five_minutes_before_the_hour() -> None:
    rule = Predictive(FLEET, 0.5)
    minutes = [100.0 if 600 <= minute < 660 else 1.0 for minute in range(1440)]
    rule.learn(minutes, 86400.0)
    at_s = 86400.0 + 10 * 3600.0
    assert rule.desired(seen(at_s - 400.0, 0.5, 2)) == 2
    assert rule.desired(seen(at_s - 290.0, 0.5, 2)) == 20


class TestDynamo:
    def test_one_more_when_busy_and_one_less_when_the_survivors_are_idle(self) -> None:
        rule = DynamoLastValue(FLEET, 0.5)
        assert rule.desired(seen(10.0, 0.6, 4)) == 5
        assert rule.desired(seen(20.0, 0.28, 4)) == 3
        assert rule.desired(seen(30.0, 0.35, 4)) == 4  # three would be at 47%, above 80% of 50%

    def test_the_floor_follows_a_trend(self) -> None:
        assert DynamoArima(FLEET, 0.5).predicted([10.0, 20.0, 40.0, 80.0]) > 140.0


RULES: list[type[ScalingRule]] = [
    HorizontalPodAutoscaler,
    KnativePodAutoscaler,
    TargetTracking,
    Predictive,
    DynamoLastValue,
    DynamoArima,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_keeps_to_the_bounds(rule: type[ScalingRule]) -> None:
    fleet = Fleet(concurrency=10, service_s=1.0, fewest=2, most=5)
    made = rule(fleet, 0.5)
    loads = [1.0] * 40 + [0.0] * 40
    numbers = [made.desired(seen(60.0 * turn, busy, 4)) for turn, busy in enumerate(loads)]
    assert set(numbers) <= {2, 3, 4, 5}


def ramp(now: float) -> float:
    """From 20 a second to 80 within five minutes, half an hour in, for half an hour."""
    if now < 1800.0 or now >= 3900.0:
        return 20.0
    return 20.0 + 60.0 * min((now - 1800.0) / 300.0, 1.0)


class TestCourses:
    def test_the_oracle_breaks_nothing_and_is_the_cheapest_that_does_not(self) -> None:
        def oracle() -> ScalingRule:
            return Oracle(FLEET, 1.0, ramp, 120.0)

        best = run_course(oracle, FLEET, ramp, seed=1, begin_s=0.0, length_s=7200.0)
        assert best.broken_s == 0.0
        for make in (
            lambda: HorizontalPodAutoscaler(FLEET, 0.5),
            lambda: Planned(FLEET, 0.0, forecast=WITHOUT),
        ):
            other = run_course(make, FLEET, ramp, seed=1, begin_s=0.0, length_s=7200.0)
            assert other.broken_s > 0.0 or other.endpoint_hours > best.endpoint_hours

    def test_the_planner_does_not_turn_in_haste(self) -> None:
        course = run_course(
            lambda: Planned(FLEET, 0.0, forecast=WITHOUT),
            FLEET,
            ramp,
            seed=1,
            begin_s=0.0,
            length_s=7200.0,
        )
        assert course.hasty_turns == 0
        assert course.numbers[-1] < max(course.numbers)
