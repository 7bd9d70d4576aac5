"""Slow start: the share of an endpoint's weight grows from its least to all of it."""

import pytest

from penstock.core.health.slow_start import SlowStart
from penstock.core.snapshot import SlowStart as Settings


def begun(settings: Settings, at: float) -> SlowStart:
    """The ramp of a new endpoint that comes into service then."""
    ramp = SlowStart(settings, in_service=False)
    ramp.follow(True, at)
    return ramp


def test_without_a_window_the_share_is_all() -> None:
    ramp = begun(Settings(), 10.0)
    assert ramp.share(10.0) == 1.0
    assert not ramp.ramping(10.0)


def test_an_endpoint_that_never_began_has_its_full_share() -> None:
    assert SlowStart(Settings(window_s=60.0)).share(10.0) == 1.0


def test_the_share_grows_in_a_line_from_its_least() -> None:
    ramp = begun(Settings(window_s=60.0, min_share=0.1), 100.0)
    assert ramp.share(100.0) == 0.1
    assert ramp.share(106.0) == pytest.approx(0.1)
    assert ramp.share(115.0) == pytest.approx(0.25)
    assert ramp.share(130.0) == pytest.approx(0.5)
    assert ramp.ramping(159.9)
    assert ramp.share(160.0) == 1.0
    assert not ramp.ramping(160.0)


def test_aggression_bends_the_line_upwards() -> None:
    """Envoy: (t/window)^(1/aggression)."""
    ramp = begun(Settings(window_s=64.0, aggression=2.0), 0.0)
    assert ramp.share(16.0) == pytest.approx(0.5)


def test_coming_into_service_again_begins_again() -> None:
    ramp = begun(Settings(window_s=10.0), 0.0)
    assert ramp.share(20.0) == 1.0
    ramp.follow(False, 25.0)
    ramp.follow(True, 30.0)
    assert ramp.share(35.0) == pytest.approx(0.5)


def test_staying_in_service_begins_nothing() -> None:
    ramp = SlowStart(Settings(window_s=10.0))
    ramp.follow(True, 0.0)
    assert ramp.share(0.0) == 1.0
    ramp = begun(Settings(window_s=10.0), 0.0)
    ramp.follow(True, 4.0)
    assert ramp.share(5.0) == pytest.approx(0.5)
