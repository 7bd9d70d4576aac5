"""The examples of a shop and of a cloud, played as their README says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.waiting import PATIENCE_S

EXAMPLES = Path(__file__).parents[2] / "examples"


def played(example: str, *arguments: str) -> str:
    """What it told."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / example), *arguments],
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE_S,
    )
    assert done.stdout.endswith("all well\n"), done.stdout + done.stderr
    assert done.returncode == 0
    return done.stdout


def test_clients_of_the_shop_notice_neither_a_drain_nor_a_rush() -> None:
    told = played("shop", "--clients", "20")
    assert "20 of 20 carts are whole" in told
    assert "at most 4 at a time" in told


@pytest.mark.large
def test_the_cloud_begins_with_nothing_grows_in_the_flood_and_ends_with_nothing() -> None:
    told = played("cloud", "--seconds", "9")
    assert "0 failed" in told
    assert "and 0 at the end" in told
