"""What the page shows, as plain data: one flat object for each endpoint, pool and worker.

Durations are seconds, times Unix time, rates per second over the last ten. Numbers are rounded to
what is shown of them, so that what did not visibly change is not sent again.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from penstock.admin.dashboard.counts import Differences
from penstock.admin.protection_metrics import REFUSALS, circuits_not_closed
from penstock.admin.readiness import unready_reasons
from penstock.admin.view import (
    EndpointView,
    ForecastView,
    Overview,
    PlacedPool,
    PoolView,
    WorkerView,
)
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_BREAKER,
    L_FAILURES,
    L_FIRST_BYTE_SUM_US,
    L_IN_FLIGHT,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    L_PREFILLED,
    L_REQUESTS,
    L_TIMED,
    L_TOTAL_SUM_US,
    P_1XX_TO_5XX,
    P_CLIENT_GONE,
    P_CUT,
    P_HEDGES,
    P_HEDGES_WON,
    P_LATE_TOKENS,
    P_LIMIT_MILLI,
    P_NO_ENDPOINT,
    P_NOT_RESUMED,
    P_QUEUED,
    P_REQUESTS,
    P_RESUMED,
    P_RETRIES,
    P_WAITING,
    RESUME_REFUSALS,
    W_BAD_REQUESTS,
    W_BYTES_FROM_CLIENTS,
    W_BYTES_TO_CLIENTS,
    W_CONNECTIONS,
    W_IDLE_ENDPOINT_CONNECTIONS,
    W_REQUESTS,
    W_SESSIONS,
    W_UNROUTED,
)
from penstock.dataplane.board.memory import Board

Object = dict[str, Any]
Section = dict[str, Object]  # by key: an endpoint's row, a pool's name, a worker's index
_4XX: Final = 3  # after the first class
_5XX: Final = 4
_MOST_MODELS: Final = 8  # shown of an endpoint
_MOST_TEXT: Final = 300  # characters of a reason


class Documents:
    """Makes them. What is said of an endpoint of which nothing changed is the same object again."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._quiet: dict[int, tuple[EndpointView, list[int], Object]] = {}

    def document(self, overview: Overview, found: Differences) -> dict[str, Section]:
        """Every section, whole."""
        before, self._quiet = self._quiet, {}
        return {
            "balancer": {"": _balancer(overview, found)},
            "pools": {pool.name: _pool(pool, found) for pool in overview.pools},
            "endpoints": {
                str(endpoint.row): self._endpoint(pool, endpoint, found, before)
                for pool in overview.pools
                for endpoint in pool.endpoints
            },
            "workers": {str(each.index): _worker(each, found) for each in overview.workers},
        }

    def _endpoint(
        self,
        pool: PoolView,
        endpoint: EndpointView,
        found: Differences,
        before: dict[int, tuple[EndpointView, list[int], Object]],
    ) -> Object:
        row = endpoint.row
        if not found.is_quiet(row):
            return _endpoint(pool, endpoint, self._board, found)
        counts = found.now.endpoints[row]
        known = before.get(row)
        if known is None or known[1] is not counts or known[0] != endpoint:
            known = (endpoint, counts, _endpoint(pool, endpoint, self._board, found))
        self._quiet[row] = known
        return known[2]


def pool_series(pools: Sequence[PlacedPool], found: Differences) -> Section:
    """What the last hour is kept of: of each pool, its rates, times and requests in flight."""
    return {pool.name: _series(pool.name, found, llm=pool.kind == "llm") for pool in pools}


def _balancer(overview: Overview, found: Differences) -> Object:
    workers = found.now.workers

    def present(cell: int) -> int:
        return sum(row[cell] for row in workers.values())

    def rate(cell: int) -> float:
        return short(found.per_s(sum(found.worker(each, cell) for each in workers)))

    last = overview.last_reload
    return {
        "version": overview.version,
        "form": overview.form,
        "pid": overview.pid,
        "started_at": round(overview.started_at),
        "unready": unready_reasons(overview),
        "generation": overview.generation,
        "source": overview.source,
        "listeners": [
            {"name": e.name, "address": e.address, "scheme": e.scheme, "problem": _problem(e)}
            for e in overview.listeners
        ],
        "rate": rate(W_REQUESTS),
        "bad_rate": rate(W_BAD_REQUESTS),
        "unrouted_rate": rate(W_UNROUTED),
        "received_rate": rate(W_BYTES_FROM_CLIENTS),
        "sent_rate": rate(W_BYTES_TO_CLIENTS),
        "connections": present(W_CONNECTIONS),
        "sessions": present(W_SESSIONS),
        "in_flight": sum(found.now.in_flight.values()),
        "requests": present(W_REQUESTS),
        "log_dropped": overview.log_dropped,
        "reloads_ok": overview.reloads_ok,
        "reloads_failed": overview.reloads_failed,
        "last_reload": msgspec.to_builtins(last) if last is not None else None,
    }


def _problem(listener: Any) -> str:
    return str(listener.certificate_problem)[:_MOST_TEXT]


def _pool(pool: PoolView, found: Differences) -> Object:
    name = pool.name
    row = found.now.pools[name]
    llm = pool.kind == "llm"
    tokens = found.tokens(name)
    return _series(name, found, llm=llm) | {
        "name": name,
        "kind": pool.kind,
        "policy": pool.policy,
        "maintenance_since": pool.maintenance_since or None,
        "endpoints": len(pool.endpoints),
        "available": sum(each.available for each in pool.endpoints),
        "error_share": share(_errors(name, found), found.pool(name, P_REQUESTS)),
        "rejected": short(found.per_s(found.pool(name, P_1XX_TO_5XX + _4XX))),
        "retries": short(found.per_s(found.pool(name, P_RETRIES))),
        "no_endpoint": short(found.per_s(found.pool(name, P_NO_ENDPOINT))),
        "client_gone": short(found.per_s(found.pool(name, P_CLIENT_GONE))),
        "requests": row[P_REQUESTS],
        "waiting": row[P_WAITING],
        "queued": short(found.per_s(found.pool(name, P_QUEUED))),
        "refused": {reason: row[cell] for reason, cell in REFUSALS if row[cell]},
        "limit": short(row[P_LIMIT_MILLI] / 1e3),
        "queue_p99": _quantile(found, name, "queue", 0.99),
        "first_byte_p50": _quantile(found, name, "first_byte", 0.5),
        "first_byte_p99": _quantile(found, name, "first_byte", 0.99),
        "token_p50": _quantile(found, name, "token", 0.5) if llm else None,
        "prompt_tokens": short(found.per_s(tokens.prompt)) if llm else None,
        "cached": share(tokens.cached, tokens.prompt) if llm else None,
        "scale": _scale(pool),
        "forecasts": [_forecast(each) for each in pool.forecasts if not each.model],
        "discoveries": [
            {
                "shown": each.shown,
                "state": each.state,
                "reason": each.reason[:_MOST_TEXT],
                "endpoints": each.endpoints,
            }
            for each in pool.discoveries
        ],
        "excluded": len(pool.excluded),
        "ejections": sum(pool.ejections.values()),
        "shadow": list(pool.shadow),
        "resumed": short(found.per_s(found.pool(name, P_RESUMED))),
        "not_resumed": short(found.per_s(_not_resumed(found, name))),
        "hedges": short(found.per_s(found.pool(name, P_HEDGES))),
        "hedges_won": short(found.per_s(found.pool(name, P_HEDGES_WON))),
        "late_tokens": short(found.per_s(found.pool(name, P_LATE_TOKENS))),
    }


def _series(name: str, found: Differences, *, llm: bool) -> Object:
    return {
        "in_flight": found.now.in_flight[name],
        "rate": short(found.per_s(found.pool(name, P_REQUESTS))),
        "errors": short(found.per_s(_errors(name, found))),
        "p50": _quantile(found, name, "total", 0.5),
        "p99": _quantile(found, name, "total", 0.99),
        "ttft_p50": _quantile(found, name, "first_token", 0.5) if llm else None,
        "ttft_p99": _quantile(found, name, "first_token", 0.99) if llm else None,
        "output_tokens": short(found.per_s(found.tokens(name).output)) if llm else None,
    }


def _errors(pool: str, found: Differences) -> int:
    return found.pool(pool, P_1XX_TO_5XX + _5XX) + found.pool(pool, P_CUT)


def _not_resumed(found: Differences, pool: str) -> int:
    return sum(found.pool(pool, P_NOT_RESUMED + at) for at in range(len(RESUME_REFUSALS)))


def _scale(pool: PoolView) -> Object | None:
    scale = pool.scale
    if scale is None:
        return None
    return {
        "mode": scale.mode,
        "actuator": scale.actuator,
        "desired": scale.desired,
        "actual": scale.actual,
        "starting": scale.starting,
        "draining": scale.draining,
        "present": scale.present,
        "ahead": scale.ahead,
        "lead_s": short(scale.lead_s),
        "reason": scale.reason[:_MOST_TEXT],
        "problem": scale.problem[:_MOST_TEXT],
    }


def _forecast(series: ForecastView) -> Object:
    return {
        "quantity": series.quantity,
        "method": series.method,
        "lead_s": short(series.lead_s),
        "latest": short(series.latest),
        "ahead": [
            {
                "ahead_s": short(each.ahead_s),
                "mean": short(each.mean),
                "quantiles": {f"{level:g}": short(v) for level, v in each.quantiles.items()},
            }
            for each in series.ahead
        ],
    }


def _endpoint(pool: PoolView, endpoint: EndpointView, board: Board, found: Differences) -> Object:
    row = endpoint.row
    counts = found.now.endpoints[row]
    attempts = found.endpoint(row, L_REQUESTS)
    errors = found.endpoint(row, L_FAILURES)
    timed = found.endpoint(row, L_TIMED)
    shown: Object = {
        "pool": pool.name,
        "name": endpoint.name,
        "address": endpoint.address,
        "zone": endpoint.zone,
        "source": endpoint.source,
        "models": list(endpoint.models[:_MOST_MODELS]),
        "state": endpoint.state,
        "reason": endpoint.reason[:_MOST_TEXT],
        "since": round(endpoint.since),
        "available": endpoint.available,
        "draining": endpoint.draining,
        "backup": endpoint.backup,
        "weight": endpoint.weight,
        "effective_weight": short(endpoint.effective_weight),
        "configured_weight": endpoint.configured_weight,
        "in_flight": counts[L_IN_FLIGHT],
        "max_in_flight": endpoint.max_in_flight,
        "rate": short(found.per_s(attempts)),
        "errors": short(found.per_s(errors)),
        "error_share": share(errors, attempts),
        "server_errors": short(found.per_s(found.endpoint(row, L_1XX_TO_5XX + _5XX))),
        "p50": _rounded(found.endpoint_quantile_s(row, 0.5)),
        "p99": _rounded(found.endpoint_quantile_s(row, 0.99)),
        "mean": _mean(found.endpoint(row, L_TOTAL_SUM_US), timed),
        "first_byte": _mean(found.endpoint(row, L_FIRST_BYTE_SUM_US), timed),
        "requests": counts[L_REQUESTS],
        "failures": counts[L_FAILURES],
        "last_check": endpoint.last_check[:_MOST_TEXT],
        "circuits": circuits_not_closed(board, row) if counts[L_BREAKER] else 0,
        "ejections": endpoint.ejections,
        "notes": _notes(endpoint),
    }
    return shown | _serving(pool, endpoint, found)


def _serving(pool: PoolView, endpoint: EndpointView, found: Differences) -> Object:
    """Of one that serves language models; None where it is not known."""
    engine = endpoint.engine
    llm = pool.kind == "llm"
    row = endpoint.row
    prompt = found.endpoint(row, L_JUDGED_PROMPT)
    known = engine is not None and engine.age_s >= 0.0 and not engine.silent
    return {
        "llm": llm,
        "engine": engine.kind if engine is not None else "",
        "queue": _told(engine.waiting) if engine is not None and known else None,
        "running": _told(engine.running) if engine is not None and known else None,
        "kv": _told(engine.kv_usage) if engine is not None and known else None,
        "loaded": list(engine.loaded[:_MOST_MODELS]) if engine is not None else [],
        "tokens": short(found.per_s(found.endpoint(row, L_PREFILLED))) if llm else None,
        "hit_predicted": share(found.endpoint(row, L_JUDGED_PREDICTED), prompt) if llm else None,
        "hit_found": share(found.endpoint(row, L_JUDGED_CACHED), prompt) if llm else None,
        "distrust": short(endpoint.hit_distrust),
        "exact": endpoint.prefix_exact,
    }


def _notes(endpoint: EndpointView) -> list[str]:
    """What else a person should know; nothing where all is well."""
    notes = []
    if endpoint.agent is not None:
        notes += [
            f"agent: {each}" for each in (endpoint.agent.said, endpoint.agent.problem) if each
        ]
    if endpoint.engine is not None and endpoint.engine.silent:
        notes.append(f"load unknown: {endpoint.engine.problem}")
    if endpoint.models_problem:
        notes.append(f"models unknown: {endpoint.models_problem}")
    return [note[:_MOST_TEXT] for note in notes]


def _worker(worker: WorkerView, found: Differences) -> Object:
    row = found.now.workers.get(worker.index)
    shown: Object = {
        "index": worker.index,
        "pid": worker.pid,
        "state": worker.state,
        "since": round(worker.since),
        "generation": worker.generation,
        "restarts": worker.restarts,
    }
    if row is not None:
        shown |= {
            "rate": short(found.per_s(found.worker(worker.index, W_REQUESTS))),
            "requests": row[W_REQUESTS],
            "connections": row[W_CONNECTIONS],
            "sessions": row[W_SESSIONS],
            "idle": row[W_IDLE_ENDPOINT_CONNECTIONS],
        }
    return shown


def short(value: float) -> float:
    """Three digits, as much as is shown."""
    if not value:
        return 0.0
    return float(f"{value:.3g}")


def share(part: int, whole: int) -> float | None:
    """In thousandths; None of nothing."""
    return round(part / whole, 3) if whole else None


def _told(value: float) -> float | None:
    return short(value) if value >= 0.0 else None


def _mean(sum_us: int, count: int) -> float | None:
    return short(sum_us / 1e6 / count) if count else None


def _quantile(found: Differences, pool: str, phase: str, q: float) -> float | None:
    return _rounded(found.quantile_s(pool, phase, q))


def _rounded(seconds: float | None) -> float | None:
    return short(seconds) if seconds is not None else None
