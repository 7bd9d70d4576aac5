"""Who is passed over for being late, for how long, and when nobody is."""

from random import Random

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.hedge import HedgeRules
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.probation import FIRST_S, LATE, LONGEST_S, Probation
from penstock.core.request import Request
from penstock.core.snapshot import Hedge

PROMPT = Request(prompt_tokens=100)


def pool_of(count: int) -> Pool:
    made = Pool("p", create("round-robin"))
    made.replace_endpoints([Endpoint(f"e{number}") for number in range(count)])
    return made


def found_late(probation: Probation, endpoint: Endpoint, at: float) -> None:
    for _ in range(LATE):
        probation.late(endpoint, at)


def test_who_is_late_several_times_in_a_row_is_passed_over_for_a_second() -> None:
    pool, probation = pool_of(3), Probation()
    slow = pool.endpoints[0]
    for _ in range(LATE - 1):
        probation.late(slow, 1.0)
    assert probation.passes(pool, PROMPT, None, 1.0) is None
    probation.late(slow, 1.0)
    assert probation.passes(pool, PROMPT, None, 1.0) == [slow]
    assert probation.passes(pool, PROMPT, None, 1.0 + FIRST_S) is None


def test_one_in_time_between_two_that_are_late_makes_them_no_row() -> None:
    pool, probation = pool_of(3), Probation()
    slow = pool.endpoints[0]
    for _ in range(10):
        for _ in range(LATE - 1):
            probation.late(slow, 1.0)
        probation.in_time(slow)
    assert probation.passes(pool, PROMPT, None, 1.0) is None


def test_then_one_request_goes_there_at_a_time_ever_more_seldom_until_one_is_in_time() -> None:
    pool, probation = pool_of(3), Probation()
    slow = pool.endpoints[0]
    found_late(probation, slow, 0.0)
    now, pauses = FIRST_S, []
    for _ in range(7):
        assert probation.passes(pool, PROMPT, None, now) is None
        probation.asked(slow, now)
        began = now
        while probation.passes(pool, PROMPT, None, now) is not None:
            now += 0.5
        pauses.append(now - began)
    assert pauses == [2.0, 4.0, 8.0, LONGEST_S, LONGEST_S, LONGEST_S, LONGEST_S]
    probation.asked(slow, now)
    probation.in_time(slow)
    assert probation.passes(pool, PROMPT, None, now) is None
    probation.asked(slow, now)
    assert probation.passes(pool, PROMPT, None, now) is None


def test_at_most_a_third_of_those_that_can_be_used_is_passed_over() -> None:
    pool, probation = pool_of(3), Probation()
    first, second, third = pool.endpoints
    found_late(probation, first, 1.0)
    assert probation.passes(pool, PROMPT, None, 1.0) == [first]
    found_late(probation, second, 1.0)
    assert probation.passes(pool, PROMPT, None, 1.0) is None
    assert probation.passes(pool, PROMPT, [third], 1.0) == [third]


def test_whom_a_request_tried_it_does_not_go_to_either() -> None:
    pool, probation = pool_of(5), Probation()
    slow, tried = pool.endpoints[:2]
    found_late(probation, slow, 1.0)
    assert probation.passes(pool, PROMPT, [tried], 1.0) == [tried, slow]


def test_a_hedge_that_the_budget_denies_tells_of_lateness_all_the_same() -> None:
    pool = pool_of(4)
    slow = pool.endpoints[0]
    env = Env(Random(1))
    rules = HedgeRules(Hedge(budget_share=0.0))
    for number in range(100):
        rules.spoke(pool.endpoints[number % 4], 0.2, 1.0)
    for _ in range(LATE):
        assert rules.choose(pool, PROMPT, [slow], 1.0, env) is not None
    assert not rules.takes(PROMPT, 1.0)
    assert rules.passes(pool, PROMPT, None, env.now) == [slow]
    rules.spoke(slow, 0.1, 1.5)
    assert rules.passes(pool, PROMPT, None, env.now) is None
