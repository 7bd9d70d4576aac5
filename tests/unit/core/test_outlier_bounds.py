"""Outlier detection: how many may be out, and who may be beyond that or never."""

import pytest

from penstock.core.snapshot import Outlier
from tests.unit.core.outliers import Pool


def test_at_most_the_given_share_is_out_but_one_always_may_be() -> None:
    pool = Pool(4, Outlier(max_ejected_share=0.1))
    for name in pool.names:
        pool.serve(name, failures=5)
    pool.observe()
    assert len(pool.ejected()) == 1
    assert pool.detector.refused == 3

    pool = Pool(20, Outlier(max_ejected_share=0.1))
    for name in pool.names:
        pool.serve(name, failures=5)
    pool.observe()
    assert len(pool.ejected()) == 2


def test_all_that_cannot_be_reached_are_out_whatever_the_share() -> None:
    pool = Pool(5, Outlier(max_ejected_share=0.1))
    for name in ("e0", "e1", "e2"):
        pool.serve(name, unreached=5)
    pool.serve("e3", failures=5)
    changes = pool.observe()
    assert pool.ejected() == {"e0", "e1", "e2"} == set(pool.detector.unreachable())
    assert changes[0].reason == (
        "5 failures in a row, all to connect; out for 30 s or until one succeeds"
    )


def test_one_that_answered_in_between_was_reached() -> None:
    pool = Pool(5, Outlier(max_ejected_share=0.1))
    pool.serve("e0", unreached=5)
    pool.serve("e1", unreached=4, failures=1)
    pool.serve("e2", unreached=4, unanswered=1)
    pool.observe()
    assert pool.ejected() == {"e0"}
    assert pool.detector.refused == 2


@pytest.mark.parametrize(
    "settings",
    [
        Outlier(max_ejected_share=0.1, consecutive_failures=0, consecutive_gateway_failures=5),
        Outlier(max_ejected_share=0.1, split_local_failures=True),
    ],
)
def test_the_share_does_not_hold_for_them_whatever_finds_them(settings: Outlier) -> None:
    pool = Pool(4, settings)
    for name in ("e0", "e1", "e2"):
        pool.serve(name, unreached=5)
    pool.observe()
    assert pool.ejected() == {"e0", "e1", "e2"}


def test_one_that_is_reached_again_is_let_in_at_once() -> None:
    pool = Pool(3)
    pool.serve("e0", unreached=5)
    pool.serve("e1", failures=5)
    pool.observe()
    change = pool.detector.reached("e0", pool.now)
    assert change is not None
    assert (change.name, change.ejected) == ("e0", False)
    assert change.reason == "connections to it succeed again"
    assert pool.detector.reached("e0", pool.now) is None
    assert pool.detector.reached("e1", pool.now) is None  # that it can be was never in doubt
    assert pool.ejected() == {"e1"}
    assert pool.detector.unreachable() == []
    pool.serve("e0", unreached=4)
    assert pool.observe() == []


def test_the_last_one_that_could_serve_is_never_ejected() -> None:
    pool = Pool(1)
    pool.serve("e0", failures=50)
    assert pool.observe() == []

    pool = Pool(3)
    pool.down = {"e0", "e2"}
    pool.serve("e1", failures=50)
    assert pool.observe() == []

    pool = Pool(3)
    for name in pool.names:
        pool.serve(name, unreached=50)
    pool.observe()
    assert len(pool.ejected()) == 2
