"""One request as a line of JSON. Timers are milliseconds and follow HAProxy's."""

from json import dumps
from typing import TYPE_CHECKING, Final

from penstock.dataplane.record.request_log import json_text, time_stamp

if TYPE_CHECKING:
    from penstock.dataplane.exchange.settlement import Settlement

# One formatting call for the whole line: by f-strings it cost five times as much.
_LINE: Final = (
    b'{"time":"%b","id":"%b",%b,"pool":"%b","endpoint":"%b","endpoint_address":%b,"status":%d'
    b',"bytes":%d,"attempts":%d,"t_parse":%.3f,"t_queue":%.3f,"t_connect":%b,"t_first_byte":%b'
    b',"t_total":%.3f,"end":"%b"%b}\n'
)
_REFUSAL: Final = (
    b'{"time":"%b","client":"%b","line":"%b","status":%d,"end":"bad_request","why":%b}\n'
)
_NULL: Final = b"null"
_MAX_SHOWN_BYTES: Final = 200  # of a refused request's first line
_USAGE: Final = (
    b',"model":%b,"prompt_tokens":%b,"cached_tokens":%b,"output_tokens":%b'
    b',"t_first_token":%b,"t_per_token":%b,"finish":%b'
)


def log_line(exchange: "Settlement", now: float) -> bytes:
    """What is known of an exchange at its end; with the line's end.

    ``t_parse`` is 0 for a head that came in one piece, ``t_connect`` null on a reused connection,
    ``t_first_byte`` null when none came. Requests to a language model have the model, tokens, times
    to and between tokens, and why it ended besides. ``endpoint_id`` is the request's id as the
    endpoint tells it, where that is another; ``asked`` is the name in the request where the model
    is another, by an alias, a fallback or a default.
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
        time_stamp(),
        json_text(request_id) if plan.request_id else request_id,
        facts,
        way.pool.log_name if way is not None else b"-",
        endpoint.log_name if endpoint is not None else b"-",
        b'"%b"' % exchange.peer if exchange.peer else _NULL,
        exchange.status,
        exchange.bytes_out,
        exchange.attempt_number,
        exchange.parse_s * 1e3,
        exchange.place.queued_s * 1e3 if exchange.place is not None else 0.0,
        b"%.3f" % (exchange.connect_s * 1e3) if exchange.connect_s else _NULL,
        b"%.3f" % ((exchange.first_byte_at - began) * 1e3) if exchange.first_byte_at else _NULL,
        (now - began) * 1e3,
        exchange.ended.encode(),
        (b',"why":' + dumps(exchange.why).encode() if exchange.why else b"")
        + (
            b',"endpoint_id":"%b"' % json_text(exchange.endpoints_id)
            if exchange.endpoints_id
            else b""
        )
        + (_usage(exchange) if exchange.prompt is not None else _unread(exchange)),
    )


def refusal_line(client: str, received: bytes, status: int, why: str) -> bytes:
    """What was refused before it was a request: where it came from, how it begins, and why."""
    first_line = received[:_MAX_SHOWN_BYTES].partition(b"\r\n")[0]
    return _REFUSAL % (
        time_stamp(),
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
    agent = head.value(b"user-agent")
    return b'"client":"%b","method":"%b","host":"%b","target":"%b","user_agent":%b,"route":"%b"' % (
        json_text(plan.source.encode("latin-1")),  # of X-Forwarded-For, where that is believed
        json_text(head.method),
        json_text(head.host),
        json_text(head.target),
        b'"%b"' % json_text(agent) if agent is not None else _NULL,
        json_text(route.name.encode()) if route is not None else b"-",
    )


def _usage(exchange: "Settlement") -> bytes:
    """Of an understood request to a language model; tokens are null where the engine told none."""
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
        _count(meter.prompt_tokens),
        _count(meter.cached_tokens),
        _count(meter.output_tokens),
        _ms(answer.first_token_s()),
        _ms(answer.token_s()),
        dumps(meter.finish_reason).encode(),
    )


def _unread(exchange: "Settlement") -> bytes:
    return b',"unread":' + dumps(exchange.unread).encode() if exchange.unread else b""


def _count(tokens: int) -> bytes:
    return b"%d" % tokens if tokens >= 0 else _NULL


def _ms(seconds: float) -> bytes:
    return b"%.3f" % (seconds * 1e3) if seconds >= 0.0 else _NULL
