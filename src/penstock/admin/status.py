"""The status document: what an operator wants to know, as plain JSON data."""

from math import inf
from time import time
from typing import Any, Final

import msgspec

from penstock.admin.protection_metrics import REFUSALS, circuits_not_closed
from penstock.admin.readiness import unready_reasons
from penstock.admin.recent import Differences
from penstock.admin.view import EndpointView, Overview, PoolView, WorkerView
from penstock.core.snapshot.address import shown_address
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_ADDRESS,
    L_CONNECT_FAILURES,
    L_FAILURES,
    L_GARBAGE,
    L_IN_FLIGHT,
    L_IRREGULAR,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    L_REQUESTS,
    L_RESETS,
    L_TIMEOUTS,
    P_1XX_TO_5XX,
    P_CLIENT_GONE,
    P_CUT,
    P_LIMIT_MILLI,
    P_NO_ENDPOINT,
    P_QUEUED,
    P_REQUESTS,
    P_RETRIES,
    P_RETRIES_DENIED,
    P_SHADOWS,
    P_WAITING,
    PHASES,
    SERVING_PHASES,
    SH_COST_US,
    SH_DECISIONS,
    SH_DIFFERENT,
    SH_JUDGED,
    SH_LIVE_COST_US,
    SHADOW_CELLS,
    W_ACCEPTED,
    W_BAD_REQUESTS,
    W_CONNECTIONS,
    W_IDLE_ENDPOINT_CONNECTIONS,
    W_REFUSED_LIMIT,
    W_REQUESTS,
    W_SESSIONS,
    W_UNROUTED,
)
from penstock.dataplane.board.memory import Board
from penstock.wire.http1 import IRREGULARITIES

Document = dict[str, Any]
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
_QUANTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


def status_document(overview: Overview, board: Board, recent: Differences) -> Document:
    """Durations are seconds, times Unix time; rates and latencies are of the last minute."""
    reasons = unready_reasons(overview)
    return {
        "version": overview.version,
        "form": overview.form,
        "pid": overview.pid,
        "started_at": overview.started_at,
        "ready": not reasons,
        "unready_reasons": reasons,
        "generation": overview.generation,
        "source": overview.source,
        "window_s": round(recent.seconds, 1),
        "listeners": msgspec.to_builtins(overview.listeners),
        "totals": _totals(board),
        "additions": msgspec.to_builtins(overview.additions),
        "pools": [_pool(pool, board, recent) for pool in overview.pools],
        "store": msgspec.to_builtins(overview.store),
        "workers": [_worker(worker, board) for worker in overview.workers],
        "reloads": {
            "ok": overview.reloads_ok,
            "failed": overview.reloads_failed,
            "last": msgspec.to_builtins(overview.last_reload),
        },
        "events": msgspec.to_builtins(overview.events),
    }


def _totals(board: Board) -> Document:
    return {
        "requests": board.worker_sum(W_REQUESTS),
        "accepted": board.worker_sum(W_ACCEPTED),
        "connections": board.worker_sum(W_CONNECTIONS),
        "sessions": board.worker_sum(W_SESSIONS),
        "refused_by_limit": board.worker_sum(W_REFUSED_LIMIT),
        "bad_requests": board.worker_sum(W_BAD_REQUESTS),
        "unrouted": board.worker_sum(W_UNROUTED),
    }


def _pool(pool: PoolView, board: Board, recent: Differences) -> Document:
    def count(cell: int) -> int:
        return board.pool_sum(pool.row, cell)

    return {
        "name": pool.name,
        "kind": pool.kind,
        "policy": pool.policy,
        "maintenance_since": pool.maintenance_since or None,
        "scale": msgspec.to_builtins(pool.scale),
        "discovery": msgspec.to_builtins(pool.discoveries),
        "excluded": pool.excluded,
        "available": sum(endpoint.available for endpoint in pool.endpoints),
        "requests": count(P_REQUESTS),
        "requests_per_s": round(recent.pool_requests_per_s(pool.name), 2),
        "responses": {name: count(P_1XX_TO_5XX + index) for index, name in enumerate(CLASSES)},
        "retries": count(P_RETRIES),
        "retries_denied": count(P_RETRIES_DENIED),
        "no_endpoint": count(P_NO_ENDPOINT),
        "client_gone": count(P_CLIENT_GONE),
        "cut": count(P_CUT),
        "admission": {
            "waiting": count(P_WAITING),
            "queued": count(P_QUEUED),
            "refused": {reason: count(cell) for reason, cell in REFUSALS},
            "limit": board.pool_highest(pool.row, P_LIMIT_MILLI) / 1e3,
        },
        "ejections": pool.ejections,
        "refused_ejections": pool.refused_ejections,
        "shadow": [
            _shadow(policy, index, pool.row, board) for index, policy in enumerate(pool.shadow)
        ],
        "latency": {
            phase: {name: recent.quantile_s(pool.name, phase, q) for name, q in _QUANTILES}
            for phase in PHASES
        },
        "serving": _serving(pool, recent) if pool.kind == "llm" else None,
        "endpoints": [_endpoint(pool.name, each, board, recent) for each in pool.endpoints],
    }


def _serving(pool: PoolView, recent: Differences) -> Document:
    """Answers of language models: times of streamed ones, tokens where the engine reported them."""
    tokens = recent.pool_tokens(pool.name)
    seconds = recent.seconds
    return {
        phase: {name: recent.quantile_s(pool.name, phase, q) for name, q in _QUANTILES}
        for phase in SERVING_PHASES
    } | {
        "prompt_tokens_per_s": round(tokens.prompt / seconds, 1) if seconds > 0.0 else 0.0,
        "output_tokens_per_s": round(tokens.output / seconds, 1) if seconds > 0.0 else 0.0,
        "cached_share": tokens.cached / tokens.prompt if tokens.prompt else None,
    }


def _shadow(policy: str, index: int, row: int, board: Board) -> Document:
    """Costs are means of the decisions judged; ``regret_s`` above 0: it would have cost less."""
    at = P_SHADOWS + index * SHADOW_CELLS
    decisions = board.pool_sum(row, at + SH_DECISIONS)
    different = board.pool_sum(row, at + SH_DIFFERENT)
    judged = board.pool_sum(row, at + SH_JUDGED)
    live_us = board.pool_sum(row, at + SH_LIVE_COST_US)
    own_us = board.pool_sum(row, at + SH_COST_US)
    return {
        "policy": policy,
        "decisions": decisions,
        "different": different,
        "different_share": different / decisions if decisions else None,
        "judged": judged,
        "live_cost_s": live_us / 1e6 / judged if judged else None,
        "cost_s": own_us / 1e6 / judged if judged else None,
        "regret_s": (live_us - own_us) / 1e6 / judged if judged else None,
    }


def _moment(at: float) -> float | None:
    """Unix time; None where there is none."""
    return at if 0.0 < at < inf else None


def _endpoint(pool: str, endpoint: EndpointView, board: Board, recent: Differences) -> Document:
    def count(cell: int) -> int:
        return board.load_sum(endpoint.row, cell)

    return {
        "name": endpoint.name,
        "address": endpoint.address,
        "connected_to": _connected_to(endpoint, board),
        "addresses": endpoint.addresses,
        "source": endpoint.source,
        "state": endpoint.state,
        "reason": endpoint.reason,
        "since": endpoint.since,
        "available": endpoint.available,
        "draining": endpoint.draining,
        "clients_stay": endpoint.clients_stay_until > time(),
        "clients_stay_until": _moment(endpoint.clients_stay_until),
        "ejected": endpoint.ejected,
        "ejections": endpoint.ejections,
        "circuits_open": circuits_not_closed(board, endpoint.row),
        "weight": endpoint.weight,
        "effective_weight": endpoint.effective_weight,
        "configured_weight": endpoint.configured_weight,
        "backup": endpoint.backup,
        "max_in_flight": endpoint.max_in_flight,
        "last_check": endpoint.last_check,
        "agent": msgspec.to_builtins(endpoint.agent),
        "engine": msgspec.to_builtins(endpoint.engine),
        "models_problem": endpoint.models_problem,
        "prefixes": {
            "judged_prompt_tokens": count(L_JUDGED_PROMPT),
            "predicted_tokens": count(L_JUDGED_PREDICTED),
            "cached_tokens": count(L_JUDGED_CACHED),
            "cached_share": recent.endpoint_cached_share(pool, endpoint.name),
            "hit_distrust": endpoint.hit_distrust,
            "exact": endpoint.prefix_exact,
        },
        "in_flight": count(L_IN_FLIGHT),
        "requests": count(L_REQUESTS),
        "requests_per_s": round(recent.endpoint_requests_per_s(pool, endpoint.name), 2),
        "latency": {
            "first_byte_mean": recent.endpoint_first_byte_s(pool, endpoint.name),
            "total_mean": recent.endpoint_total_s(pool, endpoint.name),
        },
        "responses": {name: count(L_1XX_TO_5XX + index) for index, name in enumerate(CLASSES)},
        "failures": {
            "blamed": count(L_FAILURES),
            "connect": count(L_CONNECT_FAILURES),
            "reset": count(L_RESETS),
            "garbage": count(L_GARBAGE),
            "timeout": count(L_TIMEOUTS),
        },
        "irregular": {name: count(L_IRREGULAR + at) for at, name in enumerate(IRREGULARITIES)},
    }


def _connected_to(endpoint: EndpointView, board: Board) -> str | None:
    """The address that any worker connected to last, of an endpoint configured by name."""
    for worker in range(board.workers):
        number = board.cells[board.load(endpoint.row, worker) + L_ADDRESS]
        if 0 < number <= len(endpoint.addresses):
            return shown_address(endpoint.addresses[number - 1], endpoint.port)
    return None


def _worker(worker: WorkerView, board: Board) -> Document:
    at = board.worker(worker.index)
    shown: Document = msgspec.to_builtins(worker)
    shown["connections"] = board.cells[at + W_CONNECTIONS]
    shown["sessions"] = board.cells[at + W_SESSIONS]
    shown["idle_endpoint_connections"] = board.cells[at + W_IDLE_ENDPOINT_CONNECTIONS]
    shown["requests"] = board.cells[at + W_REQUESTS]
    return shown
