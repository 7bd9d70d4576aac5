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
from penstock.admin.discovery_metrics import discovery_metrics
from penstock.admin.engine_metrics import engine_metrics
from penstock.admin.forecast_metrics import forecast_metrics
from penstock.admin.protection_metrics import protection_metrics
from penstock.admin.recent import histogram_counts
from penstock.admin.scale_metrics import scale_metrics
from penstock.admin.serving_metrics import serving_metrics, shadow_metrics
from penstock.admin.status import CLASSES
from penstock.admin.view import EndpointView, Overview
from penstock.core.health.health import DOWN, STARTING, STATE_NAMES, UP
from penstock.dataplane.board.layout import (
    DATAGRAM_DROPS,
    L_1XX_TO_5XX,
    L_BYTES_RECEIVED,
    L_BYTES_SENT,
    L_CONNECT_FAILURES,
    L_CONNECTIONS,
    L_FAILURES,
    L_GARBAGE,
    L_IN_FLIGHT,
    L_IRREGULAR,
    L_REQUESTS,
    L_RESETS,
    L_TIMEOUTS,
    P_1XX_TO_5XX,
    P_CLIENT_GONE,
    P_COPIES_GIVEN_UP,
    P_CUT,
    P_NO_ENDPOINT,
    P_PROBES,
    P_PROBES_FAILED,
    P_QUEUE_SUM_US,
    P_REQUESTS,
    P_RETRIES,
    P_RETRIES_DENIED,
    P_UNREAD,
    PHASES,
    SESSION_ENDS,
    W_ACCEPT_PAUSES,
    W_ACCEPTED,
    W_BAD_REQUESTS,
    W_BYTES_FROM_CLIENTS,
    W_BYTES_TO_CLIENTS,
    W_CONNECTIONS,
    W_DATAGRAM_DROPS,
    W_DATAGRAMS_FROM_CLIENTS,
    W_DATAGRAMS_TO_CLIENTS,
    W_DECISIONS_DROPPED,
    W_FIXED,
    W_GENERATION,
    W_HTTP2_CONNECTIONS,
    W_HTTP2_FLOODS,
    W_HTTP2_STREAM_FAULTS,
    W_IDLE_ENDPOINT_CONNECTIONS,
    W_LOG_DROPPED,
    W_PROXY_BAD,
    W_PROXY_MISSING,
    W_PROXY_UNTRUSTED,
    W_REFUSED_ADDRESS,
    W_REFUSED_LIMIT,
    W_REQUESTS,
    W_SESSION_ENDS,
    W_SESSIONS,
    W_SESSIONS_MOVED,
    W_SESSIONS_OPENED,
    W_TLS_FAILURES,
    W_TLS_HANDSHAKES,
    W_UNKNOWN_SERVER_IDS,
    W_UNROUTED,
)
from penstock.dataplane.board.memory import Board
from penstock.wire.http1 import IRREGULARITIES
from penstock.wire.http2.flood_limits import FLOODS

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Name, board cell, meaning.
Row = tuple[str, int, str]
WORKER_COUNTERS: Final[tuple[Row, ...]] = (
    ("accepted_connections", W_ACCEPTED, "Client connections accepted."),
    ("refused_connections", W_REFUSED_LIMIT, "Client connections refused by a limit."),
    (
        "refused_addresses",
        W_REFUSED_ADDRESS,
        "Client connections refused by a listener's `allow` and `deny`.",
    ),
    ("accept_pauses", W_ACCEPT_PAUSES, "Pauses of accepting, because descriptors ran out."),
    ("taken_requests", W_REQUESTS, "Requests received, whatever their outcome."),
    ("bad_requests", W_BAD_REQUESTS, "Requests refused because they were malformed."),
    ("unrouted_requests", W_UNROUTED, "Requests without a route, or with an ambiguous path."),
    ("fixed_responses", W_FIXED, "Redirects and fixed responses."),
    ("client_received_bytes", W_BYTES_FROM_CLIENTS, "Bytes received from clients."),
    ("client_sent_bytes", W_BYTES_TO_CLIENTS, "Bytes sent to clients."),
    ("http2_connections", W_HTTP2_CONNECTIONS, "Client connections that spoke HTTP/2."),
    (
        "http2_stream_faults",
        W_HTTP2_STREAM_FAULTS,
        "Streams that were reset because of what a client sent.",
    ),
    ("tls_handshakes", W_TLS_HANDSHAKES, "TLS handshakes completed with clients."),
    ("tls_failures", W_TLS_FAILURES, "TLS handshakes with clients that failed."),
    ("request_log_dropped_lines", W_LOG_DROPPED, "Lines that the request log could not take."),
    ("decision_log_dropped_lines", W_DECISIONS_DROPPED, "Lines that decision logs could not take."),
    ("sessions_opened", W_SESSIONS_OPENED, "UDP sessions opened."),
    ("sessions_moved", W_SESSIONS_MOVED, "Moves of UDP sessions whose endpoint was dead."),
    (
        "unknown_quic_server_ids",
        W_UNKNOWN_SERVER_IDS,
        "UDP sessions that began within a QUIC connection, with the server id of no endpoint.",
    ),
    ("client_received_datagrams", W_DATAGRAMS_FROM_CLIENTS, "Datagrams of UDP sessions received."),
    ("client_sent_datagrams", W_DATAGRAMS_TO_CLIENTS, "Datagrams sent to clients."),
)
PROXY_HEADER_FAILURES: Final[tuple[tuple[str, int], ...]] = (
    ("missing", W_PROXY_MISSING),
    ("bad", W_PROXY_BAD),
    ("untrusted", W_PROXY_UNTRUSTED),
)
WORKER_GAUGES: Final[tuple[Row, ...]] = (
    ("connections", W_CONNECTIONS, "Client connections open."),
    ("sessions", W_SESSIONS, "UDP sessions open."),
    ("idle_endpoint_connections", W_IDLE_ENDPOINT_CONNECTIONS, "Idle connections to endpoints."),
    ("worker_generation", W_GENERATION, "Generation of the snapshot that the worker runs."),
)
POOL_COUNTERS: Final[tuple[Row, ...]] = (
    ("requests", P_REQUESTS, "Requests routed to the pool."),
    ("retries", P_RETRIES, "Attempts repeated on another endpoint."),
    ("retries_denied", P_RETRIES_DENIED, "Retries that the budget forbade."),
    ("no_endpoint", P_NO_ENDPOINT, "Requests answered 503 because no endpoint was left."),
    ("client_gone", P_CLIENT_GONE, "Requests whose client left before their end."),
    ("cut_responses", P_CUT, "Responses cut after their first byte."),
    ("probes", P_PROBES, "Load probes sent to endpoints."),
    ("probes_failed", P_PROBES_FAILED, "Load probes that were not answered, or without a load."),
    ("unread_prompts", P_UNREAD, "Prompts not read because too many arrived at once."),
    (
        "copies_given_up",
        P_COPIES_GIVEN_UP,
        "Mirrored requests given up: the endpoint was slow or failed.",
    ),
)
ENDPOINT_COUNTERS: Final[tuple[Row, ...]] = (
    ("endpoint_requests", L_REQUESTS, "Attempts made at the endpoint."),
    ("endpoint_failed_requests", L_FAILURES, "Attempts that failed because of the endpoint."),
    ("endpoint_connections", L_CONNECTIONS, "Connections opened to the endpoint."),
    ("endpoint_sent_bytes", L_BYTES_SENT, "Bytes sent to the endpoint."),
    ("endpoint_received_bytes", L_BYTES_RECEIVED, "Bytes received from the endpoint."),
)
FAILURE_KINDS: Final[tuple[tuple[str, int], ...]] = (
    ("connect", L_CONNECT_FAILURES),
    ("reset", L_RESETS),
    ("garbage", L_GARBAGE),
    ("timeout", L_TIMEOUTS),
)
_WORKER: Final = ("worker",)
_POOL: Final = ("pool",)
_ENDPOINT: Final = ("pool", "endpoint")


def render_metrics(overview: Overview, board: Board) -> bytes:
    """The exposition text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BoardCollector(overview, board))
    return generate_latest(registry)


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
        yield from scale_metrics(self._overview.pools)
        yield from self._endpoint_counters()
        yield from self._endpoint_states()
        yield from engine_metrics(self._overview, self._board)
        yield from discovery_metrics(self._overview)
        yield from forecast_metrics(self._overview.pools)

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
        floods = _counter(
            "http2_floods",
            "Client connections that were ended because of a flood, by kind.",
            (*_WORKER, "kind"),
        )
        yield self._by_label(floods, FLOODS, W_HTTP2_FLOODS)
        yield self._proxy_headers()

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
