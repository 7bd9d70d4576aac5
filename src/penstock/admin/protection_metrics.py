"""Metrics of admission, circuit breakers and maintenance."""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import PoolView
from penstock.core.admission.refusals import REASONS
from penstock.core.health.breaker import HALF_OPEN, OPEN
from penstock.dataplane.board.layout import (
    L_BREAKER,
    L_BREAKER_OPENED,
    P_LIMIT_MILLI,
    P_QUEUED,
    P_REFUSED,
    P_WAITING,
)
from penstock.dataplane.board.memory import Board

REFUSALS: Final = tuple((reason, P_REFUSED + index) for index, reason in enumerate(REASONS))
_ENDPOINT: Final = ("pool", "endpoint")


def protection_metrics(pools: Sequence[PoolView], board: Board) -> Iterator[Metric]:
    """Metrics of every pool; zeros where admission is not configured."""
    queued = CounterMetricFamily(
        "penstock_admission_queued", "Requests that waited in the queue.", labels=("pool",)
    )
    refused = CounterMetricFamily(
        "penstock_admission_refused",
        "Requests refused by admission, by reason.",
        labels=("pool", "reason"),
    )
    waiting = GaugeMetricFamily(
        "penstock_admission_waiting", "Requests waiting in the queue.", labels=("pool",)
    )
    limit = GaugeMetricFamily(
        "penstock_admission_limit",
        "Limit on requests in flight; 0: none.",
        labels=("pool", "worker"),
    )
    opened = CounterMetricFamily(
        "penstock_endpoint_circuit_opened",
        "How often its circuit breaker opened.",
        labels=_ENDPOINT,
    )
    circuit = GaugeMetricFamily(
        "penstock_endpoint_circuit_open",
        "Workers whose circuit breaker for it is not closed.",
        labels=_ENDPOINT,
    )
    maintenance = GaugeMetricFamily(
        "penstock_pool_maintenance",
        "1 while an operator has set the pool aside.",
        labels=("pool",),
    )
    for pool in pools:
        maintenance.add_metric((pool.name,), int(pool.maintenance_since > 0.0))
        queued.add_metric((pool.name,), board.pool_sum(pool.row, P_QUEUED))
        waiting.add_metric((pool.name,), board.pool_sum(pool.row, P_WAITING))
        for reason, cell in REFUSALS:
            refused.add_metric((pool.name, reason), board.pool_sum(pool.row, cell))
        for worker in board.seen_workers():
            at = board.pool(pool.row, worker) + P_LIMIT_MILLI
            limit.add_metric((pool.name, str(worker)), board.cells[at] / 1e3)
        for endpoint in pool.endpoints:
            labels = (pool.name, endpoint.name)
            opened.add_metric(labels, board.load_sum(endpoint.row, L_BREAKER_OPENED))
            circuit.add_metric(labels, circuits_not_closed(board, endpoint.row))
    yield from (maintenance, queued, refused, waiting, limit, opened, circuit)


def circuits_not_closed(board: Board, row: int) -> int:
    """How many workers' circuit breakers for the endpoint of this row are open or half-open."""
    states = [board.cells[board.load(row, w) + L_BREAKER] for w in range(board.workers)]
    return states.count(OPEN) + states.count(HALF_OPEN)
