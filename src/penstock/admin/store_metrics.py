"""Metrics of the store that balancers share, and of what they tell each other."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import StoreView


def store_metrics(store: StoreView | None) -> Iterator[Metric]:
    """Nothing where this balancer is alone."""
    if store is None:
        return
    yield GaugeMetricFamily(
        "penstock_store_up", "1 while the shared store is reached.", value=int(store.connected)
    )
    for name, meaning, value in (
        ("connects", "Times that the shared store was connected to.", store.connects),
        ("failures", "Calls that the shared store did not answer.", store.failed),
        ("dropped_messages", "Messages that it did not take in time.", store.dropped),
    ):
        yield CounterMetricFamily(f"penstock_store_{name}", meaning, value=value)
