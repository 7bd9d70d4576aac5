"""Metrics: what workers counted, under the names that the documentation promises."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from penstock.admin.buckets import cumulative_buckets
from penstock.admin.counted import ENDPOINT_COUNTERS, POOL_COUNTERS, WORKER_COUNTERS, WORKER_GAUGES
from penstock.admin.metrics import render_metrics
from penstock.admin.view import Overview
from penstock.core.health.health import DOWN
from penstock.core.measure.histogram import BUCKETS, bucket_of
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_CONNECT_FAILURES,
    L_IN_FLIGHT,
    L_REQUESTS,
    L_RESETS,
    P_1XX_TO_5XX,
    P_QUEUE_SUM_US,
    PHASES,
)
from penstock.dataplane.board.memory import Board
from tests.unit.admin.balancer import endpoint, overview, pool, worker

Labels = Mapping[str, str]


class Scraped:
    """What Prometheus would have read."""

    def __init__(self, shown: Overview, board: Board) -> None:
        text = render_metrics(shown, board).decode()
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        # "class" is a keyword of Python.
        wanted = {key.rstrip("_"): value for key, value in labels.items()}
        return self.samples[f"penstock_{name}", tuple(sorted(wanted.items()))]

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def test_counts_of_workers_are_summed_by_endpoint_and_pool(board: Board) -> None:
    for index in (0, 1):
        at = board.load(1, index)
        board.cells[at + L_REQUESTS] = 100
        board.cells[at + L_IN_FLIGHT] = 3
        board.cells[at + L_1XX_TO_5XX + 1] = 90
        board.cells[at + L_CONNECT_FAILURES] = 4
        board.cells[at + L_RESETS] = 1
        board.cells[board.pool(0, index) + P_1XX_TO_5XX + 4] = 6
    scraped = Scraped(overview(), board)
    here = {"pool": "main", "endpoint": "e1"}
    assert scraped("endpoint_requests_total", **here) == 200
    assert scraped("endpoint_in_flight", **here) == 6
    assert scraped("endpoint_responses_total", **here, class_="2xx") == 180
    assert scraped("endpoint_failures_total", **here, kind="connect") == 8
    assert scraped("endpoint_failures_total", **here, kind="reset") == 2
    assert scraped("endpoint_requests_total", pool="main", endpoint="e0") == 0
    assert scraped("responses_total", pool="main", class_="5xx") == 12


@pytest.mark.parametrize("name_cell_meaning", [*WORKER_COUNTERS, *WORKER_GAUGES])
def test_every_worker_cell_is_shown(name_cell_meaning: tuple[str, int, str], board: Board) -> None:
    name, cell, _ = name_cell_meaning
    board.cells[board.worker(1) + cell] = 7
    scraped = Scraped(overview(), board)
    suffix = "" if name_cell_meaning in WORKER_GAUGES else "_total"
    assert scraped(name + suffix, worker="1") == 7
    assert scraped(name + suffix, worker="0") == 0


@pytest.mark.parametrize("name_cell_meaning", POOL_COUNTERS)
def test_every_pool_cell_is_shown(name_cell_meaning: tuple[str, int, str], board: Board) -> None:
    name, cell, _ = name_cell_meaning
    board.cells[board.pool(0, 1) + cell] = 7
    assert Scraped(overview(), board)(f"{name}_total", pool="main") == 7


@pytest.mark.parametrize("name_cell_meaning", ENDPOINT_COUNTERS)
def test_every_endpoint_cell_is_shown(
    name_cell_meaning: tuple[str, int, str], board: Board
) -> None:
    name, cell, _ = name_cell_meaning
    board.cells[board.load(0, 1) + cell] = 7
    assert Scraped(overview(), board)(f"{name}_total", pool="main", endpoint="e0") == 7


def test_states_of_endpoints(board: Board) -> None:
    sick = endpoint("e0", 0, health=DOWN, available=False, ejected=True, ejections=4)
    calm = endpoint("e1", 1, draining=True, effective_weight=0.5)
    scraped = Scraped(overview(pool("main", 0, sick, calm)), board)
    first, second = ({"pool": "main", "endpoint": name} for name in ("e0", "e1"))
    assert scraped("endpoint_health", **first, state="down") == 1
    assert scraped("endpoint_health", **first, state="up") == 0
    assert scraped("endpoint_available", **first) == 0
    assert scraped("endpoint_ejected", **first) == 1
    assert scraped("endpoint_ejections_total", **first) == 4
    assert scraped("endpoint_draining", **second) == 1
    assert scraped("endpoint_weight", **second) == 0.5


def test_ejections_by_detector(board: Board) -> None:
    shown = replace(
        pool("main", 0, endpoint("e0", 0)),
        ejections={"failure_share": 0, "success_rate": 2},
        refused_ejections=3,
    )
    scraped = Scraped(overview(shown), board)
    assert scraped("outlier_ejections_total", pool="main", detector="failure_share") == 0
    assert scraped("outlier_ejections_total", pool="main", detector="success_rate") == 2
    assert scraped("outlier_refused_ejections_total", pool="main") == 3


def test_the_balancer_itself(board: Board) -> None:
    shown = overview(workers=[worker(0), worker(1, state="restarting", restarts=3)])
    scraped = Scraped(shown, board)
    assert scraped("snapshot_generation") == 3
    assert scraped("worker_up", worker="0") == 1
    assert scraped("worker_up", worker="1") == 0
    assert scraped("worker_restarts_total", worker="1") == 3
    assert scraped("reloads_total", result="failed") == 1
    build = next(key for key in scraped.samples if key[0] == "penstock_build_info")
    assert dict(build[1])["form"] == "compiled"


def test_phases_are_histograms_in_seconds(board: Board) -> None:
    phase = PHASES.index("first_byte")
    for seconds, worker_index in ((0.0002, 0), (0.003, 1), (1000.0, 1)):
        at = board.histogram(0, worker_index, phase)
        board.cells[at + bucket_of(int(seconds * 1e6))] += 1
    board.cells[board.pool(0, 1) + P_QUEUE_SUM_US + phase] = 1_000_003_200
    scraped = Scraped(overview(), board)
    assert scraped("first_byte_seconds_count", pool="main") == 3
    assert scraped("first_byte_seconds_sum", pool="main") == pytest.approx(1000.0032)
    assert scraped("first_byte_seconds_bucket", pool="main", le="0.000128") == 0
    assert scraped("first_byte_seconds_bucket", pool="main", le="0.000256") == 1
    assert scraped("first_byte_seconds_bucket", pool="main", le="0.004096") == 2
    assert scraped("first_byte_seconds_bucket", pool="main", le="268.435456") == 2
    assert scraped("total_seconds_count", pool="main") == 0


@pytest.mark.parametrize("power", range(6, 29))
def test_bucket_boundaries_cut_exactly(power: int) -> None:
    """A duration just under a boundary falls below it, one at the boundary above it."""
    bound = repr((1 << power) / 1e6)
    for microseconds, below in (((1 << power) - 1, 1.0), (1 << power, 0.0)):
        counts = [0] * BUCKETS
        counts[bucket_of(microseconds)] = 1
        assert dict(cumulative_buckets(counts))[bound] == below


def test_every_metric_is_documented(board: Board) -> None:
    page = Path(__file__).parents[3].joinpath("docs/operations.md").read_text("utf-8")
    for name in Scraped(overview(), board).names:
        stem = name
        for suffix in ("_bucket", "_sum", "_count"):
            stem = stem.removesuffix(suffix)
        assert f"`{stem}`" in page, f"docs/operations.md does not tell of {stem}"
