"""Limits on concurrency: their formulas, and that they find the capacity of a server."""

from math import sqrt
from random import Random

import pytest

from penstock.core.admission import ConcurrencyLimit, create_limit, limits
from penstock.core.admission.gradient import Gradient
from penstock.core.admission.vegas import Vegas


def full(limit: ConcurrencyLimit) -> None:
    """Let in as many as may be."""
    while limit.acquire():
        pass


class Server:
    """Serves ``width`` requests at a time, ``service_s`` each on average; more wait in line."""

    def __init__(self, limit: ConcurrencyLimit, width: int, service_s: float) -> None:
        self.limit = limit
        self.width = width
        self.service_s = service_s
        self.now = 0.0
        self.dice = Random(1)
        self.limits: list[float] = []
        self.free_at = [0.0] * width
        self.running: list[tuple[float, float]] = []  # ends at, came at

    def saturate(self, requests: int, timeout_s: float = 1e9) -> None:
        """Clients fill every place that the limit leaves; the line is first come, first served."""
        free_at, running = self.free_at, self.running
        for _ in range(requests):
            while self.limit.acquire():
                server = free_at.index(min(free_at))
                begins = max(self.now, free_at[server])
                free_at[server] = begins + self.service_s * (0.99 + 0.02 * self.dice.random())
                running.append((free_at[server], self.now))
            running.sort()
            self.now, came = running.pop(0)
            latency_s = self.now - came
            self.limit.release(latency_s, self.now, dropped=latency_s > timeout_s)
            self.limits.append(self.limit.limit)

    def settled(self) -> float:
        """The mean limit over the last half of the run."""
        late = self.limits[len(self.limits) // 2 :]
        return sum(late) / len(late)


@pytest.mark.parametrize("name", limits())
def test_no_more_than_the_limit_are_ever_in_flight(name: str) -> None:
    limit = create_limit(name)
    full(limit)
    assert limit.in_flight == int(limit.limit)
    assert not limit.acquire()
    limit.forget()
    assert limit.acquire()


@pytest.mark.parametrize("name", limits())
def test_the_limit_stays_within_its_bounds(name: str) -> None:
    limit = create_limit(name, {"initial": 10.0, "minimum": 5.0, "maximum": 30.0})
    dice = Random(1)
    now = 0.0
    for _ in range(5000):
        full(limit)
        now += 0.01
        limit.release(dice.choice([0.001, 0.1, 10.0]), now, dropped=dice.random() < 0.1)
        assert 5.0 <= limit.limit <= 30.0


@pytest.mark.parametrize("name", ["aimd", "vegas", "gradient2", "gradient"])
def test_an_idle_limit_does_not_grow(name: str) -> None:
    """Samples that did not need the limit say nothing about it."""
    limit = create_limit(name, {"initial": 20.0, "minimum": 20.0})
    for i in range(200):
        limit.acquire()
        limit.release(0.1, i * 0.001)
    assert limit.limit == 20.0


@pytest.mark.parametrize("name", ["vegas", "gradient2", "gradient"])
def test_a_limit_that_is_too_low_grows_to_use_the_server(name: str) -> None:
    limit = create_limit(name, {"initial": 4.0, "minimum": 3.0, "maximum": 1000.0})
    server = Server(limit, width=50, service_s=0.05)
    server.saturate(30_000)
    assert server.settled() > 40.0


@pytest.mark.parametrize(("name", "start", "most"), [("vegas", 66, 57), ("gradient", 400, 110)])
def test_a_limit_that_is_too_high_shrinks_until_the_line_is_short(
    name: str, start: float, most: float
) -> None:
    limit = create_limit(name, {"initial": 10.0, "minimum": 3.0, "maximum": 1000.0})
    server = Server(limit, width=50, service_s=0.05)
    server.saturate(150)  # so that latency without load is known
    limit.limit = start
    server.saturate(1000)
    assert limit.limit < most


def test_aimd_is_driven_by_drops_alone() -> None:
    limit = create_limit("aimd", {"initial": 10.0, "minimum": 1.0})
    full(limit)
    limit.release(0.1, 1.0)
    assert limit.limit == 11.0
    limit.release(0.1, 1.0, dropped=True)
    assert limit.limit == pytest.approx(9.9)
    full(limit)
    limit.release(5.1, 1.0)
    assert limit.limit == pytest.approx(8.91)


def test_vegas_moves_as_published() -> None:
    """At 100 the step is 2, α 6, β 12; queue = ⌈100·(1 − 1/latency)⌉."""
    for latency_s, dropped, expected in [
        (1.0, False, 112.0),
        (1.02, False, 112.0),
        (1.04, False, 102.0),
        (1.08, False, 100.0),
        (1.20, False, 98.0),
        (1.0, True, 98.0),
    ]:
        limit = Vegas(initial=100.0)
        limit.least_s = 1.0
        full(limit)
        for _ in range(100):
            assert limit.limit == 100.0
            limit.release(latency_s, 0.0, dropped)
        assert limit.limit == expected


def test_vegas_seeks_the_least_latency_anew() -> None:
    limit = Vegas(initial=1.0, maximum=1.0)
    for _ in range(3):
        limit.acquire()
        limit.release(0.1, 0.0)
    for _ in range(200):
        limit.acquire()
        limit.release(0.3, 0.0)
    assert limit.least_s == 0.3


def test_gradient2_moves_as_published() -> None:
    """g = 1.5·long/latency = 0.6: 0.8·100 + 0.2·(0.6·100 + 4)."""
    limit = create_limit("gradient2", {"initial": 100.0, "window": 1_000_000})
    for _ in range(10):
        limit.acquire()
        limit.release(0.1, 0.0)
    full(limit)
    limit.release(0.25, 0.0)
    assert limit.limit == pytest.approx(92.8, rel=1e-3)


def test_gradient_moves_as_published() -> None:
    """gradient = 0.1·1.25/0.25 = 0.5; limit = 0.5·100 + √50, after measuring at the minimum."""
    limit = Gradient(initial=100.0)
    now = 0.0
    while limit.measuring:
        assert limit.limit == 3.0
        limit.acquire()
        now += 0.1
        limit.release(0.1, now)
    assert limit.least_s == pytest.approx(0.1)
    assert limit.limit == 100.0
    full(limit)
    for i in range(6):
        limit.release(0.25, now + 0.1 * (i == 5) + 0.001)
    assert limit.limit == pytest.approx(50.0 + sqrt(50.0))


def test_gradient_measures_again_after_a_while() -> None:
    limit = Gradient(initial=50.0, least_samples=5, least_every_s=60.0)
    for _ in range(5):
        limit.acquire()
        limit.release(0.1, 0.0)
    assert not limit.measuring
    limit.acquire()
    limit.release(0.1, 61.0)
    assert limit.measuring
    assert limit.limit == 3.0
    for _ in range(5):
        limit.acquire()
        limit.release(0.2, 62.0)
    assert limit.least_s == 0.2
    assert limit.limit == 50.0


def test_a_limit_of_no_known_name_or_option_is_refused() -> None:
    with pytest.raises(ValueError, match="known: aimd, gradient, gradient2, vegas"):
        create_limit("bbr")
    with pytest.raises(ValueError, match="no option 'speed'"):
        create_limit("aimd", {"speed": 1})
    with pytest.raises(ValueError, match="at least 1"):
        create_limit("aimd", {"minimum": 0.0})
