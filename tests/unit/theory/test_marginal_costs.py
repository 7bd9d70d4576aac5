"""Marginal costs solve Poisson's equation of the chain, and the ones that are known come out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import theory


def test_one_more_at_one_server_costs_its_wait_and_that_of_all_behind_it() -> None:
    states = 2000
    found = theory.marginal_costs(0.9, [float(n > 0) for n in range(states)], range(states))
    assert found[:50] == pytest.approx([(n + 1) / (1.0 - 0.9) for n in range(50)])


@given(
    rate=st.floats(0.5, 6.0),
    servers=st.integers(1, 8),
    costs=st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=40),
)
def test_they_solve_poissons_equation(rate: float, servers: int, costs: list[float]) -> None:
    leave = [float(min(n, servers)) for n in range(len(costs))]
    # None below the first state, none above the last.
    found = [0.0, *theory.marginal_costs(rate, leave, costs), 0.0]
    drifts = [rate * found[n + 1] - leave[n] * found[n] + cost for n, cost in enumerate(costs)]
    rounding = 1e-9 * (1.0 + max(map(abs, found)))
    assert drifts == pytest.approx([drifts[0]] * len(drifts), abs=rounding)  # the mean cost
    assert min(costs) - 1e-6 <= drifts[0] <= max(costs) + 1e-6


def test_hundreds_of_servers_neither_overflow_nor_lose_their_digits() -> None:
    servers, rate = 2800, 3000.0
    leave = [float(min(n, servers)) for n in range(2901)]
    found = theory.marginal_costs(rate, leave, [float(n == 2900) for n in range(2901)])
    assert all(value >= 0.0 for value in found)
    # The last to enter finds all but one place taken: the mean is what is blocked.
    blocked = theory.mmck(rate, 1.0, servers, 2900).blocked
    assert 1.0 - leave[-1] * found[-1] == pytest.approx(blocked)


@pytest.mark.parametrize(
    ("leave", "costs"),
    [([0.0], [1.0]), ([0.0, 1.0], [1.0]), ([0.0, 1.0, 0.0], [1.0, 2.0, 3.0])],
)
def test_chains_without_meaning_are_refused(leave: list[float], costs: list[float]) -> None:
    with pytest.raises(ValueError, match="state"):
        theory.marginal_costs(1.0, leave, costs)
