"""When a second endpoint is asked, and what that may cost."""

from random import Random

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.hedge import BUDGET_S, ENOUGH, HALF_S, HedgeRules
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.snapshot import Hedge
from penstock.core.ticket import Ticket

PROMPT = Request(prompt_tokens=100)


def rules(after_s: float = 0.0, share: float = 0.05) -> HedgeRules:
    return HedgeRules(Hedge(after_s=after_s, budget_share=share))


def pool_of(count: int) -> Pool:
    made = Pool("p", create("round-robin"))
    made.replace_endpoints([Endpoint(f"e{number}") for number in range(count)])
    return made


def test_a_quantile_means_nothing_before_enough_is_known() -> None:
    hedge = rules()
    for number in range(ENOUGH - 1):
        hedge.spoke(Endpoint("e"), 0.1, float(number))
    assert hedge.after_s(20.0) == -1.0
    hedge.spoke(Endpoint("e"), 0.1, 20.0)
    assert 0.08 < hedge.after_s(21.0) < 0.13


def test_it_is_of_the_last_minute() -> None:
    hedge = rules()
    for number in range(100):
        hedge.spoke(Endpoint("e"), 1.0 if number % 10 == 0 else 0.1, 1.0)
    assert hedge.after_s(2.0) > 0.8
    for step in range(1, 4):
        for _ in range(100):
            hedge.spoke(Endpoint("e"), 0.1, 1.0 + step * HALF_S)
    assert hedge.after_s(200.0) < 0.2 or hedge.after_s(200.0) == -1.0


def test_a_time_that_is_set_needs_no_waits() -> None:
    assert rules(after_s=0.8).after_s(0.0) == 0.8


def test_second_attempts_take_a_share_of_prompt_tokens_and_no_more() -> None:
    hedge = rules(share=0.05)
    assert not hedge.takes(PROMPT, 1.0)
    for _ in range(100):
        hedge.asked(Ticket(Endpoint("e"), create("round-robin"), PROMPT, 1.0), 1.0)
    assert [hedge.takes(PROMPT, 2.0) for _ in range(6)] == [True] * 5 + [False]
    assert not hedge.takes(Request(prompt_tokens=501), 2.0)
    assert not hedge.takes(PROMPT, 2.0 + 2 * BUDGET_S)  # what is long past buys nothing


def test_what_is_left_of_a_wait_is_that_of_longer_ones_or_as_long_again() -> None:
    hedge = rules()
    assert hedge.waits.left_s(3.0) == 3.0
    for _ in range(10):
        hedge.spoke(Endpoint("e"), 10.0, 1.0)
    assert 6.0 < hedge.waits.left_s(3.0) < 8.0
    assert hedge.waits.left_s(20.0) == 20.0


def test_only_another_that_is_expected_sooner_is_asked() -> None:
    pool = pool_of(2)
    one, other = pool.endpoints
    env = Env(Random(1))
    hedge = rules()
    for _ in range(20):
        hedge.spoke(one, 4.0, 1.0)
        hedge.spoke(other, 0.2, 1.0)
    assert hedge.choose(pool, PROMPT, [one], 0.5, env) is other
    assert hedge.choose(pool, PROMPT, [other], 3.9, env) is None
    assert hedge.choose(pool, PROMPT, [one, other], 0.5, env) is None
