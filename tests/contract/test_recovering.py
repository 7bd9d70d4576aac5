"""No policy holds a bad patch against an endpoint for over a minute, or fails to see it."""

from collections.abc import Callable
from functools import cache

import pytest

from penstock.core.policy import policies
from penstock.core.policy.support.serving import ServingPolicy
from tests.contract.recovering import LEARNING, Picks, played, pool_of

BEGINS_S = 20.0
HANGS_S = 20.0
BUSY_S = 30.0
WITHIN_S = 60.0
# Shares are taken over. Rules for plain requests swing more, and are cheap to play.
WATCHED_S = 40.0
PLAIN_WATCHED_S = 200.0
NEARLY = 0.8  # of an equal share, in some hundred requests
EQUALS = (1.0, 1.0, 1.0)
KINDS = (1.0, 1.0, 0.4)  # two fast endpoints and a slow one

every_learning_policy = pytest.mark.parametrize("name", LEARNING)


def watched_s(name: str) -> float:
    """For how long shares are taken."""
    return WATCHED_S if issubclass(policies()[name], ServingPolicy) else PLAIN_WATCHED_S


@cache
def hung(name: str, speeds: tuple[float, ...] = EQUALS) -> Picks:
    """The first endpoint stands still for a while, with all that it was sent, and goes on as if
    nothing had been; checks find nothing wrong with it."""
    pause = {"at": f"{BEGINS_S:g}s", "servers": [0], "pause": f"{HANGS_S:g}s"}
    lasts_s = BEGINS_S + HANGS_S + WITHIN_S + watched_s(name)
    return played(name, pool_of(policies()[name], speeds, [pause], lasts_s))


def was_busy(name: str) -> Picks:
    """Something else on its machine takes four fifths of the first endpoint's speed for a while."""
    slow = {"at": f"{BEGINS_S:g}s", "servers": [0], "speed": 0.2}
    well = {"at": f"{BEGINS_S + BUSY_S:g}s", "servers": [0], "speed": 1.0}
    lasts_s = BEGINS_S + BUSY_S + WITHIN_S + watched_s(name)
    return played(name, pool_of(policies()[name], EQUALS, [slow, well], lasts_s))


@pytest.mark.parametrize(("story", "lasts_s"), [(hung, HANGS_S), (was_busy, BUSY_S)])
@every_learning_policy
def test_an_equal_endpoint_is_back_at_an_equal_share_within_a_minute(
    name: str, story: Callable[[str], Picks], lasts_s: float
) -> None:
    back_s = BEGINS_S + lasts_s + WITHIN_S
    share = story(name).share(0, back_s, back_s + watched_s(name))
    assert share >= NEARLY / len(EQUALS)


@every_learning_policy
def test_the_faster_of_two_kinds_is_back_at_the_share_of_its_like(name: str) -> None:
    """And has more than the slow one, as before."""
    picks = hung(name, KINDS)
    back_s = BEGINS_S + HANGS_S + WITHIN_S
    back, like, slow = (picks.share(order, back_s, back_s + watched_s(name)) for order in range(3))
    assert back >= NEARLY * (back + like) / 2.0
    assert back > slow


@every_learning_policy
def test_an_endpoint_that_hangs_gets_hardly_anything_after_some_seconds(name: str) -> None:
    """Though it fails no check, and no request has ended yet that could tell."""
    known_s = BEGINS_S + 3.0
    share = hung(name).share(0, known_s, BEGINS_S + HANGS_S)
    # The rule of this one knows who is idle, and nothing of the rest, of which it draws one.
    most = 0.5 if name == "join-idle-queue" else 0.1
    assert share < most / len(EQUALS)
