"""Metrics of pools that are scaled."""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import PoolView

_POOL: Final = ("pool",)
_GAUGES: Final = (
    ("desired", "Endpoints that the pool is to have, or with `mode: advise` should have."),
    ("actual", "Endpoints that serve or start."),
    ("starting", "Endpoints that were started and do not serve yet."),
    ("draining", "Endpoints that are to be stopped once their streams have ended."),
    ("present", "Endpoints that the present load needs."),
    ("ahead", "Endpoints that the load needs which is foreseen for the next start time."),
)
_SECONDS: Final = (
    ("endpoint_s", "endpoint_seconds", "Endpoints that served or started, times seconds."),
    ("advised_endpoint_s", "advised_endpoint_seconds", "The same, had the advice been followed."),
    ("broken_s", "short_seconds", "Seconds with fewer endpoints than the present load needs."),
    ("advised_broken_s", "advised_short_seconds", "The same, had the advice been followed."),
)


def scale_metrics(pools: Sequence[PoolView]) -> Iterator[Metric]:
    """Of the pools that are scaled."""
    scaled = [(pool.name, pool.scale) for pool in pools if pool.scale is not None]
    for field, meaning in _GAUGES:
        gauge = GaugeMetricFamily(f"penstock_scale_{field}", meaning, labels=_POOL)
        for name, scale in scaled:
            gauge.add_metric((name,), getattr(scale, field))
        yield gauge
    lead = GaugeMetricFamily(
        "penstock_scale_start_seconds", "How far ahead a need is looked for.", labels=_POOL
    )
    foreseen = GaugeMetricFamily(
        "penstock_scale_foreseen_requests_per_second",
        "What is foreseen for the next start time: the middle, and the quantile planned for.",
        labels=("pool", "quantile"),
    )
    failing = GaugeMetricFamily(
        "penstock_scale_failing", "1 while what is wanted cannot be done.", labels=_POOL
    )
    for name, scale in scaled:
        lead.add_metric((name,), scale.lead_s)
        foreseen.add_metric((name, "middle"), scale.foreseen)
        foreseen.add_metric((name, "planned"), scale.foreseen_high)
        failing.add_metric((name,), int(scale.problem != ""))
    yield from (lead, foreseen, failing)
    for field, metric, meaning in _SECONDS:
        counter = CounterMetricFamily(f"penstock_scale_{metric}", meaning, labels=_POOL)
        for name, scale in scaled:
            counter.add_metric((name,), getattr(scale, field))
        yield counter
