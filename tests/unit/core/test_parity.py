"""Predicted prefix hits are distrusted where engines find far less, and believed again."""

from penstock.core.prefixes.parity import ENOUGH_TOKENS, PrefixParity

N = ENOUGH_TOKENS


class Totals:
    """Running totals, as the board has them."""

    def __init__(self) -> None:
        self.parity = PrefixParity()
        self._sums = [0, 0, 0]

    def add(self, prompt: int, predicted: float, cached: float, now: float = 0.0) -> bool:
        """Shares of the prompt tokens; whether the verdict changed."""
        for index, more in enumerate((prompt, int(prompt * predicted), int(prompt * cached))):
            self._sums[index] += more
        prompt_sum, predicted_sum, cached_sum = self._sums
        return self.parity.observe(prompt_sum, predicted_sum, cached_sum, now)


def test_few_tokens_decide_nothing() -> None:
    totals = Totals()
    assert not totals.add(N - 1, 1.0, 0.0)
    assert totals.add(1, 1.0, 0.0)
    assert totals.parity.hit_distrust > 0.99


def test_distrust_is_the_share_that_did_not_come_true() -> None:
    totals = Totals()
    assert totals.add(N, 0.5, 0.125)
    assert totals.parity.hit_distrust == 0.75


def test_small_differences_and_more_than_predicted_are_no_reason() -> None:
    totals = Totals()
    assert not totals.add(N, 0.8, 0.65)
    assert not totals.add(N, 0.1, 0.9)
    assert totals.parity.hit_distrust == 0.0


def test_a_verdict_does_not_flutter() -> None:
    totals = Totals()
    totals.add(N, 0.8, 0.4)
    totals.add(N, 0.8, 0.65)
    assert totals.parity.hit_distrust > 0.0
    assert totals.add(N, 0.8, 0.75)
    assert totals.parity.hit_distrust == 0.0


def test_totals_that_went_down_are_of_another_endpoint() -> None:
    parity = PrefixParity()
    parity.observe(N, N, N, 0.0)
    assert not parity.observe(100, 100, 0, 0.0)
    assert parity.observe(N, N, 0, 0.0)


def test_distrust_that_nothing_renews_fades_within_minutes() -> None:
    totals = Totals()
    totals.add(N, 1.0, 0.2)
    assert not totals.add(0, 1.0, 0.2, now=29.0)
    assert totals.add(0, 1.0, 0.2, now=30.0)
    assert totals.parity.hit_distrust == 0.4
    assert totals.add(0, 1.0, 0.2, now=60.0)
    assert totals.parity.hit_distrust == 0.2
    assert totals.add(0, 1.0, 0.2, now=150.0)
    assert totals.parity.hit_distrust == 0.0
    assert not totals.add(0, 1.0, 0.2, now=1000.0)


def test_distrust_that_is_judged_again_is_as_great_as_before() -> None:
    totals = Totals()
    totals.add(N, 1.0, 0.2)
    totals.add(0, 1.0, 0.2, now=60.0)
    assert totals.add(N, 1.0, 0.2, now=61.0)
    assert totals.parity.hit_distrust == 0.8
