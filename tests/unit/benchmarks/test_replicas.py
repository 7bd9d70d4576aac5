"""How evenly requests lie over endpoints, worked out of request logs."""

import pytest

from benchmarks.replicas.routed import Seen, together
from benchmarks.replicas.simulated import row
from benchmarks.replicas.spread import Stay, sampled, spread, stays


def test_spread_is_the_standard_deviation_over_endpoints_in_the_mean_over_time() -> None:
    assert spread([[2, 2, 2], [0, 0, 0]]) == 0.0
    assert spread([[1, 3], [0, 4]]) == pytest.approx((1.0 + 2.0) / 2)
    assert spread([]) == 0.0


def test_a_request_is_at_its_endpoint_from_its_beginning_to_before_its_end() -> None:
    requests = [Stay("a", 0.0, 2.0), Stay("b", 1.0, 3.0), Stay("a", 1.5, 1.6)]
    found = sampled(requests, ["a", "b", "c"], 0.0, 4.0, 1.0)
    assert found == [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_log_tells_when_each_request_began_and_where_it_was() -> None:
    line = b'{"time":"2026-01-31T12:00:01.500Z","endpoint":"%b","t_total":500.0,"status":200}'
    (stay,) = stays([line % b"a", line % b""])
    assert stay.endpoint == "a"
    assert stay.ended - stay.began == pytest.approx(0.5)


def test_a_row_says_what_part_of_ones_its_figures_are() -> None:
    assert row("4", (0.9, 100.0, 220.0, 1.5), (1.0, 100.0, 200.0, 1.0)) == [
        "4",
        "0.900",
        "0.90",
        "100",
        "220",
        "1.10",
        "1.50",
        "1.50",
    ]
    assert row("4", (0.0, 1.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0))[2] == "–"


def test_runs_are_told_by_their_mean() -> None:
    one = Seen((0.8, 100.0, 200.0, 1.0), 0, 50.0, 100.0, 2048.0, 5.0)
    two = Seen((0.6, 200.0, 400.0, 2.0), 1, 70.0, 120.0, 4096.0, 7.0)
    both = together([one, two])
    assert both.figures == pytest.approx((0.7, 150.0, 300.0, 1.5))
    assert both.told() == ["0.5", "60", "110", "3", "6"]
