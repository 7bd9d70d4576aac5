"""A fleet in two halves in the simulator: the rule is the data plane's."""

import pytest

from benchmarks.split.simulated import Workload, run

LONG = Workload(rate=3.0, input_tokens=8000, output_tokens=150)


@pytest.mark.parametrize(("rule", "least", "most"), [("always", 1.0, 1.0), ("never", 0.0, 0.0)])
def test_a_fixed_rule_splits_all_or_none(rule: str, least: float, most: float) -> None:
    assert least <= run(LONG, rule, 1, 5).apart <= most


def test_by_cost_long_prompts_are_split_as_far_as_it_pays() -> None:
    """Answers keep their pace, for little of the time to the first token."""
    by_cost, never = [run(LONG, rule, 1, 15) for rule in ("by cost", "never")]
    assert by_cost.apart > 0.15
    assert by_cost.token_s < 0.9 * never.token_s
    assert by_cost.mean_s < 1.2 * never.mean_s
