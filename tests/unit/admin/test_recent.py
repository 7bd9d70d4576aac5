"""Rates and latencies of the last minute come from differences of counters."""

import pytest

from penstock.admin.recent import Recent
from penstock.core.measure.histogram import bucket_of
from penstock.dataplane.board.layout import (
    L_FIRST_BYTE_SUM_US,
    L_JUDGED_CACHED,
    L_JUDGED_PROMPT,
    L_REQUESTS,
    L_TIMED,
    L_TOTAL_SUM_US,
    P_REQUESTS,
)
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.model_counters import ModelCounters
from tests.unit.admin.balancer import overview

TOTAL = 3  # the index of that phase


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def record(board: Board, seconds: float, times: int, worker: int = 0) -> None:
    bucket = bucket_of(int(seconds * 1e6))
    board.cells[board.histogram(0, worker, TOTAL) + bucket] += times


def test_rates_are_of_the_window_not_of_all_time(board: Board) -> None:
    clock = Clock()
    recent = Recent(board, clock)
    board.cells[board.pool(0, 0) + P_REQUESTS] = 1_000_000
    recent.sample(overview().pools)
    clock.now += 10.0
    board.cells[board.pool(0, 1) + P_REQUESTS] += 50
    board.cells[board.load(1, 0) + L_REQUESTS] += 20
    seen = recent.differences(overview().pools)
    assert seen.seconds == 10.0
    assert seen.pool_requests_per_s("main") == 5.0
    assert seen.endpoint_requests_per_s("main", "e0") == 0.0
    assert seen.endpoint_requests_per_s("main", "e1") == 2.0


def test_old_samples_leave_the_window(board: Board) -> None:
    clock = Clock()
    recent = Recent(board, clock)
    for _ in range(100):
        recent.sample(overview().pools)
        clock.now += 5.0
    assert recent.differences(overview().pools).seconds == 60.0


def test_quantiles_are_of_the_window_over_all_workers(board: Board) -> None:
    recent = Recent(board, Clock())
    record(board, 100.0, times=1000)
    recent.sample(overview().pools)
    record(board, 0.010, times=98, worker=0)
    record(board, 2.0, times=2, worker=1)
    seen = recent.differences(overview().pools)
    assert seen.quantile_s("main", "total", 0.5) == pytest.approx(0.010, rel=0.125)
    assert seen.quantile_s("main", "total", 0.99) == pytest.approx(2.0, rel=0.125)
    assert seen.quantile_s("main", "connect", 0.5) is None


def test_a_counter_that_began_anew_gives_no_negative_rate(board: Board) -> None:
    clock = Clock()
    recent = Recent(board, clock)
    board.cells[board.pool(0, 0) + P_REQUESTS] = 1000
    recent.sample(overview().pools)
    board.cells[board.pool(0, 0) + P_REQUESTS] = 30
    clock.now += 10.0
    assert recent.differences(overview().pools).pool_requests_per_s("main") == 3.0


def test_before_the_first_sample_nothing_is_known(board: Board) -> None:
    seen = Recent(board, Clock()).differences(overview().pools)
    assert seen.pool_requests_per_s("main") == 0.0
    assert seen.quantile_s("main", "total", 0.5) is None


def test_times_and_hits_of_an_endpoint_are_means_of_the_window_over_all_workers(
    board: Board,
) -> None:
    recent = Recent(board, Clock())
    cells = (L_TIMED, L_FIRST_BYTE_SUM_US, L_TOTAL_SUM_US, L_JUDGED_PROMPT, L_JUDGED_CACHED)
    for cell in cells:
        board.cells[board.load(1, 0) + cell] = 1_000_000
    recent.sample(overview().pools)
    for worker, counts in enumerate([(1, 100_000, 2_000_000, 500, 400), (3, 0, 0, 500, 350)]):
        for cell, count in zip(cells, counts, strict=True):
            board.cells[board.load(1, worker) + cell] += count
    seen = recent.differences(overview().pools)
    assert seen.endpoint_first_byte_s("main", "e1") == 0.025
    assert seen.endpoint_total_s("main", "e1") == 0.5
    assert seen.endpoint_cached_share("main", "e1") == 0.75
    assert seen.endpoint_total_s("main", "e0") is None
    assert seen.endpoint_cached_share("main", "e0") is None


def test_tokens_of_a_pool_are_those_of_the_window_over_models_and_workers(board: Board) -> None:
    recent = Recent(board, Clock())
    first, second = ModelCounters(board, 0, 0), ModelCounters(board, 0, 1)
    first.count("a", prompt=1000, cached=1000, output=1000)
    recent.sample(overview().pools)
    first.count("a", prompt=100, cached=80, output=10)
    first.count("b", prompt=100, cached=-1, output=20)
    second.count("a", prompt=200, cached=120, output=30)
    tokens = recent.differences(overview().pools).pool_tokens("main")
    assert tokens == (3, 400, 200, 60)
