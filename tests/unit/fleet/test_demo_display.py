"""What the demonstration draws."""

import pytest

from penstock.fleet.demo.display import bar


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0.0, ""),
        (0.02, "▏"),
        (0.15, "█▎"),
        (0.25, "██"),
        (0.33, "██▋"),
        (0.5, "████"),
        (1.0, "████"),
    ],
)
def test_different_shares_have_bars_of_different_length(share: float, drawn: str) -> None:
    assert bar(share) == drawn
