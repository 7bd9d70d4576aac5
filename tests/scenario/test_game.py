"""The example of a game: its players notice neither a death nor a drain."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.waiting import PATIENCE_S

pytestmark = pytest.mark.large

GAME = Path(__file__).parents[2] / "examples" / "game"


def test_players_notice_neither_a_dead_arena_server_nor_a_drained_lobby() -> None:
    played = subprocess.run(
        [sys.executable, str(GAME), "--players", "24", "--seconds", "4.5"],
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
    )
    assert played.stdout.endswith("all well\n"), played.stdout + played.stderr
    assert played.returncode == 0
    assert "an arena server dies" in played.stdout
    assert "24 players found their match, 0 requests failed" in played.stdout
    assert "0 matches torn apart" in played.stdout
