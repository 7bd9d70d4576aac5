"""Metrics of the spans, and of the metrics, that go to a collector."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import PushView, TracesView


def trace_metrics(traces: TracesView | None) -> Iterator[Metric]:
    """Nothing where nothing is traced."""
    if traces is None:
        return
    yield CounterMetricFamily(
        "penstock_traces_sent_spans", "Spans that the collector took.", value=traces.sent
    )
    yield CounterMetricFamily(
        "penstock_traces_dropped_spans",
        "Spans that no collector got, and traced requests that there was no room for.",
        value=traces.dropped,
    )


def push_metrics(push: PushView | None) -> Iterator[Metric]:
    """Nothing where metrics are pushed nowhere."""
    if push is None:
        return
    yield CounterMetricFamily(
        "penstock_metrics_pushed_points", "Points that the collector took.", value=push.points
    )
    yield CounterMetricFamily(
        "penstock_metrics_failed_pushes",
        "Times that the collector did not take all metrics.",
        value=push.failed,
    )
