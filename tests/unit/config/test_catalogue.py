"""docs/policies.md says what the sources say."""

from pathlib import Path

import pytest

from penstock.config.describe.catalogue import FILE, catalogue
from penstock.config.document.choice import documentation
from penstock.core.policy import policies

ROOT = Path(__file__).parents[3]


def test_the_catalogue_of_policies_is_current() -> None:
    assert (ROOT / FILE).read_text() == catalogue(), (
        "run: python -m penstock.config.describe.catalogue"
    )


@pytest.mark.parametrize("name", policies())
def test_every_policy_states_its_source_and_its_cost(name: str) -> None:
    text = documentation(policies()[name])
    assert "Source" in text
    assert "O(" in text
