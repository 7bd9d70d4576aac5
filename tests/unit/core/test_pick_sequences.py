"""What policies for language models pick is what they picked before they were made faster."""

import json

import pytest

from tests.unit.core.pick_sequences import RECORDED, cases, sequence

BEFORE: dict[str, str] = json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", cases())
def test_the_same_picks_to_the_last_draw(case: str) -> None:
    assert sequence(*cases()[case]) == BEFORE[case]
