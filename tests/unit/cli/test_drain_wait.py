"""`ctl drain --wait` returns when the endpoint can be stopped, and says so when it cannot."""

from collections.abc import Sequence
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from penstock.cli._drain_wait import LOOK_S, TOO_LATE, await_drained


def status(in_flight: int, stays: bool = False, until: float | None = None) -> dict[str, Any]:
    member = {
        "name": "e",
        "in_flight": in_flight,
        "clients_stay": stays,
        "clients_stay_until": until,
    }
    busy = member | {"name": "other", "in_flight": 9}
    return {"pools": [{"name": "main", "endpoints": [busy, member]}]}


GONE: dict[str, Any] = {"pools": []}
IDLE = status(0)


def waited(looks: Sequence[dict[str, Any]], timeout_s: float = 60.0) -> tuple[Result, float]:
    """What it says to these looks, of which the last one repeats itself, and how long it took."""
    passed = [0.0]
    left = list(looks)

    def pause(seconds: float) -> None:
        passed[0] += seconds

    @click.command()
    def command() -> None:
        await_drained(
            lambda: left.pop(0) if len(left) > 1 else left[0],
            ("main", "e"),
            timeout_s,
            clock=lambda: passed[0],
            pause=pause,
        )

    return CliRunner().invoke(command), passed[0]


def test_it_returns_when_nothing_is_in_flight() -> None:
    done, took_s = waited([status(2), status(1), IDLE])
    assert done.exit_code == 0
    assert done.output == "nothing is in flight there after 2 s\n"
    assert took_s == 3 * LOOK_S, "it looks twice: a worker may have heard of the drain late"


def test_one_empty_moment_is_not_enough() -> None:
    done, took_s = waited([IDLE, status(1), IDLE])
    assert done.exit_code == 0
    assert took_s == 3 * LOOK_S


def test_it_gives_up_when_its_time_is_over() -> None:
    done, took_s = waited([status(1)], timeout_s=5.0)
    assert done.exit_code == TOO_LATE
    assert "after 5 s 1 request is in flight there" in done.output
    assert took_s == 5.0


def test_without_a_bound_it_waits_on() -> None:
    done, took_s = waited([*[status(1)] * 10_000, IDLE], timeout_s=0.0)
    assert done.exit_code == 0
    assert took_s > 4000.0


def test_it_waits_for_clients_that_stay_until_a_deadline() -> None:
    done, took_s = waited([status(0, True, 1e9)] * 5 + [IDLE])
    assert done.exit_code == 0
    assert took_s == 6 * LOOK_S
    done, _ = waited([status(0, True, 1e9)], timeout_s=5.0)
    assert done.exit_code == TOO_LATE
    assert "may still come" in done.output


def test_it_does_not_wait_for_clients_that_stay_for_ever_and_says_so() -> None:
    done, _ = waited([status(0, True)])
    assert done.exit_code == 0
    assert "may come again" in done.output


def test_an_endpoint_that_a_reload_takes_away_is_not_waited_for() -> None:
    assert waited([status(1), GONE])[0].exit_code == 0


@pytest.mark.parametrize("timeout", ["5", "soon"])
def test_a_timeout_is_a_duration(timeout: str) -> None:
    from penstock.cli.main import penstock_command

    done = CliRunner().invoke(
        penstock_command, ["ctl", "drain", "--wait", "--timeout", timeout, "main/e"]
    )
    assert done.exit_code == 2
    assert "--timeout" in done.output
