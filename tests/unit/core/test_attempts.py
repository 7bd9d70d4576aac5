"""Attempts of one exchange: what counts, who was tried, which model stands in, and who pays."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.attempts import NOBODY_ELSE, OVER_BUDGET, Attempts, Failure
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.health import DOWN
from penstock.core.policy import create
from penstock.core.pool.models import ModelNames
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.retry import MOST_PASSED_OVER, RetryBudget, RetryRules
from penstock.core.snapshot import Retry
from penstock.core.ticket import CONNECT_FAILED, DONE, GARBAGE, RESET, TIMEOUT


@pytest.fixture
def env() -> Env:
    return Env(Random(1))


def pool_of(count: int, retry: Retry | None = None) -> Pool:
    """Endpoints e0, e1, … of a pool with these settings and no budget."""
    pool = Pool("p", create("round-robin"))
    pool.rules = RetryRules(retry or Retry())
    pool.replace_endpoints([Endpoint(f"e{number}") for number in range(count)])
    return pool


def models_of(served: list[str], fallbacks: dict[str, tuple[str, ...]], attempts: int) -> Pool:
    """Endpoints that serve one model each."""
    pool = pool_of(len(served), Retry(attempts=attempts))
    pool.names = ModelNames({}, fallbacks)
    for endpoint, model in zip(pool.endpoints, served, strict=True):
        endpoint.models = {model: ""}
    pool.refresh()
    return pool


def safe(endpoint: Endpoint, outcome: int = RESET, status: int = 0) -> Failure:
    """A failure of a request that may be sent twice."""
    return Failure(endpoint, outcome, status, safe=True)


def refused_connection(endpoint: Endpoint) -> Failure:
    return Failure(endpoint, CONNECT_FAILED, sent=False)


class TestWhatCounts:
    def test_a_failure_counts_and_the_last_attempt_allowed_is_final(self, env: Env) -> None:
        pool = pool_of(4, Retry(attempts=3))
        attempts = Attempts(pool)
        answers = [attempts.failed(safe(each), "", "", env) for each in pool.endpoints[:3]]
        assert answers == ["", "", "3 of 3 attempts were made"]
        assert attempts.tried == pool.endpoints[:3]

    def test_refused_connections_do_not_count_while_untried_endpoints_remain(
        self, env: Env
    ) -> None:
        pool = pool_of(5, Retry(attempts=2))
        attempts = Attempts(pool)
        answers = [attempts.failed(refused_connection(e), "", "", env) for e in pool.endpoints]
        assert answers == [""] * 5
        assert attempts.counted == 1  # the last, with nobody left
        assert attempts.failed(refused_connection(pool.endpoints[0]), "", "", env)

    def test_a_connection_that_ran_out_of_time_counts(self, env: Env) -> None:
        pool = pool_of(5)
        attempts = Attempts(pool)
        slow = Failure(pool.endpoints[0], CONNECT_FAILED, sent=False, timed_out=True)
        attempts.failed(slow, "", "", env)
        assert attempts.counted == 1

    def test_an_endpoint_that_refuses_a_second_connection_counts(self, env: Env) -> None:
        pool = pool_of(5)
        attempts = Attempts(pool)
        for _ in range(2):
            attempts.failed(refused_connection(pool.endpoints[0]), "", "", env)
        assert attempts.counted == 1

    def test_only_so_many_refused_connections_do_not_count(self, env: Env) -> None:
        pool = pool_of(MOST_PASSED_OVER + 5, Retry(attempts=3))
        attempts = Attempts(pool)
        for endpoint in pool.endpoints[: MOST_PASSED_OVER + 1]:
            assert attempts.failed(refused_connection(endpoint), "", "", env) == ""
        assert attempts.counted == 1

    def test_endpoints_that_are_down_are_not_left(self, env: Env) -> None:
        pool = pool_of(2)
        pool.endpoints[1].health = DOWN
        pool.refresh()
        attempts = Attempts(pool)
        attempts.failed(refused_connection(pool.endpoints[0]), "", "", env)
        assert attempts.counted == 1

    def test_a_stale_connection_is_replaced_once(self) -> None:
        attempts = Attempts(pool_of(2))
        assert attempts.replaces_stale()
        assert not attempts.replaces_stale()
        assert (attempts.counted, attempts.tried) == (0, [])


class TestSafety:
    def test_what_was_sent_and_may_do_harm_twice_is_not_repeated(self, env: Env) -> None:
        pool = pool_of(2)
        first = pool.endpoints[0]
        harmful = "it was sent, and sending it twice may do harm"
        assert Attempts(pool).failed(Failure(first, RESET), "", "", env) == harmful
        assert Attempts(pool).failed(Failure(first, RESET, sent=False), "", "", env) == ""
        assert Attempts(pool).failed(Failure(first, RESET, safe=True), "", "", env) == ""

    def test_nothing_is_repeated_once_part_of_a_response_was_passed_on(self, env: Env) -> None:
        pool = pool_of(2)
        failure = Failure(pool.endpoints[0], RESET, safe=True, passed_on=True)
        assert Attempts(pool).failed(failure, "", "", env) == "part of a response was passed on"

    def test_what_an_endpoint_refused_is_safe_elsewhere_and_else_final(self, env: Env) -> None:
        pool = pool_of(2)
        one, other = pool.endpoints
        attempts = Attempts(pool)
        assert attempts.failed(Failure(one, DONE, 503, refused=True), "", "", env) == ""
        assert attempts.failed(Failure(other, DONE, 503, refused=True), "", "", env) == NOBODY_ELSE


class TestBudget:
    def test_it_is_charged_once_for_each_retry_and_not_for_what_is_final(self, env: Env) -> None:
        pool = pool_of(4, Retry(attempts=3))
        pool.budget = RetryBudget(0.0, 1.0)
        attempts = Attempts(pool)
        left = [pool.budget.left(env.now)]
        for endpoint in pool.endpoints[:3]:
            attempts.failed(safe(endpoint), "", "", env)
            left.append(pool.budget.left(env.now))
        assert left == [10, 9, 8, 8]
        Attempts(pool).failed(Failure(pool.endpoints[0], RESET), "", "", env)
        assert pool.budget.left(env.now) == 8

    def test_without_budget_left_no_attempt_follows(self, env: Env) -> None:
        pool = pool_of(2)
        pool.budget = RetryBudget(0.0, 0.0)
        assert Attempts(pool).failed(safe(pool.endpoints[0]), "", "", env) == OVER_BUDGET


class TestFullEndpoints:
    def test_they_are_passed_over_until_the_request_waited(self, env: Env) -> None:
        pool = pool_of(3)
        attempts = Attempts(pool)
        attempts.pass_over(pool.endpoints[0])
        attempts.failed(safe(pool.endpoints[1]), "", "", env)
        assert attempts.counted == 1
        assert pool.pick(Request(), env, attempts.tried) is pool.endpoints[2]
        attempts.may_fill_again()
        assert attempts.tried == [pool.endpoints[1]]


class TestOtherModels:
    def test_one_stands_in_when_every_endpoint_of_the_first_failed(self, env: Env) -> None:
        pool = models_of(["big", "big", "small"], {"big": ("small",)}, attempts=9)
        attempts = Attempts(pool)
        models = []
        for endpoint in pool.endpoints[:2]:
            assert attempts.failed(safe(endpoint), "big", "big", env) == ""
            models.append(attempts.stand_in("big", "big", env))
        assert models == ["", "small"]

    def test_one_stands_in_when_the_attempts_at_the_first_are_used_up(self, env: Env) -> None:
        pool = models_of(["big"] * 5 + ["small"] * 3, {"big": ("small",)}, attempts=2)
        attempts = Attempts(pool)
        assert attempts.failed(safe(pool.endpoints[0]), "big", "big", env) == ""
        assert attempts.stand_in("big", "big", env) == ""
        assert attempts.failed(safe(pool.endpoints[1]), "big", "big", env) == ""
        assert attempts.stand_in("big", "big", env) == "small"
        attempts.begin_anew()
        assert attempts.failed(safe(pool.endpoints[5]), "small", "big", env) == ""
        assert attempts.failed(safe(pool.endpoints[6]), "small", "big", env)

    def test_a_model_that_was_given_up_is_not_gone_back_to_after_a_refusal(self, env: Env) -> None:
        pool = models_of(["big"] * 3 + ["small"], {"big": ("small",)}, attempts=2)
        attempts = Attempts(pool)
        for endpoint in pool.endpoints[:2]:
            attempts.failed(safe(endpoint), "big", "big", env)
        attempts.begin_anew()
        refusal = Failure(pool.endpoints[3], DONE, 503, refused=True)
        assert attempts.failed(refusal, "small", "big", env) == NOBODY_ELSE

    def test_none_stands_in_where_the_client_asked_for_no_model(self, env: Env) -> None:
        pool = models_of(["big", "small"], {"big": ("small",)}, attempts=2)
        attempts = Attempts(pool)
        attempts.failed(safe(pool.endpoints[0]), "big", "", env)
        assert attempts.stand_in("big", "", env) == ""


@given(
    count=st.integers(1, 6),
    allowed=st.integers(1, 5),
    per_s=st.sampled_from([0.0, 0.3, inf]),
    failures=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([CONNECT_FAILED, RESET, GARBAGE, TIMEOUT]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=20,
    ),
)
def test_laws_of_any_order_of_failures(
    count: int, allowed: int, per_s: float, failures: list[tuple[int, int, bool, bool]]
) -> None:
    """An exchange makes at most ``attempts`` attempts, besides one refused connection for each
    endpoint; each retry is charged once; what is unsafe or not asked for never follows."""
    pool = pool_of(count, Retry(attempts=allowed))
    pool.budget = RetryBudget(0.0, per_s)
    env = Env(Random(1))
    attempts = Attempts(pool)
    retries = 0
    for number, outcome, sent, is_safe in failures:
        endpoint = pool.endpoints[number % count]
        refused = outcome == CONNECT_FAILED
        failure = Failure(endpoint, outcome, sent=sent and not refused, safe=is_safe)
        before = attempts.counted
        why = attempts.failed(failure, "", "", env)
        assert attempts.counted in (before, before + 1)
        assert refused or attempts.counted == before + 1
        if why:
            break
        retries += 1
        assert outcome != TIMEOUT
        assert is_safe or not failure.sent
        assert attempts.counted < allowed
    assert retries <= allowed - 1 + count
    assert retries <= per_s * 10
    if per_s < inf:
        assert pool.budget.left(env.now) == int(per_s * 10) - retries
