"""Metrics for Prometheus, rendered from the board without disturbing workers.

The names and meanings of all metrics stand in the tables here; ``docs/operations.md`` lists them.
"""

import platform
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from penstock.admin.buckets import cumulative_buckets
from penstock.admin.counted import (
    ENDPOINT_COUNTERS,
    FAILURE_KINDS,
    POOL_COUNTERS,
    PROXY_HEADER_FAILURES,
    WORKER_COUNTERS,
    WORKER_GAUGES,
)
from penstock.admin.discovery_metrics import discovery_metrics
from penstock.admin.engine_metrics import engine_metrics
from penstock.admin.forecast_metrics import forecast_metrics
from penstock.admin.limit_metrics import limit_metrics
from penstock.admin.protection_metrics import protection_metrics
from penstock.admin.recent import histogram_counts
from penstock.admin.scale_metrics import scale_metrics
from penstock.admin.serving_metrics import serving_metrics, shadow_metrics
from penstock.admin.status import CLASSES
from penstock.admin.store_metrics import store_metrics
from penstock.admin.stream_metrics import stream_metrics
from penstock.admin.tenant_metrics import tenant_metrics
from penstock.admin.trace_metrics import push_metrics, trace_metrics
from penstock.admin.view import EndpointView, Overview
from penstock.admin.wait_metrics import wait_metrics
from penstock.core.health.health import DOWN, STARTING, STATE_NAMES, UP
from penstock.dataplane.board.layout import (
    CODINGS,
    DATAGRAM_DROPS,
    L_1XX_TO_5XX,
    L_IN_FLIGHT,
    L_IRREGULAR,
    P_1XX_TO_5XX,
    P_QUEUE_SUM_US,
    PHASES,
    SESSION_ENDS,
    UNCOMPRESSED,
    W_COMPRESSED_FROM,
    W_COMPRESSED_TO,
    W_DATAGRAM_DROPS,
    W_HTTP2_FLOODS,
    W_SESSION_ENDS,
    W_UNCOMPRESSED,
)
from penstock.dataplane.board.memory import Board
from penstock.wire.http1 import IRREGULARITIES
from penstock.wire.http2.flood_limits import FLOODS

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_WORKER: Final = ("worker",)
_POOL: Final = ("pool",)
_ENDPOINT: Final = ("pool", "endpoint")


def render_metrics(overview: Overview, board: Board) -> bytes:
    """The exposition text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BoardCollector(overview, board))
    return generate_latest(registry)


def families(overview: Overview, board: Board) -> Iterator[Metric]:
    """Every metric, with its labels and meaning."""
    return _BoardCollector(overview, board).collect()


class _BoardCollector(Collector):
    """One scrape."""

    def __init__(self, overview: Overview, board: Board) -> None:
        self._overview = overview
        self._board = board

    def describe(self) -> Iterator[Metric]:
        """Nothing: names do not clash."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield from self._balancer()
        yield from self._workers()
        yield from self._pools()
        yield from self._phases()
        yield from serving_metrics(self._overview.pools, self._board)
        yield from shadow_metrics(self._overview.pools, self._board)
        yield from protection_metrics(self._overview.pools, self._board)
        yield from stream_metrics(self._overview.pools, self._board)
        yield from wait_metrics(self._overview, self._board)
        yield from scale_metrics(self._overview.pools)
        yield from self._endpoint_counters()
        yield from self._endpoint_states()
        yield from engine_metrics(self._overview, self._board)
        yield from discovery_metrics(self._overview)
        yield from forecast_metrics(self._overview.pools)
        yield from store_metrics(self._overview.store)
        yield from limit_metrics(self._overview)
        yield from tenant_metrics(self._overview)
        yield from trace_metrics(self._overview.traces)
        yield from push_metrics(self._overview.push)

    def _balancer(self) -> Iterator[Metric]:
        overview = self._overview
        build = _gauge("build_info", "Version and form of the balancer.", _BUILD)
        build.add_metric((overview.version, overview.form, platform.python_version()), 1)
        yield build
        generation = _gauge("snapshot_generation", "Generation of the newest snapshot.")
        generation.add_metric((), overview.generation)
        yield generation
        started = _gauge("start_time_seconds", "When the supervisor started, as Unix time.")
        started.add_metric((), overview.started_at)
        yield started
        reloads = _counter("reloads", "Reloads of the configuration.", ("result",))
        reloads.add_metric(("ok",), overview.reloads_ok)
        reloads.add_metric(("failed",), overview.reloads_failed)
        yield reloads
        dropped = _counter("log_dropped_lines", "Lines that the balancer's own log could not take.")
        dropped.add_metric((), overview.log_dropped)
        yield dropped
        ends = _gauge(
            "crl_end_timestamp_seconds",
            "When the revocation list (CRL) of a listener ends, in seconds since 1970.",
            ("listener",),
        )
        for listener in overview.listeners:
            if listener.crl_ends is not None:
                ends.add_metric((listener.name,), listener.crl_ends)
        yield ends

    def _workers(self) -> Iterator[Metric]:
        overview = self._overview
        up = _gauge("worker_up", "Whether the worker serves.", _WORKER)
        restarts = _counter("worker_restarts", "Workers restarted after they ended.", _WORKER)
        for worker in overview.workers:
            up.add_metric((str(worker.index),), worker.state == "ready")
            restarts.add_metric((str(worker.index),), worker.restarts)
        yield up
        yield restarts
        for name, cell, meaning in WORKER_COUNTERS:
            yield self._of_workers(_counter(name, meaning, _WORKER), cell)
        for name, cell, meaning in WORKER_GAUGES:
            yield self._of_workers(_gauge(name, meaning, _WORKER), cell)
        ended = _counter("sessions_ended", "UDP sessions ended, by how.", ("worker", "end"))
        dropped = _counter("dropped_datagrams", "Datagrams dropped, by why.", ("worker", "reason"))
        yield self._by_label(ended, SESSION_ENDS, W_SESSION_ENDS)
        yield self._by_label(dropped, DATAGRAM_DROPS, W_DATAGRAM_DROPS)
        yield from self._compression()
        floods = _counter(
            "http2_floods",
            "Client connections that were ended because of a flood, by kind.",
            (*_WORKER, "kind"),
        )
        yield self._by_label(floods, FLOODS, W_HTTP2_FLOODS)
        yield self._proxy_headers()

    def _compression(self) -> Iterator[Metric]:
        of_coding = (*_WORKER, "coding")
        came = _counter(
            "compression_input_bytes", "Bytes of answers that were compressed.", of_coding
        )
        went = _counter(
            "compression_output_bytes", "Bytes that they became, without framing.", of_coding
        )
        passed = _counter(
            "uncompressed_answers",
            "Answers that passed as they came where `compression` is on, by why.",
            (*_WORKER, "reason"),
        )
        yield self._by_label(came, CODINGS, W_COMPRESSED_FROM)
        yield self._by_label(went, CODINGS, W_COMPRESSED_TO)
        yield self._by_label(passed, UNCOMPRESSED, W_UNCOMPRESSED)

    def _by_label(
        self, metric: CounterMetricFamily, labels: Sequence[str], cell: int
    ) -> CounterMetricFamily:
        """A row of cells, one for each label."""
        for worker in self._board.seen_workers():
            at = self._board.worker(worker) + cell
            for index, label in enumerate(labels):
                metric.add_metric((str(worker), label), self._board.cells[at + index])
        return metric

    def _proxy_headers(self) -> Metric:
        failures = _counter(
            "proxy_header_failures",
            "Client connections closed for lack of a valid PROXY header, by reason.",
            ("worker", "reason"),
        )
        for worker in self._board.seen_workers():
            at = self._board.worker(worker)
            for reason, cell in PROXY_HEADER_FAILURES:
                failures.add_metric((str(worker), reason), self._board.cells[at + cell])
        return failures

    def _of_workers(
        self, metric: CounterMetricFamily | GaugeMetricFamily, cell: int
    ) -> CounterMetricFamily | GaugeMetricFamily:
        for worker in self._board.seen_workers():
            metric.add_metric((str(worker),), self._board.cells[self._board.worker(worker) + cell])
        return metric

    def _pools(self) -> Iterator[Metric]:
        pools = self._overview.pools
        for name, cell, meaning in POOL_COUNTERS:
            metric = _counter(name, meaning, _POOL)
            for pool in pools:
                metric.add_metric((pool.name,), self._board.pool_sum(pool.row, cell))
            yield metric
        yield from self._outliers()
        responses = _counter("responses", "Responses sent to clients.", ("pool", "class"))
        for pool in pools:
            for index, status_class in enumerate(CLASSES):
                count = self._board.pool_sum(pool.row, P_1XX_TO_5XX + index)
                responses.add_metric((pool.name, status_class), count)
        yield responses

    def _outliers(self) -> Iterator[Metric]:
        ejections = _counter("outlier_ejections", "Ejections, by detector.", ("pool", "detector"))
        refused = _counter(
            "outlier_refused_ejections",
            "Ejections not made because too many endpoints were out.",
            _POOL,
        )
        for pool in self._overview.pools:
            for detector, count in pool.ejections.items():
                ejections.add_metric((pool.name, detector), count)
            refused.add_metric((pool.name,), pool.refused_ejections)
        yield from (ejections, refused)

    def _phases(self) -> Iterator[Metric]:
        for index, phase in enumerate(PHASES):
            metric = HistogramMetricFamily(
                f"penstock_{phase}_seconds", _PHASE_MEANINGS[phase], labels=_POOL
            )
            for pool in self._overview.pools:
                counts = histogram_counts(self._board, pool.row, index)
                total_us = self._board.pool_sum(pool.row, P_QUEUE_SUM_US + index)
                metric.add_metric((pool.name,), cumulative_buckets(counts), total_us / 1e6)
            yield metric

    def _endpoint_counters(self) -> Iterator[Metric]:
        for name, cell, meaning in ENDPOINT_COUNTERS:
            metric = _counter(name, meaning, _ENDPOINT)
            for pool, endpoint in self._endpoints():
                metric.add_metric((pool, endpoint.name), self._board.load_sum(endpoint.row, cell))
            yield metric
        responses = _counter("endpoint_responses", "Responses received.", (*_ENDPOINT, "class"))
        failures = _counter(
            "endpoint_failures", "Attempts that failed, by kind of failure.", _FAILURE
        )
        irregular = _counter(
            "endpoint_irregular_responses",
            "Responses framed irregularly, passed on in order, by kind.",
            _FAILURE,
        )
        for pool, endpoint in self._endpoints():
            for index, status_class in enumerate(CLASSES):
                count = self._board.load_sum(endpoint.row, L_1XX_TO_5XX + index)
                responses.add_metric((pool, endpoint.name, status_class), count)
            for kind, cell in FAILURE_KINDS:
                count = self._board.load_sum(endpoint.row, cell)
                failures.add_metric((pool, endpoint.name, kind), count)
            for index, kind in enumerate(IRREGULARITIES):
                count = self._board.load_sum(endpoint.row, L_IRREGULAR + index)
                irregular.add_metric((pool, endpoint.name, kind), count)
        yield responses
        yield failures
        yield irregular

    def _endpoint_states(self) -> Iterator[Metric]:
        in_flight = _gauge("endpoint_in_flight", "Requests in flight there.", _ENDPOINT)
        available = _gauge("endpoint_available", "Whether it may be picked.", _ENDPOINT)
        health = _gauge("endpoint_health", "1 for its active health.", (*_ENDPOINT, "state"))
        draining = _gauge("endpoint_draining", "Whether it is draining.", _ENDPOINT)
        ejected = _gauge("endpoint_ejected", "Whether outlier detection ejected it.", _ENDPOINT)
        weight = _gauge("endpoint_weight", "Effective weight.", _ENDPOINT)
        trouble = _gauge("endpoint_agent_trouble", "Whether its agent does not answer.", _ENDPOINT)
        ejections = _counter("endpoint_ejections", "Ejections by outlier detection.", _ENDPOINT)
        for pool, endpoint in self._endpoints():
            labels = (pool, endpoint.name)
            in_flight.add_metric(labels, self._board.load_sum(endpoint.row, L_IN_FLIGHT))
            available.add_metric(labels, endpoint.available)
            for state in (STARTING, UP, DOWN):
                health.add_metric((*labels, STATE_NAMES[state]), endpoint.health == state)
            draining.add_metric(labels, endpoint.draining)
            ejected.add_metric(labels, endpoint.ejected)
            weight.add_metric(labels, endpoint.effective_weight)
            ejections.add_metric(labels, endpoint.ejections)
            if endpoint.agent is not None:
                trouble.add_metric(labels, endpoint.agent.problem != "")
        yield trouble
        yield from (in_flight, available, health, draining, ejected, weight, ejections)

    def _endpoints(self) -> Iterator[tuple[str, EndpointView]]:
        for pool in self._overview.pools:
            for endpoint in pool.endpoints:
                yield pool.name, endpoint


_BUILD: Final = ("version", "form", "python")
_FAILURE: Final = (*_ENDPOINT, "kind")
_PHASE_MEANINGS: Final = {
    "queue": "Time that requests waited for an endpoint.",
    "connect": "Time to connect to an endpoint, TLS included, where a connection was opened.",
    "first_byte": "Time from a request's head to the first byte of its response.",
    "total": "Time from a request's head to the end of its response.",
}


def _counter(name: str, meaning: str, labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(f"penstock_{name}", meaning, labels=labels)


def _gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"penstock_{name}", meaning, labels=labels)
