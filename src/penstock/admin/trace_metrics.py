"""Metrics of the spans that go to a collector."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import TracesView


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
