"""Metrics of limits: only of those of which there is anything to tell."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import Overview

_LABELS = ("limit",)


def limit_metrics(overview: Overview) -> Iterator[Metric]:
    """By the name of the limit: its scope, and what it counts."""
    refused = CounterMetricFamily(
        "penstock_limit_refused", "Requests that the limit refused.", labels=_LABELS
    )
    overflowed = CounterMetricFamily(
        "penstock_limit_overflowed",
        "Times that what the limit counts apart found no place, and shared one allowance.",
        labels=_LABELS,
    )
    beyond = CounterMetricFamily(
        "penstock_limit_beyond",
        "What answers under way took beyond what there was, in what the limit counts.",
        labels=_LABELS,
    )
    for each in overview.limits:
        refused.add_metric((each.name,), each.refused)
        overflowed.add_metric((each.name,), each.overflowed)
        beyond.add_metric((each.name,), each.beyond)
    yield from (refused, overflowed, beyond)
