"""Metrics of time waited in queues, by class of priority and by tenant."""

from collections.abc import Iterator
from heapq import nlargest
from typing import Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from penstock.admin.view import Overview
from penstock.core.admission.wait_sums import OTHER, WaitSum, WaitSums
from penstock.dataplane.board.ledger import BoardLedger
from penstock.dataplane.board.memory import Board

MOST_TENANTS: Final = 20  # shown: those that waited longest, of all pools
_MOST_LOOKED_AT: Final = 4_096


def wait_metrics(overview: Overview, board: Board) -> Iterator[Metric]:
    """Of pools with classes, and of the tenants that waited longest."""
    waited = _counter("admission_waited", "Requests that waited and went on.", "priority")
    seconds = _counter("admission_wait_seconds", "Time that they waited.", "priority")
    tenants: list[tuple[float, str, str, WaitSum]] = []
    for pool in overview.pools:
        sums = WaitSums(BoardLedger(board, 0, pool.name), {})
        for name in (*pool.priorities, OTHER) if pool.priorities else ():
            found = sums.of_class(name)
            waited.add_metric((pool.name, name), found.count)
            seconds.add_metric((pool.name, name), found.seconds)
        for name in overview.tenants[:_MOST_LOOKED_AT] if pool.queues else ():
            found = sums.of_tenant(name)
            if found.count:
                tenants.append((found.seconds, pool.name, name, found))
    of_tenant = _counter("tenant_waited", "Requests of a tenant that waited and went on.", "tenant")
    tenant_s = _counter("tenant_wait_seconds", "Time that they waited.", "tenant")
    for _, pool_name, name, found in nlargest(MOST_TENANTS, tenants, key=lambda each: each[:3]):
        of_tenant.add_metric((pool_name, name), found.count)
        tenant_s.add_metric((pool_name, name), found.seconds)
    yield from (waited, seconds, of_tenant, tenant_s)


def _counter(name: str, meaning: str, label: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"penstock_{name}", meaning, labels=("pool", label))
