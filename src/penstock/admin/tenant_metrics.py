"""Metrics of who asks: what each tenant used. Labels are names of the configuration alone."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import Overview

_TOKENS = ("prompt", "cached", "output")


def tenant_metrics(overview: Overview) -> Iterator[Metric]:
    """Since the supervisor started."""
    if not overview.used:
        return
    requests = CounterMetricFamily(
        "penstock_tenant_requests",
        "Requests of a tenant that were sent to an endpoint.",
        labels=("tenant",),
    )
    tokens = CounterMetricFamily(
        "penstock_tenant_tokens", "Tokens of these requests.", labels=("tenant", "kind")
    )
    for each in overview.used:
        requests.add_metric((each.tenant,), each.requests)
        counts = (each.prompt_tokens, each.cached_tokens, each.output_tokens)
        for kind, count in zip(_TOKENS, counts, strict=True):
            tokens.add_metric((each.tenant, kind), count)
    yield from (requests, tokens)
