"""Predicted prefix hits are doubted where engines find far less, and believed again."""

from penstock.core.parity import ENOUGH_TOKENS, PrefixParity

N = ENOUGH_TOKENS


class Totals:
    """Running totals, as the board has them."""

    def __init__(self) -> None:
        self.parity = PrefixParity()
        self._sums = [0, 0, 0]

    def add(self, prompt: int, predicted: float, cached: float) -> bool:
        """Shares of the prompt tokens; whether the verdict changed."""
        for index, more in enumerate((prompt, int(prompt * predicted), int(prompt * cached))):
            self._sums[index] += more
        return self.parity.observe(*self._sums)


def test_few_tokens_decide_nothing() -> None:
    totals = Totals()
    assert not totals.add(N - 1, 1.0, 0.0)
    assert totals.add(1, 1.0, 0.0)
    assert totals.parity.doubt > 0.99


def test_doubt_is_the_share_that_did_not_come_true() -> None:
    totals = Totals()
    assert totals.add(N, 0.5, 0.125)
    assert totals.parity.doubt == 0.75


def test_small_differences_and_more_than_predicted_are_no_reason() -> None:
    totals = Totals()
    assert not totals.add(N, 0.8, 0.65)
    assert not totals.add(N, 0.1, 0.9)
    assert totals.parity.doubt == 0.0


def test_a_verdict_does_not_flutter() -> None:
    totals = Totals()
    totals.add(N, 0.8, 0.4)
    totals.add(N, 0.8, 0.65)
    assert totals.parity.doubt > 0.0
    assert totals.add(N, 0.8, 0.75)
    assert totals.parity.doubt == 0.0


def test_totals_that_went_down_are_of_another_endpoint() -> None:
    parity = PrefixParity()
    parity.observe(N, N, N)
    assert not parity.observe(100, 100, 0)
    assert parity.observe(N, N, 0)
