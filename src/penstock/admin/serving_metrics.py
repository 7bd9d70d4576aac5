"""Metrics of pools that serve language models, and of shadow policies, from the board."""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from penstock.admin.buckets import cumulative_buckets
from penstock.admin.recent import serving_histogram_counts
from penstock.admin.view import PoolView
from penstock.dataplane.board.layout import (
    M_ANSWERS,
    M_CACHED_TOKENS,
    M_OUTPUT_TOKENS,
    M_POOL,
    M_PROMPT_TOKENS,
    MODEL_ROWS,
    P_SERVING,
    P_SHADOWS,
    SERVING_PHASES,
    SH_COST_US,
    SH_DECISIONS,
    SH_DIFFERENT,
    SH_JUDGED,
    SH_LIVE_COST_US,
    SHADOW_CELLS,
)
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.model_counters import name_at

_MEANINGS: Final = {
    "first_token": "Time from a request's head to the first event of its streamed answer.",
    "token": "Mean time between two tokens of an answer, where its engine reported tokens.",
}
# Name, cell of a model row, meaning.
MODEL_COUNTERS: Final = (
    ("model_answers", M_ANSWERS, "Answers whose engine reported their tokens."),
    ("prompt_tokens", M_PROMPT_TOKENS, "Prompt tokens, as reported by engines."),
    ("cached_tokens", M_CACHED_TOKENS, "Prompt tokens that engines found in their caches."),
    ("output_tokens", M_OUTPUT_TOKENS, "Output tokens, as reported by engines."),
)
# Name, cell of a shadow policy, units of one, meaning.
SHADOW_COUNTERS: Final = (
    ("shadow_decisions", SH_DECISIONS, 1.0, "Recorded decisions that the policy was asked about."),
    (
        "shadow_different",
        SH_DIFFERENT,
        1.0,
        "Recorded decisions in which it would have picked another endpoint.",
    ),
    (
        "shadow_judged",
        SH_JUDGED,
        1.0,
        "Recorded decisions in which the cost of both picks is known.",
    ),
    (
        "shadow_live_cost_seconds",
        SH_LIVE_COST_US,
        1e-6,
        "Estimated cost of the picks of the pool's own policy in them.",
    ),
    (
        "shadow_cost_seconds",
        SH_COST_US,
        1e-6,
        "Estimated cost of the picks of this policy in them.",
    ),
)


def serving_metrics(pools: Sequence[PoolView], board: Board) -> Iterator[Metric]:
    """Times and tokens of answers, by pool and model."""
    for index, phase in enumerate(SERVING_PHASES):
        metric = HistogramMetricFamily(
            f"penstock_{phase}_seconds", _MEANINGS[phase], labels=("pool",)
        )
        for pool in pools:
            counts = serving_histogram_counts(board, pool.row, index)
            total_us = board.pool_sum(pool.row, P_SERVING + index)
            metric.add_metric((pool.name,), cumulative_buckets(counts), total_us / 1e6)
        yield metric
    models = _models(pools, board)
    for name, cell, meaning in MODEL_COUNTERS:
        counter = CounterMetricFamily(f"penstock_{name}", meaning, labels=("pool", "model"))
        for labels, rows in models.items():
            counter.add_metric(labels, sum(board.cells[at + cell] for at in rows))
        yield counter


def _models(pools: Sequence[PoolView], board: Board) -> dict[tuple[str, str], list[int]]:
    """The model rows of all workers by pool and model."""
    names = {pool.row + 1: pool.name for pool in pools}
    found: dict[tuple[str, str], list[int]] = {}
    for worker in range(board.workers):
        for row in range(MODEL_ROWS):
            at = board.model(worker, row)
            pool = names.get(board.cells[at + M_POOL])
            if pool is not None:
                model = name_at(board, at).decode("utf-8", "replace")
                found.setdefault((pool, model), []).append(at)
    return found


def shadow_metrics(pools: Sequence[PoolView], board: Board) -> Iterator[Metric]:
    """Where shadow policies differ, and the estimated cost."""
    for name, cell, unit, meaning in SHADOW_COUNTERS:
        counter = CounterMetricFamily(f"penstock_{name}", meaning, labels=("pool", "policy"))
        for pool in pools:
            for index, policy in enumerate(pool.shadow):
                count = board.pool_sum(pool.row, P_SHADOWS + index * SHADOW_CELLS + cell)
                counter.add_metric((pool.name, policy), count * unit)
        yield counter
