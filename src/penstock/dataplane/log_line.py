"""One request as a line of JSON. Times are milliseconds; the timers follow HAProxy's."""

from json import dumps
from typing import TYPE_CHECKING, Final

from penstock.dataplane.request_log import json_text, wall_clock

if TYPE_CHECKING:
    from penstock.dataplane.settlement import Settlement

# One formatting call for the whole line: by f-strings it cost five times as much.
_LINE: Final = (
    b'{"time":%.3f,"id":"%b",%b,"pool":"%b","endpoint":"%b","status":%d,"bytes":%d,"attempts":%d'
    b',"t_parse":%.3f,"t_queue":%.3f,"t_connect":%.3f,"t_first_byte":%.3f,"t_total":%.3f,"end":"%b"%b}\n'
)
_REFUSAL: Final = (
    b'{"time":%.3f,"client":"%b","line":"%b","status":%d,"end":"bad_request","why":%b}\n'
)
_MAX_SHOWN_BYTES: Final = 200  # of a refused request's first line
_USAGE: Final = (
    b',"model":%b,"prompt_tokens":%d,"cached_tokens":%d,"output_tokens":%d'
    b',"t_first_token":%.3f,"t_per_token":%.3f,"finish":%b'
)


def log_line(exchange: "Settlement", now: float) -> bytes:
    """What is known of an exchange at its end; with the line's end.

    ``t_parse`` is 0 for a head that came in one piece, ``t_connect`` -1 on a reused connection,
    ``t_first_byte`` -1 when none came. Requests to a language model have the model, tokens, times
    to and between tokens, and why it ended besides; ``asked`` is the name in the request where the
    model is another, by an alias, a fallback or a default.
    """
    plan = exchange.plan
    facts = plan.log_facts
    if not facts:
        facts = _facts(exchange)
        plan.log_facts = facts
    way = exchange.way
    endpoint = exchange.endpoint
    began = exchange.began
    # An id that Penstock made needs no care; one that a client sent may.
    request_id = exchange.request_id
    return _LINE % (
        wall_clock(),
        json_text(request_id) if plan.request_id else request_id,
        facts,
        way.pool.log_name if way is not None else b"-",
        endpoint.log_name if endpoint is not None else b"-",
        exchange.status,
        exchange.bytes_out,
        exchange.attempts,
        exchange.parse_s * 1e3,
        exchange.place.queued_s * 1e3 if exchange.place is not None else 0.0,
        exchange.connect_s * 1e3 if exchange.connect_s else -1.0,
        (exchange.first_byte_at - began) * 1e3 if exchange.first_byte_at else -1.0,
        (now - began) * 1e3,
        exchange.ended.encode(),
        (b',"why":' + dumps(exchange.why).encode() if exchange.why else b"")
        + (_usage(exchange) if exchange.prompt is not None else _unread(exchange)),
    )


def refusal_line(client: str, received: bytes, status: int, why: str) -> bytes:
    """What was refused before it was a request: where it came from, how it begins, and why."""
    first_line = received[:_MAX_SHOWN_BYTES].partition(b"\r\n")[0]
    return _REFUSAL % (
        wall_clock(),
        json_text(client.encode("latin-1")),
        json_text(first_line),
        status,
        dumps(why).encode(),
    )


def _facts(exchange: "Settlement") -> bytes:
    """What the head alone decides; the same for all requests of a plan."""
    head = exchange.head
    plan = exchange.plan
    route = plan.route
    return b'"client":"%b","method":"%b","host":"%b","target":"%b","route":"%b"' % (
        json_text(plan.source.encode("latin-1")),  # of X-Forwarded-For, where that is believed
        json_text(head.method),
        json_text(head.host),
        json_text(head.target),
        json_text(route.name.encode()) if route is not None else b"-",
    )


def _usage(exchange: "Settlement") -> bytes:
    """Of an understood request to a language model; tokens are -1 where the engine told none."""
    prompt = exchange.prompt
    way = exchange.way
    if prompt is None or way is None or way.pool.insight is None:
        return b""
    if way.pool.insight.usage == "off":
        return b""
    answer = exchange.answer
    model = dumps(prompt.found.model).encode()
    if prompt.asked != prompt.found.model:
        model += b',"asked":' + dumps(prompt.asked).encode()
    if answer is None:
        return b',"model":' + model
    meter = answer.meter
    return _USAGE % (
        model,
        meter.prompt_tokens,
        meter.cached_tokens,
        meter.output_tokens,
        _ms(answer.first_token_s()),
        _ms(answer.token_s()),
        dumps(meter.finish_reason).encode(),
    )


def _unread(exchange: "Settlement") -> bytes:
    return b',"unread":' + dumps(exchange.unread).encode() if exchange.unread else b""


def _ms(seconds: float) -> float:
    return seconds * 1e3 if seconds >= 0.0 else -1.0
