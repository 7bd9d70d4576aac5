"""What must hold between the models, and what is refused."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import theory
from penstock.theory import Steady, Unstable

loads = st.floats(0.01, 0.99)


@given(rate=st.floats(0.01, 50.0), mean=st.floats(0.001, 10.0), cv2=st.floats(0.0, 30.0))
def test_little_holds_between_what_is_answered(rate: float, mean: float, cv2: float) -> None:
    if rate * mean >= 0.999:
        mean = 0.9 / rate
    steady = theory.mg1(rate, mean, cv2)
    assert steady.present == pytest.approx(rate * steady.response)
    assert steady.queued == pytest.approx(rate * steady.wait)
    assert steady.present - steady.queued == pytest.approx(steady.utilisation)


@given(load=loads)
def test_one_exponential_server_is_the_same_in_every_model(load: float) -> None:
    expected = theory.mm1(load, 1.0).response
    assert theory.mg1(load, 1.0, 1.0).response == pytest.approx(expected)
    assert theory.mmc(load, 1.0, 1).response == pytest.approx(expected)
    assert theory.erlang_m1(load, 1.0, 1).response == pytest.approx(expected, rel=1e-6)
    assert theory.jsq_mean_field(load, 1) == pytest.approx(expected)
    assert theory.processor_sharing(load, 1.0).response == pytest.approx(expected)


@given(load=loads, servers=st.integers(1, 40), capacity=st.integers(0, 30))
def test_a_bounded_queue_obeys_little_and_loses_no_one_it_admits(
    load: float, servers: int, capacity: int
) -> None:
    steady = theory.mmck(load * servers, 1.0, servers, servers + capacity)
    admitted = load * servers * (1 - steady.blocked)
    assert steady.present == pytest.approx(admitted * steady.response)
    assert steady.queued == pytest.approx(admitted * steady.wait, abs=1e-12)
    assert steady.utilisation == pytest.approx(admitted / servers)


def test_a_queue_bounded_far_away_is_unbounded() -> None:
    bounded = theory.mmck(8.0, 1.0, 10, 400)
    assert bounded.wait == pytest.approx(theory.mmc(8.0, 1.0, 10).wait)
    assert bounded.blocked < 1e-12


def test_a_queue_without_waiting_room_is_erlang_b() -> None:
    assert theory.mmck(90.0, 1.0, 100, 100).blocked == pytest.approx(theory.erlang_b(90.0, 100))


def test_a_thousand_servers_do_not_overflow() -> None:
    assert 0.0 < theory.mmck(3000.0, 1.0, 2800, 2900).blocked < 1.0


@settings(max_examples=15)  # each solves a chain of thousands of states
@given(load=st.floats(0.05, 0.97))
def test_better_information_never_makes_the_response_longer(load: float) -> None:
    alone = theory.mm1(load, 1.0).response
    in_turn = theory.round_robin_split(load, 2).response
    shorter = theory.jsq_two(load)
    shared = theory.mmc(2 * load, 1.0, 2).response
    assert alone > in_turn > shorter > shared


@given(load=loads, servers=st.integers(1, 20))
def test_round_robin_lies_between_a_random_split_and_regular_arrivals(
    load: float, servers: int
) -> None:
    split = theory.round_robin_split(load, servers).response
    assert split <= theory.random_split(load).response * (1 + 1e-9)
    assert split >= theory.erlang_m1(load, 1.0, 10_000).response * (1 - 1e-9)


def test_the_wait_beyond_zero_is_erlang_c_and_falls_exponentially() -> None:
    assert theory.mmc_wait_exceeds(9.0, 1.0, 10, 0.0) == theory.erlang_c(9.0, 10)
    ratio = theory.mmc_wait_exceeds(9.0, 1.0, 10, 2.0) / theory.mmc_wait_exceeds(9.0, 1.0, 10, 1.0)
    assert ratio == pytest.approx(0.36787944)


def test_the_square_root_rule_is_within_one_server_of_exact_staffing() -> None:
    for offered in (10.0, 100.0, 1000.0):
        for waiting in (0.5, 0.2, 0.05, 0.01):
            rule = theory.square_root_staffing(offered, waiting)
            assert abs(rule - theory.fewest_servers(offered, waiting)) <= 1


@pytest.mark.parametrize(("load", "per_server"), [(0.7, 1.2150), (0.9, 2.7513), (0.95, 4.1017)])
def test_ten_servers_hold_what_the_refined_mean_field_was_published_for(
    load: float, per_server: float
) -> None:
    """Gast and Van Houdt (2018), supermarket model, two choices with repetition, N = 10."""
    response = theory.jsq_finite(load, 2, 10, distinct=False)
    assert load * response == pytest.approx(per_server, abs=5e-5)


@pytest.mark.parametrize("choices", [2, 3, 5])
def test_finitely_many_servers_come_to_the_limit_as_one_over_their_number(choices: int) -> None:
    limit = theory.jsq_mean_field(0.9, choices)
    hundred = theory.jsq_finite(0.9, choices, 100) - limit
    assert hundred > 0.0
    assert theory.jsq_finite(0.9, choices, 1000) - limit == pytest.approx(hundred / 10)
    assert theory.jsq_finite(0.9, choices, 100, distinct=False) - limit > hundred


@pytest.mark.parametrize(
    "model",
    [
        lambda: theory.mm1(1.0, 1.0),
        lambda: theory.mg1(2.0, 0.5, 1.0),
        lambda: theory.md1(1.5, 1.0),
        lambda: theory.mmc(10.0, 1.0, 10),
        lambda: theory.erlang_c(3.0, 2),
        lambda: theory.allen_cunneen(2.0, 1.0, 2, arrival_cv2=1.0, service_cv2=1.0),
        lambda: theory.processor_sharing(1.0, 1.0),
        lambda: theory.erlang_m1(1.0, 1.0, 3),
        lambda: theory.random_split(1.0),
        lambda: theory.jsq_mean_field(1.0, 2),
        lambda: theory.jsq_finite(1.0, 2, 10),
        lambda: theory.jsq_two(1.1),
    ],
)
def test_an_overloaded_system_has_no_steady_state(model: Callable[[], Steady | float]) -> None:
    with pytest.raises(Unstable, match="no steady state at a utilisation of"):
        model()


@pytest.mark.parametrize(
    "model",
    [
        lambda: theory.mm1(-1.0, 1.0),
        lambda: theory.mm1(float("nan"), 1.0),
        lambda: theory.mg1(0.5, 1.0, -0.1),
        lambda: theory.mmck(1.0, 1.0, 4, 3),
        lambda: theory.h2_balanced(1.0, 0.5),
        lambda: theory.staffing_factor(1.0),
        lambda: theory.fewest_servers(10.0, 0.0),
        lambda: theory.mm1_response_quantile(0.5, 1.0, 1.0),
        lambda: theory.jsq_mean_field(0.5, 0),
        lambda: theory.jsq_finite(0.5, 2, 0),
        lambda: theory.jsq_mean_field_tail(0.5, 2, -1),
        lambda: theory.mmc_wait_exceeds(1.0, 1.0, 2, -1.0),
        lambda: theory.erlang_b(1.0, -1),
    ],
)
def test_arguments_without_meaning_are_refused(model: Callable[[], Steady | float]) -> None:
    with pytest.raises(ValueError, match=r"must|at least"):
        model()
