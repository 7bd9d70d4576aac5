"""Metrics of the providers that find endpoints."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import Overview

_LABELS = ("pool", "discovery")


def discovery_metrics(overview: Overview) -> Iterator[Metric]:
    """Of every provider of every pool."""
    up = GaugeMetricFamily(
        "penstock_discovery_up", "1 where the provider's last answer was used.", labels=_LABELS
    )
    endpoints = GaugeMetricFamily(
        "penstock_discovery_endpoints", "Endpoints known of the provider.", labels=_LABELS
    )
    age = GaugeMetricFamily(
        "penstock_discovery_answered_seconds",
        "When the provider last answered (Unix time); 0: never.",
        labels=_LABELS,
    )
    for pool in overview.pools:
        for each in pool.discoveries:
            labels = (pool.name, each.shown)
            up.add_metric(labels, int(each.state == "found"))
            endpoints.add_metric(labels, each.endpoints)
            age.add_metric(labels, each.answered_at)
    yield from (up, endpoints, age)
