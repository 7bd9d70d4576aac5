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
        ("late", "Times that a limit went on without its answer.", store.late),
        ("dropped_messages", "Messages that it did not take in time.", store.dropped),
        ("sent_messages", "Messages to other balancers.", store.sent),
        ("sent_bytes", "Bytes of these.", store.sent_bytes),
        ("received_messages", "Messages that came, one's own included.", store.received),
        ("received_bytes", "Bytes of these.", store.received_bytes),
        ("refused_messages", "Messages that no balancer says.", store.refused),
        ("lost_messages", "Messages of other balancers that did not come.", store.lost),
        ("asked", "Times that another balancer was asked for all it has.", store.asked),
        ("prefixes", "Prefix blocks and answers that others told of.", store.prefixes),
    ):
        yield CounterMetricFamily(f"penstock_store_{name}", meaning, value=value)
    for name, meaning, level in (
        ("balancers", "Other balancers that are heard.", len(store.balancers)),
        (
            "balancers_in_flight",
            "Requests that other balancers have in flight.",
            sum(each.in_flight for each in store.balancers),
        ),
        ("delay_seconds", "What a message takes, by one's own.", store.delay_ms / 1000),
    ):
        yield GaugeMetricFamily(f"penstock_store_{name}", meaning, value=level)
