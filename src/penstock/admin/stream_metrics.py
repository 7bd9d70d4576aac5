"""Metrics of answers that other endpoints go on with."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import PoolView
from penstock.dataplane.board.layout import P_KEPT_BYTES, P_NOT_RESUMED, RESUME_REFUSALS
from penstock.dataplane.board.memory import Board


def stream_metrics(pools: Sequence[PoolView], board: Board) -> Iterator[Metric]:
    """Of every pool; zeros where nothing is resumed."""
    refused = CounterMetricFamily(
        "penstock_answers_not_resumed",
        "Cut answers with which no endpoint went on, by reason.",
        labels=("pool", "reason"),
    )
    kept = GaugeMetricFamily(
        "penstock_kept_answer_bytes",
        "Bytes of prompts and answers kept to go on from.",
        labels=("pool",),
    )
    for pool in pools:
        kept.add_metric((pool.name,), board.pool_sum(pool.row, P_KEPT_BYTES))
        for at, reason in enumerate(RESUME_REFUSALS):
            count = board.pool_sum(pool.row, P_NOT_RESUMED + at)
            refused.add_metric((pool.name, reason), count)
    yield from (refused, kept)
