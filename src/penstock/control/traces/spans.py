"""Spans of OpenTelemetry, as OTLP has them in JSON, of what workers tell of a request.

Names of attributes are those of OpenTelemetry's semantic conventions; what these have no name for
begins with ``penstock.``.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Span = dict[str, object]

MOST_SPANS: Final = 18  # of a request: its own, its queue and sixteen attempts

# SpanKind and StatusCode of OTLP.
_INTERNAL: Final = 1
_SERVER: Final = 2
_CLIENT: Final = 3
_ERROR: Final = 2
_NS_PER_S: Final = 1e9
_SERVER_ERROR: Final = 500
_BROKEN: Final = ("cut", "crashed")
# By the end of a path, what is asked of a model (gen_ai.operation.name).
_OPERATIONS: Final = (
    ("/chat/completions", "chat"),
    ("/completions", "text_completion"),
    ("/messages", "chat"),
    ("/responses", "chat"),
    ("/embeddings", "embeddings"),
)


class ToldAttempt(msgspec.Struct):
    """Times are seconds, ``began`` since the request did."""

    span: str
    endpoint: str
    peer: str
    began: float
    took: float
    connect: float
    outcome: str  # of ``core.ticket``; "": none
    status: int


class ToldRequest(msgspec.Struct):
    """As ``RequestTrace.tell`` writes it. Unknown counts of tokens are negative."""

    trace: str
    span: str
    began: float  # since 1970
    took: float
    queued: float
    method: str
    path: str
    host: str
    version: str
    client: str
    id: str
    route: str
    pool: str
    status: int
    end: str
    why: str
    attempts: list[ToldAttempt]
    parent: str = ""
    asked: str = ""
    model: str = ""
    input_tokens: int = -1
    cached_tokens: int = -1
    output_tokens: int = -1
    first_token: float = -1.0
    finish: str = ""


def spans_of(told: ToldRequest, policies: Mapping[str, str]) -> list[Span]:
    """The request's own, its wait in the queue, and its attempts; ``policies`` of pools."""
    spans = [_request(told)]
    if told.queued > 0.0:
        spans.append(_queue(told))
    answering = _answering(told)
    for number, attempt in enumerate(told.attempts):
        policy = policies.get(told.pool, "")
        spans.append(_attempt(told, attempt, number, policy, attempt is answering))
    return spans


def _request(told: ToldRequest) -> Span:
    name = f"{told.method} {told.route}" if told.route else told.method
    attributes: dict[str, object] = {
        "http.request.method": told.method,
        "url.path": told.path,
        "server.address": told.host,
        "client.address": told.client,
        "network.protocol.version": told.version,
        "penstock.request_id": told.id,
        "penstock.route": told.route,
        "penstock.pool": told.pool if told.pool != "-" else "",
        "penstock.end": told.end,
        "penstock.attempts": len(told.attempts),
        "gen_ai.request.model": told.asked,
    }
    if told.status:
        attributes["http.response.status_code"] = told.status
    span = _span(told, told.span, told.parent, name, _SERVER, 0.0, told.took)
    if told.status >= _SERVER_ERROR or told.end in _BROKEN:
        attributes["error.type"] = told.end if told.end in _BROKEN else str(told.status)
        span["status"] = {"code": _ERROR, "message": _text(told.why)}
    span["attributes"] = _attributes(attributes)
    return span


def _queue(told: ToldRequest) -> Span:
    ended = told.attempts[0].began if told.attempts else told.took
    began = max(ended - told.queued, 0.0)
    # No id of it is told to anybody: it is the request's, turned over.
    own = f"{int(told.span, 16) ^ 0xFFFF_FFFF_FFFF_FFFF:016x}"
    span = _span(told, own, told.span, "queue", _INTERNAL, began, ended - began)
    span["attributes"] = _attributes({"penstock.pool": told.pool})
    return span


def _attempt(
    told: ToldRequest, attempt: ToldAttempt, number: int, policy: str, answering: bool
) -> Span:
    operation = _operation(told)
    name = f"{operation} {told.model}" if operation else told.method
    span = _span(told, attempt.span, told.span, name, _CLIENT, attempt.began, attempt.took)
    host, _, port = attempt.peer.rpartition(":")
    attributes: dict[str, object] = {
        "http.request.method": told.method,
        "server.address": host.strip("[]") or attempt.peer,
        "penstock.pool": told.pool,
        "penstock.endpoint": attempt.endpoint,
        "penstock.policy": policy,
        "penstock.outcome": attempt.outcome,
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": told.model,
    }
    if port.isdecimal():
        attributes["server.port"] = int(port)
    if number:
        attributes["http.request.resend_count"] = number
    if attempt.status:
        attributes["http.response.status_code"] = attempt.status
    if attempt.connect > 0.0:
        attributes["penstock.connect_time"] = attempt.connect
    if answering:
        attributes |= _of_answer(told)
    failed = attempt.outcome not in ("done", "client_gone", "abandoned", "")
    if failed or attempt.status >= _SERVER_ERROR:
        attributes["error.type"] = attempt.outcome if failed else str(attempt.status)
        span["status"] = {"code": _ERROR}
    span["attributes"] = _attributes(attributes)
    return span


def _operation(told: ToldRequest) -> str:
    """What is asked of a model; "" of a request that is for none."""
    if not told.model:
        return ""
    for ending, operation in _OPERATIONS:
        if told.path.endswith(ending):
            return operation
    return "generate_content"


def _answering(told: ToldRequest) -> ToldAttempt | None:
    """The attempt whose answer went to the client: the last that was whole, else the last."""
    whole = [each for each in told.attempts if each.outcome == "done"]
    found = whole or told.attempts
    return found[-1] if found else None


def _of_answer(told: ToldRequest) -> dict[str, object]:
    tokens = {
        "gen_ai.usage.input_tokens": told.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": told.cached_tokens,
        "gen_ai.usage.output_tokens": told.output_tokens,
    }
    attributes: dict[str, object] = {key: count for key, count in tokens.items() if count >= 0}
    if told.first_token >= 0.0:
        attributes["penstock.time_to_first_token"] = told.first_token
    if told.finish:
        attributes["gen_ai.response.finish_reasons"] = [told.finish]
    return attributes


def _span(
    told: ToldRequest, own: str, parent: str, name: str, kind: int, began: float, took: float
) -> Span:
    start = told.began + began
    span: Span = {
        "traceId": told.trace,
        "spanId": own,
        "name": _text(name),
        "kind": kind,
        # 64-bit numbers are texts in the JSON of Protocol Buffers.
        "startTimeUnixNano": str(int(start * _NS_PER_S)),
        "endTimeUnixNano": str(int((start + max(took, 0.0)) * _NS_PER_S)),
    }
    if parent:
        span["parentSpanId"] = parent
    return span


def _attributes(values: Mapping[str, object]) -> list[dict[str, object]]:
    """Those that have a value."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value != ""]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": _text(str(value))}


def _text(value: str) -> str:
    """Without halves of surrogate pairs, which names in JSON may have and UTF-8 cannot."""
    return value.encode("utf-8", "replace").decode()
