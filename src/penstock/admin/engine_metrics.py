"""Metrics of the load that endpoints' engines report."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from penstock.admin.view import EndpointView, EngineView, Overview
from penstock.dataplane.board.layout import (
    FA_LEARNED,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    R_CACHED,
    R_FAILED,
    R_FOREIGN,
    R_READ,
)
from penstock.dataplane.board.memory import Board

_ENDPOINT: Final = ("pool", "endpoint")
_JUDGED: Final = (
    (
        "prefix_judged_prompt_tokens",
        L_JUDGED_PROMPT,
        "Prompt tokens of answers whose engine reported cached tokens.",
    ),
    ("prefix_predicted_tokens", L_JUDGED_PREDICTED, "Of those, tokens predicted to be cached."),
    ("prefix_cached_tokens", L_JUDGED_CACHED, "Of those, tokens found cached."),
)
_Told = tuple[str, EndpointView, EngineView]


def engine_metrics(overview: Overview, board: Board) -> Iterator[Metric]:
    """Metrics of endpoints whose load is read, without figures that an engine does not report."""
    told: list[_Told] = [
        (pool.name, endpoint, endpoint.engine)
        for pool in overview.pools
        for endpoint in pool.endpoints
        if endpoint.engine is not None
    ]
    yield _silent(told)
    yield from _prefixes(told, board)
    yield _cell("reports", "Reports that were read.", told, board, R_READ)
    yield _cell("failed_reports", "Reports that could not be read.", told, board, R_FAILED)
    heard = [each for each in told if each[2].age_s >= 0]
    yield _gauge("report_age_seconds", "Age of its last report.", heard, "age_s")
    foreign = GaugeMetricFamily(
        "penstock_endpoint_engine_foreign",
        "Requests at the endpoint that this balancer did not send.",
        labels=_ENDPOINT,
    )
    for pool, endpoint, _ in heard:
        value = board.cells[board.report(endpoint.row) + R_FOREIGN]
        foreign.add_metric((pool, endpoint.name), value)
    yield foreign
    cached = GaugeMetricFamily(
        "penstock_endpoint_engine_cached_tokens",
        "Tokens that prompts can find in its prefix cache, by its KV events.",
        labels=_ENDPOINT,
    )
    for pool, endpoint, _ in told:
        held = board.cells[board.report(endpoint.row) + R_CACHED]
        if held > 0:
            cached.add_metric((pool, endpoint.name), held - 1)
    yield cached
    yield _gauge("running", "Requests that its engine runs.", heard, "running")
    yield _gauge("waiting", "Requests that wait in its engine.", heard, "waiting")
    yield _gauge("kv_usage", "Share of its cache that is held.", heard, "kv_usage")
    yield _gauge("kv_capacity_tokens", "Size of its cache.", heard, "kv_capacity")
    yield _counter("prefix_queries", "Prompt tokens looked up in its prefix cache.", heard)
    yield _counter("prefix_hits", "Prompt tokens found in its prefix cache.", heard)


def _prefixes(told: list[_Told], board: Board) -> Iterator[Metric]:
    for name, cell, meaning in _JUDGED:
        counter = CounterMetricFamily(f"penstock_endpoint_{name}", meaning, labels=_ENDPOINT)
        for pool, endpoint, _ in told:
            counter.add_metric((pool, endpoint.name), board.load_sum(endpoint.row, cell))
        yield counter
    distrust = GaugeMetricFamily(
        "penstock_endpoint_hit_distrust",
        "Share of predicted prefix hits that is ignored.",
        labels=_ENDPOINT,
    )
    for pool, endpoint, _ in told:
        distrust.add_metric((pool, endpoint.name), endpoint.hit_distrust)
    yield distrust
    exact = GaugeMetricFamily(
        "penstock_endpoint_prefix_exact",
        "1 while its KV events tell which prefixes its cache holds.",
        labels=_ENDPOINT,
    )
    for pool, endpoint, _ in told:
        exact.add_metric((pool, endpoint.name), endpoint.prefix_exact)
    yield exact
    learned = GaugeMetricFamily(
        "penstock_prefix_blocks_learned", "Blocks of prompts whose tokens were learned."
    )
    learned.add_metric((), board.cells[board.facts + FA_LEARNED])
    yield learned


def _silent(told: list[_Told]) -> Metric:
    metric = GaugeMetricFamily(
        "penstock_endpoint_engine_silent",
        "1 while its load is unknown and only the balancer's own counts are used.",
        labels=(*_ENDPOINT, "engine"),
    )
    for pool, endpoint, engine in told:
        metric.add_metric((pool, endpoint.name, engine.kind), engine.silent)
    return metric


def _cell(name: str, meaning: str, told: list[_Told], board: Board, cell: int) -> Metric:
    metric = CounterMetricFamily(f"penstock_endpoint_engine_{name}", meaning, labels=_ENDPOINT)
    for pool, endpoint, _ in told:
        metric.add_metric((pool, endpoint.name), board.cells[board.report(endpoint.row) + cell])
    return metric


def _gauge(name: str, meaning: str, heard: list[_Told], field: str) -> Metric:
    metric = GaugeMetricFamily(f"penstock_endpoint_engine_{name}", meaning, labels=_ENDPOINT)
    for pool, endpoint, engine in heard:
        value: float = getattr(engine, field)
        if value >= 0:
            metric.add_metric((pool, endpoint.name), value)
    return metric


def _counter(name: str, meaning: str, heard: list[_Told]) -> Metric:
    metric = CounterMetricFamily(f"penstock_endpoint_engine_{name}", meaning, labels=_ENDPOINT)
    for pool, endpoint, engine in heard:
        value: int = getattr(engine, name)
        if value >= 0:
            metric.add_metric((pool, endpoint.name), value)
    return metric
